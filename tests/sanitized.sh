#!/bin/sh
# Builds what it is given (targets of make) with clang under its address and undefined-behaviour sanitizers and what
# libFuzzer asks for, in build/sanitized. Reports need lines and no more of the debug information, which would make each of a
# hundred programs 60 MB; kernels are left at -O1, since more takes long to compile under sanitizers, and are no parsers, whose
# ways libFuzzer has to see.
set -eu
cd "$(dirname "$0")/.."
exec make --no-print-directory -j"$(nproc)" BUILD=build/sanitized CC="${CLANG:-clang}" OPT="-O1 -gline-tables-only" \
    SANITIZE="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all" \
    KERNEL_OPT="-O1 -fno-sanitize=fuzzer-no-link" "$@"
