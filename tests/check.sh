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
make --no-print-directory -j"$jobs" all benches # those are run by hand: they must still build
step "unit tests"
make --no-print-directory -j"$jobs" unit
step "ONNX's own tests"
make --no-print-directory -j"$jobs" conformance
step "real models"
tests/models/check.sh
# Each of these uses about one core; the longest go first.
step "files, training, compression, the command, registries, Python"
tests/run-programs.sh tests/export/check.sh tests/train/check.sh tests/python.sh tests/model_file/check.sh \
    tests/command/check.sh tests/compress/weights.sh tests/registry/check.sh tests/compress/check.sh tests/delta/check.sh \
    tests/install.sh tests/examples.sh tests/readme.sh
step sanitizers
tests/sanitize.sh
step "fuzzing, ${FUZZ_SECONDS:-300} s"
tests/fuzz.sh
step "other processors"
tests/cross.sh
step done
