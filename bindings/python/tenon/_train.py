"""Training: plans as files say them, and models on arrays; tenon/plan.h and tenon/train.h say how."""
from __future__ import annotations

import ctypes
import os
import time
from ctypes import CFUNCTYPE, POINTER, byref, c_bool, c_char_p, c_double, c_float, c_int, c_int64, c_size_t
from ctypes import c_uint64, c_void_p
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union

import numpy as np

from . import metrics
from ._files import Manifest, Path, save_graph
from ._library import Interrupted, InvalidArgument, NotFound, ValueInfoStruct, create, declare, lib
from ._tensor import as_array, numpy_dtype, view, wrap

_LOSSES = (
    "mse",
    "mae",
    "huber",
    "cross-entropy",
    "binary-cross-entropy",
    "quantile",
    "focal",
    "kl",
    "elbo",
    "ctc",
    "soft-cross-entropy",
)
_SCORES = {
    **dict.fromkeys(("cross-entropy", "focal", "kl", "ctc", "soft-cross-entropy"), "Softmax"),
    "binary-cross-entropy": "Sigmoid",
}
_OPTIMIZERS = ("sgd", "adam", "adamw", "adagrad", "rmsprop", "lion")
_SCHEDULES = ("constant", "step", "exponential", "cosine", "one-cycle", "plateau")
_AVERAGES = ("none", "ema", "swa")
_PRODUCTS = ("float32", "bfloat16")


class OptimizerOptions(ctypes.Structure):
    _fields_ = [
        ("kind", c_int),
        ("rate", c_double),
        ("momentum", c_double),
        ("nesterov", c_bool),
        ("beta1", c_double),
        ("beta2", c_double),
        ("alpha", c_double),
        ("epsilon", c_double),
        ("weight_decay", c_double),
        ("l1", c_double),
        ("clip_norm", c_double),
    ]


class Schedule(ctypes.Structure):
    _fields_ = [
        ("kind", c_int),
        ("factor", c_double),
        ("period", c_int64),
        ("total", c_int64),
        ("stretch", c_double),
        ("floor", c_double),
        ("rise", c_double),
        ("start", c_double),
        ("end", c_double),
        ("patience", c_int64),
        ("warm_up", c_int64),
    ]


class LossOptions(ctypes.Structure):
    _fields_ = [
        ("quantile", c_double),
        ("focus", c_double),
        ("label_smoothing", c_double),
        ("class_weights", POINTER(c_float)),
        ("class_count", c_int),
        ("beta", c_double),
    ]


class Average(ctypes.Structure):
    _fields_ = [("kind", c_int), ("decay", c_double), ("start", c_int64), ("every", c_int64)]


class TrainerOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("loss", c_int),
        ("optimizer", OptimizerOptions),
        ("schedule", Schedule),
        ("freeze", c_char_p),
        ("threads", c_int),
        ("seed", c_uint64),
        ("cpu", c_char_p),
        ("allocator", c_void_p),
        ("patience", c_int64),
        ("loss_options", LossOptions),
        ("average", Average),
        ("accumulate", c_int64),
        ("group", c_void_p),
        ("recompute", c_int64),
        ("products", c_int),
        ("keep_zeros", c_bool),
    ]


class PlanProgress(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("epoch", c_int64),
        ("epochs", c_int64),
        ("step", c_int64),
        ("steps", c_int64),
        ("loss", c_double),
        ("validation", c_double),
        ("epoch_ends", c_bool),
    ]


_PROGRESS = CFUNCTYPE(c_bool, c_void_p, POINTER(PlanProgress))
_NOTE = CFUNCTYPE(None, c_void_p, c_char_p)


class PlanOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("resume", c_bool),
        ("threads", c_int),
        ("cpu", c_char_p),
        ("progress", _PROGRESS),
        ("note", _NOTE),
        ("context", c_void_p),
        ("measured", c_void_p),
        ("group", c_void_p),
    ]


class PlanResult(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("train_rows", c_int64),
        ("validation_rows", c_int64),
        ("test_rows", c_int64),
        ("epochs", c_int64),
        ("best_epoch", c_int64),
        ("steps", c_int64),
        ("parameters", c_int64),
        ("resumed", c_bool),
        ("stopped_early", c_bool),
        ("loss", c_double),
        ("validation", c_double),
    ]


