#!/bin/sh
# Ensembles on real data, beside scikit-learn's and in ONNX Runtime. Needs `make all` and build/venv. --time: latencies as well.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build/venv/bin/python tests/train/ensemble.py build/tenon "$work" "$@"
