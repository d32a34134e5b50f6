"""Studies: parameters are drawn, tried, and drawn better by what was found. tenon/tune.h says how.

    study = tenon.tune.Study(seed=7)
    study.add_float("rate", 1e-4, 1e-1, log=True)
    study.add_choice("activation", ["relu", "tanh"])
    for _ in range(50):
        trial = study.ask()
        trial.tell(loss_with(trial["rate"], trial["activation"]))
    study.best.parameters

    tenon.tune.run("digits-study.yaml", jobs=2)       # a study of a plan, as `tenon tune` runs it
"""
from __future__ import annotations

import ctypes
import math
import os
from ctypes import POINTER, byref, c_bool, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint64, c_void_p
from typing import Any, Dict, List, Optional, Sequence, Union

from ._library import Handle, InvalidArgument, NotFound, create, declare, lib

_SAMPLERS = {"tpe": 0, "random": 1}
_JOINTS = {"auto": 0, "all": 1, "each": 2}
_STATES = ("running", "complete", "pruned", "failed")


class _StudyOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("seed", c_uint64),
        ("sampler", c_int),
        ("joint", c_int),
        ("startup", c_int),
        ("candidates", c_int),
        ("first", c_int64),
        ("reduction", c_int64),
        ("subject", c_char_p),
        ("promote", c_bool),
    ]


class _Trial(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("state", c_int),
        ("parameters", POINTER(c_double)),
        ("values", POINTER(c_double)),
        ("rungs", c_int),
        ("reported", c_double),
        ("sentence", c_char_p),
    ]


class _Parameter(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("name", c_char_p),
        ("kind", c_int),
        ("low", c_double),
        ("high", c_double),
        ("step", c_double),
        ("logarithm", c_bool),
        ("count", c_int),
        ("choices", POINTER(c_char_p)),
    ]


class _TuningOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("trials", c_int64),
        ("jobs", c_int),
        ("cpu", c_char_p),
        ("progress", c_void_p),
        ("context", c_void_p),
    ]


declare(
    {
        "tn_study_create": (None, (POINTER(_StudyOptions), POINTER(c_void_p))),
        "tn_study_destroy": (type(None), (c_void_p,)),
        "tn_study_add_float": (None, (c_void_p, c_char_p, c_double, c_double, c_double, c_bool)),
        "tn_study_add_int": (None, (c_void_p, c_char_p, c_int64, c_int64, c_int64, c_bool)),
        "tn_study_add_choice": (None, (c_void_p, c_char_p, POINTER(c_char_p), c_int)),
        "tn_study_add_condition": (None, (c_void_p, c_char_p, c_char_p, c_char_p)),
        "tn_study_add_objective": (None, (c_void_p, c_char_p, c_bool)),
        "tn_study_open": (None, (c_void_p, c_char_p)),
        "tn_study_ask": (None, (c_void_p, POINTER(c_int64))),
        "tn_study_tell": (None, (c_void_p, c_int64, POINTER(c_double), c_int)),
        "tn_study_fail": (None, (c_void_p, c_int64, c_char_p)),
        "tn_study_report": (None, (c_void_p, c_int64, c_int64, c_double, c_bool, POINTER(c_bool))),
        "tn_study_promote": (None, (c_void_p, POINTER(c_int64))),
        "tn_study_trial": (None, (c_void_p, c_int64, POINTER(_Trial))),
        "tn_study_count": (c_int64, (c_void_p,)),
        "tn_study_end": (c_int64, (c_void_p,)),
        "tn_study_best": (None, (c_void_p, POINTER(c_int64))),
        "tn_study_pareto": (None, (c_void_p, c_size_t, POINTER(c_int64), POINTER(c_size_t))),
        "tn_study_importance": (None, (c_void_p, c_int, POINTER(c_double))),
        "tn_study_parameter": (None, (c_void_p, c_int, POINTER(_Parameter))),
        "tn_study_objective": (None, (c_void_p, c_int, POINTER(c_char_p), POINTER(c_bool))),
        "tn_tuning_load": (None, (c_char_p, POINTER(c_void_p))),
        "tn_tuning_destroy": (type(None), (c_void_p,)),
        "tn_tuning_run": (None, (c_void_p, POINTER(_TuningOptions))),
        "tn_tuning_study": (c_void_p, (c_void_p,)),
        "tn_tuning_path": (c_char_p, (c_void_p, c_int64, c_char_p)),
    }
)


