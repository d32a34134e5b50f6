"""How good a model is on raw data, what it gives away, and what its file hides; tenon/evaluate.h and tenon/risk.h say how.

    e = tenon.evaluation.Evaluation("digits.tenon", "new.csv")  # a model with its pipeline in it, as tenon.train makes them
    e.metrics["accuracy"], e.metrics.interval("accuracy")
    e.importance("accuracy")["power"]                             # mean and deviation of what it loses without the column
    all(row.passed for row in e.gate("metrics: [{name: accuracy, at_least: 0.9}]"))
    tenon.evaluation.membership(trained.losses(), held_out.losses()).auc
    tenon.evaluation.scan("from-elsewhere.onnx")
"""
from __future__ import annotations

import ctypes
import os
from ctypes import CFUNCTYPE, POINTER, byref, c_bool, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint64, c_void_p
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

import numpy as np

from ._files import Path
from ._library import CheckFailed, Error, InvalidArgument, create, declare, lib
from ._model import Model, load
from ._tensor import view, wrap
from .data import Pipeline, Table
from .metrics import Metrics

_ROWS = {"all": 0, "training": 1, "testing": 2}
_TASKS = ("classification", "regression", "reconstruction", "sequences")


class _Options(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("rows", c_int),
        ("threads", c_int),
        ("pipeline", c_void_p),
        ("logits", c_bool),
    ]


class _GateRow(ctypes.Structure):
    _fields_ = [("bound", c_char_p), ("expected", c_char_p), ("found", c_char_p), ("passed", c_bool)]


class _Membership(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("members", c_int64),
        ("others", c_int64),
        ("auc", c_double),
        ("advantage", c_double),
        ("exposed", c_double),
    ]


_REPORT = CFUNCTYPE(None, c_void_p, POINTER(_GateRow))
_FOUND = CFUNCTYPE(None, c_void_p, c_char_p, c_char_p)
_OUT, _NUMBERS = POINTER(c_void_p), POINTER(c_double)
declare(
    {
        "tn_evaluate": (None, (c_void_p, c_void_p, POINTER(_Options), _OUT)),
        "tn_evaluation_destroy": (type(None), (c_void_p,)),
        "tn_evaluation_task": (c_int, (c_void_p,)),
        "tn_evaluation_metrics": (c_void_p, (c_void_p,)),
        "tn_evaluation_inputs": (c_void_p, (c_void_p,)),
        "tn_evaluation_truth": (c_void_p, (c_void_p,)),
        "tn_evaluation_predicted": (c_void_p, (c_void_p,)),
        "tn_evaluation_class": (c_char_p, (c_void_p, c_int)),
        "tn_evaluation_feature": (c_bool, (c_void_p, c_int, POINTER(c_char_p), POINTER(c_int64), POINTER(c_int64))),
        "tn_evaluation_importance": (
            None,
            (c_void_p, c_void_p, c_int, c_char_p, c_int, c_uint64, _NUMBERS, _NUMBERS),
        ),
        "tn_evaluation_gate": (None, (c_void_p, c_void_p, c_void_p, c_char_p, c_size_t, _REPORT, c_void_p)),
        "tn_evaluation_losses": (None, (c_void_p, c_void_p)),
        "tn_membership_of": (None, (c_void_p, c_int64, c_void_p, c_int64, POINTER(_Membership))),
        "tn_suspects": (None, (c_void_p, c_void_p, c_int, c_void_p, c_void_p)),
        "tn_scan": (None, (c_char_p, _FOUND, c_void_p, POINTER(c_int))),
    }
)


class GateRow(NamedTuple):
    """A bound of a gate, and how it came out."""

    bound: str
    expected: str
    found: str
    passed: bool


class Membership(NamedTuple):
    """How well a row's loss tells whether the model was trained on it: 0.5, 0 and 0.01 where it gives nothing away."""

    members: int
    others: int
    auc: float
    advantage: float
    exposed: float


class Finding(NamedTuple):
    where: str
    what: str


class _Part:
    """What lives as long as the evaluation."""

    def __init__(self, pointer: int, owner: Any) -> None:
        self.pointer, self.owner = pointer, owner


