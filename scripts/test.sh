#!/bin/sh
# The whole gate. WINNOW_TEST_REQUIRE=all makes a test that could not be run a failure.
set -u
cd "$(dirname "$0")/.."
unset PYTHONDONTWRITEBYTECODE # some containers set it, and then each program that a test starts is compiled anew
sh scripts/setup.sh --dev || exit 1
sh scripts/install_test_packages.sh
failed=""
# mypy needs one core for some minutes, and tests that wait for a server leave one free.
said=$(mktemp)
sh scripts/lint.sh >"$said" 2>&1 &
lint=$!
trap 'kill "$lint" 2>/dev/null; rm -f "$said"' EXIT
trap 'exit 130' INT TERM
# One process more than there are cores (four at most): about one of them waits for a server at any time.
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
[ "$cores" -gt 3 ] && cores=3
.venv/bin/python -m pytest -n "$((cores + 1))" --dist loadgroup --no-loadscope-reorder "$@" || failed=" pytest"
wait "$lint" || failed=" lint$failed"
cat "$said"
if [ -n "$failed" ]; then
    echo "test: failed:$failed" >&2
    exit 1
fi
