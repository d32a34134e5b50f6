"""int8 versions by ONNX Runtime's own tool, static QDQ: activations u8 by their extremes, weights s8 a channel each.

Calibration data are of a seed. What its users leave in float32 stays so here: in the transformer all but the matrix
products, in the detector the decoding of boxes behind the last convolutions.
"""
import pathlib
import sys
import tempfile

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quant_pre_process, quantize_static

sys.path.append(str(pathlib.Path(__file__).parents[2] / "models"))
import runtime

CALIBRATION = 8


class Inputs(CalibrationDataReader):
    def __init__(self, feeds):
        self.feeds = iter(feeds)

    def get_next(self):
        return next(self.feeds, None)


def float_nodes(graph):
    """What decodes boxes, behind the last convolution of a layer, in models that end with it."""
    if not any(n.op_type == "Resize" for n in graph.node):
        return []
    softmax = next(k for k, n in enumerate(graph.node) if n.op_type == "Softmax")
    convs = [k for k, n in enumerate(graph.node) if n.op_type == "Conv" and k < softmax]
    return [n.name for n in graph.node[convs[-1] + 1 :]]


def quantize(model, feeds):
    """The quantized model; `feeds` are the calibration's inputs."""
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, quantized = (f"{folder}/{n}.onnx" for n in ("plain", "prepared", "quantized"))
        onnx.save(model, plain)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        graph = onnx.load(prepared).graph
        quantize_static(
            prepared,
            quantized,
            Inputs(feeds),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=runtime.saturates(),  # or its own answers are wrong here
            op_types_to_quantize=["MatMul", "Gemm"] if any(n.op_type == "MatMul" for n in graph.node) else None,
            nodes_to_exclude=float_nodes(graph),
        )
        return onnx.load(quantized)


def with_batch(model, batch):
    """The same model for another batch: only inputs and outputs name it."""
    other = onnx.ModelProto()
    other.CopyFrom(model)
    del other.graph.value_info[:]
    for value in [*other.graph.input, *other.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = batch
    return other
