#!/bin/sh
# Makes test cases of the real models on real input, in build/models/cases/recorded: draws pictures and mixes sounds,
# lets the demo record what it gives to the models, and ONNX Runtime say what comes out.
set -eu
cd "$(dirname "$0")/../.."
: "${BUILD:=build}"
tests/setup/packages.sh demo
tests/models/fetch.sh
make --no-print-directory -j"$(nproc)" BUILD="$BUILD" "$BUILD/demo"
cases=build/models/cases/recorded
rm -rf "$cases" "$cases.new"
mkdir -p "$cases.new"
build/venv/bin/python tests/models/draw.py build/inputs
"$BUILD/demo" --record "$cases.new" >build/inputs/recording.txt || { cat build/inputs/recording.txt; exit 1; }
build/venv/bin/python tests/models/reference.py "$cases.new"
mv "$cases.new" "$cases"
