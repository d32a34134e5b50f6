#!/bin/sh
# The fuzz targets under libFuzzer, side by side, for FUZZ_SECONDS (300) each, with address and undefined-behaviour
# sanitizers: no crash, no input that takes 10 s of a core, no leak, no single allocation above 512 MiB. They start from
# tests/fuzz/corpus and what earlier runs left in build/fuzz/corpus. What fails is kept in build/fuzz/found.
# `tests/fuzz.sh minimize TARGET` then adds to tests/fuzz/corpus the small inputs that reach code which none there does.
set -eu
cd "$(dirname "$0")/.."
# Kernels are no parsers, whose ways libFuzzer has to see; undefined behaviour in them is looked for by tests/sanitize.sh,
# with GCC, which takes a tenth of clang's time for that.
# Those that this processor cannot run are left out.
make --no-print-directory -j"$(nproc)" build/tests/conformance/onnx_backend
make --no-print-directory -j"$(nproc)" fuzzers BUILD=build/fuzz CC="${CLANG:-clang}" OPT="-O1 -gline-tables-only" \
    LEVELS="$(build/tests/conformance/onnx_backend --levels | xargs)" \
    SANITIZE="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all" \
    KERNEL_OPT="-O1 -fno-sanitize=fuzzer-no-link,undefined"
mkdir -p build/fuzz/found build/fuzz/log
targets=$(ls tests/fuzz/corpus)
export ASAN_OPTIONS=detect_stack_use_after_return=1

if [ "${1:-}" = minimize ]; then
    build/fuzz/tests/fuzz/$2 -merge=1 -use_counters=0 -max_len=1024 "tests/fuzz/corpus/$2" "build/fuzz/corpus/$2" 2>&1 |
        tail -1
    exit
fi
# libFuzzer's limit is by the clock, and all share the cores.
limit=$((10 * $(echo "$targets" | wc -l) / $(nproc)))
pids=
for target in $targets; do
    mkdir -p "build/fuzz/corpus/$target"
    build/fuzz/tests/fuzz/$target -max_total_time="${FUZZ_SECONDS:-300}" -timeout="$limit" -malloc_limit_mb=512 \
        -max_len=16384 -print_final_stats=1 -artifact_prefix="build/fuzz/found/$target-" \
        "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target" >"build/fuzz/log/$target" 2>&1 &
    pids="$pids $!"
done
failed=0
for target in $targets; do
    pid=${pids# } pid=${pid%% *} pids=${pids# } pids=${pids#"$pid"}
    if wait "$pid"; then
        echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "build/fuzz/log/$target") inputs," \
            "$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "build/fuzz/log/$target" | tail -1) edges, nothing found"
    else
        failed=1
        echo "$target: see build/fuzz/log/$target"
        grep -E "ERROR|SUMMARY|Test unit written" "build/fuzz/log/$target" || tail -5 "build/fuzz/log/$target"
    fi
done
exit $failed
