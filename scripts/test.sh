#!/bin/sh
# The whole gate. WINNOW_TEST_REQUIRE=all makes a test that could not be run a failure.
set -u
cd "$(dirname "$0")/.."
sh scripts/setup.sh --dev || exit 1
sh scripts/install_test_packages.sh
failed=""
sh scripts/lint.sh || failed="$failed lint"
.venv/bin/python -m pytest -n auto --maxprocesses=4 --dist loadgroup "$@" || failed="$failed pytest"
if [ -n "$failed" ]; then
    echo "test: failed:$failed" >&2
    exit 1
fi
