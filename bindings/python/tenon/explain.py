"""What a model's answers hang on, and how little it takes to change them; tenon/explain.h says how.

    probe = tenon.explain.Probe("digits.tenon")
    worse = probe.attack(x, labels, epsilon=0.1, steps=10, bounds=(0, 1))  # FGSM; with steps projected gradient descent
    why = probe.integrated_gradients(x, steps=50)                          # of x's shape: what each number added
    tenon.explain.attention_maps("encoder.onnx", {"x": x})["attention/0"]
"""
from __future__ import annotations

import ctypes
import os
import tempfile
from ctypes import POINTER, byref, c_bool, c_double, c_int, c_size_t, c_uint64, c_void_p
from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np

from ._files import Path, save_graph
from ._library import Handle, InvalidArgument, create, declare, lib
from ._model import load
from ._tensor import view, wrap


class AttackOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("epsilon", c_double),
        ("steps", c_int),
        ("step", c_double),
        ("bounded", c_bool),
        ("low", c_double),
        ("high", c_double),
    ]


_OUT = POINTER(c_void_p)
declare(
    {
        "tn_probe_create": (None, (c_void_p, c_int, _OUT)),
        "tn_probe_destroy": (type(None), (c_void_p,)),
        "tn_probe_predict": (None, (c_void_p, c_void_p, _OUT)),
        "tn_probe_loss_gradient": (None, (c_void_p, c_void_p, c_void_p, _OUT)),
        "tn_attack": (None, (c_void_p, c_void_p, c_void_p, POINTER(AttackOptions), _OUT)),
        "tn_integrated_gradients": (None, (c_void_p, c_void_p, c_void_p, c_void_p, c_int, _OUT)),
        "tn_occlusion": (None, (c_void_p, c_void_p, c_void_p, c_void_p, _OUT)),
        "tn_graph_expose_attention": (None, (c_void_p, POINTER(c_int))),
        "tn_shapley": (None, (c_void_p, c_void_p, c_void_p, c_void_p, c_int, c_uint64, _OUT)),
    }
)


class Probe:
    """A model with its gradient by its input. For one thread at a time.

    x are float32 rows [N, ...]. Of a row the answer is the output classes[row]; without classes, the highest. The baseline
    is a row that says nothing; without it, zeros.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        graph = c_void_p()
        lib.tn_graph_load(os.fsencode(path), None, byref(graph))
        self._handle = create(lib.tn_probe_create, lib.tn_probe_destroy, graph, threads)  # takes the graph over

    def _call(self, function: Any, x: Any, *arguments: Any) -> np.ndarray:
        rows = wrap(np.asarray(x, np.float32), 0)
        made = create(function, lib.tn_tensor_destroy, self._handle.pointer, rows.pointer, *arguments)
        return np.array(view(made.pointer, made))

    def predict(self, x: Any) -> np.ndarray:
        return self._call(lib.tn_probe_predict, x)

    def loss_gradient(self, x: Any, truth: Any) -> np.ndarray:
        """Of each row's cross-entropy (truth: integers) or squared error / 2 (floats), by x."""
        target = _target(truth)
        return self._call(lib.tn_probe_loss_gradient, x, target.pointer)

    def attack(
        self,
        x: Any,
        truth: Any,
        *,
        epsilon: float,
        steps: int = 1,
        step: float = 0.0,
        bounds: Optional[Tuple[float, float]] = None,
    ) -> np.ndarray:
        """x changed by epsilon at most, so that its loss grows."""
        target, (low, high) = _target(truth), bounds or (0.0, 0.0)
        size = ctypes.sizeof(AttackOptions)
        options = AttackOptions(size, epsilon, steps, step, bounds is not None, low, high)
        return self._call(lib.tn_attack, x, target.pointer, byref(options))

    def integrated_gradients(
        self, x: Any, *, baseline: Any = None, classes: Any = None, steps: int = 50
    ) -> np.ndarray:
        base, which = _choices(x, baseline, classes)
        return self._call(lib.tn_integrated_gradients, x, _data(base), _data(which), steps)

    def occlusion(self, x: Any, *, baseline: Any = None, classes: Any = None) -> np.ndarray:
        base, which = _choices(x, baseline, classes)
        return self._call(lib.tn_occlusion, x, _data(base), _data(which))

    def shapley(
        self, x: Any, *, baseline: Any = None, classes: Any = None, samples: int = 100, seed: int = 0
    ) -> np.ndarray:
        base, which = _choices(x, baseline, classes)
        return self._call(lib.tn_shapley, x, _data(base), _data(which), samples, seed)


def attention_maps(path: Path, inputs: Mapping[str, Any], *, threads: int = 1) -> Dict[str, np.ndarray]:
    """Which parts of a sequence each attention of a model looked at: "attention/0" and so on, mostly [N, heads, to, from]."""
    count = c_int()
    graph = create(lib.tn_graph_load, lib.tn_graph_destroy, os.fsencode(path), None)
    lib.tn_graph_expose_attention(graph.pointer, byref(count))
    with tempfile.TemporaryDirectory() as folder:
        exposed = os.path.join(folder, "exposed.onnx")
        save_graph(graph.pointer, exposed, None, False, False)
        found = load(exposed, threads=threads).run(inputs)
    return {name: found[name] for name in (f"attention/{i}" for i in range(count.value))}


def _target(truth: Any) -> Handle:
    array = np.asarray(truth)
    return wrap(array.astype(np.float32 if array.dtype.kind == "f" else np.int64), 0)


def _choices(x: Any, baseline: Any, classes: Any) -> "tuple[Optional[np.ndarray], Optional[np.ndarray]]":
    x = np.asarray(x)
    base = None if baseline is None else np.ascontiguousarray(baseline, np.float32)
    which = None if classes is None else np.ascontiguousarray(classes, np.int64)
    if base is not None and base.size != x[0].size:
        raise InvalidArgument(f"the baseline has {base.size} numbers, and a row {x[0].size}")
    if which is not None and which.shape != (len(x),):
        raise InvalidArgument(f"classes has the shape {which.shape}; there are {len(x)} rows")
    return base, which


def _data(array: Optional[np.ndarray]) -> Optional[int]:
    return None if array is None else array.ctypes.data
