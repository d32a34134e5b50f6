#!/usr/bin/env python3
"""A study of a real plan by `tenon tune` beside Optuna's TPE, whose trials are trained by the same library: the best validation
loss, without halving and with it, where trials stop or wait at rungs (Optuna's stop), and the epochs that were trained.

    tune_plan.py COMMAND FOLDER [SEEDS [TRIALS]]     the folder has cancer-train.csv, as examples/plans/prepare.py makes it"""
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import optuna
import tenon
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
  epochs: {epochs}
  validation: 0.3
  batch: {batch}
  optimizer: {{kind: adamw, rate: {rate}, weight_decay: {decay}}}
"""
EPOCHS, FIRST, REDUCTION = 15, 2, 3
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


def write_plan(path, **values):
    path.write_text(PLAN.format(epochs=EPOCHS, **values))


def ours(folder, seed, halving):
    name = f"{halving}-{seed}"
    write_plan(folder / "plan.yaml", units=8, activation="relu", dropout=0.1, batch=32, rate=0.01, decay=0.01)
    rungs = f"halving: {{first: {FIRST}, reduction: {REDUCTION}, promote: {str(halving == 'waiting').lower()}}}\n"
    (folder / "study.yaml").write_text(
        f"plan: plan.yaml\nstudy: {name}\nname: n{name}\ntrials: {trials}\nseed: {seed}\nobjectives: [loss]\n"
        + (rungs if halving else "") + SPACE)
    best = call("tune", folder / "study.yaml")["best"][0]["values"]["loss"]
    lines = [json.loads(line) for line in (folder / name).read_text().splitlines()[1:]]
    last = {line["trial"]: line for line in lines}.values()
    epochs = sum(FIRST * REDUCTION ** (len(t["rungs"]) - 1) if t["state"] == "pruned" else EPOCHS for t in last)
    return best, epochs


def theirs(folder, seed, halving):
    epochs = 0

    def objective(trial):
        def on_progress(at):
            nonlocal epochs
            if not at.epoch_ends:
                return
            epochs += 1
            trial.report(at.validation, at.epoch)
            if at.epoch < at.epochs and trial.should_prune():
                raise optuna.TrialPruned

        write_plan(
            folder / "trial.yaml",
            rate=trial.suggest_float("rate", 1e-5, 1, log=True), decay=trial.suggest_float("decay", 1e-4, 1, log=True),
            batch=trial.suggest_int("batch", 8, 128, log=True), units=trial.suggest_int("units", 4, 64),
            activation=trial.suggest_categorical("activation", ["tanh", "relu", "sigmoid"]),
            dropout=trial.suggest_float("dropout", 0, 0.6))
        return tenon.train(folder / "trial.yaml", progress=on_progress)["validation"]

    pruner = (optuna.pruners.SuccessiveHalvingPruner(min_resource=FIRST, reduction_factor=REDUCTION) if halving
              else optuna.pruners.NopPruner())
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), pruner=pruner)
    study.optimize(objective, n_trials=trials)
    return study.best_value, epochs


def compare(folder, halving, beside):
    found = np.array([[ours(folder, seed, halving) for seed in range(seeds)], beside])
    texts = ["{1:.5f} ({0:.5f} to {2:.5f})".format(*np.percentile(v, [25, 50, 75])) for v in found[:, :, 0]]
    epochs = ["{:.0f}".format(mean) for mean in found[:, :, 1].mean(axis=1)]
    worse = mannwhitneyu(*found[:, :, 0], alternative="greater").pvalue
    print(f"{halving or 'no halving':10} {' / '.join(texts)}; worse: p = {worse:.2f}; epochs {' / '.join(epochs)}", flush=True)
    return worse >= 0.01


print(f"cancer, {trials} trials, {seeds} seeds: the best validation loss, median (quartiles): Tenon / Optuna")
with tempfile.TemporaryDirectory() as name:
    shutil.copy(data / "cancer-train.csv", name)
    whole, halved = ([theirs(Path(name), seed, halving) for seed in range(seeds)] for halving in (False, True))
    good = [compare(Path(name), *of) for of in ((None, whole), ("stopping", halved), ("waiting", halved))]
sys.exit(0 if all(good) else "worse than Optuna")
