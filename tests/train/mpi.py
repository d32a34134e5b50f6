#!/usr/bin/env python3
"""Training on processes that mpirun starts: the losses of one, step by step; after one of them is killed, one goes on from
the checkpoint to where one would have come by itself.

    mpi.py COMMAND FOLDER WORK      the folder has cancer-train.csv and cancer-test.csv, as examples/plans/prepare.py makes them"""
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

command, data = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
work = Path(sys.argv[3]).resolve()

# Labels are smoothed, so that the loss has an end above 0.
PLAN = """name: spread
data: {{train: {data}/cancer-train.csv}}
pipeline:
  features: [{{column: "*", missing: mean, scale: standard}}]
  target: {{column: benign, encode: ordinal}}
model: {{layers: [{{dense: 64, activation: relu}}, {{dense: 32, activation: tanh}}]}}
train: {{epochs: {epochs}, batch: {batch}, seed: 3, loss: {{kind: cross-entropy, label_smoothing: 0.1}},
        optimizer: {{kind: adamw, rate: 0.003, clip_norm: 1}}}}
output: {output}
"""


def plan(name, epochs, batch):
    path = work / f"{name}.yaml"
    path.write_text(PLAN.format(data=data, epochs=epochs, batch=batch, output=work / f"{name}.tenon"))
    return path


def tenon(ranks, *arguments):
    mpi = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", str(ranks)] if ranks else []
    return [*mpi, str(command), "train", *map(str, arguments), "--threads", "1", *(["--mpi"] if ranks else [])]


def run(ranks, *arguments):
    done = subprocess.run(tenon(ranks, *arguments, "--quiet"), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{ranks} processes: {done.stdout}{done.stderr}")
    return done.stdout


def losses(name):
    """Of each epoch, out of the manifest, which is YAML within the model's file."""
    found = re.search(rb"\n    losses: \[([^]]*)\]", (work / f"{name}.tenon").read_bytes())
    return [float(x) for x in found.group(1).split(b",")]


def compare(name, a, b):
    worst = max(abs(x - y) for x, y in zip(a, b, strict=True))
    print(f"{name}: {len(a)} losses, from {a[0]:.4f} to {a[-1]:.4f}, differ by at most {worst:.1e}", flush=True)
    if not (len(a) > 100 and worst <= 1e-5 and a[-1] < a[0] / 2):
        sys.exit("more than 1e-5, or nothing was learnt")


def wait_for(path, process):
    end = time.monotonic() + 30
    while not path.exists():
        if process.poll() is not None or time.monotonic() > end:
            sys.exit(f"no checkpoint: {process.stderr.read()}")
        time.sleep(0.02)


def epochs_of(checkpoint):
    """Done, as its header says (lib/plan/checkpoint.c); a checkpoint is replaced whole."""
    return int.from_bytes(checkpoint.read_bytes()[40:48], sys.byteorder, signed=True)


os.environ["OMPI_MCA_btl_vader_single_copy_mechanism"] = "none"  # which containers forbid
# An epoch is a step of all rows.
run(0, plan("one", 120, 1000))
run(2, plan("two", 120, 1000))
compare("2 processes", losses("one"), losses("two"))

# A process of three is killed; one goes on.
epochs = 20000
run(0, plan("whole", epochs, 100))
path = plan("killed", epochs, 100)
together = subprocess.Popen(tenon(3, path, "--quiet"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
checkpoint = work / "killed.tenon.checkpoint"
wait_for(checkpoint, together)
first = epochs_of(checkpoint)
while epochs_of(checkpoint) == first and together.poll() is None:  # the second one is there: they are written as it goes on
    time.sleep(0.02)
before = epochs_of(checkpoint)
children = subprocess.run(["pgrep", "-P", str(together.pid)], capture_output=True, text=True, check=True).stdout.split()
os.kill(int(children[-1]), signal.SIGKILL)
together.communicate(timeout=30)
if together.returncode == 0 or (work / "killed.tenon").exists() or not checkpoint.exists():
    sys.exit("a killed process left no run that ended early with a checkpoint")
left = epochs_of(checkpoint)
print(f"checkpoints of {first} and {before} epochs; {left} of {epochs} are left when a process is killed then")
if not first < before <= left < epochs:
    sys.exit("more than what came since the last checkpoint is lost")
answer = run(0, path, "--resume", "--json")
if '"resumed":true' not in answer.replace(" ", ""):
    sys.exit(f"it was not resumed: {answer}")
a, b = losses("whole"), losses("killed")
print(f"killed and resumed: the last loss is {b[-1]:.6f}, and {a[-1]:.6f} of one process")
if abs(a[-1] - b[-1]) > 1e-3:
    sys.exit("that is another training")
