#!/bin/sh
# The whole gate. WINNOW_TEST_REQUIRE=all makes a test that could not be run a failure.
set -u
cd "$(dirname "$0")/.."
unset PYTHONDONTWRITEBYTECODE # some containers set it, and then each program that a test starts is compiled anew
sh scripts/setup.sh --dev || exit 1
sh scripts/install_test_packages.sh
failed=""
# mypy needs some minutes of one core, and tests that wait for a server leave one free: it takes what they leave.
said=$(mktemp)
nice -n 10 sh scripts/lint.sh >"$said" 2>&1 &
lint=$!
trap 'kill "$lint" 2>/dev/null; rm -f "$said"' EXIT
trap 'exit 130' INT TERM
# No more processes than cores: servers that tests start need some of them, or answer later than tests wait.
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
[ "$cores" -gt 4 ] && cores=4
[ "$cores" -lt 2 ] && cores=2
.venv/bin/python -m pytest -n "$cores" --dist loadscope --no-loadscope-reorder "$@" || failed=" pytest"
wait "$lint" || failed=" lint$failed"
cat "$said"
if [ -n "$failed" ]; then
    echo "test: failed:$failed" >&2
    exit 1
fi
