#!/bin/sh
# Makes build/venv with the Python packages that the checks use as references, pinned. Does nothing if it is complete.
set -eu
cd "$(dirname "$0")/../.."
want=$(sha256sum tests/setup/requirements.txt)
[ "$(cat build/venv/complete 2>/dev/null || true)" = "$want" ] && exit 0
mkdir -p build
python3 -m venv build/venv
build/venv/bin/pip install --quiet --disable-pip-version-check -r tests/setup/requirements.txt
echo "$want" > build/venv/complete
