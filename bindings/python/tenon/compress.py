"""Smaller and faster models; what is done is in tenon/quantize.h and tenon/recipe.h.

    report = tenon.compress.quantize("press.onnx", "press.int8.onnx", [{"x": sound} for sound in recorded])
    report["sqnr_db"], report["bytes_before"], report["rows"]

    steps = [{"prune": {"sparsity": 0.8}}, [{"share": {"bits": 4}}, {"quantize": {"calibration": "best"}}]]
    done = tenon.compress.recipe("press.onnx", "press.tenon", {"bounds": {"min_sqnr": 25}, "steps": steps}, data)
"""
from __future__ import annotations

import ctypes
import json
import os
from ctypes import CFUNCTYPE, POINTER, byref, c_bool, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint64, c_void_p
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from ._files import Path, save_graph
from ._library import Handle, InvalidArgument, ModelOptions, ValueInfoStruct, create, declare, lib
from ._tensor import as_array, view, wrap

_GET = CFUNCTYPE(c_int, c_void_p, c_int64, POINTER(c_void_p))
_METRIC = CFUNCTYPE(c_int, c_void_p, c_int64, POINTER(c_void_p), POINTER(c_double), POINTER(c_double))
_NOT_FOUND, _STATE = 8, 10
_UINT8, _INT8 = 2, 3
_METHODS = ("min-max", "moving-average", "percentile", "entropy", "mse", "best")


class SamplesStruct(ctypes.Structure):
    _fields_ = [("get", _GET), ("context", c_void_p)]


class QuantizeOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("calibration", c_int),
        ("percentile", c_double),
        ("activations", c_int),
        ("symmetric", c_bool),
        ("per_tensor", c_bool),
        ("reduce_range", c_bool),
        ("dynamic", c_bool),
        ("exclude", c_char_p),
        ("most_samples", c_int64),
        ("bias_correction", c_bool),
        ("equalize", c_bool),
        ("max_drop", c_double),
        ("min_sqnr", c_double),
        ("metric", _METRIC),
        ("metric_context", c_void_p),
        ("sensitivity", c_bool),
        ("never_slower", c_bool),
        ("threads", c_int),
        ("cpu", c_char_p),
        ("smooth", c_bool),
        ("adaptive_rounding", c_bool),
        ("metric_name", c_char_p),
        ("data_name", c_char_p),
        ("weight_bits", c_int),
        ("times", c_bool),
    ]


class RecipeRow(ctypes.Structure):
    _fields_ = [
        ("step", c_char_p),
        ("kept", c_bool),
        ("bytes_before", c_uint64),
        ("bytes_after", c_uint64),
        ("sqnr", c_double),
        ("metric", c_double),
        ("metric_before", c_double),
        ("way", c_int),
        ("known", c_bool),
        ("notes", c_char_p),
    ]


_PROGRESS = CFUNCTYPE(c_int, c_void_p, c_int, POINTER(RecipeRow))

declare(
    {
        "tn_recipe_parse": (None, (c_char_p, c_size_t, POINTER(c_void_p))),
        "tn_recipe_destroy": (type(None), (c_void_p,)),
        "tn_recipe_run": (
            None,
            (
                c_void_p,
                c_void_p,
                POINTER(SamplesStruct),
                POINTER(QuantizeOptions),
                c_char_p,
                _PROGRESS,
                c_void_p,
                POINTER(c_void_p),
                POINTER(c_void_p),
            ),
        ),
        "tn_quantize": (
            None,
            (c_void_p, POINTER(SamplesStruct), POINTER(QuantizeOptions), POINTER(c_void_p), POINTER(c_void_p)),
        ),
        "tn_quantize_aware": (
            None,
            (c_void_p, POINTER(SamplesStruct), POINTER(QuantizeOptions), POINTER(c_void_p)),
        ),
        "tn_quantize_trained": (None, (c_void_p, POINTER(c_void_p))),
        "tn_graph_value_info": (None, (c_void_p, c_int, POINTER(ValueInfoStruct))),
        "tn_graph_input_count": (c_int, (c_void_p,)),
        "tn_graph_output_count": (c_int, (c_void_p,)),
        "tn_quantize_report_json": (c_char_p, (c_void_p,)),
        "tn_quantize_report_html": (c_char_p, (c_void_p,)),
        "tn_quantize_report_destroy": (type(None), (c_void_p,)),
    }
)


def _values(graph: int, count: Callable, at: Callable) -> List[Tuple[str, int]]:
    """Name and data type of a graph's inputs or outputs."""
    found = []
    for i in range(count(graph)):
        info = ValueInfoStruct()
        lib.tn_graph_value_info(graph, at(graph, i), byref(info))
        found.append((info.name.decode(), info.dtype))
    return found


