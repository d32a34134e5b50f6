"""The network that attacks and explanations are compared on: its weights are a formula, so that each tool makes its own."""
import numpy as np

INPUTS, HIDDEN, CLASSES, ROWS = 12, 16, 4, 24


def numbers(shape, step, scale):
    return (scale * np.sin(step * np.arange(1, int(np.prod(shape)) + 1))).reshape(shape).astype(np.float32)


W1, B1 = numbers((INPUTS, HIDDEN), 1.7, 0.9), numbers((HIDDEN,), 0.9, 0.3)
W2, B2 = numbers((HIDDEN, CLASSES), 2.3, 1.1), numbers((CLASSES,), 0.4, 0.2)
X = (0.5 + numbers((ROWS, INPUTS), 0.37, 0.45)).astype(np.float32)
LABELS = np.arange(ROWS) % CLASSES
BASELINE = (0.5 + numbers((INPUTS,), 3.1, 0.1)).astype(np.float32)


def save(path):
    """tanh(x W1 + b1) W2 + b2 and softmax, as ONNX."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
        helper.make_node("Tanh", ["h"], ["t"]),
        helper.make_node("Gemm", ["t", "w2", "b2"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["p"], axis=1),
    ]
    weights = [numpy_helper.from_array(w, n) for w, n in ((W1, "w1"), (B1, "b1"), (W2, "w2"), (B2, "b2"))]
    x, p = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", k]) for n, k in (("x", INPUTS), ("p", CLASSES)))
    graph = helper.make_graph(nodes, "network", [x], [p], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)


def scores(x):
    return np.tanh(x.astype(np.float64) @ W1 + B1) @ W2 + B2


def probabilities(x):
    e = np.exp(scores(x) - scores(x).max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def loss_gradient(x, labels):
    """Of each row's cross-entropy, by hand."""
    error = probabilities(x) - np.eye(CLASSES)[labels]
    hidden = np.tanh(x.astype(np.float64) @ W1 + B1)
    return (error @ W2.T * (1 - hidden**2)) @ W1.T
