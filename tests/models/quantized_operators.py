"""Writes test cases of ONNX Runtime's own operators on 8-bit integers (com.microsoft), with what it makes of them.

Sums and products get all pairs of bytes, and scales at which many results lie halfway between two steps, so that rounding
shows. build/models/cases/operators/test_<operator>_<form>, in the layout of ONNX's own tests.
"""
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import runtime

ROOT = pathlib.Path("build/models/cases/operators")
TYPES = {np.uint8: TensorProto.UINT8, np.int8: TensorProto.INT8, np.float32: TensorProto.FLOAT, np.bool_: TensorProto.BOOL}
random = np.random.default_rng(17)


def scales(count, draw):
    """Random ones, or simple fractions of one another."""
    if draw % 2:
        return [np.float32(x) for x in random.uniform(0.01, 0.1, count)]
    unit = random.uniform(0.01, 0.1)
    return [np.float32(unit * x) for x in random.choice([0.5, 1, 2, 4], count)]


def zero(dtype):
    info = np.iinfo(dtype)
    return dtype(random.integers(info.min, info.max + 1))


def values(dtype, *shape):
    info = np.iinfo(dtype)
    return random.integers(info.min, info.max + 1, shape).astype(dtype)


def write(operator, form, draws, make, **attributes):
    folder = ROOT / f"test_{operator}_{form}"
    for draw in range(draws):
        arrays = [np.asarray(a) for a in make(draw)]
        names = [f"x{i}" for i in range(len(arrays))]
        if draw == 0:
            node = helper.make_node(operator, names, ["y"], domain="com.microsoft", **attributes)
            kinds = [TYPES[a.dtype.type] for a in arrays]
            inputs = [helper.make_tensor_value_info(n, t, [None] * a.ndim) for n, t, a in zip(names, kinds, arrays)]
            byte = next(t for t in kinds if t in (TensorProto.UINT8, TensorProto.INT8))
            graph = helper.make_graph([node], operator, inputs, [helper.make_tensor_value_info("y", byte, None)])
            opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
            folder.mkdir(parents=True, exist_ok=True)
            onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), folder / "model.onnx")
            session = runtime.session(folder / "model.onnx")
        data = folder / f"test_data_set_{draw}"
        data.mkdir(exist_ok=True)
        for i, a in enumerate(arrays):
            (data / f"input_{i}.pb").write_bytes(numpy_helper.from_array(a, names[i]).SerializeToString())
        y = session.run(None, dict(zip(names, arrays)))[0]
        (data / "output_0.pb").write_bytes(numpy_helper.from_array(y, "y").SerializeToString())


def binary(dtype, a, b):
    def make(draw):
        s = scales(3, draw)
        return [a, s[0], zero(dtype), b, s[1], zero(dtype), s[2], zero(dtype)]

    return make


def unary(dtype, *shape):
    def make(draw):
        s = scales(2, draw)
        return [values(dtype, *shape), s[0], zero(dtype), s[1], zero(dtype)]

    return make


for dtype in (np.uint8, np.int8):
    kind = dtype.__name__
    line = np.arange(256).astype(np.uint8).view(dtype)
    for operator in ("QLinearAdd", "QLinearMul"):
        write(operator, f"{kind}_pairs", 20, binary(dtype, np.repeat(line, 256), np.tile(line, 256)))
        write(operator, f"{kind}_scalar_a", 10, binary(dtype, line[77:78], line))
        write(operator, f"{kind}_scalar_b", 10, binary(dtype, line, line[99:100]))
        write(operator, f"{kind}_channels", 4, binary(dtype, values(dtype, 2, 7, 5, 5), values(dtype, 2, 7, 1, 1)))
    for last in (0, 1):
        shape = (2, 6, 7, 70) if last else (2, 70, 6, 7)
        form = f"{kind}_{'last' if last else 'first'}"
        write("QLinearGlobalAveragePool", form, 10, unary(dtype, *shape), channels_last=last)
        for count_pad in (0, 1):
            write("QLinearAveragePool", f"{form}_{count_pad}", 6, unary(dtype, *shape), channels_last=last, strides=[2, 1],
                  kernel_shape=[3, 2], pads=[1, 0, 1, 1], count_include_pad=count_pad)
    write("QLinearLeakyRelu", kind, 6, unary(dtype, 300), alpha=0.125)
    write("QLinearConcat", kind, 4, lambda draw: [s := scales(3, draw), [s[0], zero(dtype), values(dtype, 2, 3), s[1],
          zero(dtype), values(dtype, 2, 5), s[2], zero(dtype)]][1], axis=1)
