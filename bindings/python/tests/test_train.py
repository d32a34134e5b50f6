"""Training from Python: an imported network on arrays, and plans; on scikit-learn's digits and breast tumours."""
import math
import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split

import tenon

PLAN = """
name: cancer
data: {train: train.csv}
pipeline:
  features: [{column: "*", scale: standard}]
  target: {column: benign, encode: ordinal}
  split: {by: stratified, test: 0.25}
model: {layers: [{dense: 8, activation: relu}]}
train: {epochs: 6, validation: 0.1}
output: %s.tenon
"""


def save(path, sizes, last=None):
    """Dense layers with ReLU between, their first weights by a seed."""
    random, nodes, weights, value = np.random.default_rng(1), [], [], "x"
    for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
        weights.append(numpy_helper.from_array(random.normal(size=(a, b), scale=a**-0.5).astype(np.float32), f"w{i}"))
        weights.append(numpy_helper.from_array(np.zeros(b, np.float32), f"b{i}"))
        nodes.append(helper.make_node("Gemm", [value, f"w{i}", f"b{i}"], [f"dense{i}"]))
        value = f"dense{i}"
        if i + 2 < len(sizes):
            nodes.append(helper.make_node("Relu", [value], [f"relu{i}"]))
            value = f"relu{i}"
    if last:
        nodes.append(helper.make_node(last, [value], ["last"]))
        value = "last"
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", k]) for n, k in (("x", sizes[0]), (value, sizes[-1])))
    graph = helper.make_graph(nodes, "network", [x], [y], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)