class Trial:
    """A trial of a study: trial["rate"] is what a parameter is in it."""

    def __init__(self, study: "Study", number: int) -> None:
        self.study, self.number = study, number

    def _look(self) -> _Trial:
        found = _Trial(ctypes.sizeof(_Trial))
        lib.tn_study_trial(self.study._pointer, self.number, byref(found))
        return found

    @property
    def parameters(self) -> Dict[str, Any]:
        """Those that take part, by name: floats, ints, and texts of choices."""
        found, values = self._look(), {}
        for i, p in enumerate(self.study._parameters()):
            x = found.parameters[i]
            if math.isnan(x):
                continue
            values[p.name.decode()] = (x, int(x), p.choices[int(x)].decode() if p.kind == 2 else None)[p.kind]
        return values

    def __getitem__(self, name: str) -> Any:
        parameters = self.parameters
        if name not in parameters:
            raise NotFound(f"{name!r} takes no part in trial {self.number}")
        return parameters[name]

    @property
    def state(self) -> str:
        """"running", "complete", "pruned" or "failed"."""
        return _STATES[self._look().state]

    @property
    def values(self) -> Optional[List[float]]:
        """Of a complete trial, one an objective."""
        found = self._look()
        return [found.values[i] for i in range(self.study._objectives())] if found.values else None

    @property
    def rungs(self) -> int:
        """Of halving, that it has reached."""
        return self._look().rungs

    @property
    def why(self) -> Optional[str]:
        """Why it failed."""
        sentence = self._look().sentence
        return sentence.decode("utf-8", "replace") if sentence else None

    def tell(self, *values: float) -> None:
        """It is complete, with a value for each objective."""
        lib.tn_study_tell(self.study._pointer, self.number, (c_double * len(values))(*values), len(values))

    def fail(self, sentence: str = "failed") -> None:
        lib.tn_study_fail(self.study._pointer, self.number, sentence.encode())

    def report(self, resource: int, value: float, *, maximize: bool = False) -> bool:
        """What it has reached after so much of its resource; whether it goes on, or was pruned."""
        prune = c_bool()
        lib.tn_study_report(self.study._pointer, self.number, resource, value, maximize, byref(prune))
        return not prune.value


