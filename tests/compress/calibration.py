#!/usr/bin/env python3
"""Ranges as tenon compress chooses them, beside ONNX Runtime's calibrators and NumPy, on the same model and data.

    calibration.py COMMAND FOLDER

FOLDER has digits.onnx and train.npz, as compare.py leaves them. min-max is to be ONNX Runtime's; the moving average and the
percentile what NumPy makes of all values that there were; mse no worse than the best of a fine grid; entropy within what there
was."""
import contextlib
import pathlib
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader
from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

command, folder = sys.argv[1], pathlib.Path(sys.argv[2])
source, data = folder / "digits.onnx", folder / "train.npz"
BATCH = 32
pictures = np.load(data)["pixels"]
feeds = [{"pixels": pictures[i:i + BATCH]} for i in range(0, len(pictures) // BATCH * BATCH, BATCH)]


class Reader(CalibrationDataReader):
    def __init__(self):
        self.feeds = iter(feeds)

    def get_next(self):
        return next(self.feeds, None)


def ranges(*options):
    """Scale and zero point of each value that tenon compress quantized."""
    target = folder / "ranges.onnx"
    subprocess.run([command, "compress", source, target, "--quiet", f"--data={data}", *options], check=True, capture_output=True)
    graph = onnx.load(target).graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    return {n.input[0]: (float(constants[n.input[1]]), int(constants[n.input[2]]))
            for n in graph.node if n.op_type == "QuantizeLinear"}


def scales(*options):
    return {name: scale for name, (scale, _) in ranges(*options).items()}


def theirs(names, method, **options):
    model = folder / "calibrated.onnx"
    calibrator = create_calibrator(str(source), None, str(model), method, extra_options=options)
    calibrator.set_execution_providers(["CPUExecutionProvider"])
    with contextlib.redirect_stdout(None):
        calibrator.collect_data(Reader())
        ranges = calibrator.compute_data()
    return {n: tuple(float(np.squeeze(x)) for x in ranges[n].range_value) for n in names}


def scale_of(low, high):
    return (max(high, 0) - min(low, 0)) / 255


def values_of(names):
    model = onnx.load(source)
    known = {i.name for i in model.graph.input} | {o.name for o in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in known)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = [n for n in names if n != "pixels"]
    runs = [dict(zip(wanted, session.run(wanted, feed)), **feed) for feed in feeds]
    return {n: [r[n].astype(np.float64).ravel() for r in runs] for n in names}


def squared_error(x, low, high):
    scale = scale_of(low, high)
    zero = round(-min(low, 0) / scale)
    return float(((np.clip(np.rint(x / scale), -zero, 255 - zero) * scale - x) ** 2).sum())


def check(name, found, wanted, tolerance):
    if abs(found - wanted) > tolerance * wanted:
        sys.exit(f"{name}: the scale is {found}, expected {wanted} within {tolerance:g} of it")


found = scales()
# An output's own name is now that of what is dequantized; a value that is another one's elements moved has its scale.
known = {o: n.op_type for n in onnx.load(source).graph.node for o in n.output}
names = ["pixels"] + [n for n in found if known.get(n) in ("Conv", "Relu", "Gemm")]
assert len(names) >= 3, (names, known, found)
values = values_of(names)
for n, (low, high) in theirs(names, CalibrationMethod.MinMax).items():
    check(f"min-max of {n}", found[n], scale_of(low, high), 1e-5)
average = scales("--calibration=moving-average")
for n in names:
    low, high = values[n][0].min(), values[n][0].max()
    for x in values[n][1:]:
        low, high = low + 0.01 * (x.min() - low), high + 0.01 * (x.max() - high)
    check(f"moving average of {n}", average[n], scale_of(low, high), 1e-5)
others = theirs(names, CalibrationMethod.Percentile, num_bins=2048, percentile=99.999)
for part in (99.9, 99.999):
    percentile = scales("--calibration=percentile", f"--percentile={part}")
    for n in names:
        x = np.concatenate(values[n])
        ends = np.percentile(x, [(100 - part) / 2, 50 + part / 2])
        check(f"percentile {part} of {n}", percentile[n], scale_of(*ends), 0.02)
        if part == 99.999:
            print(f"percentile {part} of {n}: {percentile[n]:.6f}, NumPy {scale_of(*ends):.6f}, ONNX Runtime {scale_of(*others[n]):.6f}")
error, entropy = ranges("--calibration=mse"), scales("--calibration=entropy")
for n in names:
    x = np.concatenate(values[n])
    low, high = min(x.min(), 0), max(x.max(), 0)
    grid = min((squared_error(x, low * a, high * b), scale_of(low * a, high * b))
               for a in np.linspace(0.4, 1, 13) for b in np.linspace(0.4, 1, 13))
    scale, zero = error[n]
    mine = squared_error(x, -zero * scale, (255 - zero) * scale)
    if mine > grid[0] * 1.05:
        sys.exit(f"mse of {n}: an error of {mine}, where {grid[0]} is possible")
    print(f"of {n}: min-max {found[n]:.6f}, mse {scale:.6f} (grid {grid[1]:.6f}), entropy {entropy[n]:.6f}")
    if not 0.2 < entropy[n] / found[n] <= 1.001:
        sys.exit(f"entropy of {n}: a scale of {entropy[n]} beside {found[n]}")
