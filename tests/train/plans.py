#!/usr/bin/env python3
"""The plans of examples/plans on their data, beside models of scikit-learn that are fitted to the same rows: each must be at
least as good.

    plans.py COMMAND FOLDER NAME...      the folder has the data, as examples/plans/prepare.py makes them"""
import json
import shutil
import subprocess
import sys
import time
import warnings
from datetime import datetime
from pathlib import Path

import numpy as np
import scipy.io.wavfile
import scipy.signal
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

warnings.filterwarnings("ignore")  # of rounds that a baseline would have liked to go on for
command, folder = sys.argv[1], Path(sys.argv[2])
plans = Path(__file__).resolve().parents[2] / "examples/plans"


def classes(scaler, model):
    def score(name):
        parts = [np.loadtxt(folder / f"{name}-{part}.csv", delimiter=",", skiprows=1) for part in ("train", "test")]
        fitted = make_pipeline(*([scaler()] if scaler else []), model).fit(parts[0][:, :-1], parts[0][:, -1])
        return accuracy_score(parts[1][:, -1], fitted.predict(parts[1][:, :-1]))
    return "accuracy", score


def power(name):
    """The rows that the plan has: those before and after a moment, without what is missing."""
    text = np.genfromtxt(folder / f"{name}.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    order = np.argsort(text["time"], kind="stable")
    cut = len(order) - int(np.floor(0.25 * len(order) + 0.5))
    inputs = ["wind_speed", "air_temperature", "pitch", "wind_direction", "nacelle_direction"]
    table = np.column_stack([text[c] for c in [*inputs, "power"]])[order]
    whole = ~np.isnan(table).any(axis=1)
    train, test = table[:cut][whole[:cut]], table[cut:][whole[cut:]]
    model = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(64, 64), early_stopping=True, random_state=0))
    scale = train[:, -1].std()
    model.fit(train[:, :-1], train[:, -1] / scale)
    return r2_score(test[:, -1], model.predict(test[:, :-1]) * scale)


def ahead(name):
    """The plan's windows: a day of hourly means, the power of the hour after it, none with an hour that is missing."""
    table = np.genfromtxt(folder / f"{name}.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    zones = table["time"].astype("U25")
    seconds = np.array([datetime.fromisoformat(t).timestamp() for t in zones])
    hours = np.floor(seconds / 3600).astype(int)
    hours -= hours.min()
    grid = np.full((hours.max() + 1, 2), np.nan)
    for i, column in enumerate(("power", "wind_speed")):
        good = ~np.isnan(table[column])
        sums, counts = (np.bincount(hours[good], weights, len(grid)) for weights in (table[column][good], None))
        grid[:, i] = np.divide(sums, counts, out=grid[:, i], where=counts > 0)
    cut = len(grid) - int(np.floor(0.25 * len(grid) + 0.5))
    parts = []
    for part in (grid[:cut], grid[cut:]):
        windows = np.array([part[i:i + 25] for i in range(len(part) - 24)])
        parts.append(windows[~np.isnan(windows).any(axis=(1, 2))])
    (train, test), scale = parts, np.nanstd(grid[:cut, 0])
    model = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(64, 32), early_stopping=True, random_state=0))
    model.fit(train[:, :24].reshape(len(train), -1), train[:, 24, 0] / scale)
    return r2_score(test[:, 24, 0], model.predict(test[:, :24].reshape(len(test), -1)) * scale)


def arrays(name, model):
    """Of .npz files: t and kind."""
    parts = [np.load(folder / f"{name}-{part}.npz") for part in ("train", "test")]
    x = [p["t"].reshape(len(p["t"]), -1) for p in parts]
    return accuracy_score(parts[1]["kind"], model.fit(x[0], parts[0]["kind"]).predict(x[1]))


def pixels(path):
    return np.asarray(Image.open(path)).ravel()


