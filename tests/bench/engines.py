"""Tenon and its peers behind one small interface, each at its best for latency in float32.

    engine = ENGINES["mnn"](threads)       # what every model shares: environment, plugins; (1, 2): two sessions at once
    engine.load("model.onnx", inputs)      # from the file until it could run
    engine.run()                           # inputs and outputs are bound: nothing but the run itself
    engine.outputs()                       # {name: array} of the last run

A run is one call into the engine's own library with the smallest wrapper that there is, so that Python weighs the same
for all: Tenon and OpenVINO through ctypes on their C interfaces, ONNX Runtime through its I/O binding (which takes no
longer than its C interface does), MNN through its extension module. Shapes are fixed wherever an engine can use that.
"""
import ctypes
import glob
import importlib.metadata
import os
import pathlib
import subprocess
import sys
from ctypes import byref, c_char_p, c_int, c_int64, c_size_t, c_void_p

import numpy as np


class Tenon:
    def __init__(self, threads, sessions=1):
        import tenon
        from tenon import _library

        self.tenon, self.threads = tenon, threads
        self.call = ctypes.CDLL(_library.lib._name).tn_session_run
        self.call.argtypes = [c_void_p]

    def load(self, path, inputs):
        self.model = self.tenon.load(path)
        self.session = self.model.session(threads=self.threads)
        self.inputs = inputs
        self.session.prepare(inputs)
        self.pointer = c_void_p(self.session._pointer)

    def run(self):
        if self.call(self.pointer):
            raise RuntimeError(self.tenon._library.lib.tn_last_error().decode())

    def outputs(self):
        return self.session.run(self.inputs)

    def another(self):
        """One more engine on the same model, for a thread of its own."""
        other = Tenon(1)
        other.session, other.inputs = self.model.session(threads=1), self.inputs
        other.session.prepare(self.inputs)
        other.pointer = c_void_p(other.session._pointer)
        return other


class OnnxRuntime:
    def __init__(self, threads, sessions=1):
        import onnxruntime as ort

        self.ort = ort
        self.options = o = ort.SessionOptions()
        o.intra_op_num_threads = threads
        o.inter_op_num_threads = 1
        o.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        o.log_severity_level = 3

    def load(self, path, inputs):
        self.session = self.ort.InferenceSession(path, self.options, providers=["CPUExecutionProvider"])
        self.bind(inputs)

    def bind(self, inputs):
        self.binding, self.inputs = self.session.io_binding(), inputs
        known = {i.name for i in self.session.get_inputs()}
        for name, array in inputs.items():
            if name in known:
                self.binding.bind_ortvalue_input(name, self.ort.OrtValue.ortvalue_from_numpy(array))
        for o in self.session.get_outputs():
            self.binding.bind_output(o.name)
        self.call, self.arguments = self.session._sess.run_with_iobinding, (self.binding._iobinding, None)

    def run(self):
        self.results = self.call(*self.arguments)

    def settle(self):
        """Later runs write where the first one did: shapes are known now."""
        outputs, values = self.session.get_outputs(), self.binding.get_outputs()
        if any(len(o.shape) != len(v.shape()) for o, v in zip(outputs, values)):
            # Where a file states another rank than an output has, only the plain call is let through.
            self.call, self.arguments = self.session._sess.run, ([o.name for o in outputs], self.inputs, None)
            return self.run()
        for o, value in zip(outputs, values):
            self.binding.bind_ortvalue_output(o.name, value)

    def outputs(self):
        names = [o.name for o in self.session.get_outputs()]
        return dict(zip(names, self.results or self.binding.copy_outputs_to_cpu()))

    def another(self):
        """A session may be run by any number of threads at once."""
        other = OnnxRuntime(1)
        other.session = self.session
        other.bind(self.inputs)
        other.run()
        other.settle()
        return other


