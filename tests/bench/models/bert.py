"""A BERT encoder of 6 layers (Devlin et al., arXiv 1810.04805) in the measures of MiniLM-L6: 384 wide, 12 heads.

Written as PyTorch's exporter does up to opset 16: layer normalisation, GELU and attention in their parts, and shapes
computed in the graph.
"""
import math

import numpy as np

from net import Net

WIDTH, HEADS, LAYERS, WORDS, SEQUENCE = 384, 12, 6, 30522, 128


def linear(net, x, read, out, gain=1.0):
    product = net.op("MatMul", x, net.weight(net.normal(gain / math.sqrt(read), read, out)))
    return net.op("Add", net.weight(net.normal(0.02, out)), product)


def layer_norm(net, x):
    centred = net.op("Sub", x, net.op("ReduceMean", x, axes=[-1]))
    spread = net.op("ReduceMean", net.op("Pow", centred, net.constant(2.0)), axes=[-1])
    root = net.op("Sqrt", net.op("Add", spread, net.constant(1e-12)))
    scaled = net.op("Mul", net.op("Div", centred, root), net.weight(1 + net.normal(0.1, WIDTH)))
    return net.op("Add", scaled, net.weight(net.normal(0.1, WIDTH)))


def gelu(net, x):
    y = net.op("Erf", net.op("Div", x, net.constant(math.sqrt(2))))
    return net.op("Mul", net.op("Mul", x, net.op("Add", y, net.constant(1.0))), net.constant(0.5))


def size(net, x, axis):
    """One element of a shape, as a list of one."""
    n = net.op("Gather", net.op("Shape", x), net.constant(axis, np.int64), axis=0)
    return net.op("Unsqueeze", n, net.constant([0], np.int64))


def reshaped(net, x, *last):
    tail = [net.constant([n], np.int64) for n in last]
    return net.op("Reshape", x, net.op("Concat", size(net, x, 0), size(net, x, 1), *tail, axis=0))


def attention(net, x, mask):
    def heads(perm, gain):
        y = reshaped(net, linear(net, x, WIDTH, WIDTH, gain), HEADS, WIDTH // HEADS)
        return net.op("Transpose", y, perm=perm)

    q, k, v = heads([0, 2, 1, 3], 1.5), heads([0, 2, 3, 1], 1.5), heads([0, 2, 1, 3], 1.0)
    scores = net.op("Div", net.op("MatMul", q, k), net.constant(math.sqrt(WIDTH // HEADS)))
    weights = net.op("Softmax", net.op("Add", scores, mask), axis=3)
    y = net.op("Transpose", net.op("MatMul", weights, v), perm=[0, 2, 1, 3])
    return linear(net, reshaped(net, y, WIDTH), WIDTH, WIDTH)


def minilm(batch):
    net = Net("minilm6", opset=14)
    ids = net.input("input_ids", batch, SEQUENCE, dtype=np.int64)
    mask = net.input("attention_mask", batch, SEQUENCE, dtype=np.int64)
    types = net.input("token_type_ids", batch, SEQUENCE, dtype=np.int64)
    wide = net.op("Unsqueeze", mask, net.constant([1], np.int64))
    wide = net.op("Cast", net.op("Unsqueeze", wide, net.constant([2], np.int64)), to=1)
    wide = net.op("Mul", net.op("Sub", net.constant(1.0), wide), net.constant(np.finfo(np.float32).min))
    start, step = net.constant([0], np.int64), net.constant([1], np.int64)
    places = net.op("Slice", net.constant(np.arange(512)[None], np.int64), start, size(net, ids, 1), step, step)
    word, kind, place = (net.weight(net.normal(1.0, n, WIDTH)) for n in (WORDS, 2, 512))
    x = net.op("Add", net.op("Gather", word, ids), net.op("Gather", kind, types))
    x = layer_norm(net, net.op("Add", x, net.op("Gather", place, places)))
    for _ in range(LAYERS):
        x = layer_norm(net, net.op("Add", attention(net, x, wide), x))
        y = linear(net, gelu(net, linear(net, x, WIDTH, 4 * WIDTH)), 4 * WIDTH, WIDTH)
        x = layer_norm(net, net.op("Add", y, x))
    net.output(x, "last_hidden_state", batch, SEQUENCE, WIDTH)
    return net.model()


MODELS = {"minilm6": minilm}
