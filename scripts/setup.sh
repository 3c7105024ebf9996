#!/bin/sh
# Build .venv. Finds a Python that is new enough; the rest is scripts/setup_environment.py, in that Python.
set -eu
cd "$(dirname "$0")/.."

for python in ${PYTHON:-} python3.11 python3.12 python3.13 python3 python; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        exec "$python" scripts/setup_environment.py "$@"
    fi
done
echo "setup: Python 3.11 or newer is missing: install it, or name it with PYTHON=/path/to/python3.11" >&2
exit 1
