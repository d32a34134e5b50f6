"""Evaluation of a trained plan from Python beside scikit-learn; risks; scans."""
import os
import pickle
import tempfile
import unittest
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.neighbors import NearestNeighbors

import tenon
from tenon.evaluation import Evaluation, membership, scan, suspects

PLAN = """
name: cancer
data: {train: cancer.csv}
pipeline:
  features: [{column: "*", scale: standard}]
  target: {column: benign, encode: ordinal}
  split: {by: stratified, test: 0.25}
model: {layers: [{dense: 8, activation: relu}]}
train: {epochs: 6, optimizer: {kind: adamw, rate: 0.01}}
"""


class Call:
    def __reduce__(self):
        return os.system, ("true",)


class Evaluations(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.held = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.held.name)
        x, y = load_breast_cancer(return_X_y=True)
        names = ",".join(f"c{i}" for i in range(x.shape[1])) + ",benign"
        cls.table = cls.folder / "cancer.csv"
        np.savetxt(cls.table, np.column_stack([x, y]), "%.17g", ",", header=names, comments="")
        (cls.folder / "cancer.yaml").write_text(PLAN)
        cls.model = tenon.load(tenon.train(cls.folder / "cancer.yaml")["model"])
        cls.tested = Evaluation(cls.model, cls.table, rows="testing")
        cls.trained = Evaluation(cls.model, cls.table, rows="training")

    @classmethod
    def tearDownClass(cls):
        cls.held.cleanup()

    def test_figures_are_those_of_the_rows(self):
        e = self.tested
        self.assertEqual((e.task, e.classes, len(e)), ("classification", ["0", "1"], len(e.truth)))
        self.assertEqual(len(self.trained) + len(e), 569)
        (answer,) = self.model.run({"x": e.inputs}).values()
        np.testing.assert_allclose(answer, e.predicted, atol=1e-6)
        self.assertAlmostEqual(e.metrics["accuracy"], accuracy_score(e.truth, e.predicted.argmax(1)), places=12)
        self.assertAlmostEqual(e.metrics["roc_auc"], roc_auc_score(e.truth, e.predicted[:, 1]), places=12)
        self.assertGreater(e.metrics["accuracy"], 0.9)
        low, high = e.metrics.interval("accuracy")
        self.assertTrue(low <= e.metrics["accuracy"] <= high)
        own = -np.log(e.predicted[np.arange(len(e)), e.truth])
        np.testing.assert_allclose(e.losses(), own, rtol=1e-5, atol=1e-6)
        self.assertAlmostEqual(e.losses().mean(), log_loss(e.truth, e.predicted), places=5)

    def test_what_a_column_is_for(self):
        found = self.tested.importance("log_loss", repeats=3)
        self.assertEqual(list(found), [f"c{i}" for i in range(30)])
        self.assertTrue(any(abs(mean) > 0 for mean, _ in found.values()))
        self.assertEqual(found, self.tested.importance("log_loss", repeats=3))

    def test_gates(self):
        rows = self.tested.gate("metrics: [{name: accuracy, at_least: 0.9, drop: 0.5}, {name: log_loss, at_most: 0}]",
                                against=self.trained)
        self.assertEqual([(r.bound, r.passed) for r in rows],
                         [("accuracy at_least", True), ("accuracy drop", True), ("log_loss at_most", False)])
        with self.assertRaises(tenon.FormatError):
            self.tested.gate("metrics: 3")

    def test_risks(self):
        a, b = self.trained.losses(), self.tested.losses()
        found = membership(a, b)
        self.assertEqual(found[:2], (len(a), len(b)))
        self.assertAlmostEqual(found.auc, roc_auc_score([1] * len(a) + [0] * len(b), np.r_[-a, -b]), places=12)
        self.assertAlmostEqual(membership(b, b).auc, 0.5)
        x, y = self.tested.inputs, self.tested.truth.copy()
        y[7] = 1 - y[7]
        distance, other = suspects(x, y, neighbours=5)
        far, nearest = NearestNeighbors(n_neighbors=5).fit(x).kneighbors()
        np.testing.assert_allclose(distance, far.mean(1) / np.median(far.mean(1)), rtol=1e-4)
        np.testing.assert_allclose(other, (y[nearest] != y[:, None]).mean(1))
        self.assertIsNone(suspects(x)[1])

    def test_files(self):
        self.assertEqual(scan(self.folder / "cancer.tenon"), [])
        bad = self.folder / "bad.onnx"
        bad.write_bytes(pickle.dumps(Call(), protocol=4))
        self.assertEqual([f.what for f in scan(bad)], ["a Python pickle that calls programs"])
        bad.write_bytes(b"nothing")
        with self.assertRaises(tenon.FormatError):
            scan(bad)

    def test_what_makes_no_sense_is_refused(self):
        with self.assertRaises(tenon.InvalidArgument):
            Evaluation(self.model, self.table, rows="some")
        with self.assertRaises(tenon.NotFound):
            Evaluation(self.model, tenon.data.Table(b"a,b\n1,2\n"))
        with self.assertRaises(tenon.InvalidArgument):
            suspects(np.zeros((3, 2)))


if __name__ == "__main__":
    unittest.main()
