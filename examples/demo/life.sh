#!/bin/sh
# The life of a model on real data: readings of a space shuttle's radiators (PyPI river) become a model that tells what is
# out of order, measured, made smaller, let through a gate, published under a signature, and run where it is needed, from raw
# columns.
# `make demo` ends with it. Needs build/tenon, build/examples/follow_model and build/venv.
set -eu
cd "$(dirname "$0")/../.."
tenon="$PWD/${BUILD:-build}/tenon" follow="$PWD/${BUILD:-build}/examples/follow_model"
prepare="$PWD/build/venv/bin/python $PWD/examples/plans/prepare.py"
plan="$PWD/examples/plans/shuttle.yaml"
started=$(date +%s)
step() { printf '\n-- %s\n' "$*"; }
printf '\n== The life of a model: faults in the readings of a space shuttle'"'"'s radiators\n'
rm -rf build/life
mkdir -p build/life
step "prepare: 49,097 readings, half of them for testing"
$prepare build/datasets shuttle
cp build/datasets/shuttle-train.csv build/datasets/shuttle-test.csv "$plan" build/life
cd build/life
"$tenon" data describe shuttle-train.csv
step "train, by examples/plans/shuttle.yaml"
"$tenon" train shuttle.yaml --quiet >train.txt
sed 3q train.txt
step "evaluate: robustness, importance, what it gives away"
"$tenon" eval shuttle.tenon shuttle-test.csv --robustness --importance --security --members shuttle-train.csv \
    --report report.html >eval.txt
grep '^membership' eval.txt
step "compress: 8-bit integers, by ranges of the rows that it was trained on"
"$tenon" compress shuttle.tenon small.tenon --data shuttle-train.csv --samples 200 --calibration best --bias-correction \
    --max-drop 0.002
step "gate: bounds, and next to nothing lost against the model as it was"
cat >gate.yaml <<'GATE'
self_test: true
metrics:
  - {name: accuracy, data: shuttle-test, at_least: 0.99, drop: 0.002}
  - {name: recall, data: shuttle-test, at_least: 0.95, drop: 0.01}
  - {name: ece, data: shuttle-test, at_most: 0.02}
GATE
"$tenon" eval small.tenon shuttle-test.csv --gate gate.yaml --against shuttle.tenon --record measured.tenon >gate.txt
sed -n '/^gate/,$p' gate.txt
step "publish: a store, keys, a channel that only what passes the gate gets into"
"$tenon" store create factory
"$tenon" store trust factory init keys >trust.txt
"$tenon" store put factory measured.tenon shuttle:1.0.0 --licence BSD-3-Clause
"$tenon" store promote factory shuttle:1.0.0 stable keys --gate gate.yaml
step "where it runs: one file brings the store; what is not signed does not run"
"$tenon" store backup factory medium.tnb
"$tenon" store restore edge medium.tnb
"$tenon" store trust edge update factory/trust >trust.txt
"$tenon" store get edge shuttle@stable runs.tenon
"$follow" edge shuttle@stable 3
step "what runs there, on raw columns"
"$tenon" eval runs.tenon shuttle-test.csv --json >runs.json
"$tenon" inspect shuttle.tenon --json >float32.json
"../venv/bin/python" - <<'PYTHON'
import json
found, trained = (json.load(open(name)) for name in ("runs.json", "float32.json"))
before = {m["name"]: m["value"] for m in trained["manifest"]["metrics"] if m["data"] == "shuttle-test"}
print(f"{found['rows']} rows, {found['classes']}: confusion {found['confusion']}\n")
print(f"{'':20}{'here':>9}{'from':>9}{'to':>9}{'float32':>9}")
for name in ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "roc_auc", "ece"):
    m = found["metrics"][name]
    print(f"{name:20}{m['value']:9.4f}{m['low']:9.4f}{m['high']:9.4f}{before[name]:9.4f}")
PYTHON
printf '\nthe report, with pictures: build/life/report.html (%d s in all)\n' $(($(date +%s) - started))
