"""The passes of tenon/weights.h through ctypes, on ONNX models: each gives the model that the pass leaves, checked by
onnx.checker, and the report."""
import ctypes
import pathlib
import tempfile
from ctypes import byref, c_bool, c_char_p, c_double, c_int, c_int64, c_size_t, c_void_p

import numpy as np
import onnx
import onnxruntime

import tenon
from tenon import _library, _tensor

lib = _library.lib


class Options(ctypes.Structure):
    """Options begin with their size; text is encoded."""

    def __init__(self, **fields):
        super().__init__(ctypes.sizeof(self), **{k: v.encode() if isinstance(v, str) else v for k, v in fields.items()})


class Report(Options):
    _fields_ = [("struct_size", c_size_t), ("layers", c_int), ("bytes_before", c_int64), ("bytes_after", c_int64)]
    _fields_ += [("error", c_double), ("elements", c_int64), ("zeros", c_int64)]


class Half(Options):
    _fields_ = [("struct_size", c_size_t), ("dtype", c_int), ("keep", c_char_p), ("half_io", c_bool)]


class WeightOnly(Options):
    _fields_ = [("struct_size", c_size_t), ("bits", c_int), ("block", c_int), ("symmetric", c_bool)]
    _fields_ += [("embeddings", c_bool), ("method", c_int), ("keep", c_char_p), ("samples", c_void_p), ("sample_count", c_size_t)]
    _fields_ += [("embedding_bits", c_int), ("damping", c_double), ("awq", c_bool)]


class Cluster(Options):
    _fields_ = [("struct_size", c_size_t), ("bits", c_int), ("linear", c_bool), ("seed", ctypes.c_uint64)]
    _fields_ += [("keep", c_char_p), ("group", c_int)]


class LowRank(Options):
    _fields_ = [("struct_size", c_size_t), ("energy", c_double), ("rank", c_int), ("keep", c_char_p)]


class Prune(Options):
    _fields_ = [("struct_size", c_size_t), ("pattern", c_int), ("criterion", c_int), ("sparsity", c_double)]
    _fields_ += [("global_", c_bool), ("kept", c_int), ("of", c_int), ("block_rows", c_int), ("block_columns", c_int)]
    _fields_ += [("keep", c_char_p), ("samples", c_void_p), ("sample_count", c_size_t), ("damping", c_double)]


class PruneChannels(Options):
    _fields_ = [("struct_size", c_size_t), ("sparsity", c_double), ("multiple", c_int), ("global_", c_bool)]
    _fields_ += [("keep", c_char_p)]


class PruneHeads(Options):
    STAYS = ctypes.CFUNCTYPE(None, c_void_p, c_char_p, c_char_p)
    _fields_ = [("struct_size", c_size_t), ("sparsity", c_double), ("global_", c_bool), ("keep", c_char_p)]
    _fields_ += [("samples", c_void_p), ("sample_count", c_size_t), ("stays", STAYS), ("context", c_void_p)]


class PruneLayers(Options):
    _fields_ = [("struct_size", c_size_t), ("count", c_int), ("max_error", c_double), ("keep", c_char_p)]
    _fields_ += [("samples", c_void_p), ("sample_count", c_size_t)]


PASSES = {"tn_graph_to_half": Half, "tn_graph_quantize_weights": WeightOnly, "tn_graph_cluster": Cluster}
PASSES |= {"tn_graph_low_rank": LowRank, "tn_graph_prune": Prune, "tn_graph_prune_channels": PruneChannels}
PASSES |= {"tn_graph_prune_heads": PruneHeads, "tn_graph_prune_layers": PruneLayers}
folder = tempfile.TemporaryDirectory()


def graph_of(model):
    path = f"{folder.name}/in.onnx"
    onnx.save(model, path)
    handle = c_void_p()
    lib.tn_graph_load(path.encode(), None, byref(handle))
    return handle


def load_graph(path):
    handle = c_void_p()
    lib.tn_graph_load(str(path).encode(), None, byref(handle))
    return handle


def model_of(graph, path=None):
    """The graph as an ONNX model that the checker likes."""
    path = path or f"{folder.name}/out.onnx"
    lib.tn_graph_save_onnx(graph, str(path).encode(), None)
    onnx.checker.check_model(str(path))
    return onnx.load(path)


def samples_of(runs):
    """tn_tensor pointers for options.samples: runs[r][i] is input i of run r; what is returned keeps them."""
    arrays = [np.ascontiguousarray(x) for run in runs for x in run]
    handles = [_tensor.wrap(x, onnx.helper.np_dtype_to_tensor_dtype(x.dtype)) for x in arrays]
    values = [h.pointer for h in handles]
    return (c_void_p * len(values))(*values), (arrays, handles)


def call(graph, name, options):
    report = Report()
    function = getattr(lib, name)
    function.restype, function.argtypes = c_int, (c_void_p, c_void_p, c_void_p)
    must(function(graph, byref(options), byref(report)))
    return report


def must(status):
    if status:
        raise _library.error(status)


def refused(model, name, words, **fields):
    try:
        apply(model, name, **fields)
    except tenon.Error as error:
        assert words in str(error), str(error)
    else:
        raise AssertionError((name, fields))


def sensitivity(model, samples, sparsities):
    """(layer, sparsity, error) of each."""
    seen = []
    see = ctypes.CFUNCTYPE(None, c_void_p, c_char_p, c_double, c_double)(
        lambda _, layer, sparsity, error: seen.append((layer.decode(), sparsity, error)))
    array, kept = samples_of(samples)
    options = Prune(samples=ctypes.cast(array, c_void_p), sample_count=len(samples))
    graph = graph_of(model)
    shares = (c_double * len(sparsities))(*sparsities)
    must(lib.tn_prune_sensitivity(graph, byref(options), shares, len(sparsities), see, None))
    lib.tn_graph_destroy(graph)
    return seen


def apply(model, name, samples=None, **fields):
    """The model after one pass, and the report. model: ModelProto or a path."""
    kept = None
    if samples is not None:
        fields["samples"], kept = samples_of(samples)
        fields["sample_count"] = len(samples)
        fields["samples"] = ctypes.cast(fields["samples"], c_void_p)
    options = PASSES[name](**fields)
    graph = graph_of(model) if isinstance(model, onnx.ModelProto) else load_graph(model)
    try:
        report = call(graph, name, options)
        return model_of(graph), report
    finally:
        del kept
        lib.tn_graph_destroy(graph)


def run_ort(model, feed):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feed)


def run_tenon(model, feed):
    path = pathlib.Path(folder.name) / "run.onnx"
    onnx.save(model, path)
    results = tenon.load(path).run(feed)
    return [results[o.name] for o in model.graph.output]


def distance(a, b):
    """Relative, in the Euclidean norm."""
    a, b = (np.asarray(x, np.float64).ravel() for x in (a, b))
    return float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30))
