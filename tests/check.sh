#!/bin/sh
# All that proves the library, in order; stops at the first step that fails.
set -eu
cd "$(dirname "$0")/.."
step() { printf '\n== %s\n' "$*"; }
jobs=$(nproc 2>/dev/null || echo 2)

step packages
tests/setup/packages.sh full
step build
make -j"$jobs" all
step "unit tests"
make -j"$jobs" unit
step "ONNX's own tests"
tests/setup/venv.sh
make -j"$jobs" conformance
step "real models"
tests/models/check.sh