class Training(unittest.TestCase):
    def setUp(self):
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.folder = Path(held.name)
        self.path = self.folder / "network.onnx"

    def digits(self):
        x, y = load_digits(return_X_y=True)
        return train_test_split((x / 16).astype(np.float32), y, test_size=0.25, stratify=y, random_state=0)

    def test_products_of_bfloat16_and_targets_between_classes(self):
        x, held, y, truth = self.digits()
        save(self.path, (64, 32, 10))
        trainer = tenon.Trainer(self.path, "soft-cross-entropy", rate=0.01, products="bfloat16")
        trainer.fit(x, np.eye(10, dtype=np.float32)[y] * 0.9 + 0.01, epochs=20)
        self.assertGreater(accuracy_score(truth, trainer.predict(held).argmax(1)), 0.95)
        full = tenon.Trainer(self.path, "soft-cross-entropy", rate=0.01)
        full.fit(x, np.eye(10, dtype=np.float32)[y] * 0.9 + 0.01, epochs=20)
        self.assertNotEqual(full.history[-1]["loss"], trainer.history[-1]["loss"])
        self.assertAlmostEqual(full.history[-1]["loss"], trainer.history[-1]["loss"], delta=0.02)
        with self.assertRaisesRegex(tenon.InvalidArgument, "products is one of float32, bfloat16"):
            tenon.Trainer(self.path, products="int4")

    def test_digits_are_learnt_and_the_model_runs_elsewhere(self):
        save(self.path, (64, 32, 10))
        x, held, y, truth = self.digits()
        trainer = tenon.Trainer(self.path, rate=0.01, schedule={"kind": "cosine", "period": 20 * 43}, patience=20)
        seen = []
        history = trainer.fit(x, y, epochs=20, validation=(held, truth), progress=seen.append)
        self.assertEqual([row["epoch"] for row in history], list(range(1, 21)))
        self.assertEqual(len(seen), 20 * 43)
        self.assertTrue(seen[-1].epoch_ends and seen[-1].validation == history[-1]["validation"])
        self.assertLess(history[-1]["loss"], 0.1 * history[0]["loss"])
        self.assertEqual(trainer.steps, 20 * 43)
        found, scores = trainer.evaluate(held, truth), trainer.predict(held)
        self.assertGreater(found["accuracy"], 0.95)
        self.assertAlmostEqual(found["accuracy"], accuracy_score(truth, scores.argmax(1)))
        self.assertAlmostEqual(found["loss"], min(row["validation"] for row in history), places=6)  # the best came back
        self.assertAlmostEqual(found["loss"], found["log_loss"], places=5)
        trainer.save(self.folder / "trained.onnx")
        theirs = onnxruntime.InferenceSession(self.folder / "trained.onnx").run(None, {"x": held})[0]
        np.testing.assert_allclose(theirs, scores, atol=1e-4)
        trainer.save(self.folder / "trained.tenon", manifest={"name": "digits", "version": "1.0.0"})
        self.assertEqual(tenon.load(self.folder / "trained.tenon").manifest["name"], "digits")

    def test_what_is_frozen_stays(self):
        save(self.path, (64, 16, 10))
        x, _, y, _ = self.digits()
        before = {w.name: numpy_helper.to_array(w) for w in onnx.load(self.path).graph.initializer}
        trainer = tenon.Trainer(self.path, freeze=["w0", "b0"], optimizer={"kind": "sgd", "rate": 0.1, "momentum": 0.9})
        self.assertEqual(sorted(trainer.parameters), ["b1", "w1"])
        trainer.fit(x, y, epochs=1)
        self.assertGreater(np.abs(trainer.parameters["w1"] - before["w1"]).max(), 0.01)
        trainer.save(self.folder / "head.onnx")
        after = {w.name: numpy_helper.to_array(w) for w in onnx.load(self.folder / "head.onnx").graph.initializer}
        np.testing.assert_array_equal(after["w0"], before["w0"])

    def test_a_training_that_is_interrupted_goes_on(self):
        save(self.path, (64, 16, 10))
        x, _, y, _ = self.digits()

        def interrupt(at):
            if (at.epoch, at.step) == (3, 5):
                raise KeyboardInterrupt

        trainer = tenon.Trainer(self.path, rate=0.01)
        with self.assertRaises(KeyboardInterrupt):
            trainer.fit(x, y, epochs=9, progress=interrupt)
        self.assertEqual((len(trainer.history), trainer.steps), (2, 2 * 43 + 5))
        trainer.save_checkpoint(self.folder / "checkpoint")
        again = tenon.Trainer(self.path, rate=0.01)
        again.load_checkpoint(self.folder / "checkpoint")
        for one in (trainer, again):
            one.fit(x, y, epochs=2, seed=3)
        for name, value in trainer.parameters.items():
            np.testing.assert_array_equal(value, again.parameters[name])
        self.assertEqual(len(trainer.history), 4)
        stopped = trainer.fit(x, y, epochs=5, progress=lambda at: not at.epoch_ends)
        self.assertEqual(len(stopped), 1)

    def test_numbers_are_learnt(self):
        save(self.path, (3, 16, 1))
        x = np.random.default_rng(2).normal(size=(400, 3)).astype(np.float32)
        y = (x[:, :1] * x[:, 1:2] + x[:, 2:]).astype(np.float32)
        trainer = tenon.Trainer(self.path, "mse", rate=0.02, average={"kind": "ema", "decay": 0.95})
        trainer.fit(x, y, epochs=60, validation=0.2)
        found = trainer.evaluate(x, y)
        self.assertGreater(found["r2"], 0.9)
        self.assertAlmostEqual(found["r2"], r2_score(y, trainer.predict(x)), places=6)
        self.assertAlmostEqual(found["loss"], found["mse"], places=6)

    def test_what_makes_no_sense_is_refused(self):
        save(self.path, (64, 8, 10), last="Softmax")
        x, _, y, _ = self.digits()
        with self.assertRaisesRegex(tenon.InvalidArgument, "scores before it"):
            tenon.Trainer(self.path)
        save(self.path, (64, 8, 10))
        for options in ({"loss": "guess"}, {"optimizer": "newton"}, {"schedule": {"kind": "step", "colour": 1}}):
            with self.assertRaises(tenon.InvalidArgument):
                tenon.Trainer(self.path, **options)
        trainer = tenon.Trainer(self.path)
        with self.assertRaisesRegex(tenon.InvalidArgument, "the same number"):
            trainer.fit(x, y[:-1])
        with self.assertRaisesRegex(tenon.InvalidArgument, "inputs are x"):
            trainer.fit({"y": x}, y)
        with self.assertRaises(tenon.InvalidArgument):
            trainer.fit(x, y, validation=1.0)
        with self.assertRaises(tenon.Error):
            trainer.fit(x, y + 1)

    def test_a_plan_stops_and_resumes_to_the_same_bytes(self):
        data = load_breast_cancer()
        table, names = np.column_stack([data.data, data.target]), [f"x{i}" for i in range(30)] + ["benign"]
        np.savetxt(self.folder / "train.csv", table, "%.9g", ",", header=",".join(names), comments="")
        for name in ("whole", "parts"):
            (self.folder / f"{name}.yaml").write_text(PLAN % name)
        epochs = []
        whole = tenon.train(self.folder / "whole.yaml", progress=lambda at: epochs.append(at.epoch))
        self.assertEqual((whole["epochs"], set(epochs)), (6, set(range(1, 7))))
        self.assertFalse(math.isnan(whole["validation"]))

        def interrupt(at):
            if at.epoch == 3:
                raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            tenon.train(self.folder / "parts.yaml", progress=interrupt)
        with self.assertRaises(tenon.Interrupted):
            tenon.train(self.folder / "parts.yaml", resume=True, progress=lambda at: at.epoch < 4)
        parts = tenon.train(self.folder / "parts.yaml", resume=True)
        self.assertTrue(parts["resumed"])
        models = [tenon.load(result["model"]) for result in (whole, parts)]
        rows = np.random.default_rng(0).normal(size=(50, 30)).astype(np.float32)
        first, second = (next(iter(m.run({m.inputs[0].name: rows}).values())) for m in models)
        np.testing.assert_array_equal(first, second)


if __name__ == "__main__":
    unittest.main()
