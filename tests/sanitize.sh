#!/bin/sh
# The tests under sanitizers: address and undefined behaviour (unit tests, ONNX's tests, 10,000 damaged variants of the real
# models, examples, the command), threads (what shares models, pools and stores), and valgrind. Needs `make all` and build/venv.
set -eu
cd "$(dirname "$0")/.."
jobs=$(nproc)
# Lines are what reports need; more would make each of a hundred programs 60 MB. Tests compile in a quarter of the time when
# nothing is optimized, and run but little longer.
run() { make --no-print-directory -j"$jobs" OPT="-O1 -g1" KERNEL_OPT=-O1 TEST_OPT="-O0 -g1" "$@"; }
# Kernels that this processor cannot run would only be compiled, which takes longer than all else.
make --no-print-directory build/tests/conformance/onnx_backend
levels=$(build/tests/conformance/onnx_backend --levels | xargs)

address="-fsanitize=address,undefined -fno-sanitize-recover=all"
# By GCC, whose kernels are ten times as fast at -O1 as clang's: it unrolls their loops there. Not
# detect_stack_use_after_return: before GCC 13.3 its stack is not aligned for 64-byte vectors; tests/fuzz.sh uses it.
export UBSAN_OPTIONS=print_stacktrace=1
# The damaged variants are mostly the kernels' work: -O2 where that compiles in a few seconds, which conv_* does not.
run BUILD=build/asan LEVELS="$levels" SANITIZE="$address" \
    KERNEL_OPT='$(if $(filter %_scalar.c %_avx2.c,$(filter-out conv_%,$(notdir $<))),-O2,-O1)' \
    unit conformance build/asan/tests/fuzz/variants examples build/asan/tenon
tests/models/fetch.sh
# Of a model and its quantized forms the quantized ones.
build/asan/tests/fuzz/variants -n 10000 -j "$jobs" $(find -L build/models \( -path build/models/cases -o -path build/models/bench \) \
    -prune -o -name '*.onnx' ! -name '*.float.onnx' -print | sort)
EXAMPLES=build/asan/examples TENON_COMMAND=build/asan/tenon tests/run-programs.sh tests/command/check.sh tests/examples.sh

threads="build/tsan/tests/unit/store build/tsan/tests/unit/threads build/tsan/tests/unit/session
    build/tsan/tests/unit/subscription build/tsan/tests/unit/control build/tsan/tests/unit/processes
    build/tsan/tests/unit/trainer_group build/tsan/tests/unit/upgrade build/tsan/tests/unit/mqtt
    build/tsan/examples/shared_model"
# Who writes what is the same at all levels.
run BUILD=build/tsan LEVELS=scalar SANITIZE=-fsanitize=thread $threads
tests/run-programs.sh $threads

valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=all build/examples/shared_model
