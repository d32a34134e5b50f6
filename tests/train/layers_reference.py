#!/usr/bin/env python3
"""Writes layers_reference.inc: what PyTorch's layers make of the same weights, for tests/unit/plan_layers.c.

    python3 layers_reference.py > layers_reference.inc

Weight number k of a network, in Tenon's order and layout, is 0.4 sin(1.7 i + 0.6 k) at element i; its input and the factors
of its outputs, whose sum is the loss, are those of tests/unit/gradient.h. The numbers are the loss and its gradient by the
input."""
import math
import torch
import torch.nn.functional as F
from torch import nn

BATCH, CHANNELS, LENGTH, OUTPUTS = 2, 4, 5, 3


def some(*dims):
    n = math.prod(dims)
    values = [2 * math.sin(1.7 * i + 0.6 * len(dims) + 0.3 * n) for i in range(n)]
    return torch.tensor([x + 0.1 if abs(x) < 0.05 else x for x in values], dtype=torch.float64).reshape(dims)


class Weights:
    def __init__(self):
        self.k = 0

    def __call__(self, *dims):
        n = math.prod(dims)
        values = [0.4 * math.sin(1.7 * i + 0.6 * self.k) for i in range(n)]
        self.k += 1
        return torch.tensor(values, dtype=torch.float64).reshape(dims)


def set_to(parameter, value):
    parameter.data = value.contiguous()


def recurrent(kind, order, units, direction, everything):
    """order: ONNX's gates in PyTorch's order."""
    def run(x, w):
        ways = 2 if direction == "bidirectional" else 1
        layer = kind(CHANNELS, units, bidirectional=ways == 2).double()
        gates = len(order)
        parts = [w(ways, gates * units, CHANNELS), w(ways, gates * units, units), w(ways, 2 * gates * units)]
        for d in range(ways):
            def turned(t):
                return torch.cat([t[g * units:(g + 1) * units] for g in order])
            end = "_reverse" if d else ""
            set_to(getattr(layer, "weight_ih_l0" + end), turned(parts[0][d]))
            set_to(getattr(layer, "weight_hh_l0" + end), turned(parts[1][d]))
            set_to(getattr(layer, "bias_ih_l0" + end), turned(parts[2][d][:gates * units]))
            set_to(getattr(layer, "bias_hh_l0" + end), turned(parts[2][d][gates * units:]))
        x = x.permute(2, 0, 1)
        y, state = layer(x.flip(0) if direction == "reverse" else x)
        if everything:
            return (y.flip(0) if direction == "reverse" else y).permute(1, 2, 0)
        state = state[0] if isinstance(state, tuple) else state
        return state.permute(1, 0, 2).reshape(BATCH, -1)
    return run


LSTM, GRU, RNN = (nn.LSTM, [0, 2, 3, 1]), (nn.GRU, [1, 0, 2]), (nn.RNN, [0])


def set_attention(layer, w):
    parts = [(w(CHANNELS, CHANNELS), w(CHANNELS)) for _ in range(4)]
    set_to(layer.in_proj_weight, torch.cat([p[0].T for p in parts[:3]]))
    set_to(layer.in_proj_bias, torch.cat([p[1] for p in parts[:3]]))
    set_to(layer.out_proj.weight, parts[3][0].T)
    set_to(layer.out_proj.bias, parts[3][1])


def attention(x, w):
    layer = nn.MultiheadAttention(CHANNELS, 2, batch_first=True).double()
    set_attention(layer, w)
    x = x.transpose(1, 2)
    return layer(x, x, x)[0].transpose(1, 2)


def transformer(first, inner, activation):
    def run(x, w):
        layer = nn.TransformerEncoderLayer(CHANNELS, 2, inner, 0.0, activation, batch_first=True, norm_first=first).double()

        def norm(to):
            set_to(to.weight, w(CHANNELS))
            set_to(to.bias, w(CHANNELS))
        if first:
            norm(layer.norm1)
        set_attention(layer.self_attn, w)
        norm(layer.norm2 if first else layer.norm1)
        for linear, a, b in ((layer.linear1, CHANNELS, inner), (layer.linear2, inner, CHANNELS)):
            set_to(linear.weight, w(a, b).T)
            set_to(linear.bias, w(b))
        if not first:
            norm(layer.norm2)
        return layer(x.transpose(1, 2)).transpose(1, 2)
    return run