class Study:
    """Asks and is told. The first `ask` opens it: parameters and objectives come before.

    path: its file, which it goes on with if it is there; None: in memory.  sampler: "tpe" or "random".  joint: of TPE's
    densities, "auto", "all" or "each".  first, reduction: of successive halving; first=0: none.  promote: trials that are
    pruned wait, and may go on (`promote`).
    """

    def __init__(
        self,
        path: Union[str, "os.PathLike[str]", None] = None,
        *,
        seed: int = 0,
        sampler: str = "tpe",
        joint: str = "auto",
        startup: int = 10,
        candidates: int = 24,
        first: int = 0,
        reduction: int = 4,
        subject: str = "",
        promote: bool = False,
    ) -> None:
        if sampler not in _SAMPLERS or joint not in _JOINTS:
            raise InvalidArgument(f"sampler {sampler!r}, joint {joint!r}: there are {[*_SAMPLERS]} and {[*_JOINTS]}")
        options = _StudyOptions(
            ctypes.sizeof(_StudyOptions), seed, _SAMPLERS[sampler], _JOINTS[joint], startup, candidates, first, reduction,
            subject.encode(), promote,
        )
        self._handle: Optional[Handle] = create(lib.tn_study_create, lib.tn_study_destroy, byref(options))
        self._pointer = self._handle.pointer
        self._path = None if path is None else os.fsencode(path)
        self._open = False

    def add_float(self, name: str, low: float, high: float, *, step: float = 0, log: bool = False) -> None:
        lib.tn_study_add_float(self._pointer, name.encode(), low, high, step, log)

    def add_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> None:
        lib.tn_study_add_int(self._pointer, name.encode(), low, high, step, log)

    def add_choice(self, name: str, choices: Sequence[str]) -> None:
        texts = (c_char_p * len(choices))(*[c.encode() for c in choices])
        lib.tn_study_add_choice(self._pointer, name.encode(), texts, len(choices))

    def add_condition(self, name: str, other: str, choice: str) -> None:
        """`name` takes part only where `other` is `choice`."""
        lib.tn_study_add_condition(self._pointer, name.encode(), other.encode(), choice.encode())

    def add_objective(self, name: str, *, maximize: bool = False) -> None:
        lib.tn_study_add_objective(self._pointer, name.encode(), maximize)

    def open(self) -> None:
        """Ends the adding; `ask` does it by itself."""
        lib.tn_study_open(self._pointer, self._path)
        self._open = True

    def ask(self) -> Trial:
        if not self._open:
            self.open()
        number = c_int64()
        lib.tn_study_ask(self._pointer, byref(number))
        return Trial(self, number.value)

    def promote(self) -> Optional[Trial]:
        """The next of the trials that wait at a rung which may go on, running again; None: there is none."""
        if not self._open:
            self.open()
        number = c_int64()
        try:
            lib.tn_study_promote(self._pointer, byref(number))
        except NotFound:
            return None
        return Trial(self, number.value)

    def __len__(self) -> int:
        """Trials that have ended."""
        return lib.tn_study_count(self._pointer)

    @property
    def trials(self) -> List[Trial]:
        """All that are there, also those that run."""
        found = []
        for number in range(lib.tn_study_end(self._pointer)):
            trial = Trial(self, number)
            try:
                trial._look()
            except NotFound:
                continue
            found.append(trial)
        return found

    @property
    def best(self) -> Trial:
        number = c_int64()
        lib.tn_study_best(self._pointer, byref(number))
        return Trial(self, number.value)

    @property
    def front(self) -> List[Trial]:
        """Trials that no other beats in one objective without losing in another."""
        capacity, count = lib.tn_study_end(self._pointer), c_size_t()
        numbers = (c_int64 * max(capacity, 1))()
        lib.tn_study_pareto(self._pointer, capacity, numbers, byref(count))
        return [Trial(self, numbers[i]) for i in range(count.value)]

    def importance(self, objective: int = 0) -> Dict[str, float]:
        """Shares of the parameters in being among the best tenth (PED-ANOVA)."""
        names = [p.name.decode() for p in self._parameters()]
        shares = (c_double * len(names))()
        lib.tn_study_importance(self._pointer, objective, shares)
        return dict(zip(names, shares))

    def _parameters(self) -> List[_Parameter]:
        found: List[_Parameter] = []
        while True:
            p = _Parameter(ctypes.sizeof(_Parameter))
            try:
                lib.tn_study_parameter(self._pointer, len(found), byref(p))
            except NotFound:
                return found
            found.append(p)

    def _objectives(self) -> int:
        name, count = c_char_p(), 0
        while True:
            try:
                lib.tn_study_objective(self._pointer, count, byref(name), None)
            except NotFound:
                return count
            count += 1


class Tuning(Study):
    """A study of a plan, from its YAML."""

    def __init__(self, path: Union[str, "os.PathLike[str]"]) -> None:
        self._handle = create(lib.tn_tuning_load, lib.tn_tuning_destroy, os.fsencode(path))
        self._pointer = lib.tn_tuning_study(self._handle.pointer)
        self._open = True

    def run(self, *, trials: int = 0, jobs: int = 0, cpu: Optional[str] = None) -> None:
        """Until so many trials have ended; 0: as the YAML says."""
        options = _TuningOptions(ctypes.sizeof(_TuningOptions), trials, jobs, cpu.encode() if cpu else None, None, None)
        lib.tn_tuning_run(self._handle.pointer, byref(options))

    def path(self, trial: Trial, kind: str = "tenon") -> str:
        """Where the model ("tenon") or the plan ("yaml") of a trial among the best is."""
        return os.fsdecode(lib.tn_tuning_path(self._handle.pointer, trial.number, kind.encode()))


def run(path: Union[str, "os.PathLike[str]"], *, trials: int = 0, jobs: int = 0, cpu: Optional[str] = None) -> Tuning:
    """Runs a study of a plan."""
    tuning = Tuning(path)
    tuning.run(trials=trials, jobs=jobs, cpu=cpu)
    return tuning