class Evaluation:
    """A model on the rows of a table: paths, or what tenon.load and tenon.data.Table made. For one thread at a time.

    rows: "all", or "training" or "testing" of the pipeline's split of this table.  pipeline: a fitted one; None: the model's
    own.  logits: the model gives scores before softmax or sigmoid.
    """

    def __init__(
        self,
        model: Union[Model, Path],
        table: Union[Table, Path],
        *,
        rows: str = "all",
        threads: int = 1,
        pipeline: Optional[Pipeline] = None,
        logits: bool = False,
    ) -> None:
        if rows not in _ROWS:
            raise InvalidArgument(f"there are no rows {rows!r}; there are {', '.join(_ROWS)}")
        self.model = model if isinstance(model, Model) else load(model)
        if not isinstance(table, Table):
            table = Table(table)
        made = pipeline._handle.pointer if pipeline else None
        options = _Options(ctypes.sizeof(_Options), _ROWS[rows], threads, made, logits)
        pointers = self.model._handle.pointer, table._handle.pointer
        self._handle = create(lib.tn_evaluate, lib.tn_evaluation_destroy, *pointers, byref(options))
        self.metrics: Metrics = Metrics.__new__(Metrics)
        self.metrics._handle = _Part(lib.tn_evaluation_metrics(self._handle.pointer), self._handle)

    def __len__(self) -> int:
        """Rows that were evaluated."""
        return len(self.metrics)

    @property
    def task(self) -> str:
        """"classification", "regression", "reconstruction" or "sequences"."""
        return _TASKS[lib.tn_evaluation_task(self._handle.pointer)]

    def _array(self, pointer: Optional[int]) -> np.ndarray:
        if not pointer:
            raise MemoryError(lib.tn_last_error().decode())
        return np.array(view(pointer, self._handle))

    @property
    def inputs(self) -> np.ndarray:
        """What went into the model, as the pipeline made it."""
        return self._array(lib.tn_evaluation_inputs(self._handle.pointer))

    @property
    def truth(self) -> np.ndarray:
        return self._array(lib.tn_evaluation_truth(self._handle.pointer))

    @property
    def predicted(self) -> np.ndarray:
        """Of classes their scores."""
        return self._array(lib.tn_evaluation_predicted(self._handle.pointer))

    @property
    def classes(self) -> List[str]:
        """Their names in the target's column, in their order."""
        found: List[str] = []
        while (name := lib.tn_evaluation_class(self._handle.pointer, len(found))) is not None:
            found.append(name.decode())
        return found

    def _features(self) -> List[str]:
        name, first, width, found = c_char_p(), c_int64(), c_int64(), []
        while lib.tn_evaluation_feature(self._handle.pointer, len(found), byref(name), byref(first), byref(width)):
            found.append(name.value.decode())
        return found

    def importance(self, metric: str, *, repeats: int = 10, seed: int = 0) -> Dict[str, Tuple[float, float]]:
        """By how much the metric falls when a column's values change places among the rows: mean and deviation, by column."""
        found, mean, deviation = {}, c_double(), c_double()
        for i, column in enumerate(self._features()):
            lib.tn_evaluation_importance(
                self._handle.pointer, self.model._handle.pointer, i, metric.encode(), repeats, seed, byref(mean),
                byref(deviation),
            )
            found[column] = mean.value, deviation.value
        return found

    def gate(self, gate: str, *, against: Optional["Evaluation"] = None) -> List[GateRow]:
        """The bounds of a gate (YAML, tenon/gate.h) on what was measured; `against`: what drop and rise are relative to."""
        rows: List[GateRow] = []

        def report(_: Any, row: Any) -> None:
            r = row.contents
            texts = (text.decode("utf-8", "replace") for text in (r.bound, r.expected, r.found))
            rows.append(GateRow(*texts, r.passed))

        raw, other = gate.encode(), against._handle.pointer if against else None
        pointers = self._handle.pointer, self.model._handle.pointer, other
        try:
            lib.tn_evaluation_gate(*pointers, raw, len(raw), _REPORT(report), None)
        except CheckFailed:
            pass
        return rows

    def losses(self) -> np.ndarray:
        """Of each row."""
        found = np.zeros(len(self))
        lib.tn_evaluation_losses(self._handle.pointer, found.ctypes.data)
        return found


def membership(members: Any, others: Any) -> Membership:
    """From the losses of rows that the model was trained on, and of others."""
    both = [np.ascontiguousarray(losses, np.float64) for losses in (members, others)]
    found = _Membership(ctypes.sizeof(_Membership))
    lib.tn_membership_of(*(of for losses in both for of in (losses.ctypes.data, losses.size)), byref(found))
    return Membership(*(getattr(found, name) for name in Membership._fields))


def suspects(x: Any, labels: Optional[Any] = None, *, neighbours: int = 10) -> Tuple[np.ndarray, Optional[np.ndarray]]:
    """Of each row of x how far its neighbours are, over the median of all rows, and which part of them has another label (None
    without labels)."""
    rows = wrap(np.ascontiguousarray(x, np.float32), 0)
    classes = None if labels is None else wrap(np.ascontiguousarray(labels, np.int64), 0)
    distance = np.zeros(len(x))
    other = None if classes is None else np.zeros(len(x))
    lib.tn_suspects(
        rows.pointer, classes.pointer if classes else None, neighbours, distance.ctypes.data,
        None if other is None else other.ctypes.data,
    )
    return distance, other


def scan(path: Path) -> List[Finding]:
    """What is in a model's file that no model needs: programs, scripts, pickles, constants that no node reads. A file that
    cannot be loaded raises, unless something was found in it."""
    found: List[Finding] = []

    def tell(_: Any, where: bytes, what: bytes) -> None:
        found.append(Finding(where.decode("utf-8", "replace"), what.decode("utf-8", "replace")))

    try:
        lib.tn_scan(os.fsencode(path), _FOUND(tell), None, None)
    except Error:
        if not found:
            raise
    return found
