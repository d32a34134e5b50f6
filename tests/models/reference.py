"""Writes what ONNX Runtime makes of recorded inputs, and how long it takes.

In the folder that is given: test_<model>/model.onnx, test_data_set_N/input_K.pb; the outputs come beside the inputs as
output_K.pb; test_<model>/milliseconds is the median latency of set 0 on one thread, and test_<model>/tolerance says how
far others may be from it, for models of low precision.
"""
import pathlib
import statistics
import sys
import time

import onnx
from onnx import numpy_helper

import runtime
import tolerance


def load(path):
    return numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))


def measure(session, feed):
    times, start = [], time.perf_counter()
    while len(times) < 51 and (len(times) < 5 or time.perf_counter() - start < 0.5):
        before = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - before)
    return 1e3 * statistics.median(times)


for folder in sorted(pathlib.Path(sys.argv[1]).glob("test_*")):
    tolerance.write(folder)
    session = runtime.session(folder / "model.onnx")
    fast = runtime.session(folder / "model.onnx", exact=False)
    for data in folder.glob("test_data_set_*"):
        feed = {x.name: load(data / f"input_{k}.pb") for k, x in enumerate(session.get_inputs())}
        for k, (x, array) in enumerate(zip(session.get_outputs(), session.run(None, feed))):
            (data / f"output_{k}.pb").write_bytes(numpy_helper.from_array(array, x.name).SerializeToString())
        if data.name == "test_data_set_0":
            (folder / "milliseconds").write_text(f"{measure(fast, feed):.4f}\n")
