"""Attacks beside the Adversarial Robustness Toolbox, explanations beside Captum's (recorded: see captum_reference.py)."""
import json
import tempfile
import unittest
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import explain_network as network
import tenon

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that there is no PyTorch
    from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescentNumpy
    from art.estimators import BaseEstimator, LossGradientsMixin
    from art.estimators.classification import ClassifierMixin


class Network(LossGradientsMixin, ClassifierMixin, BaseEstimator):
    """The network as the toolbox takes it; gradients are NumPy's."""

    estimator_params = BaseEstimator.estimator_params

    def __init__(self):
        super().__init__(model=None, clip_values=(0.0, 1.0))
        self.nb_classes = network.CLASSES

    input_shape = (network.INPUTS,)

    def predict(self, x, **_):
        return network.probabilities(x)

    def loss_gradient(self, x, y, **_):
        return network.loss_gradient(x, np.argmax(y, 1)).astype(np.float32)

    def fit(self, *_, **__):
        raise NotImplementedError


class Explanations(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.held = tempfile.TemporaryDirectory()
        path = Path(cls.held.name) / "network.onnx"
        network.save(path)
        cls.probe = tenon.explain.Probe(path)
        cls.captum = json.loads((Path(__file__).parent / "captum_reference.json").read_text())

    @classmethod
    def tearDownClass(cls):
        cls.held.cleanup()

    def test_the_network_is_the_same(self):
        np.testing.assert_allclose(self.probe.predict(network.X), network.probabilities(network.X), atol=1e-6)
        found = self.probe.loss_gradient(network.X, network.LABELS)
        np.testing.assert_allclose(found, network.loss_gradient(network.X, network.LABELS), atol=1e-5)

    def test_attacks_are_the_toolboxs(self):
        one_hot = np.eye(network.CLASSES)[network.LABELS]
        for epsilon in (0.02, 0.1, 0.3):
            theirs = FastGradientMethod(Network(), eps=epsilon).generate(network.X, one_hot)
            ours = self.probe.attack(network.X, network.LABELS, epsilon=epsilon, bounds=(0, 1))
            np.testing.assert_allclose(ours, theirs, atol=1e-6)
            for steps in (5, 20):
                step = 2.5 * epsilon / steps
                attack = ProjectedGradientDescentNumpy(
                    Network(), eps=epsilon, eps_step=step, max_iter=steps, num_random_init=0, verbose=False
                )
                theirs = attack.generate(network.X, one_hot)
                ours = self.probe.attack(
                    network.X, network.LABELS, epsilon=epsilon, steps=steps, step=step, bounds=(0, 1)
                )
                np.testing.assert_allclose(ours, theirs, atol=1e-5)
            self.assertLess(
                (self.probe.predict(ours).argmax(1) == network.LABELS).mean(),
                (self.probe.predict(network.X).argmax(1) == network.LABELS).mean() + 1e-9,
            )

    def test_explanations_are_captums(self):
        chosen = {"baseline": network.BASELINE, "classes": network.LABELS}
        ours = self.probe.integrated_gradients(network.X, steps=50, **chosen)
        np.testing.assert_allclose(ours, self.captum["integrated_gradients"], atol=2e-5)
        ours = self.probe.occlusion(network.X, **chosen)
        np.testing.assert_allclose(ours, self.captum["occlusion"], atol=1e-5)
        # Both draw: Captum's deviation is that of its own runs, ours no more than that.
        theirs, error = (np.array(self.captum[name]) for name in ("shapley", "shapley_error"))
        ours = self.probe.shapley(network.X, samples=2000, seed=1, **chosen)
        bound = 5 * error * np.sqrt(1 + self.captum["shapley_samples"] / 2000) + 1e-5
        self.assertTrue((np.abs(ours - theirs) < bound).all())

    def test_what_makes_no_sense_is_refused(self):
        with self.assertRaises(tenon.InvalidArgument):
            self.probe.occlusion(network.X, baseline=[1.0])
        with self.assertRaises(tenon.InvalidArgument):
            self.probe.occlusion(network.X, classes=[1])
        with self.assertRaises(tenon.InvalidArgument):
            self.probe.attack(network.X, network.LABELS, epsilon=-1)
        with self.assertRaises(tenon.ShapeError):
            self.probe.attack(network.X[:, :3], network.LABELS, epsilon=0.1)


class Attention(unittest.TestCase):
    def test_maps_are_those_of_numpy(self):
        random = np.random.default_rng(5)
        weights = {name: random.normal(size=(8, 8)).astype(np.float32) for name in ("wq", "wk", "wv")}
        split = numpy_helper.from_array(np.array([0, -1, 2, 4], np.int64), "split")
        nodes = []
        for name in "qkv":
            nodes.append(helper.make_node("MatMul", ["x", f"w{name}"], [name]))
            nodes.append(helper.make_node("Reshape", [name, "split"], [f"{name}s"]))
            perm = [0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]
            nodes.append(helper.make_node("Transpose", [f"{name}s"], [f"{name}h"], perm=perm))
        nodes += [
            helper.make_node("MatMul", ["qh", "kh"], ["scores"]),
            helper.make_node("Mul", ["scores", "half"], ["scaled"]),
            helper.make_node("Softmax", ["scaled"], ["map"], axis=-1),
            helper.make_node("MatMul", ["map", "vh"], ["mixed"]),
            helper.make_node("ReduceMean", ["mixed", "axes"], ["pooled"], keepdims=0),
            helper.make_node("Softmax", ["pooled"], ["y"], axis=-1),
        ]
        constants = [numpy_helper.from_array(w, n) for n, w in weights.items()]
        constants += [split, numpy_helper.from_array(np.float32(0.5), "half")]
        constants += [numpy_helper.from_array(np.array([1, 2], np.int64), "axes")]
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 5, 8])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
        graph = helper.make_graph(nodes, "attention", [x], [y], constants)
        rows = random.normal(size=(3, 5, 8)).astype(np.float32)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "attention.onnx"
            onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
            found = tenon.explain.attention_maps(path, {"x": rows})
            network.save(path)
            with self.assertRaises(tenon.NotFound):
                tenon.explain.attention_maps(path, {"x": network.X})
        heads = [(rows @ weights[n]).reshape(3, 5, 2, 4).transpose(0, 2, 1, 3) for n in ("wq", "wk")]
        scores = np.exp(0.5 * heads[0] @ heads[1].transpose(0, 1, 3, 2))
        self.assertEqual(list(found), ["attention/0"])
        np.testing.assert_allclose(found["attention/0"], scores / scores.sum(-1, keepdims=True), atol=1e-5)


if __name__ == "__main__":
    unittest.main()
