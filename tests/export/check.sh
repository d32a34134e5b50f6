#!/bin/sh
# ONNX files that Tenon writes: every model of ONNX's tests, of old opsets and of the real ones is written anew; ONNX's
# checker and ONNX Runtime take the copies as they take the originals, and the copies pass the originals' tests.
set -eu
cd "$(dirname "$0")/../.."
python=build/venv/bin/python
data=$($python -c 'import onnx, os; print(os.path.dirname(onnx.__file__) + "/backend/test/data")')
run=${BUILD:-build}/tests/conformance/onnx_backend
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
$python tests/export/opsets.py --check lib/export/opsets.inc
$python tests/export/mirror.py --runtime build/models/cases "$work/real"
$run --relative 1e-4 "$work/real/cases"
$python tests/export/mirror.py --option=--external-data build/models/cases/real "$work/external"
$run --relative 1e-4 "$work/external"
$python tests/export/mirror.py tests/conformance/opsets tests/conformance/sequences "$work/old"
$run "$work/old"
$python tests/export/mirror.py --runtime "$data/node" "$data/simple" "$data/pytorch-operator" "$data/pytorch-converted" \
    "$work/onnx"
$run --known tests/conformance/known_failures.txt "$work/onnx" | tail -1