class OpenVino:
    TYPES = ["bool", None, "float16", "float32", "float64", None, "int8", "int16", "int32", "int64", None, None, None]
    TYPES += [None, None, "uint8", "uint16", "uint32", "uint64"]

    class Shape(ctypes.Structure):
        _fields_ = [("rank", c_int64), ("dims", ctypes.POINTER(c_int64))]

    class PartialShape(ctypes.Structure):
        _fields_ = [("low", c_int64), ("high", c_int64), ("dims", c_void_p)]

    def __init__(self, threads, sessions=1):
        import openvino

        self.lib = ctypes.CDLL(glob.glob(openvino.__path__[0] + "/libs/libopenvino_c.so*")[0])
        self.lib.ov_infer_request_infer.argtypes = [c_void_p]
        self.lib.ov_get_last_err_msg.restype = c_char_p
        self.core = c_void_p()
        self.do("ov_core_create", byref(self.core))
        self.options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": str(threads * sessions),
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": str(sessions),
        }

    def do(self, name, *arguments):
        if getattr(self.lib, name)(*arguments):
            raise RuntimeError(f"{name}: {self.lib.ov_get_last_err_msg()}")

    def load(self, path, inputs):
        model, self.compiled = c_void_p(), c_void_p()
        self.do("ov_core_read_model", self.core, c_char_p(os.fsencode(path)), None, byref(model))
        names = (c_char_p * len(inputs))(*[name.encode() for name in inputs])
        shapes = (self.PartialShape * len(inputs))()
        for shape, array in zip(shapes, inputs.values()):
            dims = (c_int64 * array.ndim)(*array.shape)
            self.do("ov_partial_shape_create_static", c_int64(array.ndim), dims, byref(shape))
        # Where the graph computes shapes of its own that a fixed one contradicts, it stays as it is.
        self.lib.ov_model_reshape(model, names, shapes, c_size_t(len(inputs)))
        words = [c_char_p(w.encode()) for pair in self.options.items() for w in pair]
        count = c_size_t(len(words))
        self.do("ov_core_compile_model", self.core, model, c_char_p(b"CPU"), count, byref(self.compiled), *words)
        self.lib.ov_model_free(model)
        self.bind(inputs)

    def bind(self, inputs):
        self.request, self.inputs = c_void_p(), inputs
        self.do("ov_compiled_model_create_infer_request", self.compiled, byref(self.request))
        for name, array in inputs.items():
            try:
                self.set_tensor(name, array)
            except RuntimeError:  # a scalar where the file states a list of one
                self.set_tensor(name, array.reshape(1))
        self.call = self.lib.ov_infer_request_infer

    def set_tensor(self, name, array):
        tensor, kind = c_void_p(), self.TYPES.index(str(array.dtype)) + 1
        shape = self.Shape(array.ndim, (c_int64 * array.ndim)(*array.shape))
        pointer = c_void_p(array.ctypes.data)
        self.do("ov_tensor_create_from_host_ptr", c_int(kind), shape, pointer, byref(tensor))
        self.do("ov_infer_request_set_tensor", self.request, c_char_p(name.encode()), tensor)

    def run(self):
        if self.call(self.request):
            raise RuntimeError(f"{self.lib.ov_get_last_err_msg()}")

    def outputs(self):
        """By place: {0: array, ...}."""
        count, found = c_size_t(), {}
        self.do("ov_compiled_model_outputs_size", self.compiled, byref(count))
        for k in range(count.value):
            tensor, data, shape, kind = c_void_p(), c_void_p(), self.Shape(), c_int()
            self.do("ov_infer_request_get_output_tensor_by_index", self.request, c_size_t(k), byref(tensor))
            self.do("ov_tensor_data", tensor, byref(data))
            self.do("ov_tensor_get_shape", tensor, byref(shape))
            self.do("ov_tensor_get_element_type", tensor, byref(kind))
            dims, dtype = shape.dims[: shape.rank], np.dtype(self.TYPES[kind.value - 1])
            size = int(np.prod(dims)) * dtype.itemsize
            found[k] = np.frombuffer(ctypes.string_at(data, size), dtype).reshape(dims)
        return found

    def another(self):
        other = OpenVino.__new__(OpenVino)
        other.lib, other.compiled = self.lib, self.compiled
        other.bind(self.inputs)
        return other


