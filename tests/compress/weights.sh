#!/bin/sh
# Passes of weights, beside onnx.checker, ONNX Runtime and scikit-learn. Needs `make all` and build/venv.
set -eu
cd "$(dirname "$0")/../.."
export PYTHONPATH=bindings/python TENON_LIBRARY="$PWD/build/libtenon.so"
for step in half_precision weight_only; do
    build/venv/bin/python "tests/compress/$step.py"
done
