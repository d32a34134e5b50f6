#!/usr/bin/env python3
"""A study of a real plan by `tenon tune` beside Optuna's TPE, whose trials `tenon train` trains: the best validation loss.

    tune_plan.py COMMAND FOLDER [SEEDS [TRIALS]]     the folder has cancer-train.csv, as examples/plans/prepare.py makes it"""
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import optuna
from scipy.stats import mannwhitneyu

optuna.logging.set_verbosity(optuna.logging.WARNING)
command, data = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
seeds = int(sys.argv[3]) if len(sys.argv) > 3 else 12
trials = int(sys.argv[4]) if len(sys.argv) > 4 else 30
PLAN = """\
name: cancer
data: {{train: cancer-train.csv}}
pipeline: {{features: [{{column: "*", scale: standard}}], target: {{column: benign, encode: ordinal}}}}
model: {{layers: [{{dense: {units}, activation: {activation}}}, {{dropout: {dropout}}}]}}
train:
  epochs: 15
  validation: 0.3
  batch: {batch}
  optimizer: {{kind: adamw, rate: {rate}, weight_decay: {decay}}}
"""
SPACE = """\
space:
  train.optimizer.rate: {log: [1e-5, 1]}
  train.optimizer.weight_decay: {log: [1e-4, 1]}
  train.batch: {log_int: [8, 128]}
  model.layers.0.dense: {int: [4, 64]}
  model.layers.0.activation: {choose: [tanh, relu, sigmoid]}
  model.layers.1.dropout: {float: [0, 0.6]}
"""


def call(*words):
    done = subprocess.run([command, *map(str, words), "--json", "--quiet"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def ours(folder, seed):
    (folder / "plan.yaml").write_text(PLAN.format(units=8, activation="relu", dropout=0.1, batch=32, rate=0.01, decay=0.01))
    (folder / "study.yaml").write_text(
        f"plan: plan.yaml\nstudy: s{seed}\nname: n{seed}\ntrials: {trials}\nseed: {seed}\nobjectives: [loss]\n" + SPACE)
    return call("tune", folder / "study.yaml")["best"][0]["values"]["loss"]


def theirs(folder, seed):
    def objective(trial):
        (folder / "trial.yaml").write_text(PLAN.format(
            rate=trial.suggest_float("rate", 1e-5, 1, log=True), decay=trial.suggest_float("decay", 1e-4, 1, log=True),
            batch=trial.suggest_int("batch", 8, 128, log=True), units=trial.suggest_int("units", 4, 64),
            activation=trial.suggest_categorical("activation", ["tanh", "relu", "sigmoid"]),
            dropout=trial.suggest_float("dropout", 0, 0.6)))
        return call("train", folder / "trial.yaml")["validation"]

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_trials=trials)
    return study.best_value


with tempfile.TemporaryDirectory() as name:
    shutil.copy(data / "cancer-train.csv", name)
    found = [np.array([run(Path(name), seed) for seed in range(seeds)]) for run in (ours, theirs)]
texts = ["{1:.5f} ({0:.5f} to {2:.5f})".format(*np.percentile(v, [25, 50, 75])) for v in found]
worse = mannwhitneyu(*found, alternative="greater").pvalue
print(f"cancer, {trials} trials, {seeds} seeds: the best validation loss is {' / '.join(texts)}; worse: p = {worse:.2f}")
sys.exit(0 if worse >= 0.01 else "worse than Optuna")
