#!/bin/sh
# Runs each example and looks at what it says. Needs `make all`, and build/venv for a model to load.
# EXAMPLES: their folder; a wrapper (valgrind...) may stand in TEST_WRAPPER.
set -eu
cd "$(dirname "$0")/.."
bin=${EXAMPLES:-build/examples}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# says NAME PATTERN COMMAND...: the command succeeds, and a line of its output matches.
says() {
    name=$1 pattern=$2
    shift 2
    $TEST_WRAPPER "$@" >"$work/out" 2>"$work/err" || { cat "$work/out" "$work/err"; echo "$name failed" >&2; exit 1; }
    grep -Eq "$pattern" "$work/out" || { cat "$work/out"; echo "$name: no line matches '$pattern'" >&2; exit 1; }
    echo "$name: as it should be"
}
TEST_WRAPPER=${TEST_WRAPPER:-}

"${PYTHON:-build/venv/bin/python}" - "$work/model.onnx" <<'PY'
import sys
import onnx
from onnx import TensorProto, helper
x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in "xy")
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", [x], [y])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), sys.argv[1])
PY

says hello '^2\.5$' "$bin/hello" "$work/model.onnx" -1 2.5 0
if "$bin/hello" "$0" 2>"$work/err"; then echo "hello took a script for a model" >&2; exit 1; fi
grep -q 'ONNX' "$work/err"
says build_graph '^0\.6225 0\.3775$' "$bin/build_graph"
says custom_op '^-2 -> 1\.5$' "$bin/custom_op"
says shared_model 'results of 4 are the same bits' "$bin/shared_model"

# While the loop runs, its model's file becomes a bad one and then a good one again.
cp "$work/model.onnx" "$work/good.onnx"
cp "$work/model.onnx" "$work/next.onnx"
head -c 40 "$work/model.onnx" >"$work/bad.onnx"
(
    sleep 0.4
    mv "$work/bad.onnx" "$work/model.onnx"
    sleep 0.4
    mv "$work/next.onnx" "$work/model.onnx"
) &
says control_loop '^150 cycles$' "$bin/control_loop" "$work/model.onnx" 150
wait
grep -q 'the old model stays' "$work/out"
grep -q 'a new model is ready' "$work/out"

# A store's newest version is followed, a bad one is not.
tenon=${TENON_COMMAND:-build/tenon}
$tenon store create "$work/store" >/dev/null
$tenon store put "$work/store" "$work/good.onnx" press:1.0.0 >/dev/null
(
    sleep 0.3
    head -c 40 "$work/good.onnx" >"$work/cut.onnx"
    $tenon store put "$work/store" "$work/cut.onnx" press:1.1.0
    sleep 0.3
    $tenon store put "$work/store" "$work/good.onnx" press:1.2.0
) >/dev/null &
says follow_model '^1 changes, 0 failures$' "$bin/follow_model" "$work/store" press 150
wait
grep -q 'goes on with what it has: .*press:1.1.0' "$work/out"
grep -Eq '^cycle [1-9][0-9]*: version 1.2.0$' "$work/out"