def conv(x, w, channels, kernel, dilation=1, groups=1):
    return F.conv1d(x, w(channels, x.shape[1] // groups, kernel), w(channels), padding=dilation * (kernel - 1) // 2,
                    dilation=dilation, groups=groups)


def branches(x, w):
    a = torch.relu(conv(x, w, 3, 3))
    return torch.cat([a, torch.tanh(conv(x, w, 2, 3, 2))], 1)


def added(x, w):
    return torch.sigmoid(conv(x, w, 4, 3, groups=4) + conv(x, w, 4, 1) + F.silu(x))




CASES = [
    ("{lstm: 3}", recurrent(*LSTM, 3, "forward", False)),
    ("{lstm: 3, direction: bidirectional, gives: all}", recurrent(*LSTM, 3, "bidirectional", True)),
    ("{gru: 3, direction: bidirectional}", recurrent(*GRU, 3, "bidirectional", False)),
    ("{gru: 3, direction: reverse, gives: all}", recurrent(*GRU, 3, "reverse", True)),
    ("{rnn: 3, direction: reverse}", recurrent(*RNN, 3, "reverse", False)),
    ("{rnn: 3, gives: all}", recurrent(*RNN, 3, "forward", True)),
    ("{attention: 2}", attention),
    ("{transformer: 2, inner: 6}", transformer(True, 6, "gelu")),
    ("{transformer: 2, norm: last, activation: relu}", transformer(False, 16, "relu")),
    ("{norm: group, groups: 2, activation: tanh}",
     lambda x, w: torch.tanh(F.group_norm(x, 2, w(CHANNELS), w(CHANNELS)))),
    ("{norm: layer}", lambda x, w: F.layer_norm(x, (CHANNELS, LENGTH), w(CHANNELS, LENGTH), w(CHANNELS, LENGTH))),
    ("{position: learned}", lambda x, w: x + w(CHANNELS, LENGTH)),
    ("{transpose: [2, 1]}, {dense: 4, activation: gelu}",
     lambda x, w: F.gelu(F.linear(x.transpose(1, 2).flatten(1), w(4, CHANNELS * LENGTH), w(4)))),
    ("{branches: [[{conv: 3, activation: relu}], [{conv: 2, dilation: 2, activation: tanh}]]}", branches),
    ("{branches: [[{conv: 4, groups: 4}], [{conv: 4, kernel: 1}], [{activation: silu}]], join: add, activation: sigmoid}",
     added),
    ("{transpose: [1, 2]}, {residual: [{lstm: 4, gives: all}]}",
     lambda x, w: x + recurrent(*LSTM, 4, "forward", True)(x, w)),
]

print("/* Written by layers_reference.py, with PyTorch %s. */" % torch.__version__)
print("/* clang-format off */")
print("enum { BATCH = %d, CHANNELS = %d, LENGTH = %d, OUTPUTS = %d };" % (BATCH, CHANNELS, LENGTH, OUTPUTS))
print("static const struct { const char *layers; double loss, gradient[BATCH * CHANNELS * LENGTH]; } references[] = {")
for layers, run in CASES:
    x, w = some(BATCH, CHANNELS, LENGTH).requires_grad_(True), Weights()
    y = run(x, w).flatten(1)
    y = F.linear(y, w(OUTPUTS, y.shape[1]), w(OUTPUTS))
    loss = (y * some(BATCH, OUTPUTS)).sum()
    loss.backward()
    print('    {"%s", %r,\n     {%s}},' % (layers, loss.item(), ", ".join(repr(v) for v in x.grad.flatten().tolist())))
print("};")
