"""Metrics beside scikit-learn's, to 1e-9, on random and degenerate data."""
import unittest
import warnings

import numpy as np
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import label_binarize

import tenon
from tenon.metrics import Metrics, compute, names

MASK = (1 << 64) - 1


def probabilities(random, n, classes, coarse):
    """Coarse ones have many ties and exact zeros and ones."""
    if coarse:
        p = random.integers(0, 3, (n, classes)).astype(float)
        p[p.sum(axis=1) == 0] = 1
    else:
        p = random.random((n, classes)) ** 3 + 1e-6
    return p / p.sum(axis=1, keepdims=True)


def of_labels(truth, predicted):
    """What scikit-learn says of predicted classes."""
    found = {
        "accuracy": sk.accuracy_score(truth, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, predicted),
    }
    for name, function in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)):
        for average in ("micro", "macro", "weighted"):
            found[f"{name}_{average}"] = function(truth, predicted, average=average, zero_division=0)
    return found


def calibration_error(truth, p, bins):
    """Guo and others 2017, written anew."""
    predicted = p.argmax(axis=1)
    confidence, right = p.max(axis=1), predicted == truth
    edges, total = np.linspace(0, 1, bins + 1), 0.0
    for low, high in zip(edges[:-1], edges[1:]):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


class Draws:
    """The library's random numbers, written anew: SplitMix64, and Lemire's way to a range."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def below(self, limit):
        while True:
            wide = self.next() * limit
            if (wide & MASK) >= ((1 << 64) - limit) % limit:
                return wide >> 64


class Reference(unittest.TestCase):
    def setUp(self):
        """scikit-learn warns of what the cases are about: classes that do not occur."""
        quiet = warnings.catch_warnings()
        quiet.__enter__()
        self.addCleanup(quiet.__exit__, None, None, None)
        warnings.simplefilter("ignore")

    def close(self, m, expected, where):
        for name, value in expected.items():
            self.assertAlmostEqual(m[name], value, delta=1e-9 * max(1, abs(value)), msg=f"{name} {where}")

    def test_predicted_classes(self):
        random = np.random.default_rng(1)
        for case in range(300):
            n, classes = int(random.integers(1, 60)), int(random.integers(1, 7))
            truth, predicted = random.integers(0, classes, n), random.integers(0, classes, n)
            kind = random.choice([np.int64, np.int32, np.uint8])
            m = Metrics(truth.astype(kind), predicted.astype(kind), classes=max(classes, 2))
            self.close(m, of_labels(truth, predicted), case)
            labels = range(max(classes, 2))
            np.testing.assert_array_equal(m.confusion(), sk.confusion_matrix(truth, predicted, labels=labels))

    def test_two_classes(self):
        random = np.random.default_rng(2)
        for case in range(200):
            truth, predicted = random.random((2, int(random.integers(1, 40)))) < random.random((2, 1))
            expected = {
                "precision": sk.precision_score(truth, predicted, zero_division=0),
                "recall": sk.recall_score(truth, predicted, zero_division=0),
                "f1": sk.f1_score(truth, predicted, zero_division=0),
            }
            self.close(Metrics(truth, predicted), expected, case)

    def test_scores_of_class_1(self):
        random = np.random.default_rng(3)
        for case in range(200):
            n = int(random.integers(2, 80))
            truth = np.append(random.integers(0, 2, n), [0, 1])
            p = random.random(n + 2) if case % 2 else random.integers(0, 5, n + 2) / 4
            expected = {
                "roc_auc": sk.roc_auc_score(truth, p),
                "average_precision": sk.average_precision_score(truth, p),
                "log_loss": sk.log_loss(truth, p),
                "brier": sk.brier_score_loss(truth, p),
                "accuracy": sk.accuracy_score(truth, p >= 0.5),
                **of_labels(truth, (p >= 0.5).astype(int)),
            }
            for scores in (p, p[:, None], np.stack([1 - p, p], axis=1)):
                if scores.ndim == 2 and scores.shape[1] == 2:  # of equals the first is predicted
                    expected.update(of_labels(truth, scores.argmax(axis=1)))
                    expected["ece"] = calibration_error(truth, scores, 15)
                self.close(Metrics(truth, scores), expected, (case, scores.shape))
            self.close(Metrics(truth, p, threshold=0.3), of_labels(truth, (p >= 0.3).astype(int)), case)
            ranks = p * 8 - 3  # no probabilities
            self.close(Metrics(truth, ranks), {"roc_auc": sk.roc_auc_score(truth, ranks)}, case)

    def test_scores_of_many_classes(self):
        random = np.random.default_rng(4)
        for case in range(200):
            classes, n = int(random.integers(3, 8)), int(random.integers(8, 80))
            truth = np.concatenate([np.arange(classes), random.integers(0, classes, n)])
            p, labels = probabilities(random, n + classes, classes, case % 2), range(classes)
            hot = label_binarize(truth, classes=labels)
            expected = of_labels(truth, p.argmax(axis=1))
            expected["log_loss"] = sk.log_loss(truth, p, labels=labels)
            expected["brier"] = sk.brier_score_loss(truth, p, labels=labels)
            expected["ece"] = calibration_error(truth, p, 15)
            for average in ("macro", "weighted"):
                expected[f"roc_auc_{average}"] = sk.roc_auc_score(truth, p, multi_class="ovr", average=average)
                expected[f"average_precision_{average}"] = sk.average_precision_score(hot, p, average=average)
            for k in (1, 2, classes - 1):  # mirrored, since the last of equals comes first there
                score = sk.top_k_accuracy_score(classes - 1 - truth, p[:, ::-1], k=k, labels=labels)
                expected[f"top_{k}"] = score
            m = Metrics(truth, p)
            self.close(m, expected, case)
            self.assertEqual(m["top_1"], m["accuracy"])
            self.assertEqual(m[f"top_{classes}"], 1)

    def test_float32_probabilities_are_kept_float32s_epsilon_from_0(self):
        p = np.array([[0, 1], [1, 0], [0.25, 0.75]], np.float32)
        self.assertAlmostEqual(compute([0, 0, 1], p)["log_loss"], sk.log_loss([0, 0, 1], p), delta=1e-6)

    def test_logits(self):
        random = np.random.default_rng(5)
        x, truth = random.normal(size=(50, 4)) * 30, random.integers(0, 4, 50)
        p = np.exp(x - x.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        expected = {"log_loss": sk.log_loss(truth, p, labels=range(4))}
        self.close(Metrics(truth, x, logits=True), expected, "softmax")
        z, binary = x[:, 0], truth % 2
        expected = {"log_loss": sk.log_loss(binary, 1 / (1 + np.exp(-z)))}
        self.close(Metrics(binary, z, logits=True), expected, "sigmoid")

    def test_numbers(self):
        random = np.random.default_rng(6)
        for case in range(200):
            shape = (int(random.integers(2, 60)),) + ((), (1,), (3,))[case % 3]
            truth = random.normal(size=shape) * 10.0 ** random.integers(-3, 6) + random.integers(-1000, 1000)
            if case % 5 == 0:
                truth = np.full(shape, truth.flat[0])
            if case % 7 == 0:
                truth.flat[0] = 0
            given = truth + (random.normal(size=shape) if case % 10 else 0)
            expected = {
                "mae": sk.mean_absolute_error(truth, given),
                "mse": sk.mean_squared_error(truth, given),
                "rmse": sk.root_mean_squared_error(truth, given),
                "mape": sk.mean_absolute_percentage_error(truth, given),
            }
            if case % 5 or not case % 10:  # else both sums of squares are rounding
                expected["r2"] = sk.r2_score(truth, given)
            self.close(Metrics(truth, given), expected, case)

    def test_a_constant_truth_has_an_r2(self):
        self.assertEqual(Metrics([2.0, 2.0], [2.0, 2.0])["r2"], 1)
        self.assertEqual(Metrics([2.0, 2.0], [2.0, 3.0])["r2"], 0)

    def test_curves(self):
        random = np.random.default_rng(7)
        for case in range(50):
            truth = np.append(random.integers(0, 2, 40), [0, 1])
            p = random.random(42) if case % 2 else random.integers(0, 5, 42) / 4
            m = Metrics(truth, p, bins=10)
            for class_index, scores in ((1, p), (0, 1 - p)):
                is_class = truth == class_index
                x, y, at = m.curve("roc", class_index)
                fpr, tpr, thresholds = sk.roc_curve(is_class, scores, drop_intermediate=False)
                for ours, theirs in ((x, fpr), (y, tpr), (at, thresholds)):
                    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
                x, y, at = m.curve("precision_recall", class_index)
                precision, recall, thresholds = sk.precision_recall_curve(is_class, scores)
                for ours, theirs in ((x, recall), (y, precision), (at[1:], thresholds)):
                    np.testing.assert_allclose(ours, theirs[::-1], rtol=1e-9, atol=1e-12)
            x, y, counts = m.curve("calibration")
            part, mean = calibration_curve(truth, p, n_bins=10)
            np.testing.assert_allclose(x, mean, rtol=1e-9)
            np.testing.assert_allclose(y, part, rtol=1e-9)
            self.assertEqual(counts.sum(), 42)

    def test_intervals_are_percentiles_of_resamples(self):
        random = np.random.default_rng(8)
        truth = random.integers(0, 2, 37)
        p = np.clip(truth * 0.3 + random.random(37) * 0.7, 0, 1)
        m = Metrics(truth, p)
        for name, function in (("roc_auc", sk.roc_auc_score), ("brier", sk.brier_score_loss)):
            draws, values = Draws(99), []
            for _ in range(200):
                rows = [draws.below(37) for _ in range(37)]
                values.append(function(truth[rows], p[rows]))
            expected = np.percentile(values, [5, 95])
            found = m.interval(name, resamples=200, level=0.9, seed=99)
            np.testing.assert_allclose(found, expected, rtol=1e-9)
            self.assertNotEqual(found, m.interval(name, resamples=200, level=0.9, seed=100))
            self.assertTrue(found[0] < m[name] < found[1])

    def test_intervals_of_many_numbers(self):
        """Against figures of each draw; one output differs in one row alone, so that draws without it are constant."""
        random = np.random.default_rng(4)
        for n, outputs in ((37, 3), (300, 130)):
            truth = random.normal(1e3, 1, (n, outputs))
            truth[1:, 1] = 1e3
            given = truth + random.normal(0, 0.5, truth.shape)
            given[:, 2] = truth[:, 2]
            m, draws = Metrics(truth, given), Draws(5)
            drawn = [[draws.below(n) for _ in range(n)] for _ in range(50)]
            for name, function in (("mae", sk.mean_absolute_error), ("mse", sk.mean_squared_error),
                                   ("mape", sk.mean_absolute_percentage_error),
                                   ("rmse", sk.root_mean_squared_error), ("r2", sk.r2_score)):
                expected = np.percentile([function(truth[rows], given[rows]) for rows in drawn], [5, 95])
                np.testing.assert_allclose(m.interval(name, resamples=50, level=0.9, seed=5), expected, rtol=1e-9)

    def test_real_data(self):
        x, y = load_breast_cancer(return_X_y=True)
        model = LogisticRegression(max_iter=10000).fit(x[::2], y[::2])
        p, truth = model.predict_proba(x[1::2]), y[1::2]
        found = compute(truth, p)
        self.assertAlmostEqual(found["roc_auc"], sk.roc_auc_score(truth, p[:, 1]), delta=1e-9)
        self.assertAlmostEqual(found["log_loss"], sk.log_loss(truth, p), delta=1e-9)
        self.assertGreater(found["accuracy"], 0.9)


class Sequences(unittest.TestCase):
    """Beside what is said of them, written out: the best path, and Levenshtein's distance."""

    def setUp(self):
        random = np.random.default_rng(5)
        self.scores = random.random((40, 4, 9)).astype(np.float32)
        self.truth = np.full((40, 6), -1, np.int64)
        for row in self.truth:
            row[: random.integers(0, 7)] = random.integers(1, 4)
        self.read = []
        for path in self.scores.argmax(1):
            kept = [int(c) for i, c in enumerate(path) if c and (i == 0 or path[i - 1] != c)]
            self.read.append(kept)

    @staticmethod
    def distance(a, b):
        row = list(range(len(b) + 1))
        for i, x in enumerate(a, 1):
            corner, row[0] = row[0], i
            for k, y in enumerate(b, 1):
                corner, row[k] = row[k], min(corner + (x != y), row[k] + 1, row[k - 1] + 1)
        return row[-1]

    def test_labels_are_read_off_steps(self):
        labels = tenon.metrics.read_sequences(self.scores)
        self.assertEqual(labels.shape, (40, 9))
        for row, kept in zip(labels, self.read):
            np.testing.assert_array_equal(row, kept + [-1] * (9 - len(kept)))

    def test_figures_are_those_of_the_edits(self):
        edits = [self.distance([x for x in row if x >= 0], kept) for row, kept in zip(self.truth.tolist(), self.read)]
        right, errors = np.mean(np.equal(edits, 0)), sum(edits) / (self.truth >= 0).sum()
        labels = tenon.metrics.read_sequences(self.scores)
        np.testing.assert_allclose(tenon.metrics.score_sequences(self.truth, labels), (right, errors), rtol=1e-12)
        for predicted in (labels, self.scores):
            made = compute(self.truth, predicted)
            self.assertEqual(set(made), {"sequence_accuracy", "label_error_rate"})
            np.testing.assert_allclose(list(made.values()), (right, errors), rtol=1e-12)
        low, high = Metrics(self.truth, labels).interval("label_error_rate", seed=1)
        self.assertTrue(low < errors < high)
        with self.assertRaises(tenon.InvalidArgument):
            Metrics(self.truth, labels)["accuracy"]


