"""Writes a network down as an ONNX model, in the habits of PyTorch's exporter: batch normalisation folded into the
convolution before it, numbers in Constant nodes, weights as initializers.

Weights are normal numbers of a seed, scaled by what a neuron reads, so that activations neither vanish nor explode over
a network's depth; what they answer means nothing. Shapes are for any batch: only the inputs and outputs name it.
"""
import zlib

import numpy as np
import onnx
from onnx import helper, numpy_helper

# What an activation keeps of its input's spread is made up for by the weights before it.
GAINS = {None: 1.0, "relu": 1.41, "relu6": 1.41, "silu": 1.58, "hardswish": 1.65, "sigmoid": 1.0, "hardsigmoid": 1.0}


class Net:
    def __init__(self, name, opset=17):
        self.name, self.opset = name, opset
        self.random = np.random.default_rng(zlib.crc32(name.encode()))
        self.nodes, self.weights, self.inputs, self.outputs = [], [], [], []
        self.channels = {}

    def input(self, name, *shape, dtype=np.float32):
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        self.channels[name] = shape[1]
        return name

    def output(self, value, name, *shape):
        """The last node's output gets the name that callers know."""
        self.nodes[-1].output[:] = [name if o == value else o for o in self.nodes[-1].output]
        self.outputs.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))

    def op(self, kind, *inputs, name=None, count=1, channels=None, **attributes):
        """Appends a node; gives its output's name, or the names of `count` outputs."""
        label = f"/{kind}_{len(self.nodes)}"
        names = [name or f"{label}_output_{k}" for k in range(count)]
        self.nodes.append(helper.make_node(kind, inputs, names, name=label, **attributes))
        for n in names:
            self.channels[n] = channels or self.channels.get(inputs[0] if inputs else "")
        return names[0] if count == 1 else names

    def constant(self, value, dtype=np.float32):
        return self.op("Constant", value=numpy_helper.from_array(np.array(value, dtype)))

    def weight(self, array):
        name = f"{self.name}.{len(self.weights)}.weight"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def normal(self, scale, *shape):
        return (scale * self.random.standard_normal(shape)).astype(np.float32)

    def activate(self, x, kind):
        if kind is None:
            return x
        if kind == "silu":
            return self.op("Mul", x, self.op("Sigmoid", x))
        if kind == "relu6":
            return self.op("Clip", x, self.constant(0.0), self.constant(6.0))
        if kind == "hardsigmoid":
            return self.op("HardSigmoid", x, alpha=1 / 6)
        return self.op({"relu": "Relu", "hardswish": "HardSwish", "sigmoid": "Sigmoid"}[kind], x)

    def conv(self, x, out, kernel, stride=1, groups=1, act=None, pads=None, axes=2, gain=1.0):
        """A convolution with its bias; `pads` as ONNX has them, `None` for half the kernel on each side."""
        read = self.channels[x] // groups
        scale = gain * GAINS[act] / np.sqrt(read * kernel**axes)
        y = self.op(
            "Conv",
            x,
            self.weight(self.normal(scale, out, read, *[kernel] * axes)),
            self.weight(self.normal(0.1, out)),
            channels=out,
            dilations=[1] * axes,
            group=groups,
            kernel_shape=[kernel] * axes,
            pads=pads or [kernel // 2] * 2 * axes,
            strides=[stride] * axes,
        )
        return self.activate(y, act)

    def linear(self, x, out, act=None, gain=1.0):
        read = self.channels[x]
        w, b = self.normal(gain * GAINS[act] / np.sqrt(read), out, read), self.normal(0.1, out)
        return self.activate(self.op("Gemm", x, self.weight(w), self.weight(b), channels=out, transB=1), act)

    def pooled(self, x):
        return self.op("Flatten", self.op("GlobalAveragePool", x), axis=1)

    def model(self):
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        onnx.checker.check_model(model)
        return model
