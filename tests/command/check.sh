#!/bin/sh
# The tenon command's tests, file by file, side by side; TENON_COMMAND names another build of it.
set -eu
cd "$(dirname "$0")/../.."
# In the order of their names the longest would be the last.
ls -r tests/command | grep '^test_.*\.py$' | xargs -n 1 -P "$(nproc)" sh -c '
    said=$(build/venv/bin/python -m unittest discover -s tests/command -p "$0" 2>&1) && passed=0 || passed=1
    echo "$0: $said"
    exit $passed'
