#!/bin/sh
# As root on a Debian-like machine (a container, CI): install the programs that tests drive and that are missing.
# As anybody else: nothing, and never sudo. A failure here is no error: the tests that lack a program say so.
set -u

# program:package
needed="chromium:chromium"

missing=""
for pair in $needed; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "test: not installed here:$missing (the tests that need it will say so)" >&2
    exit 0
fi

# A server that a package brings must not start by itself: dpkg asks this script first.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT INT TERM
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
echo "test: installing$missing" >&2
# shellcheck disable=SC2086 # one word for each package
if ! { apt-get update && apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 3 "$log" >&2
    echo "test: could not install$missing" >&2
fi
rm -f "$log"
exit 0
