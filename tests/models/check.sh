#!/bin/sh
# The real models, on random and on real input, some of them quantized, those that scikit-learn makes, and the operators of
# com.microsoft: all agree with ONNX Runtime at every instruction set level of this machine, on one thread and two.
set -eu
cd "$(dirname "$0")/../.."
tests/models/fetch.sh
# Cases are made once, and again when what makes them changes.
made=$(cat tests/models/*.py tests/models/*.sh tests/setup/requirements.txt examples/demo/*.c | sha256sum)
[ "$(cat build/models/cases-made 2>/dev/null || true)" = "$made" ] || rm -rf build/models/cases
[ -d build/models/cases/real ] || build/venv/bin/python tests/models/cases.py >/dev/null
[ -d build/models/cases/recorded ] || tests/models/real_inputs.sh
[ -d build/models/cases/quantized ] || build/venv/bin/python tests/models/quantize.py >/dev/null 2>&1
[ -d build/models/cases/operators ] || build/venv/bin/python tests/models/quantized_operators.py >/dev/null
[ -d build/models/cases/sklearn ] || build/venv/bin/python tests/models/make_sklearn.py >/dev/null
[ -d build/models/cases/microsoft ] || build/venv/bin/python tests/models/make_microsoft.py >/dev/null
echo "$made" > build/models/cases-made
run=${BUILD:-build}/tests/conformance/onnx_backend
# Side by side, longest first.
for cpu in $($run --levels); do printf '%s\n' "$cpu 1" "$cpu 2"; done | xargs -L 1 -P "$(nproc)" sh -c '
    said=$("$0" --relative 1e-4 --cpu "$1" --threads "$2" build/models/cases 2>&1) || { echo "$said"; exit 1; }
    echo "real models, $1, $2 thread(s): $said"' "$run"
