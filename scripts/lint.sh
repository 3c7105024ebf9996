#!/bin/sh
# Everything that can be said of the code without running it. Goes on after a failure; fails at the end.
set -u
cd "$(dirname "$0")/.."
failed=""
check() {
    echo "== $*"
    ".venv/bin/$@" || failed="$failed $1"
}
check ruff check .
check ruff format --check .
check mypy
check lint-imports
if [ -n "$failed" ]; then
    echo "lint: failed:$failed" >&2
    exit 1
fi
