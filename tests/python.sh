#!/bin/sh
# Installs the Python package from the source tree into build/venv and runs its tests against what was installed.
set -eu
cd "$(dirname "$0")/.."
build/venv/bin/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall ./bindings/python
build/venv/bin/python -m unittest discover -s bindings/python/tests