class NodeInfo(ctypes.Structure):
    _fields_ = [
        ("domain", c_char_p),
        ("op", c_char_p),
        ("name", c_char_p),
        ("in_count", c_int),
        ("out_count", c_int),
        ("in_", POINTER(c_int)),
        ("out", POINTER(c_int)),
    ]


_OUT, _TENSORS, _NUMBER = POINTER(c_void_p), POINTER(c_void_p), POINTER(c_double)
declare(
    {
        "tn_graph_value_info": (None, (c_void_p, c_int, POINTER(ValueInfoStruct))),
        "tn_graph_node_info": (None, (c_void_p, c_int, POINTER(NodeInfo))),
        "tn_graph_input_count": (c_int, (c_void_p,)),
        "tn_trainer_create": (None, (c_void_p, POINTER(TrainerOptions), _OUT)),
        "tn_trainer_destroy": (type(None), (c_void_p,)),
        "tn_trainer_step": (None, (c_void_p, _TENSORS, c_void_p, _NUMBER)),
        "tn_trainer_finish_step": (None, (c_void_p,)),
        "tn_trainer_evaluate": (None, (c_void_p, _TENSORS, c_void_p, _NUMBER)),
        "tn_trainer_predict": (None, (c_void_p, _TENSORS, _OUT)),
        "tn_trainer_report": (None, (c_void_p, c_double, POINTER(c_bool))),
        "tn_trainer_restore_best": (None, (c_void_p,)),
        "tn_trainer_steps": (c_int64, (c_void_p,)),
        "tn_trainer_rate": (c_double, (c_void_p,)),
        "tn_trainer_parameter": (None, (c_void_p, c_int, POINTER(c_char_p), _OUT)),
        "tn_trainer_export": (None, (c_void_p, _OUT)),
        "tn_trainer_save": (None, (c_void_p, c_char_p)),
        "tn_trainer_load": (None, (c_void_p, c_char_p)),
        "tn_plan_load": (None, (c_char_p, _OUT)),
        "tn_plan_destroy": (type(None), (c_void_p,)),
        "tn_plan_output": (c_char_p, (c_void_p,)),
        "tn_plan_set_fold": (None, (c_void_p, c_int, c_int)),
        "tn_plan_train": (None, (c_void_p, POINTER(PlanOptions), POINTER(PlanResult))),
    }
)


