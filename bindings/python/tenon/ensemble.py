"""Several models that answer as one, compiled to one model; tenon/ensemble.h says how.

    e = tenon.ensemble.Ensemble("average", ["a.tenon", "b.onnx"])     # or "vote", "stack", "cascade"
    e.fit(x, labels)["accuracy"]                                      # weights, on rows that no member was trained on
    e.save("both.tenon")                                              # or .onnx
    tenon.ensemble.run("ensemble.yaml")                               # as `tenon ensemble` makes it
"""
from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, byref, c_bool, c_char_p, c_double, c_int, c_int64, c_size_t, c_void_p
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Union

import numpy as np

from ._files import Path, save_graph
from ._library import InvalidArgument, create, declare, lib
from ._tensor import wrap

_METHODS = ("average", "vote", "stack", "cascade")


class MemberStruct(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("name", c_char_p),
        ("output", c_char_p),
        ("logits", c_bool),
        ("weight", c_double),
        ("threshold", c_double),
    ]


class FitOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("threads", c_int),
        ("decay", c_double),
        ("max_drop", c_double),
        ("steps", c_int),
        ("folds", c_int),
    ]


class FitResult(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("rows", c_int64),
        ("loss", c_double),
        ("accuracy", c_double),
        ("best", c_double),
        ("passed_on", c_double),
    ]


declare(
    {
        "tn_ensemble_create": (None, (c_int, POINTER(c_void_p))),
        "tn_ensemble_destroy": (type(None), (c_void_p,)),
        "tn_ensemble_add_file": (None, (c_void_p, c_char_p, POINTER(MemberStruct))),
        "tn_ensemble_set": (None, (c_void_p, c_char_p, c_char_p)),
        "tn_ensemble_fit": (None, (c_void_p, c_void_p, c_void_p, POINTER(FitOptions), POINTER(FitResult))),
        "tn_ensemble_fit_answers": (
            None,
            (c_void_p, c_void_p, c_void_p, POINTER(FitOptions), POINTER(FitResult)),
        ),
        "tn_ensemble_count": (c_int, (c_void_p,)),
        "tn_ensemble_member_at": (
            None,
            (c_void_p, c_int, POINTER(c_char_p), POINTER(c_double), POINTER(c_double)),
        ),
        "tn_ensemble_graph": (None, (c_void_p, POINTER(c_void_p))),
        "tn_ensemble_load": (None, (c_char_p, POINTER(c_void_p))),
        "tn_ensemble_output": (c_char_p, (c_void_p,)),
        "tn_ensemble_run": (None, (c_void_p, c_int, POINTER(FitResult))),
    }
)


class Member(NamedTuple):
    """A member as it is in the ensemble: weight as a part of all weights, threshold of a cascade."""

    name: str
    weight: float
    threshold: float


def _figures(result: FitResult) -> Dict[str, Any]:
    return {name: getattr(result, name) for name, _ in FitResult._fields_[1:]}


