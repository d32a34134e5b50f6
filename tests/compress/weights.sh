#!/bin/sh
# Passes of weights, beside onnx.checker, ONNX Runtime and scikit-learn. Needs `make all` and build/venv.
set -eu
cd "$(dirname "$0")/../.."
export PYTHONPATH=bindings/python TENON_LIBRARY="$PWD/build/libtenon.so"
for step in half_precision weight_only prune heads layers sharing recipe_rows odd; do
    build/venv/bin/python "tests/compress/$step.py"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build/venv/bin/python tests/compress/digits.py build/examples/deep_compression "$work"
