"""Instructions of one run on 64-bit Arm, counted under qemu: Tenon at each of its levels, and MNN.

    tests/bench/arm/run [--json FILE] [part of a model's name ...]

A count is that of the second run of a process, with one thread. `scalar` is what the compiler makes of plain C: the straightforward build of the same
graph. The processors are a Cortex-A72 (NEON), a Neoverse N1 (with dot products) and qemu's largest (with I8MM), for MNN
too, which picks its kernels by what it finds. Instructions are not time; they say how much work a kernel leaves.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import onnx
from onnx import numpy_helper

sys.path.append("tests/bench")
from engines import ENGINES  # noqa: E402

MODELS = pathlib.Path("build/models")
ROOT = pathlib.Path("build/arm-bench/root")
DEFAULT = ["cls_infer", "silero_vad-silero_vad_16k_op15", "wdcnn4096_b1", "autoencoder640_b1", "lstm128_b1"]
DEFAULT += ["mobilenetv3small_b1", "mobilenetv2_b1"]
# Engine, level, processor, title.
COLUMNS = [
    ("tenon", "scalar", "cortex-a72", "scalar"),
    ("tenon", "neon", "cortex-a72", "NEON"),
    ("tenon", "dotprod", "neoverse-n1", "dot product"),
    ("tenon", "i8mm", "max", "I8MM"),
    ("mnn", None, "neoverse-n1", "MNN, N1"),
    ("mnn", None, "max", "MNN, largest"),
]


def instructions(engine, level, cpu, folder, case):
    """How many a run takes; None: the engine cannot run the model."""
    lib = ROOT / "usr/lib/aarch64-linux-gnu"
    settings = {
        "LD_LIBRARY_PATH": f"{lib}:{ROOT / 'lib/aarch64-linux-gnu'}",
        "PYTHONHOME": ROOT / "usr",
        "PYTHONPATH": "build/arm-bench/site:bindings/python:tests/bench",
        "TENON_LIBRARY": pathlib.Path("build/aarch64/libtenon.so").resolve(),
    }
    if level:
        settings["TENON_CPU"] = level
    words = ["qemu-aarch64", "-cpu", cpu, "-plugin", "build/instructions.so", "-L", ROOT]
    for name, value in settings.items():
        words += ["-E", f"{name}={value}"]
    if engine == "mnn" and not ENGINES["mnn"].converted(str(folder / "model.onnx")):
        return None
    words += [ROOT / "usr/bin/python3.11", "tests/bench/arm/worker.py", engine, folder / "model.onnx", case]
    done = subprocess.run(words, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    if done.returncode:
        print(f"{folder.name}, {engine} {level or cpu}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    before, after = [int(line.split()[1]) for line in done.stderr.splitlines() if line.startswith("instructions ")]
    return after - before


def saved_case(folder):
    """The case as .npz: the Arm side has NumPy alone."""
    arrays = {}
    for kind, mark in ("input", ""), ("output", "|"):
        for path in sorted((folder / "test_data_set_0").glob(f"{kind}_*.pb")):
            t = onnx.TensorProto.FromString(path.read_bytes())
            arrays[mark + t.name] = numpy_helper.to_array(t)
    out = pathlib.Path("build/arm-bench/case.npz")
    np.savez(out, **arrays)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    kinds = [MODELS / k for k in ("cases/real", "bench/float32", "bench/int8")]
    folders = [f for k in kinds if k.is_dir() for f in sorted(k.iterdir()) if f.is_dir()]
    wanted = [f for f in folders if any(n in f.name for n in options.names or DEFAULT)]
    if not wanted:
        sys.exit("no model has such a name: tests/bench/peers makes them, under build/models")
    table = {}
    print(f"{'million instructions a run':<52}" + "".join(f"{c[3]:>14}" for c in COLUMNS) + f"{'ratio':>8}")
    for folder in wanted:
        case, row = saved_case(folder), {}
        for engine, level, cpu, title in COLUMNS:
            count = instructions(engine, level, cpu, folder, case)
            row[title] = count / 1e6 if count else None
        name = f"{folder.name}{', int8' if folder.parent.name == 'int8' else ''}".removeprefix("test_")
        table[name] = row
        # Both on the same processor: the largest.
        both = row["I8MM"], row["MNN, largest"]
        ratio = f"{both[0] / both[1]:8.2f}" if None not in both else f"{'-':>8}"
        cells = "".join(f"{v:14.2f}" if v is not None else f"{'-':>14}" for v in row.values())
        print(f"{name:<52}{cells}{ratio}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(table, indent=1) + "\n")


main()