class Ensemble:
    """Members that are to answer as one. For one thread at a time.

    weights: relative to each other, 0 for none.  thresholds: of a cascade, for each member but the last.  logits: the
    answers are scores before softmax or sigmoid, of all members or for each.  outputs: names of the answers, where they
    are not output 0.
    """

    def __init__(
        self,
        method: str,
        members: Sequence[Path],
        *,
        weights: Optional[Sequence[float]] = None,
        thresholds: Optional[Sequence[float]] = None,
        logits: Union[bool, Sequence[bool]] = False,
        names: Optional[Sequence[str]] = None,
        outputs: Optional[Sequence[Optional[str]]] = None,
    ) -> None:
        if method not in _METHODS:
            raise InvalidArgument(f"an ensemble is {', '.join(_METHODS)}, not {method!r}")
        count = len(members)
        thresholds = list(thresholds) + [0.0] if thresholds is not None else None
        scores = [logits] * count if isinstance(logits, bool) else logits
        for what in (weights, thresholds, scores, names, outputs):
            if what is not None and len(what) != count:
                raise InvalidArgument(f"{len(what)} of something for {count} members")
        self._handle = create(lib.tn_ensemble_create, lib.tn_ensemble_destroy, _METHODS.index(method))
        for i, path in enumerate(members):
            member = MemberStruct(
                ctypes.sizeof(MemberStruct),
                names[i].encode() if names else None,
                outputs[i].encode() if outputs and outputs[i] else None,
                scores[i],
                (weights[i] or -1) if weights is not None else 0,
                thresholds[i] if thresholds is not None else 0,
            )
            lib.tn_ensemble_add_file(self._handle.pointer, os.fsencode(path), byref(member))

    def fit(
        self, x: Any, target: Any, *, decay: float = 1.0, max_drop: float = 0.0, steps: int = 2000, threads: int = 1
    ) -> Dict[str, Any]:
        """Fits what there is to fit, and says how good it is then: rows, loss, accuracy, best, passed_on.

        target: integers are classes, floats are numbers.
        """
        return self._fit(lib.tn_ensemble_fit, x, target, decay, max_drop, steps, threads)

    def fit_answers(
        self,
        answers: Sequence[Any],
        target: Any,
        *,
        decay: float = 1.0,
        max_drop: float = 0.0,
        steps: int = 2000,
        threads: int = 1,
    ) -> Dict[str, Any]:
        """As `fit`, with what each member answers (probabilities also where it has logits), for each row one that has not
        seen it, as of a cross-validation."""
        columns = [np.asarray(one, np.float32) for one in answers]
        x = np.concatenate([one.reshape(len(one), -1) for one in columns], axis=1)
        return self._fit(lib.tn_ensemble_fit_answers, x, target, decay, max_drop, steps, threads)

    def _fit(self, function: Any, x: Any, target: Any, decay: float, max_drop: float, steps: int, threads: int) -> Dict[str, Any]:
        x, target = np.asarray(x, np.float32), np.asarray(target)
        target = target.astype(np.float32 if target.dtype.kind == "f" else np.int64)
        options = FitOptions(ctypes.sizeof(FitOptions), threads, decay, max_drop, steps, 0)
        result = FitResult(ctypes.sizeof(FitResult))
        tensors = [wrap(array, 0) for array in (x, target)]
        pointers = [tensor.pointer for tensor in tensors]
        function(self._handle.pointer, *pointers, byref(options), byref(result))
        return _figures(result)

    @property
    def members(self) -> List[Member]:
        found = []
        for i in range(lib.tn_ensemble_count(self._handle.pointer)):
            name, weight, threshold = c_char_p(), c_double(), c_double()
            lib.tn_ensemble_member_at(self._handle.pointer, i, byref(name), byref(weight), byref(threshold))
            found.append(Member(name.value.decode(), weight.value, threshold.value))
        return found

    def save(self, path: Path, **about: str) -> None:
        """Compiles it to one model, an .onnx or .tenon. about: name, version, title, description, licence."""
        for key, text in about.items():
            lib.tn_ensemble_set(self._handle.pointer, key.encode(), text.encode())
        graph = create(lib.tn_ensemble_graph, lib.tn_graph_destroy, self._handle.pointer)
        save_graph(graph.pointer, path, None, False, False)


def run(path: Path, *, threads: int = 1) -> Dict[str, Any]:
    """Makes the ensemble that a YAML file tells of. What `Ensemble.fit` gives (rows 0: nothing was fitted), and the file."""
    handle = create(lib.tn_ensemble_load, lib.tn_ensemble_destroy, os.fsencode(path))
    result = FitResult(ctypes.sizeof(FitResult))
    lib.tn_ensemble_run(handle.pointer, threads, byref(result))
    return {**_figures(result), "model": lib.tn_ensemble_output(handle.pointer).decode()}