class _Calls:
    """The library's calls back. What they raise is kept, and raised again once the library has returned."""

    def __init__(self, graph: int, data: Sequence[Mapping[str, Any]], metric: Optional[Callable]) -> None:
        self.data, self.metric, self.failure, self.held = data, metric, None, []
        self.inputs = _values(graph, lib.tn_graph_input_count, lib.tn_graph_input_value)
        self.outputs = _values(graph, lib.tn_graph_output_count, lib.tn_graph_output_value)
        self.get, self.score = _GET(self._get), _METRIC(self._score)

    def run(self, function: Callable, *given: Any) -> None:
        """Calls a function of the library that calls back."""
        try:
            function(*given)
        except Exception:
            if self.failure is not None:
                raise self.failure
            raise

    def _get(self, _: int, index: int, inputs: Any) -> int:
        try:
            if index >= len(self.data):
                return _NOT_FOUND
            sample = self.data[index]
            unknown = set(sample) - {name for name, _ in self.inputs}
            if unknown:
                raise InvalidArgument(f"set {index}: the model has no input {sorted(unknown)[0]!r}")
            held = [wrap(as_array(sample[name], dtype), dtype) for name, dtype in self.inputs if name in sample]
            given = iter(held)
            for i, (name, _dtype) in enumerate(self.inputs):
                inputs[i] = next(given).pointer if name in sample else None
            self.held = held
            return 0
        except BaseException as failure:  # pylint: disable=broad-except
            self.failure = failure
            return _STATE

    def _score(self, _: int, index: int, outputs: Any, total: Any, weight: Any) -> int:
        try:
            values = {name: np.array(view(outputs[i], None)) for i, (name, _dtype) in enumerate(self.outputs) if outputs[i]}
            worth, counts = self.metric(index, values)
            total[0] += worth
            weight[0] += counts
            return 0
        except BaseException as failure:  # pylint: disable=broad-except
            self.failure = failure
            return _STATE


def quantize(
    source: Path,
    target: Path,
    data: Optional[Sequence[Mapping[str, Any]]] = None,
    *,
    calibration: str = "min-max",
    percentile: float = 99.999,
    activations: str = "uint8",
    symmetric: bool = False,
    per_tensor: bool = False,
    reduce_range: bool = False,
    dynamic: bool = False,
    bias_correction: bool = False,
    equalize: bool = False,
    smooth: bool = False,
    adaptive_rounding: bool = False,
    weight_bits: int = 8,
    trainable: bool = False,
    exclude: Sequence[str] = (),
    max_drop: float = 0.0,
    min_sqnr: float = 0.0,
    metric: Optional[Callable[[int, Dict[str, np.ndarray]], Tuple[float, float]]] = None,
    sensitivity: bool = False,
    never_slower: bool = False,
    threads: int = 1,
    cpu: Optional[str] = None,
    report_html: Optional[Path] = None,
) -> Dict[str, Any]:
    """Writes an int8 model in the form of target's name, .onnx or .tenon, and returns the report.

    data: sets of inputs, each a dictionary of arrays by the inputs' names; it is gone through several times.
    metric(index, outputs): what the outputs of set `index` are worth, and how much that counts, as (right, answers).
    report_html: where the report goes as a page with pictures; runs are measured for it.
    weight_bits: 2 to 8.  trainable: what is written is float32, rounds as the int8 model would, and is for Trainer; integers()
    makes the int8 model of what was trained. There is no report.
    """
    if calibration not in _METHODS:
        raise InvalidArgument(f"calibration is {calibration!r}; expected one of {', '.join(_METHODS)}")
    if activations not in ("uint8", "int8"):
        raise InvalidArgument(f"activations are {activations!r}; expected uint8 or int8")
    load = ModelOptions(struct_size=ctypes.sizeof(ModelOptions), verify_weights=True)
    graph = create(lib.tn_graph_load, lib.tn_graph_destroy, os.fsencode(source), byref(load))
    calls = _Calls(graph.pointer, list(data) if data is not None else [], metric)
    options = QuantizeOptions(
        struct_size=ctypes.sizeof(QuantizeOptions),
        calibration=_METHODS.index(calibration),
        percentile=percentile,
        activations=_UINT8 if activations == "uint8" else _INT8,
        symmetric=symmetric,
        per_tensor=per_tensor,
        reduce_range=reduce_range,
        dynamic=dynamic,
        exclude=",".join(exclude).encode() or None,
        bias_correction=bias_correction,
        equalize=equalize,
        max_drop=max_drop,
        min_sqnr=min_sqnr,
        metric=calls.score if metric else _METRIC(),
        sensitivity=sensitivity,
        never_slower=never_slower,
        threads=threads,
        cpu=cpu.encode() if cpu else None,
        smooth=smooth,
        adaptive_rounding=adaptive_rounding,
        weight_bits=weight_bits,
        times=report_html is not None,
    )
    samples = SamplesStruct(calls.get, None)
    made, report = c_void_p(), c_void_p()
    given = (graph.pointer, byref(samples) if data is not None else None, byref(options), byref(made))
    if trainable:
        calls.run(lib.tn_quantize_aware, *given)
    else:
        calls.run(lib.tn_quantize, *given, byref(report))
    small = Handle(made.value, lib.tn_graph_destroy)
    if trainable:
        save_graph(small.pointer, target, None, False, False)
        return {}
    told = Handle(report.value, lib.tn_quantize_report_destroy)
    save_graph(small.pointer, target, None, False, False)
    return _write_report(told, report_html)


