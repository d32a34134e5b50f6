"""Sessions of ONNX Runtime that say what is right: one thread, quiet, and exact in integers where that can be had.

On x86-64 without VNNI its products of unsigned by signed bytes add pairs in 16 bits, which saturate. Its optimizer takes
that away for weights that are constant if `session.x64quantprecision` asks for it, but not from all models. Elsewhere
weights of 7 bits are never too large.
"""
import functools

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper


def session(model, exact=True, optimize=True):
    """`model` is a path or the bytes of a model; not `exact`, it is as fast as users have it."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"])


@functools.cache
def saturates():
    """Whether a product of large unsigned and signed bytes is wrong on this machine."""
    a, b = np.full((1, 64), 255, np.uint8), np.full((64, 16), 127, np.int8)
    values = [helper.make_tensor_value_info("a", TensorProto.UINT8, a.shape), helper.make_tensor_value_info("b", TensorProto.INT8, b.shape)]
    y = helper.make_tensor_value_info("y", TensorProto.INT32, [1, 16])
    graph = helper.make_graph([helper.make_node("MatMulInteger", ["a", "b"], ["y"])], "probe", values, [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    return bool((session(model).run(None, {"a": a, "b": b})[0] != 64 * 255 * 127).any())