class Progress(NamedTuple):
    """How far a training is: epochs from 1 on, steps of the epoch; validation is of the last epoch, NaN if there is none."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    validation: float
    epoch_ends: bool


Callback = Callable[[Progress], Optional[bool]]
Inputs = Union[np.ndarray, Mapping[str, np.ndarray]]


def train(
    path: Path,
    *,
    resume: bool = False,
    threads: int = 1,
    cpu: Optional[str] = None,
    progress: Optional[Callback] = None,
    fold: Optional[Tuple[int, int]] = None,
) -> Dict[str, Any]:
    """Trains a model as a plan says. Gives what came of it, with the model's file as "model".

    fold: (3, 10) is tested on the third of ten parts of the rows, and trained on the others (tn_plan_set_fold).

    progress is called after each step; False from it, or Ctrl-C, stops with a checkpoint, from which resume goes on.
    """
    plan = create(lib.tn_plan_load, lib.tn_plan_destroy, os.fsencode(path))
    if fold:
        lib.tn_plan_set_fold(plan.pointer, fold[1], fold[0])
    failure: List[BaseException] = []

    def step(_: int, at: Any) -> bool:  # also where Ctrl-C arrives
        try:
            p = at.contents
            values = (getattr(p, name) for name in Progress._fields)
            return progress is None or progress(Progress(*values)) is not False
        except BaseException as raised:  # pylint: disable=broad-except
            failure.append(raised)
            return False

    size = ctypes.sizeof(PlanOptions)
    options = PlanOptions(size, resume, threads, cpu.encode() if cpu else None, _PROGRESS(step), _NOTE(), None, None)
    result = PlanResult(ctypes.sizeof(PlanResult))
    try:
        lib.tn_plan_train(plan.pointer, byref(options), byref(result))
    except Interrupted:
        if failure:
            raise failure[0] from None
        raise
    found = {name: getattr(result, name) for name, _ in PlanResult._fields_[1:]}
    return {**found, "model": os.fsdecode(lib.tn_plan_output(plan.pointer))}


def _word(words: Tuple[str, ...], word: str, what: str) -> int:
    if word not in words:
        raise InvalidArgument(f"{what} is one of {', '.join(words)}, not {word!r}")
    return words.index(word)


def _filled(struct: Any, words: Tuple[str, ...], given: Union[str, Mapping[str, Any]], what: str) -> Any:
    """A word alone, or a mapping with it as "kind" and fields of the struct besides."""
    fields = {"kind": given} if isinstance(given, str) else dict(given)
    fields["kind"] = _word(words, fields.get("kind", words[0]), what)
    unknown = set(fields) - {name for name, _ in struct._fields_}
    if unknown:
        raise InvalidArgument(f"{what} has no {sorted(unknown)[0]!r}")
    return struct(**fields)


class Trainer:
    """Fits the weights of a model, from an .onnx or .tenon, to arrays. For one thread at a time.

    loss: "mse", "mae", "huber", "quantile", "cross-entropy", "focal", "binary-cross-entropy", "kl", "elbo",
    "ctc" or "soft-cross-entropy"; those of classes want scores: output 0 as it is before softmax or sigmoid.  optimizer,
    schedule, average: a word, or a mapping with "kind" and the fields of tenon/train.h.  freeze: names of constants that stay as they are ("conv*": all that begin so).
    patience: epochs without a better validation loss until fit stops.  accumulate: batches to a step.
    products: "float32", or "bfloat16", which is mixed precision.  keep_zeros: what pruning left 0 stays 0.
    """

    def __init__(
        self,
        path: Path,
        loss: str = "cross-entropy",
        *,
        optimizer: Union[str, Mapping[str, Any]] = "adam",
        rate: float = 1e-3,
        schedule: Union[str, Mapping[str, Any]] = "constant",
        average: Union[str, Mapping[str, Any]] = "none",
        freeze: "list[str] | tuple[str, ...]" = (),
        patience: int = 0,
        accumulate: int = 1,
        products: str = "float32",
        keep_zeros: bool = False,
        class_weights: Any = None,
        loss_options: Optional[Mapping[str, float]] = None,
        threads: int = 1,
        seed: int = 0,
        cpu: Optional[str] = None,
    ) -> None:
        options = TrainerOptions(ctypes.sizeof(TrainerOptions), _word(_LOSSES, loss, "the loss"))
        options.optimizer = _filled(OptimizerOptions, _OPTIMIZERS, optimizer, "the optimizer")
        if not options.optimizer.rate:
            options.optimizer.rate = rate
        options.schedule = _filled(Schedule, _SCHEDULES, schedule, "the schedule")
        options.average = _filled(Average, _AVERAGES, average, "the average")
        for name, value in (loss_options or {}).items():
            if name not in ("quantile", "focus", "label_smoothing", "beta"):
                raise InvalidArgument(f"losses have no option {name!r}")
            setattr(options.loss_options, name, value)
        if class_weights is not None:
            weights = np.ascontiguousarray(class_weights, np.float32)
            options.loss_options.class_weights = weights.ctypes.data_as(POINTER(c_float))
            options.loss_options.class_count = weights.size
        options.freeze = ",".join(freeze).encode() or None
        options.threads, options.seed, options.patience = threads, seed, patience
        options.cpu, options.accumulate = cpu.encode() if cpu else None, accumulate
        options.products = (1, 16)[_word(_PRODUCTS, products, "products")]
        options.keep_zeros = keep_zeros
        graph = c_void_p()
        lib.tn_graph_load(os.fsencode(path), None, byref(graph))
        try:
            self.inputs = [_info(graph, lib.tn_graph_input_value(graph, i)) for i in range(lib.tn_graph_input_count(graph))]
            _refuse_probabilities(graph, loss)
        except BaseException:
            lib.tn_graph_destroy(graph)
            raise
        self._handle = create(lib.tn_trainer_create, lib.tn_trainer_destroy, graph, byref(options))  # takes it over
        self.loss, self._classes = loss, loss in ("cross-entropy", "focal", "ctc")
        self.history: List[Dict[str, float]] = []

    def fit(
        self,
        x: Inputs,
        y: Any,
        *,
        epochs: int = 1,
        batch: int = 32,
        validation: Union[float, Tuple[Inputs, Any]] = 0.0,
        shuffle: bool = True,
        seed: int = 0,
        progress: Optional[Callback] = None,
    ) -> List[Dict[str, float]]:
        """Trains, and gives the history of these epochs: epoch, loss, validation (NaN: none), rate, seconds.

        x: an array, or arrays by input name.  validation: the part of the rows that is not trained on (the last ones), or
        (x, y).  With a validation loss the best epoch's weights come back in the end.  progress is called after each step;
        False from it stops. After Ctrl-C, or whatever progress raises, the weights are those of the last whole step and
        `history` has the epochs that were done; the trainer can go on, save and predict.
        """
        arrays, target = self._arrays(x), self._target(y)
        rows = self._rows(arrays, target)
        held = None
        if not isinstance(validation, (int, float)):
            held = self._arrays(validation[0]), self._target(validation[1])
            self._rows(*held)
        elif validation:
            cut = rows - int(rows * validation + 0.5)
            if not 0 < cut < rows:
                raise InvalidArgument(f"validation of {validation} leaves {cut} of {rows} rows to train on")
            held = [a[cut:] for a in arrays], target[cut:]
            arrays, target, rows = [a[:cut] for a in arrays], target[:cut], cut
        random, order = np.random.default_rng(seed), np.arange(rows)
        steps, last, began = -(-rows // batch), float("nan"), len(self.history)
        for epoch in range(1, epochs + 1):
            started, total, stop = time.perf_counter(), 0.0, False
            if shuffle:
                random.shuffle(order)
            rate = lib.tn_trainer_rate(self._handle.pointer)
            for step in range(steps):
                which = order[step * batch : (step + 1) * batch]
                total += self._step([a[which] for a in arrays], target[which]) * len(which)
                ends = step + 1 == steps
                if ends:
                    lib.tn_trainer_finish_step(self._handle.pointer)
                    if held:
                        last = self._loss(*held, batch)
                done = total / min(rows, (step + 1) * batch)
                at = Progress(epoch, epochs, step + 1, steps, done, last, ends)
                if ends:
                    seconds = time.perf_counter() - started
                    figures = {"loss": done, "validation": last, "rate": rate, "seconds": seconds}
                    self.history.append({"epoch": len(self.history) + 1, **figures})
                    stop = held is not None and self._report(last)
                if progress is not None and progress(at) is False:
                    stop = True
                    break
            if stop:
                break
        if held is not None and len(self.history) > began:
            lib.tn_trainer_restore_best(self._handle.pointer)
        return self.history[began:]

    def predict(self, x: Inputs, *, batch: int = 256) -> np.ndarray:
        """Output 0: of classes scores, as the loss takes them."""
        arrays, found = self._arrays(x), []
        for start in range(0, len(arrays[0]), batch):
            out = c_void_p()
            held, pointers = self._tensors([a[start : start + batch] for a in arrays])
            lib.tn_trainer_predict(self._handle.pointer, pointers, byref(out))
            found.append(np.array(view(out.value, held)))
        return np.concatenate(found)

    def evaluate(self, x: Inputs, y: Any, *, batch: int = 256) -> Dict[str, float]:
        """The loss, and the metrics (tenon.metrics) that apply."""
        arrays, target = self._arrays(x), self._target(y)
        self._rows(arrays, target)
        found, scores = {"loss": self._loss(arrays, target, batch)}, self.predict(x, batch=batch)
        if self._classes and target.ndim == 1:
            found.update(metrics.compute(target, scores, logits=True))
        elif self.loss == "binary-cross-entropy" and scores.size == len(scores):
            labels = target.reshape(-1)
            if np.isin(labels, (0, 1)).all():
                found.update(metrics.compute(labels.astype(np.int64), scores.reshape(-1), logits=True))
        elif self.loss in ("mse", "mae", "huber", "quantile") and target.ndim <= 2:
            found.update(metrics.compute(target, scores.reshape(target.shape)))
        return found

    @property
    def steps(self) -> int:
        """Done so far."""
        return lib.tn_trainer_steps(self._handle.pointer)

    @property
    def parameters(self) -> Dict[str, np.ndarray]:
        """Copies of what is trained, by name."""
        found: Dict[str, np.ndarray] = {}
        while True:
            name, tensor = c_char_p(), c_void_p()
            try:
                lib.tn_trainer_parameter(self._handle.pointer, len(found), byref(name), byref(tensor))
            except NotFound:
                return found
            found[name.value.decode()] = np.array(view(tensor.value, self._handle))

    def save(self, path: Path, *, manifest: Manifest = None) -> None:
        """The model with the weights as they are now, an .onnx or .tenon."""
        graph = create(lib.tn_trainer_export, lib.tn_graph_destroy, self._handle.pointer)
        save_graph(graph.pointer, path, manifest, False, False)

    def save_checkpoint(self, path: Path) -> None:
        """All that it takes to go on, bit for bit."""
        lib.tn_trainer_save(self._handle.pointer, os.fsencode(path))

    def load_checkpoint(self, path: Path) -> None:
        """Of a trainer of the same model and options."""
        lib.tn_trainer_load(self._handle.pointer, os.fsencode(path))

    # ---- within

    def _arrays(self, x: Inputs) -> List[np.ndarray]:
        if not isinstance(x, Mapping):
            if len(self.inputs) != 1:
                raise InvalidArgument(f"the model has {len(self.inputs)} inputs: give arrays by their names")
            x = {self.inputs[0][0]: x}
        names = [name for name, _ in self.inputs]
        if set(x) != set(names):
            raise InvalidArgument(f"x has {', '.join(sorted(x))}; the model's inputs are {', '.join(names)}")
        return [as_array(np.asarray(x[name]), dtype).astype(numpy_dtype(dtype), copy=False) for name, dtype in self.inputs]

    def _target(self, y: Any) -> np.ndarray:
        return np.ascontiguousarray(y, np.int64 if self._classes else np.float32)

    def _rows(self, arrays: List[np.ndarray], target: np.ndarray) -> int:
        counts = {len(a) for a in (*arrays, target)}
        if len(counts) != 1 or 0 in counts:
            raise InvalidArgument(f"inputs and target have {', '.join(map(str, sorted(counts)))} rows; the same number was expected")
        return counts.pop()

    @staticmethod
    def _tensors(arrays: List[np.ndarray]) -> Any:
        held = [wrap(np.ascontiguousarray(a), 0) for a in arrays]
        return held, (c_void_p * len(held))(*(h.pointer for h in held))

    def _step(self, arrays: List[np.ndarray], target: np.ndarray) -> float:
        held, pointers = self._tensors(arrays)
        loss, to = c_double(), wrap(target, 0)
        lib.tn_trainer_step(self._handle.pointer, pointers, to.pointer, byref(loss))
        del held
        return loss.value

    def _loss(self, arrays: List[np.ndarray], target: np.ndarray, batch: int) -> float:
        total = 0.0
        for start, rows in _batches(len(target), batch):
            held, pointers = self._tensors([a[start : start + rows] for a in arrays])
            loss, to = c_double(), wrap(target[start : start + rows], 0)
            lib.tn_trainer_evaluate(self._handle.pointer, pointers, to.pointer, byref(loss))
            del held
            total += loss.value * rows
        return total / len(target)

    def _report(self, loss: float) -> bool:
        stop = c_bool()
        lib.tn_trainer_report(self._handle.pointer, loss, byref(stop))
        return stop.value


def _batches(rows: int, batch: int) -> Iterator[Tuple[int, int]]:
    for start in range(0, rows, batch):
        yield start, min(batch, rows - start)


def _info(graph: c_void_p, value: int) -> Tuple[str, int]:
    info = ValueInfoStruct()
    lib.tn_graph_value_info(graph, value, byref(info))
    return info.name.decode(), info.dtype


def _refuse_probabilities(graph: c_void_p, loss: str) -> None:
    """Losses of scores put softmax or sigmoid behind the model themselves; twice trains badly and silently."""
    node, output = NodeInfo(), lib.tn_graph_output_value(graph, 0)
    for i in range(lib.tn_graph_node_count(graph)):
        lib.tn_graph_node_info(graph, i, byref(node))
        if output in node.out[: node.out_count] and node.op.decode() == _SCORES.get(loss):
            raise InvalidArgument(f"output 0 comes from {node.op.decode()}, and {loss} wants the scores before it")
