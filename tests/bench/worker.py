"""One engine, one model, in a process of its own: answers commands on stdin with JSON lines on stdout.

worker.py ENGINE MODEL THREADS CASE, CASE being a folder with input_K.pb and output_K.pb.
Commands: `run SECONDS` measures runs for that long; `quit`.
"""
import json
import os
import pathlib
import resource
import subprocess
import sys
import time

import numpy as np


def read_tensors(case, kind):
    import onnx
    from onnx import numpy_helper

    tensors = []
    for k in range(100):
        path = pathlib.Path(case, f"{kind}_{k}.pb")
        if not path.exists():
            break
        t = onnx.TensorProto()
        t.ParseFromString(path.read_bytes())
        tensors.append((t.name, numpy_helper.to_array(t)))
    return dict(tensors)


class Tenon:
    def __init__(self, model, threads):
        import tenon

        self.model = tenon.load(model, threads=threads)

    def bind(self, inputs):
        self.inputs = inputs

    def run(self):
        return self.model.run(self.inputs, copy=False)


class OnnxRuntime:
    def __init__(self, model, threads):
        import onnxruntime as ort

        o = ort.SessionOptions()
        o.intra_op_num_threads = threads
        o.inter_op_num_threads = 1
        o.log_severity_level = 3
        self.session = ort.InferenceSession(model, o, providers=["CPUExecutionProvider"])

    def bind(self, inputs):
        self.inputs = inputs

    def run(self):
        return self.session.run(None, self.inputs)


class OpenVino:
    def __init__(self, model, threads):
        import openvino as ov

        core = ov.Core()
        self.compiled = core.compile_model(
            model,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": threads,
                "INFERENCE_PRECISION_HINT": "f32",
                "NUM_STREAMS": 1,
            },
        )
        self.request = self.compiled.create_infer_request()

    def bind(self, inputs):
        import openvino as ov

        for name, array in inputs.items():
            self.request.set_tensor(name, ov.Tensor(np.ascontiguousarray(array)))

    def run(self):
        self.request.infer()


class Mnn:
    def __init__(self, model, threads):
        import MNN

        converted = model + ".mnn"
        if not os.path.exists(converted):
            tool = pathlib.Path(sys.executable).with_name("mnnconvert")
            subprocess.run(
                [tool, "-f", "ONNX", "--modelFile", model, "--MNNModel", converted, "--bizCode", "bench"],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self.mnn = MNN
        self.started = time.perf_counter()  # conversion is no part of loading
        self.interpreter = MNN.Interpreter(converted)
        self.session = self.interpreter.createSession({"backend": "CPU", "numThread": threads, "precision": "high"})

    def bind(self, inputs):
        mnn = self.mnn
        found = self.interpreter.getSessionInputAll(self.session)
        kinds = {"float32": mnn.Halide_Type_Float, "int32": mnn.Halide_Type_Int, "int64": mnn.Halide_Type_Int64}
        for name, array in inputs.items():
            if name not in found:
                continue
            self.interpreter.resizeTensor(found[name], tuple(array.shape))
        self.interpreter.resizeSession(self.session)
        for name, array in inputs.items():
            if name not in found:
                continue
            array = array.astype(np.int32) if array.dtype == np.int64 else array
            host = mnn.Tensor(tuple(array.shape), kinds[str(array.dtype)], array, mnn.Tensor_DimensionType_Caffe)
            found[name].copyFrom(host)

    def run(self):
        self.interpreter.runSession(self.session)

    def check(self, expected):
        """MNN says nothing of operators that it cannot run: its results do."""
        mnn = self.mnn
        for name, tensor in self.interpreter.getSessionOutputAll(self.session).items():
            host = mnn.Tensor(tensor.getShape(), mnn.Halide_Type_Float, mnn.Tensor_DimensionType_Caffe)
            tensor.copyToHostTensor(host)
            found = np.array(host.getData(), np.float32)
            want = expected[name].astype(np.float32).ravel()
            if found.size != want.size or np.abs(found - want).max() > 0.02 * max(np.abs(want).max(), 1e-3):
                sys.exit(f"{name} is wrong")


ENGINES = {"tenon": Tenon, "onnxruntime": OnnxRuntime, "openvino": OpenVino, "mnn": Mnn}


def peak_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    name, model, threads, case = sys.argv[1:5]
    inputs = read_tensors(case, "input")
    __import__({"mnn": "MNN"}.get(name, name))
    before = peak_memory()
    start = time.perf_counter()
    engine = ENGINES[name](model, int(threads))
    start = getattr(engine, "started", start)
    engine.bind(inputs)
    loaded = time.perf_counter()
    engine.run()
    first = time.perf_counter()
    if hasattr(engine, "check"):
        engine.check(read_tensors(case, "output"))
    print(json.dumps({"load": loaded - start, "first": first - loaded, "memory": peak_memory() - before}), flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] != "run":
            break
        times, end = [], time.perf_counter() + float(words[1])
        while time.perf_counter() < end or len(times) < 3:
            t = time.perf_counter_ns()
            engine.run()
            times.append(time.perf_counter_ns() - t)
        print(json.dumps({"times": times, "memory": peak_memory() - before}), flush=True)


main()