def log_spectrum(path):
    """The same windows as the plan's, by SciPy, their frequencies summed up in 40 even bands."""
    rate, sound = scipy.io.wavfile.read(path)
    sound = np.pad(sound[:12000] / 32768, (0, max(0, 12000 - len(sound))))
    _, _, bins = scipy.signal.stft(sound, rate, "hann", 256, 128, boundary=None, padded=False)
    bands = [b.sum(axis=0) for b in np.array_split(np.abs(bins) ** 2, 40)]
    return 10 * np.log10(np.maximum(bands, 1e-10)).ravel()


def files(read, model):
    def score(name):
        x, y = {}, {}
        for part in ("train", "test"):
            paths = sorted((folder / f"{name}-{part}").glob("*/*"))
            x[part], y[part] = np.array([read(p) for p in paths]), [p.parent.name for p in paths]
        return accuracy_score(y["test"], model.fit(x["train"], y["train"]).predict(x["test"]))
    return "accuracy", score


def in_order(name):
    """Readings in order for training, all for testing, scaled as the plan scales them; and which are out of order."""
    train = np.loadtxt(folder / f"{name}-train.csv", delimiter=",", skiprows=1)
    test = np.loadtxt(folder / "shuttle-test.csv", delimiter=",", skiprows=1)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    return (train - mean) / deviation, ((test[:, :-1] - mean) / deviation).astype(np.float32), test[:, -1]


def reproduced(name):
    """How well what the plan's model cannot reproduce tells of what is out of order."""
    _, x, truth = in_order(name)
    np.save(folder / "x.npy", x)
    subprocess.run([command, "run", folder / f"{name}.tenon", "--input", f"x={folder / 'x.npy'}", "--output",
                    folder / "y.npy"], check=True, capture_output=True)
    return roc_auc_score(truth, ((np.load(folder / "y.npy") - x) ** 2).sum(axis=1))


def autoencoder(name):
    train, x, truth = in_order(name)
    model = MLPRegressor(hidden_layer_sizes=(32, 3, 32), activation="tanh", max_iter=30, random_state=0).fit(train, train)
    return roc_auc_score(truth, ((model.predict(x) - x) ** 2).sum(axis=1))


MEASURES = {"anomaly": reproduced}  # of those whose metric is not in the model's file
BASELINES = {
    "digits": classes(MinMaxScaler, MLPClassifier(random_state=0, max_iter=500)),
    "cancer": classes(StandardScaler, MLPClassifier(random_state=0, max_iter=500)),
    "wine": classes(StandardScaler, LogisticRegression()),
    "shuttle": classes(RobustScaler, MLPClassifier(hidden_layer_sizes=(32, 16), random_state=0, max_iter=30)),
    "anomaly": ("roc_auc", autoencoder),
    "wind": ("r2", power),
    "forecast": ("r2", ahead),
    "italy-power": classes(None, MLPClassifier(random_state=0, max_iter=1000)),
    "trace": ("accuracy", lambda name: arrays(name, MLPClassifier(random_state=0, max_iter=1000))),
    "motions": classes(StandardScaler, MLPClassifier(random_state=0, max_iter=1000)),
    "mnist": classes(None, make_pipeline(MinMaxScaler(), MLPClassifier(random_state=0))),
    "fashion": files(pixels, make_pipeline(MinMaxScaler(), MLPClassifier(random_state=0))),
    "speech": files(log_spectrum, make_pipeline(StandardScaler(), MLPClassifier(random_state=0, max_iter=500))),
}

failed = []
for name in sys.argv[3:]:
    metric, baseline = BASELINES[name]
    shutil.copy(plans / f"{name}.yaml", folder)
    started = time.monotonic()
    done = subprocess.run([command, "train", folder / f"{name}.yaml", "--json", "--quiet"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    seconds = time.monotonic() - started
    told = {m["name"]: m["value"] for m in json.loads(done.stdout)["metrics"] if not m["data"].endswith("-train")}
    ours = MEASURES[name](name) if name in MEASURES else told[metric]
    theirs = baseline(name)
    print(f"{name:12} {metric:9} {ours:.4f} in {seconds:.1f} s; scikit-learn {theirs:.4f}", flush=True)
    if ours < theirs - 1e-8:  # as printed
        failed.append(name)
if failed:
    sys.exit(f"less than scikit-learn: {', '.join(failed)}")
