"""How good predictions are, against the truth; the names and what they mean are in tenon/metrics.h.

    m = tenon.metrics.Metrics(labels, probabilities)  # labels [N], probabilities [N, C]
    m["f1_macro"], m.interval("f1_macro", seed=1), m.confusion()
    tenon.metrics.compute(labels, probabilities)  # all that apply and are defined, as a dictionary

Integers and bools are classes, floats are scores of classes (where the truth is classes) or numbers. A truth int64 [N, S] is
sequences of labels, filled up with -1, beside labels [N, T] or scores [N, C, T].
"""
from __future__ import annotations

import ctypes
from ctypes import byref, c_double, c_size_t
from typing import Any, Dict, Iterable, Optional, Tuple

import numpy as np

from ._library import BootstrapOptions, CurvePoint, Error, InvalidArgument, MetricsOptions, create, lib
from ._tensor import view, wrap

_CURVES = {"roc": 0, "precision_recall": 1, "calibration": 2}


def names() -> "list[str]":
    """The metrics, in the manual's order; top_K stands there as top_1 and top_5."""
    found, i = [], 0
    while lib.tn_metric_name(i):
        found.append(lib.tn_metric_name(i).decode())
        i += 1
    return found


class Metrics:
    """Predictions beside the truth. For one thread at a time.

    classes: how many there are (None: as scores have columns, or as labels say).  logits: scores go through softmax or
    sigmoid first.  threshold: from which score on a sample is of class 1.  bins: of calibration.
    """

    def __init__(
        self,
        truth: Any,
        predicted: Any,
        *,
        classes: Optional[int] = None,
        logits: bool = False,
        threshold: float = 0.5,
        bins: int = 15,
    ) -> None:
        options = MetricsOptions(ctypes.sizeof(MetricsOptions), classes or 0, logits, threshold, bins)
        tensors = [wrap(np.asarray(value), 0) for value in (truth, predicted)]
        pointers = [tensor.pointer for tensor in tensors]
        self._handle = create(lib.tn_metrics_create, lib.tn_metrics_destroy, *pointers, byref(options))

    def __len__(self) -> int:
        return lib.tn_metrics_samples(self._handle.pointer)

    @property
    def classes(self) -> int:
        """How many classes there are; 0 for numbers."""
        return lib.tn_metrics_classes(self._handle.pointer)

    def applies(self, name: str) -> bool:
        return lib.tn_metrics_applies(self._handle.pointer, name.encode())

    def __getitem__(self, name: str) -> float:
        value = c_double()
        lib.tn_metrics_value(self._handle.pointer, name.encode(), byref(value))
        return value.value

    def interval(
        self, name: str, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
    ) -> Tuple[float, float]:
        """A confidence interval by bootstrap; the same seed gives the same one."""
        low, high = c_double(), c_double()
        options = BootstrapOptions(ctypes.sizeof(BootstrapOptions), resamples, level, seed)
        lib.tn_metrics_interval(self._handle.pointer, name.encode(), byref(options), byref(low), byref(high))
        return low.value, high.value

    def confusion(self) -> np.ndarray:
        """Counts, [true class, predicted class]."""
        counts = np.zeros((max(self.classes, 1),) * 2, np.int64)
        lib.tn_metrics_confusion(self._handle.pointer, counts.ctypes.data)
        return counts

    def curve(self, kind: str, class_index: int = 1) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, y and thresholds (of "calibration": counts) of "roc", "precision_recall" or "calibration"."""
        if kind not in _CURVES:
            raise InvalidArgument(f"there is no curve {kind!r}; there are {', '.join(_CURVES)}")
        count, number = c_size_t(), _CURVES[kind]
        lib.tn_metrics_curve(self._handle.pointer, number, class_index, 0, None, byref(count))
        points = (CurvePoint * max(count.value, 1))()
        lib.tn_metrics_curve(self._handle.pointer, number, class_index, count.value, points, byref(count))
        table = np.ctypeslib.as_array(points)[: count.value]
        return table["x"].copy(), table["y"].copy(), table["at"].copy()


def compute(truth: Any, predicted: Any, metrics: Optional[Iterable[str]] = None, **options: Any) -> Dict[str, float]:
    """Values by name. metrics: which; None: all that apply and are defined. options: those of Metrics."""
    made = Metrics(truth, predicted, **options)
    if metrics is not None:
        return {name: made[name] for name in metrics}
    values = {}
    for name in names():
        try:
            values[name] = made[name]
        except Error:
            pass
    return values


def read_sequences(scores: Any) -> np.ndarray:
    """The labels that scores or probabilities [N, C, T] say: the best class of each step, without repetitions and the blank
    (class 0), int64 [N, T], filled up with -1."""
    tensor = wrap(np.asarray(scores), 0)
    labels = create(lib.tn_sequences_read, lib.tn_tensor_destroy, tensor.pointer)
    return np.array(view(labels.pointer, labels))


def score_sequences(truth: Any, labels: Any) -> Tuple[float, float]:
    """Of labels [N, T] against the truth [N, S], both filled up with -1: the part of rows that are right, errors a label."""
    right, errors = c_double(), c_double()
    tensors = [wrap(np.asarray(value, np.int64), 0) for value in (truth, labels)]
    lib.tn_sequences_score(*(tensor.pointer for tensor in tensors), byref(right), byref(errors))
    return right.value, errors.value
