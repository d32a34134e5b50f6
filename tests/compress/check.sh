#!/bin/sh
# Compression beside ONNX Runtime's quantizer, on real data. Needs `make all`, build/venv, and what tests/models/check.sh made.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build/venv/bin/python tests/compress/compare.py build/tenon build/examples/train_digits "$work"
build/venv/bin/python tests/compress/calibration.py build/tenon "$work"
build/venv/bin/python tests/compress/levels.py build/tenon
