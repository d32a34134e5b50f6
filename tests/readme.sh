#!/bin/sh
# The programs in README.md compile, run, and agree. Needs `make lib`, build/venv with the Python package, and a model.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for language in c python; do
    awk -v want="\`\`\`$language" '$0 == "```" { inside = 0 } inside { print } $0 == want { inside = 1 }' README.md \
        >"$work/press.$language"
    [ -s "$work/press.$language" ] || { echo "README.md has no program in $language" >&2; exit 1; }
done
build/venv/bin/python - "$work/press.onnx" <<'PY'
import sys
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])
y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])
weights = numpy_helper.from_array(np.ones((8, 1), np.float32), "w")
graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "press", [x], [y], initializer=[weights])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), sys.argv[1])
PY
mv "$work/press.python" "$work/press.py"
${CC:-cc} -std=c11 -Wall -Wextra -Werror -Iinclude "$work/press.c" -o "$work/press" -Lbuild -ltenon
export LD_LIBRARY_PATH="$PWD/build" PYTHONPATH="$PWD/bindings/python"
python=$PWD/build/venv/bin/python
cd "$work"
[ "$(./press | tr '\n' ' ')" = "-0.25 0 0.25 " ]
"$python" press.py | tail -1 | grep -q '^\[\[0\.\]\]$'
echo "the programs in README.md do what they should"