def _write_report(report: Handle, html: Optional[Path]) -> Dict[str, Any]:
    if html is not None:
        with open(html, "wb") as file:
            file.write(lib.tn_quantize_report_html(report.pointer))
    return json.loads(lib.tn_quantize_report_json(report.pointer).decode())


def recipe(
    source: Path,
    target: Path,
    steps: Union[str, Mapping[str, Any]],
    data: Optional[Sequence[Mapping[str, Any]]] = None,
    *,
    metric: Optional[Callable[[int, Dict[str, np.ndarray]], Tuple[float, float]]] = None,
    folder: Optional[Path] = None,
    progress: Optional[Callable[[Dict[str, Any]], None]] = None,
    threads: int = 1,
    cpu: Optional[str] = None,
    report_html: Optional[Path] = None,
) -> Dict[str, Any]:
    """Writes what a recipe's steps make of a model. Returns {"steps": what was tried, a dictionary each, "quantization": the
    report of the last quantize step of what was made, with all that was tried; without such a step it has no rows}.

    steps: the recipe as YAML, or as {"steps": [...], "bounds": {...}}; paths in it are not looked at.
    data, metric: as quantize() has them.  folder: where an interrupted run leaves what it tried, and goes on from.
    progress(step): called with each as it was tried; what it raises ends the recipe. Its "notes" say what it left and why.
    """
    text = (steps if isinstance(steps, str) else json.dumps(steps)).encode()
    made_recipe = create(lib.tn_recipe_parse, lib.tn_recipe_destroy, text, len(text))
    load = ModelOptions(struct_size=ctypes.sizeof(ModelOptions), verify_weights=True)
    graph = create(lib.tn_graph_load, lib.tn_graph_destroy, os.fsencode(source), byref(load))
    calls = _Calls(graph.pointer, list(data) if data is not None else [], metric)
    options = QuantizeOptions(
        struct_size=ctypes.sizeof(QuantizeOptions),
        metric=calls.score if metric else _METRIC(),
        threads=threads,
        cpu=cpu.encode() if cpu else None,
        times=report_html is not None,
    )
    rows: List[Dict[str, Any]] = []

    def told(_: Any, index: int, row: Any) -> int:
        values = {name: getattr(row[0], name) for name, _type in RecipeRow._fields_}
        rows.append({"index": index, **values, "step": row[0].step.decode(), "notes": row[0].notes.decode()})
        try:
            if progress is not None:
                progress(rows[-1])
            return 0
        except BaseException as failure:  # pylint: disable=broad-except
            calls.failure = failure
            return _STATE

    samples, call = SamplesStruct(calls.get, None), _PROGRESS(told)
    made, report = c_void_p(), c_void_p()
    place = None if folder is None else os.fsencode(folder)
    given = (graph.pointer, byref(samples) if data is not None else None, byref(options), place, call, None)
    calls.run(lib.tn_recipe_run, made_recipe.pointer, *given, byref(made), byref(report))
    small = Handle(made.value, lib.tn_graph_destroy)
    last = Handle(report.value, lib.tn_quantize_report_destroy)
    save_graph(small.pointer, target, None, False, False)
    return {"steps": rows, "quantization": _write_report(last, report_html)}


def integers(source: Path, target: Path) -> None:
    """Makes the int8 model of one that quantize(trainable=True) wrote and Trainer trained."""
    graph = create(lib.tn_graph_load, lib.tn_graph_destroy, os.fsencode(source), None)
    small = create(lib.tn_quantize_trained, lib.tn_graph_destroy, graph.pointer)
    save_graph(small.pointer, target, None, False, False)
