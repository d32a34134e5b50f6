#!/bin/sh
# Model files: every real model becomes one and back, runs as before, plain and deflated, and is read by a second reader that
# was written from the description alone; files that break a rule are refused by that one too.
set -eu
cd "$(dirname "$0")/../.."
python=build/venv/bin/python
run=${BUILD:-build}/tests/conformance/onnx_backend
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
$python tests/export/mirror.py --form tenon build/models/cases "$work/plain"
$run --relative 1e-4 "$work/plain/cases"
$python tests/export/mirror.py --form tenon --option=--compress build/models/cases/real "$work/deflated"
$run --relative 1e-4 "$work/deflated"
$python tests/model_file/second_reader.py "$work/plain/cases/real" "$work/deflated/real"
