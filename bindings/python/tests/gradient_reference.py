#!/usr/bin/env python3
"""Writes gradient_reference.json: PyTorch's gradients of gradient_cases.py, for test_gradients.py.

    python3 gradient_reference.py > gradient_reference.json

PyTorch is needed to write the file anew, and for nothing else."""
import json

import numpy as np
import torch
import torch.nn.functional as F

import gradient_cases as cases

torch.set_default_dtype(torch.float64)


def slices(a):
    return a[1:4][:, torch.tensor([8, 5, 2])]


def reordered(w, order, hidden):
    """Gates in PyTorch's order."""
    return torch.cat([w[hidden * i:hidden * (i + 1)] for i in order])


def recurrent(kind, order):
    def run(x, w, r, b):
        h, gates = r.shape[2], len(order)
        parts = [reordered(t, order, h) for t in (w[0], r[0], b[0, :gates * h], b[0, gates * h:])]
        net = kind(x.shape[2], h)
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        out, _ = torch.func.functional_call(net, dict(zip(names, parts)), (x,))
        return out
    return run


def pad_conv(x, w, b):
    return F.conv2d(F.pad(x, (0, 2, 1, 1)), w, b, stride=(2, 1), dilation=(1, 2), groups=2)


FUNCTIONS = {
    "Abs": torch.abs, "Acos": torch.acos, "Acosh": torch.acosh, "Asin": torch.asin, "Asinh": torch.asinh, "Atan": torch.atan,
    "Celu": F.celu, "Cos": torch.cos, "Cosh": torch.cosh, "Elu": F.elu, "Erf": torch.erf, "Exp": torch.exp, "Gelu": F.gelu,
    "HardSigmoid": lambda a: torch.clamp(0.2 * a + 0.5, 0, 1), "HardSwish": F.hardswish, "Log": torch.log,
    "LeakyRelu": F.leaky_relu, "Mish": F.mish, "Neg": torch.neg, "Reciprocal": torch.reciprocal, "Relu": F.relu, "Selu": F.selu,
    "Sigmoid": torch.sigmoid, "Sin": torch.sin, "Sinh": torch.sinh, "Softplus": F.softplus, "Softsign": F.softsign,
    "Sqrt": torch.sqrt, "Swish": F.silu, "Tan": torch.tan, "Tanh": torch.tanh,
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": torch.div, "Pow": torch.pow, "Max": torch.maximum,
    "Min": torch.minimum, "PRelu": lambda a, b: torch.where(a < 0, a * b, a),
    "MatMul": torch.matmul, "Gemm": lambda a, b, c: 0.5 * a.T @ b.T + 2 * c,
    "Einsum": lambda a, b: torch.einsum("bij,bjk->bik", a, b),
    "Conv": pad_conv, "ConvDepthwise": lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=4),
    "Conv1D": lambda x, w, b: F.conv1d(x, w, b, stride=2, padding=2),
    "ConvTranspose": lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2, padding=1),
    "MaxPool": lambda x: F.max_pool2d(x, (3, 2), (2, 2), (1, 0)),
    "AveragePool": lambda x: F.avg_pool2d(x, (3, 2), (2, 1), (1, 0)),
    "GlobalAveragePool": lambda x: x.mean((2, 3), keepdim=True), "GlobalMaxPool": lambda x: x.amax((2, 3), keepdim=True),
    "BatchNormalization": lambda x, s, b: F.batch_norm(
        x, torch.tensor([np.float32(v) for v in (0.1, -0.2, 0.3, 0)]).double(), torch.tensor([1, 2, 0.5, 1.5]), s, b),
    "InstanceNormalization": lambda x, s, b: F.instance_norm(x, weight=s, bias=b),
    "LayerNormalization": lambda x, s, b: F.layer_norm(x, (8,), s, b),
    "GroupNormalization": lambda x, s, b: F.group_norm(x, 2, s, b),
    "Softmax": lambda a: F.softmax(a, -1), "LogSoftmax": lambda a: F.log_softmax(a, 1),
    "ReduceMean": lambda a: a.mean(1), "ReduceSum": lambda a: a.sum((0, 2), keepdim=True),
    "ReduceMax": lambda a: a.amax(2, keepdim=True), "ReduceProd": lambda a: a.prod(1, keepdim=True),
    "ReduceLogSumExp": lambda a: a.logsumexp(1, keepdim=True), "ReduceSumSquare": lambda a: (a * a).sum(1, keepdim=True),
    "Transpose": lambda a: a.permute(2, 0, 1), "Concat": lambda a, b: torch.cat([a, b], 1), "Slice": slices,
    "Pad": lambda a: F.pad(a, (0, 2, 1, 0)), "PadReflect": lambda a: F.pad(a[None], (0, 2, 1, 0), mode="reflect"),
    "Gather": lambda a: a[torch.tensor([0, 2, 2, 4])],
    "GatherElements": lambda a: a.gather(1, torch.tensor([[0, 3], [1, 1], [2, 0]])),
    "Expand": lambda a: a.expand(2, 3, 4), "Tile": lambda a: a.repeat(2, 3), "CumSum": lambda a: a.cumsum(1),
    "Clip": lambda a: a.clamp(np.float32(-0.5), np.float32(0.7)), "DepthToSpace": lambda a: F.pixel_shuffle(a, 2),
    "Trilu": torch.tril,
    "Resize": lambda a: F.interpolate(a, (5, 7), mode="bilinear"),
    "ResizeCubic": lambda a: F.interpolate(a, (6, 8), mode="bicubic"),
    "ResizeNearest": lambda a: F.interpolate(a, (6, 12)),
    "ScatterElements": lambda a, b: a.scatter(0, torch.tensor([[0, 2, 1], [3, 1, 0]]), b),
    "ScatterElementsAdd": lambda a, b: a.scatter_add(0, torch.tensor([[0, 2, 1], [0, 1, 1]]), b),
    "ScatterND": lambda a, b: a.index_put((torch.tensor([2, 0]),), b),
    "ScatterNDAdd": lambda a, b: a.index_put((torch.tensor([2, 0, 2]),), b, accumulate=True),
    "TopK": lambda a: a.topk(2).values, "GatherND": lambda a: a[torch.tensor([0, 2, 0]), torch.tensor([1, 3, 1])],
    "LpNormalization": lambda a: F.normalize(a, p=2, dim=1), "LpNormalization1": lambda a: F.normalize(a, p=1, dim=0),
    "RMSNormalization": lambda x, s: F.rms_norm(x, (8,), s, eps=1e-5),
    "LSTM": recurrent(torch.nn.LSTM, (0, 2, 3, 1)), "GRU": recurrent(torch.nn.GRU, (1, 0, 2)),
    "RNN": recurrent(torch.nn.RNN, (0,)),
}

found = {}
for name, (shapes, *_) in cases.CASES.items():
    x = torch.tensor(cases.numbers(name), dtype=torch.float64, requires_grad=True)
    parts = torch.split(x[0], [int(np.prod(s)) for s in shapes])
    y = FUNCTIONS[name](*(p.reshape(s) for p, s in zip(parts, shapes))).reshape(-1)
    s = (y * torch.tensor(cases.factors(len(y)), dtype=torch.float64)).sum()
    (s * s / 2).backward()
    found[name] = [float(f"{v:.9g}") for v in x.grad[0].tolist()]
print(json.dumps(found, indent=0).replace("\n", "").replace('],"', '],\n"'))