class Mnn:
    KINDS = {"float32": "Float", "int32": "Int", "int64": "Int64", "uint8": "Uint8"}

    def __init__(self, threads, sessions=1):
        import MNN

        self.mnn, self.threads = MNN, threads

    @staticmethod
    def converted(path):
        """The model in MNN's own format, made once, beside the file. None: it cannot be."""
        path = os.path.abspath(path)
        made = pathlib.Path(path + ".mnn")
        if not made.exists():
            # The converter itself: the command around it installs packages and reports to its makers.
            program, part = "import sys, _tools; _tools.mnnconvert(sys.argv)", path + ".mnn.part"
            words = ["-f", "ONNX", "--modelFile", path, "--MNNModel", part, "--bizCode", "bench", "--useOriginRNNImpl"]
            try:
                words = [sys.executable, "-c", program, *words]
                where = os.path.dirname(path)  # it leaves a file of its own where it runs
                done = subprocess.run(words, capture_output=True, timeout=300, cwd=where).returncode == 0
            except subprocess.TimeoutExpired:
                done = False
            if done and os.path.exists(part):
                os.replace(part, made)
            else:
                made.write_bytes(b"")  # so that it is not tried again
        return str(made) if made.stat().st_size else None

    def load(self, path, inputs):
        self.interpreter = self.mnn.Interpreter(self.converted(path))
        self.session_of(inputs)

    def session_of(self, inputs):
        mnn, self.inputs, self.feeds = self.mnn, inputs, []
        options = {"backend": "CPU", "numThread": self.threads, "precision": "high"}
        self.session = self.interpreter.createSession(options)
        found = self.interpreter.getSessionInputAll(self.session)
        inputs = {name: array for name, array in inputs.items() if name in found}
        for name, array in inputs.items():
            self.interpreter.resizeTensor(found[name], tuple(array.shape))
        self.interpreter.resizeSession(self.session)
        for name, array in inputs.items():
            array = array.astype(np.int32) if array.dtype in (np.int64, bool) else array
            kind = getattr(mnn, "Halide_Type_" + self.KINDS[str(array.dtype)])
            host = mnn.Tensor(tuple(array.shape), kind, array, mnn.Tensor_DimensionType_Caffe)
            self.feeds.append((found[name].copyFrom, host))

    def run(self):
        """Inputs are put in anew: a run writes over them, and they are laid out for the kernels here, not inside."""
        for copy, host in self.feeds:
            copy(host)
        self.interpreter.runSession(self.session)

    def outputs(self):
        mnn, found = self.mnn, {}
        for name, tensor in self.interpreter.getSessionOutputAll(self.session).items():
            host = mnn.Tensor(tensor.getShape(), mnn.Halide_Type_Float, mnn.Tensor_DimensionType_Caffe)
            tensor.copyToHostTensor(host)
            found[name] = np.array(host.getData(), np.float32).reshape(tensor.getShape())
        return found

    def another(self):
        other = Mnn(1)
        other.interpreter = self.interpreter
        other.session_of(self.inputs)
        return other


ENGINES = {"tenon": Tenon, "onnxruntime": OnnxRuntime, "openvino": OpenVino, "mnn": Mnn}
TITLES = {"tenon": "Tenon", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "mnn": "MNN"}


def right(outputs, expected, tolerance):
    """Engines that cannot run an operator do not all say so: their results do."""
    for k, (name, want) in enumerate(expected.items()):
        found = outputs.get(name, outputs.get(k))
        if want.dtype.kind != "f" or found is None:
            continue
        if found.size != want.size:
            return False
        far = np.abs(found.astype(np.float32).ravel() - want.astype(np.float32).ravel())
        if (far > tolerance * max(np.abs(want).max(), 1e-3)).mean() > 0.001:
            return False
    return any(name in outputs or k in outputs for k, name in enumerate(expected))


def version(name):
    if name == "tenon":
        import tenon

        return tenon.__version__
    return importlib.metadata.version(name)
