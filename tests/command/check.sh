#!/bin/sh
# The tenon command's tests; TENON_COMMAND names another build of it.
set -eu
cd "$(dirname "$0")/../.."
exec build/venv/bin/python -m unittest discover -s tests/command
