#!/bin/sh
# All that proves the library, quick things first; stops at the first step that fails.
set -eu
cd "$(dirname "$0")/.."
started=$(date +%s)
step() { printf '\n== %s (after %d s)\n' "$*" $(($(date +%s) - started)); }
jobs=$(nproc 2>/dev/null || echo 2)

step packages
tests/setup/packages.sh full
tests/setup/venv.sh
step formatting
make --no-print-directory lint
step build
make --no-print-directory -j"$jobs" all
step "unit tests"
make --no-print-directory -j"$jobs" unit
step "ONNX's own tests"
make --no-print-directory -j"$jobs" conformance
step "real models"
tests/models/check.sh
step "ONNX files written"
tests/export/check.sh
step "model files"
tests/model_file/check.sh
step deltas
tests/delta/check.sh
step installation
tests/install.sh
step training
tests/train/check.sh
step "smaller weights"
tests/compress/weights.sh
step quantization
tests/compress/check.sh
step examples
tests/examples.sh
step "the tenon command"
build/venv/bin/python -m unittest discover -s tests/command
step registries
tests/registry/check.sh
step Python
tests/python.sh
tests/readme.sh
step sanitizers
tests/sanitize.sh
step "fuzzing, ${FUZZ_SECONDS:-300} s"
tests/fuzz.sh
step "other processors"
tests/cross.sh
step done
