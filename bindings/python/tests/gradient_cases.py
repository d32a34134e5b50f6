"""Operators whose gradients are compared with PyTorch's: name, shapes of the operands (all of them parts of one input, so that the
gradient is by weights too), what numbers they are, and the nodes between "a", "b"... and "y"."""
import zlib

import numpy as np


def one(op, *shapes, numbers="normal", constants=None, **attributes):
    letters = [c for c, _ in zip("abcdefgh", shapes)]
    return shapes, numbers, [(op, [*letters, *(constants or {})], ["y"], attributes)], constants or {}


def i64(*values):
    return np.array(values, np.int64)


UNARY = {op: one(op, (3, 4)) for op in (
    "Abs Asinh Atan Celu Cos Cosh Elu Erf Exp Gelu HardSigmoid HardSwish LeakyRelu Mish Neg Relu Selu Sigmoid Sin Sinh Softplus "
    "Softsign Tanh").split()}
UNARY.update({op: one(op, (3, 4), numbers="unit") for op in "Acos Asin Log Reciprocal Sqrt Tan".split()})
CASES = {
    **UNARY,
    "Acosh": one("Acosh", (3, 4), numbers="above"),
    "Swish": one("Swish", (3, 4)),
    "Add": one("Add", (2, 3, 4), (3, 1)),
    "Sub": one("Sub", (3, 1), (2, 3, 4)),
    "Mul": one("Mul", (2, 3, 4), (1, 4)),
    "Div": one("Div", (2, 3), (3,), numbers="unit"),
    "Pow": one("Pow", (2, 3), (3,), numbers="unit"),
    "Max": one("Max", (2, 3), (3,)),
    "Min": one("Min", (2, 3), (2, 1)),
    "PRelu": one("PRelu", (2, 3, 4), (3, 1)),
    "MatMul": one("MatMul", (2, 3, 4), (4, 5)),
    "Gemm": one("Gemm", (4, 3), (5, 4), (5,), transA=1, transB=1, alpha=0.5, beta=2.0),
    "Einsum": one("Einsum", (2, 3, 4), (2, 4, 5), equation="bij,bjk->bik"),
    "Conv": one("Conv", (1, 4, 7, 6), (6, 2, 3, 3), (6,), group=2, strides=[2, 1], pads=[1, 0, 1, 2], dilations=[1, 2]),
    "ConvDepthwise": one("Conv", (1, 4, 7, 6), (4, 1, 3, 3), (4,), group=4, pads=[1, 1, 1, 1]),
    "Conv1D": one("Conv", (2, 3, 12), (4, 3, 5), (4,), strides=[2], pads=[2, 2]),
    "ConvTranspose": one("ConvTranspose", (1, 3, 4, 5), (3, 2, 3, 3), (2,), strides=[2, 2], pads=[1, 1, 1, 1]),
    "MaxPool": one("MaxPool", (1, 2, 6, 7), kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 0]),
    "AveragePool": one("AveragePool", (1, 2, 6, 7), kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 0], count_include_pad=1),
    "GlobalAveragePool": one("GlobalAveragePool", (2, 3, 4, 5)),
    "GlobalMaxPool": one("GlobalMaxPool", (2, 3, 4, 5)),
    "BatchNormalization": one("BatchNormalization", (3, 4, 5), (4,), (4,),
                              constants={"mean": np.array([0.1, -0.2, 0.3, 0], np.float32),
                                         "var": np.array([1, 2, 0.5, 1.5], np.float32)}),
    "InstanceNormalization": one("InstanceNormalization", (2, 3, 8), (3,), (3,)),
    "LayerNormalization": one("LayerNormalization", (2, 3, 8), (8,), (8,), axis=-1),
    "GroupNormalization": one("GroupNormalization", (2, 4, 6), (4,), (4,), num_groups=2),
    "Softmax": one("Softmax", (3, 5), axis=-1),
    "LogSoftmax": one("LogSoftmax", (3, 5, 2), axis=1),
    "ReduceMean": one("ReduceMean", (2, 3, 4), constants={"axes": i64(1)}, keepdims=0),
    "ReduceSum": one("ReduceSum", (2, 3, 4), constants={"axes": i64(0, 2)}),
    "ReduceMax": one("ReduceMax", (2, 3, 4), constants={"axes": i64(2)}),
    "ReduceProd": one("ReduceProd", (2, 3), constants={"axes": i64(1)}),
    "ReduceLogSumExp": one("ReduceLogSumExp", (2, 3, 4), constants={"axes": i64(1)}),
    "ReduceSumSquare": one("ReduceSumSquare", (2, 3, 4), constants={"axes": i64(1)}),
    "Transpose": one("Transpose", (2, 3, 4), perm=[2, 0, 1]),
    "Concat": one("Concat", (2, 3), (2, 2), axis=1),
    "Slice": one("Slice", (4, 9), constants={"from": i64(1, 8), "to": i64(4, 0), "axes": i64(0, 1), "steps": i64(1, -3)}),
    "Pad": one("Pad", (3, 4), constants={"pads": i64(1, 0, 0, 2)}),
    "PadReflect": one("Pad", (3, 4), constants={"pads": i64(1, 0, 0, 2)}, mode="reflect"),
    "Gather": one("Gather", (5, 3), constants={"rows": i64(0, 2, 2, 4)}, axis=0),
    "GatherElements": one("GatherElements", (3, 4), constants={"at": np.array([[0, 3], [1, 1], [2, 0]], np.int64)}, axis=1),
    "Expand": one("Expand", (3, 1), constants={"shape": i64(2, 3, 4)}),
    "Tile": one("Tile", (2, 3), constants={"repeats": i64(2, 3)}),
    "CumSum": one("CumSum", (3, 4), constants={"axis": np.array(1, np.int64)}),
    "Clip": one("Clip", (3, 4), constants={"low": np.array(-0.5, np.float32), "high": np.array(0.7, np.float32)}),
    "DepthToSpace": one("DepthToSpace", (1, 8, 2, 3), blocksize=2, mode="CRD"),
    "Trilu": one("Trilu", (4, 5), upper=0),
    "Resize": ([(1, 2, 3, 4)], "normal", [("Resize", ["a", "", "", "to"], ["y"], {"mode": "linear"})], {"to": i64(1, 2, 5, 7)}),
    "ResizeCubic": ([(1, 2, 4, 3)], "normal", [("Resize", ["a", "", "", "to"], ["y"], {"mode": "cubic"})],
                    {"to": i64(1, 2, 6, 8)}),
    "ResizeNearest": ([(1, 2, 3, 4)], "normal", [("Resize", ["a", "", "", "to"], ["y"], {
        "mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"})], {"to": i64(1, 2, 6, 12)}),
    "ScatterElements": ([(4, 3), (2, 3)], "normal", [("ScatterElements", ["a", "at", "b"], ["y"], {"axis": 0})],
                        {"at": i64([0, 2, 1], [3, 1, 0])}),
    "ScatterElementsAdd": ([(4, 3), (2, 3)], "normal",
                           [("ScatterElements", ["a", "at", "b"], ["y"], {"axis": 0, "reduction": "add"})],
                           {"at": i64([0, 2, 1], [0, 1, 1])}),
    "ScatterND": ([(4, 3), (2, 3)], "normal", [("ScatterND", ["a", "at", "b"], ["y"], {})], {"at": i64([2], [0])}),
    "ScatterNDAdd": ([(4, 3), (3, 3)], "normal", [("ScatterND", ["a", "at", "b"], ["y"], {"reduction": "add"})],
                     {"at": i64([2], [0], [2])}),
    "TopK": ([(3, 6)], "normal", [("TopK", ["a", "k"], ["y", "places"], {"axis": 1})], {"k": i64(2)}),
    "GatherND": one("GatherND", (3, 4, 2), constants={"at": i64([0, 1], [2, 3], [0, 1])}),
    "LpNormalization": one("LpNormalization", (3, 5), axis=1, p=2),
    "LpNormalization1": one("LpNormalization", (3, 5), axis=0, p=1),
    "RMSNormalization": one("RMSNormalization", (2, 3, 8), (8,), axis=-1, epsilon=1e-5),
    "LSTM": ([(5, 2, 3), (1, 16, 3), (1, 16, 4), (1, 32)], "normal",
             [("LSTM", ["a", "b", "c", "d"], ["y"], {"hidden_size": 4})], {}),
    "GRU": ([(5, 2, 3), (1, 12, 3), (1, 12, 4), (1, 24)], "normal",
            [("GRU", ["a", "b", "c", "d"], ["y"], {"hidden_size": 4, "linear_before_reset": 1})], {}),
    "RNN": ([(5, 2, 3), (1, 4, 3), (1, 4, 4), (1, 8)], "normal",
            [("RNN", ["a", "b", "c", "d"], ["y"], {"hidden_size": 4})], {}),
}


def size(name):
    return sum(int(np.prod(shape)) for shape in CASES[name][0])


def numbers(name):
    """[1, size(name)] float32, always the same."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if CASES[name][1] == "normal":
        return (0.8 * random.normal(size=(1, size(name)))).astype(np.float32)
    return (random.uniform(0.2, 0.9, (1, size(name))) + (CASES[name][1] == "above")).astype(np.float32)


def factors(count):
    """Of the elements of y in the sum whose square's half is the loss."""
    return np.cos(1.7 * np.arange(count)).astype(np.float32)
