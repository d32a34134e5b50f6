"""Gradients of operators beside PyTorch's (recorded: see gradient_reference.py), by their inputs and weights."""
import json
import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import gradient_cases as cases
import tenon

REFERENCE = json.loads((Path(__file__).parent / "gradient_reference.json").read_text())


def save(path, name):
    """x [1, size] to its parts, through the nodes, to one number [1, 1]."""
    shapes, _, nodes, constants = cases.CASES[name]
    sizes = np.array([np.prod(s) for s in shapes], np.int64)
    letters = "abcdefgh"[:len(shapes)]
    constants = {**constants, "sizes": sizes, "all": np.array([1, -1], np.int64),
                 **{f"shape_{c}": np.array(s, np.int64) for c, s in zip(letters, shapes)}}
    made = [helper.make_node("Split", ["x", "sizes"], [f"flat_{c}" for c in letters], axis=1)]
    made += [helper.make_node("Reshape", [f"flat_{c}", f"shape_{c}"], [c]) for c in letters]
    made += [helper.make_node(op, inputs, outputs, **attributes) for op, inputs, outputs, attributes in nodes]
    made += [helper.make_node("Reshape", ["y", "all"], ["row"]), helper.make_node("MatMul", ["row", "factors"], ["sum"])]
    probe = helper.make_graph(made, name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, int(sizes.sum())])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(v, k) for k, v in constants.items()])
    opset = [helper.make_opsetid("", 24)]
    shapes_of = onnx.shape_inference.infer_shapes(helper.make_model(probe, opset_imports=opset, ir_version=11), data_prop=True)
    dims = [d.dim_value for d in shapes_of.graph.output[0].type.tensor_type.shape.dim]
    count = int(np.prod(dims or shapes[0]))  # of norms there is nothing to infer: they have the shape of their first operand
    constants["factors"] = cases.factors(count).reshape(-1, 1)
    graph = helper.make_graph(made, name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", int(sizes.sum())])],
                              [helper.make_tensor_value_info("sum", TensorProto.FLOAT, [1, 1])],
                              [numpy_helper.from_array(v, k) for k, v in constants.items()])
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=11), path)


class Gradients(unittest.TestCase):
    def test_gradients_are_pytorchs(self):
        self.assertEqual(set(REFERENCE), set(cases.CASES))
        with tempfile.TemporaryDirectory() as folder:
            for name, expected in REFERENCE.items():
                with self.subTest(name):
                    path = Path(folder) / f"{name}.onnx"
                    save(path, name)
                    probe = tenon.explain.Probe(path)
                    found = probe.loss_gradient(cases.numbers(name), np.zeros((1, 1), np.float32))[0]
                    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


if __name__ == "__main__":
    unittest.main()
