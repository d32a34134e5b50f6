#!/bin/sh
# The tests under sanitizers: address and undefined behaviour (unit tests, ONNX's tests, 10,000 damaged variants of the real
# models, examples, the command), threads (what shares models and pools), and valgrind. Needs `make all` and build/venv.
set -eu
cd "$(dirname "$0")/.."
jobs=$(nproc)
# Stacks are looked at after return in tests/fuzz.sh alone: it makes processes, which tests start by the thousand, slow.
export ASAN_OPTIONS=detect_stack_use_after_return=0 UBSAN_OPTIONS=print_stacktrace=1
tests/sanitized.sh unit conformance build/sanitized/tests/fuzz/variants
tests/models/fetch.sh
build/sanitized/tests/fuzz/variants -n 10000 -j "$jobs" \
    $(find -L build/models -path build/models/cases -prune -o -name '*.onnx' -print | sort)
EXAMPLES=build/sanitized/examples TENON_COMMAND=build/sanitized/tenon tests/run-programs.sh tests/command/check.sh tests/examples.sh

threads="build/tsan/tests/unit/threads build/tsan/tests/unit/session build/tsan/tests/unit/subscription
    build/tsan/examples/shared_model"
make --no-print-directory -j"$jobs" OPT="-O1 -g1" KERNEL_OPT=-O1 BUILD=build/tsan SANITIZE=-fsanitize=thread $threads
tests/run-programs.sh $threads

valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=all build/examples/shared_model
