"""Tests of tenon train and tenon eval. TENON_COMMAND names another build of the command."""
import json
import os
import re
import resource
import signal
import subprocess
import tempfile
import time
import unittest
from math import comb
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import onnxruntime
import scipy.io.wavfile
from onnx import numpy_helper
from scipy import stats
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_wine
from sklearn.inspection import permutation_importance
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(ROOT / os.environ.get("TENON_COMMAND", "build/tenon"))

PLAN = """\
name: wine
licence: Apache-2.0
data: {train: train.csv, test: test.csv}
pipeline:
  features: [{column: "*", scale: standard}]
  target: {column: kind, encode: ordinal}
model: {layers: [{dense: 32, activation: relu}]}
train: {epochs: EPOCHS, batch: 16, optimizer: {kind: adamw, rate: 0.01}}
"""


class Train(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        data = load_wine()
        self.parts = train_test_split(data.data, data.target, test_size=0.4, stratify=data.target, random_state=0)
        for name, x, y in (("train", *self.parts[::2]), ("test", *self.parts[1::2])):
            header = ",".join([f"c{i}" for i in range(x.shape[1])] + ["kind"])
            rows = [",".join([*(f"{v:.9g}" for v in row), f"class {kind}"]) for row, kind in zip(x, y)]
            (self.folder / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")
        self.plan = self.folder / "wine.yaml"
        self.model = self.folder / "wine.tenon"
        self.checkpoint = self.folder / "wine.tenon.checkpoint"
        self.test = self.folder / "test.csv"

    def write_plan(self, epochs=30):
        self.plan.write_text(PLAN.replace("EPOCHS", str(epochs)))

    def tenon(self, *words, code=0, **options):
        done = subprocess.run([COMMAND, *map(str, words)], capture_output=True, text=True, errors="replace", **options)
        self.assertEqual(done.returncode, code, (words, done.stdout, done.stderr))
        return done.stdout if code == 0 else done.stderr

    def train_within(self, megabytes, pipeline):
        """Losses and metrics of a plan as its model file has them, and the most memory that lay in no file."""
        self.plan.write_text(f"""\
name: large
data: {{train: large.csv, memory: {megabytes}}}
pipeline: {pipeline}
model: {{layers: [{{dense: 8, activation: relu}}]}}
train: {{epochs: 2, batch: 256, validation: 0.1}}
""")
        most = 0
        # Under the address sanitizer what is freed is kept for a while, which is no memory of ours.
        kept = os.environ | {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=0"}
        with subprocess.Popen(
            [COMMAND, "train", self.plan], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=kept
        ) as run:
            while run.poll() is None:
                found = re.search(r"RssAnon:\s*(\d+)", Path(f"/proc/{run.pid}/status").read_text())
                most = max(most, int(found[1]) if found else 0)
                time.sleep(0.002)
            self.assertEqual(run.returncode, 0, run.stderr.read().decode())
        text = (self.folder / "large.tenon").read_bytes()
        return re.findall(rb"losses: .*|validation: .*|value: .*", text), most * 1024

    def test_data_beyond_the_limit_lie_in_files_and_teach_the_same(self):
        rows, columns = 60000, 40
        values = np.random.default_rng(0).integers(-999, 999, (rows, columns)).astype(str)
        header = ",".join([f"c{i}" for i in range(columns - 1)] + ["y"])
        (self.folder / "large.csv").write_text("\n".join([header, *map(",".join, values)]) + "\n")
        features, target = '{column: "*", scale: standard}', "{column: y, scale: standard}"
        for pipeline in (
            f"{{features: [{features}], target: {target}, split: {{by: ratio, test: 0.2}}}}",
            "{features: [{column: c1, scale: standard}], target: " + target + ", series: {length: 100, horizon: 1}}",
        ):
            inside, memory = self.train_within(4096, pipeline)
            beyond, bounded = self.train_within(1, pipeline)
            self.assertEqual(inside, beyond)
            self.assertGreater(len(inside), 5)
            self.assertLess(bounded + 0.6 * rows * columns * 8, memory)
            self.assertEqual(list(self.folder.glob("*.data-*")), [])
        self.plan.write_text(self.plan.read_text() + "output: missing/large.tenon\n")
        run = subprocess.run([COMMAND, "train", self.plan], capture_output=True, text=True, check=False)
        self.assertNotEqual(run.returncode, 0)
        self.assertRegex(run.stderr, "more than 1 MB, and what is beyond has no room beside '.*missing/large.tenon'")

    def test_folds_are_summed_up(self):
        self.plan.write_text(PLAN.replace("EPOCHS", "10").replace(", test: test.csv", ""))
        told = json.loads(self.tenon("train", self.plan, "--folds", 5, "--json"))
        figures = {figure["name"]: figure for figure in told["metrics"]}
        values = figures["accuracy"]["values"]
        self.assertEqual((told["folds"], len(values)), (5, 5))
        low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
        for name, expected in (("mean", np.mean(values)), ("low", low), ("high", high)):
            self.assertAlmostEqual(figures["accuracy"][name], expected, 6)
        for fold, value in enumerate(values, 1):  # the rows that the model's file calls those for testing
            model = self.folder / f"wine.fold-{fold}.tenon"
            found = json.loads(self.tenon("eval", model, self.folder / "train.csv", "--rows", "testing", "--json"))
            accuracy = found["metrics"]["accuracy"]["value"]
            self.assertAlmostEqual(accuracy, value, 6)
        self.assertIn("accuracy", self.tenon("train", self.plan, "--folds", 2, "--quiet"))
        self.assertIn("2 to 100", self.tenon("train", self.plan, "--folds", 1, code=2))

    def test_what_is_trained_is_measured_as_scikit_learn_measures_it(self):
        self.write_plan()
        told = json.loads(self.tenon("train", self.plan, "--json"))
        self.assertEqual((told["train_rows"], told["test_rows"], told["epochs"]), (106, 72, 30))
        found = json.loads(self.tenon("eval", self.model, self.test, "--json"))
        self.assertEqual(found["classes"], ["class 0", "class 1", "class 2"])
        # The same rows through scikit-learn's own arithmetic and ONNX Runtime.
        train, test, truth = self.parts[0], self.parts[1], self.parts[3]
        self.tenon("convert", self.model, self.folder / "wine.onnx")
        session = onnxruntime.InferenceSession(self.folder / "wine.onnx")
        x = ((test - train.mean(0)) / train.std(0)).astype(np.float32)
        p = session.run(None, {"x": x})[0]
        expected = {
            "accuracy": metrics.accuracy_score(truth, p.argmax(1)),
            "f1_macro": metrics.f1_score(truth, p.argmax(1), average="macro"),
            "log_loss": metrics.log_loss(truth, p),
            "roc_auc_macro": metrics.roc_auc_score(truth, p, multi_class="ovr"),
        }
        for name, value in expected.items():
            figure = found["metrics"][name]
            self.assertAlmostEqual(figure["value"], value, places=5, msg=name)
            self.assertTrue(figure["low"] <= figure["value"] <= figure["high"])
            self.assertAlmostEqual(figure["gap"], figure["value"] - figure["training"], places=6)
            self.assertAlmostEqual(next(m["value"] for m in told["metrics"] if m["name"] == name), value, places=5)
        self.assertGreater(found["metrics"]["accuracy"]["value"], 0.95)
        self.assertEqual(found["confusion"], metrics.confusion_matrix(truth, p.argmax(1)).tolist())
        text = self.tenon("eval", self.model, self.test)
        self.assertIn("confusion: a row a true class", text)
        # What was measured goes into a copy of the model, instead of what was there, and all else stays.
        for count in (1, 2):
            self.tenon("eval", self.model, self.test, "--record", self.folder / "measured.tenon")
            self.model = self.folder / "measured.tenon"
            told = json.loads(self.tenon("inspect", self.model, "--json"))["manifest"]
            value = next(m["value"] for m in told["metrics"] if m["name"] == "accuracy")
            self.assertAlmostEqual(value, expected["accuracy"], places=8)
            self.assertEqual({m["data"] for m in told["metrics"]}, {"test"})
            self.assertEqual(told["licence"], "Apache-2.0")
        # Raw columns are data to compress with.
        small = self.folder / "small.tenon"
        report = json.loads(self.tenon("compress", self.model, small, "--data", self.folder / "train.csv", "--json"))
        self.assertEqual((report["samples"], report["int8_layers"]), (3, 2))
        accuracy = json.loads(self.tenon("eval", small, self.test, "--json"))["metrics"]["accuracy"]["value"]
        self.assertGreater(accuracy, 0.9)
        self.assertIn("no pipeline", self.tenon("compress", self.folder / "wine.onnx", small, "--data", self.test, code=1))
        refused = self.tenon("eval", self.model, self.test, "--record", self.folder / "wine.yaml", code=1)
        self.assertIn("--record writes a .tenon", refused)
        self.assertIn("its self-test passes", self.tenon("check", self.model))

    def test_membership_and_suspects_are_what_scikit_learn_makes_of_them(self):
        self.write_plan()
        # A row that somebody put in: measured as of one kind, labelled as of another.
        lines = self.test.read_text().splitlines()
        one = next(line for line in lines if line.endswith("class 0"))
        self.test.write_text("\n".join([*lines, one.replace("class 0", "class 2")]) + "\n")
        self.tenon("train", self.plan, "--quiet")
        page = self.folder / "wine.html"
        found = json.loads(self.tenon("eval", self.model, self.test, "--security", "--members", self.folder / "train.csv",
                                      "--json", "--report", page))
        self.tenon("convert", self.model, self.folder / "wine.onnx")
        session = onnxruntime.InferenceSession(self.folder / "wine.onnx")
        train, test, known, truth = self.parts
        first = lines.index(one) - 1
        test, truth = np.vstack([test, test[first]]), np.append(truth, 2)
        rows = [((x - train.mean(0)) / train.std(0)).astype(np.float32) for x in (train, test)]
        losses = [-np.log(session.run(None, {"x": x})[0][np.arange(len(y)), y]) for x, y in zip(rows, (known, truth))]
        member = np.repeat([1, 0], [len(known), len(truth)])
        told, rates = found["membership"], metrics.roc_curve(member, -np.concatenate(losses), drop_intermediate=False)
        self.assertEqual((told["members"], told["others"]), (106, 73))
        self.assertAlmostEqual(told["auc"], metrics.roc_auc_score(member, -np.concatenate(losses)), places=3)
        self.assertAlmostEqual(told["advantage"], (rates[1] - rates[0]).max(), places=2)
        distances, nearest = NearestNeighbors(n_neighbors=10).fit(rows[1]).kneighbors()
        other, mean = (truth[nearest] != truth[:, None]).mean(1), distances.mean(1) / np.median(distances.mean(1))
        wrong = {row + 1 for row in np.flatnonzero((other >= 0.8) | (mean > 4))}
        self.assertEqual({row["row"] for row in found["suspects"]}, wrong)
        self.assertIn(len(truth), wrong)
        for row in found["suspects"]:
            self.assertAlmostEqual(row["distance"], mean[row["row"] - 1], places=4)
            self.assertAlmostEqual(row["other_class"], other[row["row"] - 1], places=6)
        self.assertIn("rows look wrong", page.read_text())
        self.assertEqual(found["findings"], [])
        self.assertIn("0 things in the model's file", page.read_text())
        text = self.tenon("eval", self.model, self.test, "--security")  # its pipeline has no split
        self.assertNotIn("membership by the loss", text)
        self.assertIn("rows look wrong", text)

    def test_hardship_is_what_numpy_and_scikit_learn_make_of_the_same_weights(self):
        self.write_plan()
        self.tenon("train", self.plan, "--quiet")
        self.tenon("convert", self.model, self.folder / "wine.onnx")
        page = self.folder / "wine.html"
        found = json.loads(self.tenon("eval", self.model, self.test, "--robustness", "--importance", "--json",
                                      "--report", page))
        tensors = {t.name: numpy_helper.to_array(t) for t in onnx.load(self.folder / "wine.onnx").graph.initializer}
        w1, b1, w2, b2 = (tensors[n].astype(float) for n in ("layer1.weight", "layer1.bias", "answer.weight", "answer.bias"))
        train, test, truth = self.parts[0], self.parts[1], self.parts[3]
        clean = ((test - train.mean(0)) / train.std(0)).astype(np.float32).astype(float)

        def scores(x):
            return np.maximum(x @ w1.T + b1, 0) @ w2.T + b2

        def gradient(x):
            p = np.exp(scores(x) - scores(x).max(1, keepdims=True))
            p = p / p.sum(1, keepdims=True) - np.eye(3)[truth]
            return ((p @ w2) * (x @ w1.T + b1 > 0)) @ w1

        for name, steps in (("FGSM", 1), ("PGD, 10 steps", 10)):
            told = found["robustness"][name]
            for epsilon, value in zip(told["strengths"], told["values"]):
                x = clean
                for _ in range(steps):
                    step = epsilon if steps == 1 else 2.5 * epsilon / steps
                    x = np.clip(x + step * np.sign(gradient(x)), clean - epsilon, clean + epsilon)
                self.assertAlmostEqual(value, float((scores(x).argmax(1) == truth).mean()), delta=1.01 / len(truth))
        for told in found["robustness"].values():
            self.assertEqual((told["strengths"][0], told["values"][0]), (0, found["metrics"]["accuracy"]["value"]))
        self.assertEqual(set(found["robustness"]), {"noise", "missing values", "lost inputs", "drift", "FGSM", "PGD, 10 steps"})
        self.assertLess(found["robustness"]["drift"]["values"][-1], 1)

        class Model(ClassifierMixin, BaseEstimator):
            classes_ = np.arange(3)

            def fit(self, x, y):
                return self

            def predict(self, x):
                return scores((x - train.mean(0)) / train.std(0)).argmax(1)

        theirs = permutation_importance(Model(), test, truth, n_repeats=50, random_state=0)
        self.assertEqual(len(found["importance"]), 13)
        for row in found["importance"]:
            column = int(row["column"][1:])
            spread = theirs.importances_std[column]
            self.assertAlmostEqual(row["mean"], theirs.importances_mean[column], delta=4 * spread / 5**0.5 + 1e-9)
        some, answer = clean[:64], scores(clean[:64]).argmax(1)

        def answers(known):  # where a number is not known, the mean stands
            logits = scores(np.where(known, some, clean.mean(0)))
            p = np.exp(logits - logits.max(1, keepdims=True))
            return p[np.arange(len(some)), answer] / p.sum(1)

        subsets = np.arange(1 << 13)
        values = np.array([answers(s >> np.arange(13) & 1) for s in subsets])
        sizes = np.array([bin(s).count("1") for s in subsets])
        for row in found["importance"]:
            bit = 1 << int(row["column"][1:])
            without = subsets[(subsets & bit) == 0]
            gains = values[without | bit] - values[without]
            chances = np.array([1 / (13 * comb(12, size)) for size in sizes[without]])
            self.assertAlmostEqual(row["occlusion"], float(np.abs(gains[-1]).mean()), places=6)
            self.assertAlmostEqual(row["shapley"], float(np.abs(chances @ gains).mean()), delta=0.01)
        text = page.read_text()
        self.assertEqual(text.count("<svg"), 11)
        for picture in re.findall("<svg.*?</svg>", text, re.S):
            ElementTree.fromstring(picture)
        self.assertNotIn("http", text)

    def test_attention_is_what_onnx_runtime_sees(self):
        layers = "{shape: [1, 13], layers: [{conv: 4}, {transformer: 2}, {transformer: 1}]}"
        self.plan.write_text(PLAN.replace("EPOCHS", "3").replace("{layers: [{dense: 32, activation: relu}]}", layers))
        self.tenon("train", self.plan, "--quiet")
        page = self.folder / "wine.html"
        found = json.loads(self.tenon("eval", self.model, self.test, "--importance", "--json", "--report", page))["attention"]
        self.tenon("convert", self.model, self.folder / "wine.onnx")
        model = onnx.load(self.folder / "wine.onnx")
        weighing = {node.input[0] for node in model.graph.node if node.op_type == "MatMul"}
        maps = [node.output[0] for node in model.graph.node if node.op_type == "Softmax" and node.output[0] in weighing]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in maps)
        train, test = self.parts[:2]
        x = ((test - train.mean(0)) / train.std(0)).astype(np.float32)[:64]
        expected = onnxruntime.InferenceSession(model.SerializeToString()).run(maps, {"x": x})
        self.assertEqual(sorted(found), ["attention/0", "attention/1"])
        for i, heads in enumerate((2, 1)):
            told = np.array(found[f"attention/{i}"])
            self.assertEqual(told.shape, (heads, 13, 13))
            np.testing.assert_allclose(told, expected[i].mean(0), atol=1e-5)
        self.assertEqual(page.read_text().count("<title>attention/"), 3)
        text = self.tenon("eval", self.model, self.test, "--importance")
        self.assertIn("attention/1 (13 places look at 13)", text)
        self.assertNotIn("attention", self.tenon("eval", self.model, self.test))

    def test_a_gate_that_is_not_passed_exits_with_3(self):
        self.write_plan()
        self.tenon("train", self.plan, "--quiet")
        gate = self.folder / "gate.yaml"
        gate.write_text("self_test: true\nmetrics:\n  - {name: accuracy, at_least: 0.9, drop: 0}\n")
        self.assertIn(": kept", self.tenon("eval", self.model, self.test, "--gate", gate, "--against", self.model))
        gate.write_text("metrics:\n  - {name: accuracy, at_least: 1.1}\n  - {name: speed, at_most: 2}\n")
        error = self.tenon("eval", self.model, self.test, "--gate", gate, code=3)
        self.assertIn("accuracy at_least: expected at least 1.1, found", error)
        self.assertIn("speed at_most: expected at most 2, found none", error)
        gate.write_text("metric: 3\n")
        self.assertIn("there is no key 'metric'", self.tenon("eval", self.model, self.test, "--gate", gate, code=1))

    def interrupt(self, wait, number, *words):
        """Starts a run and sends it a signal while it trains: earlier and earlier, if it had ended already."""
        before = self.checkpoint.read_bytes() if self.checkpoint.exists() else None
        for _ in range(5):
            run = subprocess.Popen([COMMAND, "train", str(self.plan), *words], stderr=subprocess.PIPE, text=True)
            time.sleep(wait)
            run.send_signal(number)
            error = run.communicate()[1]
            if not self.model.exists():
                return run.returncode, error
            self.model.unlink()
            if before:
                self.checkpoint.write_bytes(before)
            wait /= 2
        self.fail("it ends too soon to be interrupted")

    def test_a_run_that_is_stopped_or_killed_is_resumed_to_the_same_file(self):
        self.write_plan(epochs=4000)
        start = time.monotonic()
        self.tenon("train", self.plan)
        wait = (time.monotonic() - start) / 3
        whole = self.model.read_bytes()
        self.model.unlink()
        code, error = self.interrupt(wait, signal.SIGINT)
        self.assertIn("can be resumed from", error)
        self.assertEqual(code, 130)
        stopped = self.checkpoint.read_bytes()
        self.interrupt(wait, signal.SIGKILL, "--resume")
        self.assertEqual(self.checkpoint.read_bytes()[:8], stopped[:8])
        self.assertTrue(json.loads(self.tenon("train", self.plan, "--resume", "--threads", 2, "--json"))["resumed"])
        self.assertEqual(self.model.read_bytes(), whole)
        self.assertFalse(self.checkpoint.exists())

    def test_a_full_disk_leaves_what_was_there(self):
        self.write_plan()
        self.tenon("train", self.plan)
        before = self.model.read_bytes()

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

        error = self.tenon("train", self.plan, code=1, preexec_fn=limit)
        self.assertIn("File too large", error)
        self.assertEqual(self.model.read_bytes(), before)
        self.assertEqual([p.name for p in self.folder.iterdir() if "tmp" in p.name], [])

    def test_a_full_disk_at_a_checkpoint_leaves_the_one_before(self):
        self.write_plan(epochs=4000)
        self.tenon("train", self.plan)
        whole = self.model.read_bytes()
        self.model.unlink()
        self.interrupt(0.3, signal.SIGINT)
        before = self.checkpoint.read_bytes()

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

        error = self.tenon("train", self.plan, "--resume", code=1, preexec_fn=limit)
        self.assertIn("File too large", error)
        self.assertEqual(self.checkpoint.read_bytes(), before)
        self.assertFalse(self.model.exists())
        self.tenon("train", self.plan, "--resume")
        self.assertEqual(self.model.read_bytes(), whole)

    def test_rows_in_another_encoding_are_refused_with_their_place(self):
        self.write_plan()
        rows = (self.folder / "train.csv").read_text().splitlines()
        for name, text, words in (("latin-1", rows[0].replace("c0", "Länge"), "line 1"),
                                  ("utf-16", rows[0], "UTF-16")):
            (self.folder / "train.csv").write_bytes("\n".join([text, *rows[1:]]).encode(name))
            self.assertIn(words, self.tenon("train", self.plan, code=1))
        self.assertFalse(self.model.exists())

    def test_folders_and_arrays_are_trained_on_and_evaluated(self):
        draw = np.random.default_rng(0)
        for part, count in (("train", 20), ("test", 8)):
            for kind, pitch in (("hum", 0.1), ("beep", 0.9)):
                place = self.folder / part / kind
                place.mkdir(parents=True)
                for i in range(count):
                    sound = 0.3 * np.sin(pitch * np.arange(4000) + i) + 0.05 * draw.standard_normal(4000)
                    scipy.io.wavfile.write(place / f"{i}.wav", 8000, (sound * 32767).astype(np.int16))
            x = draw.standard_normal((count, 2, 12)).astype(np.float32)
            np.savez(self.folder / f"{part}.npz", x=x, kind=(x[:, 0].sum(axis=1) > 0).astype(int))
        plan = ("name: wine\ndata: {train: TRAIN, test: TEST}\npipeline:\n  features: [FEATURE]\n"
                "  target: {column: TARGET, encode: ordinal}\n"
                "model: {layers: [{conv: 8, activation: relu}, {pool: global}]}\ntrain: {epochs: 30, batch: 8}\n")
        sound = "{column: file, sound: {rate: 8000, seconds: 0.4, window: 128, bands: 12}, scale: standard}"
        for words in (("train", "test", sound, "class"), ("train.npz", "test.npz", '{column: "x_*"}', "kind")):
            text = plan if words[0] == "train" else plan.replace("model: {", "model: {shape: [2, 12], ")
            for name, word in zip(("TRAIN", "TEST", "FEATURE", "TARGET"), words):
                text = text.replace(name, word)
            self.plan.write_text(text)
            told = json.loads(self.tenon("train", self.plan, "--json"))
            found = {m["name"]: m["value"] for m in told["metrics"] if m["data"] == "wine-test"}
            if words[0] == "train":
                self.assertEqual(found["accuracy"], 1)
            measured = json.loads(self.tenon("eval", self.model, self.folder / words[1], "--json"))
            self.assertAlmostEqual(measured["metrics"]["log_loss"]["value"], found["log_loss"], places=6)

    def test_what_is_wrong_is_said(self):
        self.write_plan()
        self.tenon("train", self.plan)
        self.plan.write_text(self.plan.read_text().replace("epochs", "epoch"))
        self.assertIn("wine.yaml: line 8, column 9: there is no key 'epoch' here; there are loss, epochs",
                      self.tenon("train", self.plan, code=1))
        self.assertIn("tenon train PLAN.yaml", self.tenon("train", code=2))
        self.assertIn("tenon eval MODEL DATA.csv", self.tenon("eval", self.model, code=2))
        self.assertIn("cannot open", self.tenon("train", self.folder / "no.yaml", code=1))
        self.assertIn("--rows is all, training or testing", self.tenon("eval", self.model, self.test, "--rows", "x", code=1))
        self.assertIn("has no split", self.tenon("eval", self.model, self.test, "--rows", "testing", code=1))
        rows = self.test.read_text().replace("kind", "sort")
        self.test.write_text(rows)
        self.assertIn("no column 'kind', the target", self.tenon("eval", self.model, self.test, code=1))
        self.test.write_text(rows.replace("c3,", "d3,"))
        self.assertIn("no column 'c3'", self.tenon("eval", self.model, self.test, code=1))
        self.tenon("convert", self.model, self.folder / "wine.onnx", "--manifest", self.manifest())
        self.assertIn("has no pipeline in its file", self.tenon("eval", self.folder / "wine.onnx", self.test, code=1))

    def manifest(self):
        path = self.folder / "manifest.yaml"
        path.write_text("name: wine\nversion: 1.0.0\n")
        return path


if __name__ == "__main__":
    unittest.main()
