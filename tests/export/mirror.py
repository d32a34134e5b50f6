"""Mirrors folders of test cases with their models written anew by Tenon, to be run like the originals.

    mirror.py [--form tenon] FOLDER... TARGET

Each model.onnx becomes `tenon convert`'s file of that form; what is with it is linked. Models that Tenon does not load are
left out. ONNX's checker must take each .onnx, and writing what was written once more must give the same bytes. With
--runtime, ONNX Runtime must run what it runs of the originals, with the same results.
"""
import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

ROOT = Path(__file__).resolve().parents[2]
COMMAND = os.environ.get("TENON_COMMAND", str(ROOT / "build/tenon"))


def convert(source, target, *options):
    return subprocess.run([COMMAND, "convert", source, target, *options], capture_output=True, text=True)


def inputs_of(case, session):
    found = {}
    for i, value in enumerate(session.get_inputs()):
        path = case / "test_data_set_0" / f"input_{i}.pb"
        if path.exists():
            tensor = onnx.TensorProto.FromString(path.read_bytes())
            found[value.name] = numpy_helper.to_array(tensor)
    return found


def compare_in_runtime(case, written):
    """None, or how the written model differs from the original in ONNX Runtime."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4

    def session(path):
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    try:
        original = session(case / "model.onnx")
        inputs = inputs_of(case, original)
        expected = original.run(None, inputs)
    except Exception:
        return None  # no fault of what was written
    try:
        copy = session(written)
        names = [value.name for value in original.get_inputs()]
        if [value.name for value in copy.get_inputs()] != names:
            return "its inputs are others"
        got = copy.run([value.name for value in original.get_outputs()], inputs)
    except Exception as failure:
        return str(failure)
    for a, b in zip(expected, got):
        for x, y in zip(*((v if isinstance(v, list) else [v]) for v in (a, b))):
            if x is None or np.asarray(x).dtype.kind not in "fiub":
                continue
            if np.asarray(x).dtype != np.asarray(y).dtype or np.shape(x) != np.shape(y):
                return "other shapes"
            if not np.allclose(x, y, rtol=1e-4, atol=1e-5 * max(1.0, float(np.max(np.abs(x), initial=0))), equal_nan=True):
                return "other numbers"
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--form", default="onnx")
    parser.add_argument("--runtime", action="store_true")
    parser.add_argument("--option", action="append", default=[])
    parser.add_argument("folders", nargs="+")
    parser.add_argument("target")
    arguments = parser.parse_args()
    target, wrong, made, skipped = Path(arguments.target), [], 0, 0
    for folder in map(Path, arguments.folders):
        for model in sorted(folder.rglob("model.onnx")):
            case, copy = model.parent, target / folder.name / model.parent.relative_to(folder)
            copy.mkdir(parents=True)
            written = copy / f"model.{arguments.form}"
            done = convert(model, written, *arguments.option)
            if done.returncode:
                loads = subprocess.run([COMMAND, "check", model], capture_output=True).returncode == 0
                skipped += not loads
                if loads:
                    wrong.append((case, done.stderr.strip()))
                continue
            made += 1
            for entry in case.iterdir():
                if entry.name != "model.onnx":
                    (copy / entry.name).symlink_to(entry.resolve())
            # In a folder of its own, under the same name: files of external data are named after the model.
            again = target / "again" / written.name
            again.parent.mkdir(exist_ok=True)
            if convert(written, again, *arguments.option).returncode or again.read_bytes() != written.read_bytes():
                wrong.append((case, "writing it again gives another file"))
            shutil.rmtree(again.parent)
            if arguments.form != "onnx":
                written.rename(copy / "model.onnx")  # what runs the cases looks for that name; files are told by contents
            if arguments.form == "onnx":
                try:
                    onnx.checker.check_model(str(written))
                except Exception as failure:
                    try:
                        onnx.checker.check_model(str(model))
                    except Exception:
                        failure = None  # nor is the original right
                    if failure:
                        wrong.append((case, f"checker: {failure}"))
                difference = compare_in_runtime(case, written) if arguments.runtime else None
                if difference:
                    wrong.append((case, f"ONNX Runtime: {difference}"))
    for case, why in wrong:
        print(f"{case}: {why}")
    print(f"{made} models written, {skipped} not loadable, {len(wrong)} wrong")
    return bool(wrong or not made)


sys.exit(main())