class Refusals(unittest.TestCase):
    def refused(self, words, *arguments, **options):
        with self.assertRaises(tenon.Error) as caught:
            compute(*arguments, **options)
        self.assertIn(words, str(caught.exception))

    def test_tensors_that_do_not_fit(self):
        self.refused("there are no samples", np.zeros(0, int), np.zeros(0, int))
        self.refused("there are no samples", np.zeros((3, 0)), np.zeros((3, 0)))
        self.refused("int64[3] and the predictions are int64[2]", [0, 1, 0], [0, 1])
        self.refused("the shape [N]", np.zeros((2, 2), int), np.zeros((2, 2)))
        self.refused("the predictions are int64", [1.5, 2.5], [1, 2])
        self.refused("must be integers (classes) or floats", np.array(["a"]), [0])
        self.refused("float64[2] and the predictions are float64[2,2]", [1.0, 2.0], np.zeros((2, 2)))

    def test_wrong_contents(self):
        self.refused("true class of sample 1 is -1", [0, -1], [0, 1])
        self.refused("predicted class of sample 0 is 3; classes are numbers from 0 to 1", [0, 1], [3, 1], classes=2)
        self.refused("true class of sample 1 is 1000000000000", [0, 10**12], [0, 1])
        self.refused("true class of sample 0 is 2", [2, 0], np.full((2, 2), 0.5))
        self.refused("score of sample 1 is nan", [0, 1], [0.5, np.nan])
        self.refused("prediction of sample 0 is inf", [0.0, 1.0], [np.inf, 1.0])
        self.refused("scores of 3 classes, but 2 classes", [0, 1], np.full((2, 3), 1 / 3), classes=2)

    def test_metrics_that_are_not_defined(self):
        one = ([1, 1, 1], [0.2, 0.5, 0.9])
        self.refused("metric roc_auc: all samples are of class 1", *one, metrics=["roc_auc"])
        self.refused("no sample is of class 0", *one, metrics=["roc_auc_macro"])
        self.refused("no sample is of class 1", [0, 0], [0.1, 0.2], metrics=["average_precision"])
        self.refused("two samples", [1.0], [2.0], metrics=["r2"])
        self.refused("are not between 0 and 1 with a sum of 1", [0, 1], [-2.0, 3.0], metrics=["brier"])
        self.refused("are not between 0 and 1 with a sum of 1", [0, 1], np.ones((2, 2)), metrics=["ece"])
        self.refused("metric f1 is of two classes, and there are 3", [0, 1, 2], [0, 1, 2], metrics=["f1"])
        self.refused("is of scores, but the predictions are classes", [0, 1], [0, 1], metrics=["roc_auc"])
        self.refused("metric mae is of numbers, but the truth is classes", [0, 1], [0, 1], metrics=["mae"])
        for name in ("f2", "top_", "top_0", "top_x", "top_1x", ""):
            self.refused("there is no metric", [0, 1], [0.1, 0.2], metrics=[name])
        with self.assertRaisesRegex(tenon.Error, "too few samples for an interval"):
            Metrics([1, 1], [0.1, 0.2]).interval("roc_auc")

    def test_all_that_apply_are_found(self):
        self.assertEqual(len(names()), len(set(names())))
        found = compute([0, 1, 0], [0.1, 0.7, 0.4])
        self.assertEqual(set(names()) - set(found), {"mae", "mse", "rmse", "mape", "r2", "sequence_accuracy", "label_error_rate"})
        self.assertTrue(Metrics([1.0, 2.0], [1.0, 2.0]).applies("r2"))
        self.assertFalse(Metrics([1.0, 2.0], [1.0, 2.0]).applies("f1"))


if __name__ == "__main__":
    unittest.main()
