"""Ensembles from Python: what they give is what NumPy makes of their members."""
import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import tenon

random = np.random.default_rng(3)
WEIGHTS = [random.normal(size=(4, 3)).astype(np.float32) for _ in range(2)]


def softmax(scores):
    scores = np.exp(scores - scores.max(1, keepdims=True))
    return scores / scores.sum(1, keepdims=True)


def save(path, weight, last):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["scores"])]
    nodes += [helper.make_node("Softmax", ["scores"], ["p"])] if last else [helper.make_node("Identity", ["scores"], ["p"])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", n]) for name, n in (("x", 4), ("p", 3)))
    graph = helper.make_graph(nodes, "member", [x], [y], [numpy_helper.from_array(weight, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)


class Ensembles(unittest.TestCase):
    def setUp(self):
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.folder = Path(held.name)
        self.files = [self.folder / "a.onnx", self.folder / "b.onnx"]
        for path, weight, last in zip(self.files, WEIGHTS, (True, False)):
            save(path, weight, last)
        self.x = random.normal(size=(300, 4)).astype(np.float32)
        self.p = [softmax(self.x @ weight) for weight in WEIGHTS]

    def test_a_mean_with_weights_and_logits(self):
        e = tenon.ensemble.Ensemble("average", self.files, weights=[3, 1], logits=[False, True])
        self.assertEqual([m.name for m in e.members], ["a", "b"])
        self.assertEqual([m.weight for m in e.members], [0.75, 0.25])
        for name in ("both.tenon", "both.onnx"):
            e.save(self.folder / name, name="both", version="1.2.3")
            found = tenon.load(self.folder / name).run({"x": self.x})["p"]
            np.testing.assert_allclose(found, 0.75 * self.p[0] + 0.25 * self.p[1], atol=1e-6)
        self.assertEqual(tenon.load(self.folder / "both.tenon").manifest["version"], "1.2.3")

    def test_a_cascade_is_fitted(self):
        labels = np.array([random.choice(3, p=p / p.sum()) for p in self.p[1].astype(np.float64)])
        e = tenon.ensemble.Ensemble("cascade", self.files, logits=[False, True])
        said = e.fit(self.x, labels, max_drop=0.02)
        self.assertEqual(said["rows"], 300)
        self.assertGreaterEqual(said["accuracy"], (self.p[1].argmax(1) == labels).mean() - 0.02)
        unsure = self.p[0].max(1) < e.members[0].threshold
        self.assertAlmostEqual(unsure.mean(), said["passed_on"], delta=0.01)

    def test_a_stack_of_given_answers(self):
        labels = self.p[1].argmax(1)
        e = tenon.ensemble.Ensemble("stack", self.files, logits=[False, True])
        rows, given = e.fit(self.x, labels), e.fit_answers(self.p, labels)
        self.assertEqual(given["rows"], 300)
        self.assertAlmostEqual(given["loss"], rows["loss"], places=4)
        with self.assertRaises(tenon.ShapeError):
            e.fit_answers(self.p[:1], labels)

    def test_what_makes_no_sense_is_refused(self):
        with self.assertRaises(tenon.InvalidArgument):
            tenon.ensemble.Ensemble("guess", self.files)
        with self.assertRaises(tenon.InvalidArgument):
            tenon.ensemble.Ensemble("vote", self.files, weights=[1])
        with self.assertRaises(tenon.StateError):
            tenon.ensemble.Ensemble("stack", self.files).save(self.folder / "never.tenon")
        with self.assertRaises(tenon.IOFailure):
            tenon.ensemble.run(self.folder / "missing.yaml")


if __name__ == "__main__":
    unittest.main()
