"""What load.py's models compute, by numpy, of weights that another library has read: the networks of models/ once more.
Written as one writes numpy to be fast: products by its BLAS, the rest in place where that is easy."""
import re

import numpy as np
from scipy.special import erf

HEADS = 12


def in_order(weights):
    """They are named NETWORK.NUMBER.weight, in the order in which the network has them."""
    return [weights[name] for name in sorted(weights, key=lambda name: int(re.findall(r"\d+", name)[-1]))]


def perceptron(weights):
    layers = in_order(weights)

    def compute(x):
        for w, b in zip(layers[::2], layers[1::2]):
            x = x @ w.T
            x += b
            np.maximum(x, 0, out=x)
        return x

    return compute


def layer_norm(x, scale, shift):
    x -= x.mean(-1, keepdims=True)
    x /= np.sqrt(np.square(x).mean(-1, keepdims=True) + np.float32(1e-12))
    x *= scale
    x += shift
    return x


def linear(x, w, b):
    y = x @ w
    y += b
    return y


def gelu(x):
    y = erf(x * np.float32(0.5**0.5))
    y += 1
    y *= x
    y *= np.float32(0.5)
    return y


def attention(x, bias, w):
    """w: weights and biases of the query, the key, the value and the output."""
    words, width = x.shape
    q, k, v = (linear(x, *w[i : i + 2]).reshape(words, HEADS, -1).transpose(1, 0, 2) for i in (0, 2, 4))
    scores = q @ k.transpose(0, 2, 1)
    scores *= np.float32((width // HEADS) ** -0.5)
    scores += bias
    scores -= scores.max(-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(-1, keepdims=True)
    return linear((scores @ v).transpose(1, 0, 2).reshape(words, width), *w[6:8])


def encoder(weights):
    word, kind, place, *rest = in_order(weights)

    def compute(input_ids, attention_mask, token_type_ids):
        ids = input_ids[0]
        bias = (1 - attention_mask[0].astype(np.float32)) * np.finfo(np.float32).min
        x = layer_norm(word[ids] + kind[token_type_ids[0]] + place[: ids.size], *rest[:2])
        for i in range(2, len(rest), 16):
            w = rest[i : i + 16]
            x = layer_norm(x + attention(x, bias, w), *w[8:10])
            x = layer_norm(x + linear(gelu(linear(x, *w[10:12])), *w[12:14]), *w[14:16])
        return x[None]

    return compute


NETWORKS = {"encoder": encoder, "perceptron": perceptron, "warm": perceptron}
