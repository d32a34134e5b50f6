#!/usr/bin/env python3
"""Ensembles on scikit-learn's digits: as good as their best member at least, the answers those of scikit-learn's
VotingClassifier and StackingClassifier over the same members, run by ONNX Runtime, and the same as one ONNX file there.

    ensemble.py COMMAND FOLDER           COMMAND is the tenon command; --time as well: latencies of the cascade"""
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, LabelEncoder

root = Path(__file__).resolve().parents[2]
command, folder = sys.argv[1], Path(sys.argv[2])
os.environ.setdefault("TENON_LIBRARY", str(root / "build/libtenon.so"))
sys.path.insert(0, str(root / "bindings/python"))
import tenon  # noqa: E402

PLAN = """
name: {name}
data: {{train: train.csv, test: test.csv}}
pipeline:
  features: [{{column: "*", scale: min-max}}]
  target: {{column: digit, encode: ordinal}}
model: {model}
train: {{epochs: {epochs}, optimizer: {{rate: {rate}}}, seed: {seed}, schedule: {{kind: cosine}}}}
"""
SMALL = "{shape: [1, 8, 8], layers: [{dense: 16, activation: relu}]}"
BIG = ("{shape: [1, 8, 8], layers: [{conv: 32, activation: relu}, {conv: 32, activation: relu}, {pool: max}, "
       "{conv: 64, activation: relu}, {dropout: 0.3}, {dense: 64, activation: relu}]}")
MEMBERS = {"line": ("{shape: [1, 8, 8]}", 12, 0.01, 1), "small": (SMALL, 12, 0.01, 2), "tanh": (SMALL.replace("relu", "tanh"), 12, 0.01, 3),
           "big": (BIG, 6, 0.003, 4)}


def say(what, good):
    print(f"{what}: {'as it should be' if good else 'WRONG'}", flush=True)
    if not good:
        sys.exit(1)


def tool(*words):
    done = subprocess.run([command, *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


# Rows to train on, to fit ensembles on, to test with.
x, y = load_digits(return_X_y=True)
parts = {}
rest, parts["test"] = train_test_split(np.arange(len(y)), test_size=0.3, stratify=y, random_state=0)
parts["train"], parts["held"] = train_test_split(rest, test_size=0.35, stratify=y[rest], random_state=1)
for name, rows in parts.items():
    table = np.column_stack([x, y])[rows]
    np.savetxt(folder / f"{name}.csv", table, "%d", ",", header=",".join([*(f"p_{i}" for i in range(64)), "digit"]), comments="")
for name, (model, epochs, rate, seed) in MEMBERS.items():
    (folder / f"{name}.yaml").write_text(PLAN.format(name=name, model=model, epochs=epochs, rate=rate, seed=seed))
    tool("train", folder / f"{name}.yaml", "--quiet")
    tool("convert", folder / f"{name}.tenon", folder / f"{name}.onnx")

least, most = x[parts["train"]].min(0), x[parts["train"]].max(0)
scaled = ((x - least) / np.where(most > least, most - least, 1)).astype(np.float32)
held, test, labels = scaled[parts["held"]], scaled[parts["test"]], y[parts["test"]]


class Ran(ClassifierMixin, BaseEstimator):
    """A member as scikit-learn takes them."""

    def __init__(self, name=None):
        self.name = name
        session = onnxruntime.InferenceSession(folder / f"{name}.onnx")
        value = session.get_inputs()[0]
        self.run = lambda rows: session.run(None, {value.name: rows.reshape(-1, *value.shape[1:])})[0]
        self.classes_ = np.arange(10)

    def fit(self, *_):
        return self

    def predict_proba(self, rows):
        return self.run(np.asarray(rows, np.float32)).astype(np.float64)

    def predict(self, rows):
        return self.predict_proba(rows).argmax(1)


def ours(path, rows=test):
    """What the file gives in Tenon; the same by ONNX Runtime, for any number of rows."""
    model = tenon.load(path)
    value = model.inputs[0]
    shape = [-1, *value.shape[1:]]
    found = next(iter(model.run({value.name: rows.reshape(shape)}).values()))
    if Path(path).suffix == ".onnx":
        onnx.checker.check_model(str(path), full_check=True)
        session = onnxruntime.InferenceSession(path)
        for count in (len(rows), 1, 2):
            theirs = session.run(None, {value.name: rows[:count].reshape(shape)})[0]
            np.testing.assert_allclose(theirs, found[:count], rtol=1e-4, atol=1e-5)
    return found


dense = ["line", "small", "tanh"]
alone = {name: accuracy_score(labels, Ran(name).predict(test)) for name in MEMBERS}
print("accuracy:", ", ".join(f"{name} {value:.4f}" for name, value in alone.items()))
members = [(name, Ran(name)) for name in dense]
files = [folder / f"{name}.tenon" for name in dense]
best = max(alone[name] for name in dense)

for method, voting, words in (("average", "soft", ["--weights", "1,2,3"]), ("vote", "hard", ["--weights", "1,2,3"])):
    for ending in ("tenon", "onnx"):
        tool("ensemble", folder / f"{method}.{ending}", *files, "--method", method, *words)
    judge = VotingClassifier(members, voting=voting, weights=[1, 2, 3])
    judge.estimators_, judge.le_ = [m for _, m in members], LabelEncoder().fit(y)
    judge.classes_ = judge.le_.classes_
    found = ours(folder / f"{method}.onnx")
    np.testing.assert_allclose(found, ours(folder / f"{method}.tenon"), atol=1e-6)
    same = (found.argmax(1) == judge.predict(test)).all()
    if voting == "soft":
        same &= np.allclose(found, judge.predict_proba(test), atol=1e-5)
    say(f"{method} is VotingClassifier's {voting} voting", same)

said = tool("ensemble", folder / "fitted.tenon", *files, "--fit", folder / "held.csv")
fitted = accuracy_score(labels, ours(folder / "fitted.tenon").argmax(1))
say(f"average with fitted weights, {fitted:.4f}, is as good as its best member, {best:.4f}", fitted >= best)

(folder / "stack-of-all.yaml").write_text(
    "name: stack-of-all\nmethod: stack\nmembers: [{file: line.tenon}, {file: small.tenon}, {file: tanh.tenon}]\n"
    "fit: {data: held.csv}\noutput: stack.onnx\n")
tool("ensemble", folder / "stack-of-all.yaml")
ones = FunctionTransformer(lambda z: np.column_stack([z, np.ones(len(z))]))  # our decay is the bias's as well
last = make_pipeline(ones, LogisticRegression(fit_intercept=False, tol=1e-9, max_iter=10000))
judge = StackingClassifier(members, last, cv="prefit", stack_method="predict_proba").fit(held, y[parts["held"]])
found, theirs = ours(folder / "stack.onnx"), judge.predict_proba(test)
say(f"stack is StackingClassifier's within {np.abs(found - theirs).max():.1e}", np.abs(found - theirs).max() < 2e-3)
stacked = accuracy_score(labels, found.argmax(1))
say(f"stack, {stacked:.4f}, is as good as its best member, {best:.4f}", stacked >= best)

# Nothing held out: each row is answered by the models of the fold that it is not in. scikit-learn trains the members itself;
# here "training" finds out which rows are left out and takes the model of that fold.
FOLDS = 5
table = np.column_stack([x, y])[rest]
np.savetxt(folder / "rest.csv", table, "%d", ",", header=",".join([*(f"p_{i}" for i in range(64)), "digit"]), comments="")
for name in dense:
    model, epochs, rate, seed = MEMBERS[name]
    plan = PLAN.format(name=f"{name}-of-rest", model=model, epochs=epochs, rate=rate, seed=seed)
    plan = plan.replace("{train: train.csv, test: test.csv}", "{train: rest.csv}")
    (folder / f"{name}-of-rest.yaml").write_text(plan)
    tool("train", folder / f"{name}-of-rest.yaml", "--quiet")
    tool("train", folder / f"{name}-of-rest.yaml", "--quiet", "--folds", FOLDS)
    for model in [f"{name}-of-rest", *(f"{name}-of-rest.fold-{k}" for k in range(1, FOLDS + 1))]:
        tool("convert", folder / f"{model}.tenon", folder / f"{model}.onnx")
of_rest = [folder / f"{name}-of-rest.tenon" for name in dense]
for ending in ("tenon", "onnx"):
    tool("ensemble", folder / f"out-of-fold.{ending}", *of_rest, "--method", "stack", "--fit", folder / "rest.csv", "--folds", FOLDS)


def split(k):
    """Fold k as the pipeline in a model's file draws it."""
    manifest = tenon.load(of_rest[0].with_suffix(f".fold-{k}.tenon")).manifest
    pipeline = tenon.data.Pipeline(json.dumps(manifest["extra"]["pipeline"]))
    part = np.asarray(pipeline.split(tenon.data.Table(folder / "rest.csv")))
    return np.flatnonzero(part == 0), np.flatnonzero(part == 1)


class Refitted(Ran):
    """Its rows have their number in front."""

    def __init__(self, name=None):
        self.name = name

    def fit(self, rows, _):
        numbers = rows[:, 0].astype(int)
        fold = [k for k in range(1, FOLDS + 1) if set(folds[k - 1][0]) == set(numbers)]
        assert len(fold) == (len(numbers) < len(rest))
        Ran.__init__(self, f"{self.name}-of-rest{f'.fold-{fold[0]}' if fold else ''}")
        self.name = self.name.split("-")[0]
        low, high = rows[:, 1:].min(0), rows[:, 1:].max(0)
        self.scale = lambda raw: (raw - low) / np.where(high > low, high - low, 1)
        return self

    def predict_proba(self, rows):
        return Ran.predict_proba(self, self.scale(rows[:, 1:]))


folds = [split(k) for k in range(1, FOLDS + 1)]
assert sorted(np.concatenate([tested for _, tested in folds])) == list(range(len(rest)))
numbered = np.column_stack([np.arange(len(rest)), x[rest]])
last = make_pipeline(ones, LogisticRegression(fit_intercept=False, tol=1e-9, max_iter=10000))
judge = StackingClassifier([(name, Refitted(name)) for name in dense], last, cv=folds, stack_method="predict_proba").fit(numbered, y[rest])
low, high = x[rest].min(0), x[rest].max(0)
found = ours(folder / "out-of-fold.onnx", ((x[parts["test"]] - low) / np.where(high > low, high - low, 1)).astype(np.float32))
theirs = judge.predict_proba(np.column_stack([np.full(len(labels), -1), x[parts["test"]]]))
far = np.abs(found - theirs).max()
say(f"a stack of out-of-fold answers is StackingClassifier's with cv={FOLDS} within {far:.1e}", far < 2e-3)
folded = accuracy_score(labels, found.argmax(1))
say(f"it is right for {folded:.4f}, no fewer than the stack that held rows out, {stacked:.4f}", folded >= stacked)

# One training, five models.
plan = PLAN.format(name="snapshots", model=SMALL, epochs=60, rate=0.02, seed=2)
(folder / "snapshots.yaml").write_text(plan.replace("{kind: cosine}", "{kind: cosine, period: 12}, snapshots: 5"))
tool("train", folder / "snapshots.yaml", "--quiet")
tool("convert", folder / "snapshots.tenon", folder / "snapshots.onnx")
shots = accuracy_score(labels, ours(folder / "snapshots.onnx").argmax(1))
say(f"the mean of five snapshots, {shots:.4f}, is as good as one cycle, {alone['small']:.4f}", shots >= alone["small"])

# Small first, big when it is not sure.
pair = [folder / "small.tenon", folder / "big.tenon"]
said = json.loads(tool("ensemble", folder / "cascade.onnx", *pair, "--method", "cascade", "--fit", folder / "held.csv", "--max-drop", "0.005", "--json"))
tool("ensemble", folder / "cascade.tenon", *pair, "--method", "cascade", "--fit", folder / "held.csv", "--max-drop", "0.005")
threshold, found = said["members"][0]["threshold"], ours(folder / "cascade.onnx")
first, second = Ran("small").run(test), Ran("big").run(test)
unsure = first.max(1) < np.float32(threshold)
np.testing.assert_allclose(found, np.where(unsure[:, None], second, first), atol=1e-5)
cascaded = accuracy_score(labels, found.argmax(1))
say(f"cascade passes on {100 * unsure.mean():.1f} % of the rows, by {threshold:.4f}", 0 < unsure.mean() < 0.5)
say(f"cascade, {cascaded:.4f}, is as good as small, {alone['small']:.4f}, and within 1 % of big, {alone['big']:.4f}",
    cascaded >= alone["small"] and cascaded >= alone["big"] - 0.01)
evaluated = json.loads(tool("eval", folder / "cascade.tenon", folder / "test.csv", "--json", "--quiet"))
value = evaluated["metrics"]["accuracy"]["value"]
say("tenon eval takes the cascade with raw columns", abs(value - cascaded) < 1e-9)
tool("check", folder / "cascade.tenon")

if "--time" in sys.argv:
    for name in ("small", "big", "cascade"):
        session = tenon.load(folder / f"{name}.tenon").session()
        value = session.model.inputs[0]
        rows = [{value.name: row.reshape(1, *value.shape[1:])} for row in test]
        best = []
        for _ in range(20):
            started = time.perf_counter()
            for row in rows:
                session.run(row, copy=False)
            best.append((time.perf_counter() - started) / len(rows) * 1e6)
        print(f"{name:8} {np.median(best):.1f} us a row, one by one")
