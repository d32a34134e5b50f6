"""libtenon through ctypes: finding it, its structs and functions, and its failures as exceptions.

The structs are those of include/tenon/*.h; a test compares their sizes with the C compiler's.
"""
from __future__ import annotations

import ctypes
import ctypes.util
import os
from ctypes import POINTER, byref, c_bool, c_char, c_char_p, c_double, c_int, c_int32, c_int64
from ctypes import c_size_t, c_uint64, c_void_p
from pathlib import Path
from typing import Type

MAX_RANK = 8


class Error(Exception):
    """What libtenon refused or failed at; the text is its own sentence. `status` is its code."""

    status = 0


class InvalidArgument(Error, ValueError):
    """An argument makes no sense."""


class OutOfMemory(Error, MemoryError):
    """There was not enough memory."""


class IOFailure(Error, OSError):
    """A file could not be read or written."""


class FormatError(Error, ValueError):
    """A file is malformed."""


class Unsupported(Error, NotImplementedError):
    """The model is valid, but libtenon does not do that."""


class DataTypeError(Error, TypeError):
    """A tensor has the wrong data type."""


class ShapeError(Error, ValueError):
    """A tensor has the wrong shape."""


class NotFound(Error, LookupError):
    """There is nothing of that name or number."""


class LimitExceeded(Error):
    """A limit was exceeded."""


class StateError(Error, RuntimeError):
    """The call is not allowed now."""


class Interrupted(Error):
    """The run was stopped by Session.interrupt."""


class InternalError(Error, RuntimeError):
    """A bug in libtenon."""


class CheckFailed(Error):
    """A self-test or a gate was not passed."""


_CLASSES: "dict[int, Type[Error]]" = dict(
    enumerate(
        (
            InvalidArgument,
            OutOfMemory,
            IOFailure,
            FormatError,
            Unsupported,
            DataTypeError,
            ShapeError,
            NotFound,
            LimitExceeded,
            StateError,
            Interrupted,
            InternalError,
            CheckFailed,
        ),
        start=1,
    )
)


class ModelOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("allocator", c_void_p),
        ("cpu", c_char_p),
        ("memory_limit", c_size_t),
        ("skip_passes", c_char_p),
        ("custom_ops", c_void_p),
        ("custom_op_count", c_size_t),
        ("on_pass", c_void_p),
        ("context", c_void_p),
        ("verify_weights", c_bool),
        ("precision", c_int),
        ("packed_folder", c_char_p),
        ("weights", c_int),
    ]


class FileOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("manifest", c_char_p),
        ("compress", c_bool),
        ("optimizer", c_void_p),
        ("optimizer_size", c_size_t),
        ("self_test", c_void_p),
    ]


class OnnxOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("external_data", c_bool)]


class SessionOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("allocator", c_void_p),
        ("threads", c_int),
        ("max_shapes", c_int),
        ("seed", c_uint64),
        ("profile", c_bool),
    ]


class ValueInfoStruct(ctypes.Structure):
    _fields_ = [
        ("name", c_char_p),
        ("kind", c_char_p),
        ("dtype", c_int),
        ("rank", c_int),
        ("dims", c_int64 * MAX_RANK),
        ("symbols", c_char_p * MAX_RANK),
        ("constant", c_void_p),
    ]


class MemoryStruct(ctypes.Structure):
    _fields_ = [(name, c_size_t) for name in ("struct_size", "arena", "sum", "packed", "scratch", "mapped")]


class ProfileStruct(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("node", c_int),
        ("op", c_char_p),
        ("name", c_char_p),
        ("shape", c_char * 96),
        ("runs", c_uint64),
        ("nanoseconds", c_uint64),
        ("last_start_ns", c_uint64),
        ("last_ns", c_uint64),
        ("graph", c_void_p),
        ("depth", c_int),
    ]


class CsvOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("separator", c_char), ("decimal", c_char), ("no_header", c_bool)]


class MetricsOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("classes", c_int),
        ("logits", c_bool),
        ("threshold", c_double),
        ("bins", c_int),
    ]


class BootstrapOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("resamples", c_int), ("level", c_double), ("seed", c_uint64)]


class CurvePoint(ctypes.Structure):
    _fields_ = [(name, c_double) for name in ("x", "y", "at")]


class StringStruct(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("size", c_size_t)]


# name: (result, arguments); a result of None is tn_status, which raises.
_STATUS = None
_HANDLE, _OUT = c_void_p, POINTER(c_void_p)
_FUNCTIONS = {
    "tn_version": (c_char_p, ()),
    "tn_last_error": (c_char_p, ()),
    "tn_status_text": (c_char_p, (c_int,)),
    "tn_cpu_level_at": (c_char_p, (c_int,)),
    "tn_dtype_name": (c_char_p, (c_int,)),
    "tn_tensor_wrap": (_STATUS, (c_int, c_int, POINTER(c_int64), POINTER(c_int64), c_void_p, c_size_t, _OUT)),
    "tn_tensor_clone": (_STATUS, (_HANDLE, c_void_p, _OUT)),
    "tn_tensor_destroy": (type(None), (_HANDLE,)),
    "tn_tensor_dtype": (c_int, (_HANDLE,)),
    "tn_tensor_rank": (c_int, (_HANDLE,)),
    "tn_tensor_dims": (POINTER(c_int64), (_HANDLE,)),
    "tn_tensor_count": (c_int64, (_HANDLE,)),
    "tn_tensor_bytes": (c_size_t, (_HANDLE,)),
    "tn_tensor_is_dense": (c_bool, (_HANDLE,)),
    "tn_tensor_const_data": (c_void_p, (_HANDLE,)),
    "tn_model_load": (_STATUS, (c_char_p, POINTER(ModelOptions), _OUT)),
    "tn_model_load_memory": (_STATUS, (c_void_p, c_size_t, c_char_p, POINTER(ModelOptions), _OUT)),
    "tn_model_destroy": (type(None), (_HANDLE,)),
    "tn_model_manifest": (c_char_p, (_HANDLE,)),
    "tn_model_digest": (c_char_p, (_HANDLE,)),
    "tn_graph_load": (_STATUS, (c_char_p, POINTER(ModelOptions), _OUT)),
    "tn_graph_destroy": (type(None), (_HANDLE,)),
    "tn_graph_save": (_STATUS, (_HANDLE, c_char_p, POINTER(FileOptions))),
    "tn_graph_save_onnx": (_STATUS, (_HANDLE, c_char_p, POINTER(OnnxOptions))),
    "tn_manifest_parse": (_STATUS, (c_char_p, c_size_t, _OUT)),
    "tn_manifest_destroy": (type(None), (_HANDLE,)),
    "tn_manifest_kind_of": (c_int, (_HANDLE, c_char_p)),
    "tn_manifest_get": (c_char_p, (_HANDLE, c_char_p)),
    "tn_manifest_count": (c_int, (_HANDLE, c_char_p)),
    "tn_manifest_key": (c_char_p, (_HANDLE, c_char_p, c_int)),
    "tn_table_read": (_STATUS, (c_char_p, POINTER(CsvOptions), _OUT)),
    "tn_table_read_memory": (_STATUS, (c_char_p, c_size_t, c_char_p, POINTER(CsvOptions), _OUT)),
    "tn_table_destroy": (type(None), (_HANDLE,)),
    "tn_table_rows": (c_int64, (_HANDLE,)),
    "tn_table_column_count": (c_int, (_HANDLE,)),
    "tn_table_column_name": (c_char_p, (_HANDLE, c_int)),
    "tn_table_find": (c_int, (_HANDLE, c_char_p)),
    "tn_table_numbers": (POINTER(c_double), (_HANDLE, c_int)),
    "tn_table_codes": (POINTER(c_int32), (_HANDLE, c_int)),
    "tn_table_level_count": (c_int, (_HANDLE, c_int)),
    "tn_table_level": (StringStruct, (_HANDLE, c_int, c_int)),
    "tn_pipeline_parse": (_STATUS, (c_char_p, c_size_t, _OUT)),
    "tn_pipeline_destroy": (type(None), (_HANDLE,)),
    "tn_pipeline_fitted": (c_bool, (_HANDLE,)),
    "tn_pipeline_width": (c_int, (_HANDLE,)),
    "tn_pipeline_split": (_STATUS, (_HANDLE, _HANDLE, c_void_p)),
    "tn_pipeline_fit": (_STATUS, (_HANDLE, _HANDLE, c_void_p)),
    "tn_pipeline_apply": (_STATUS, (_HANDLE, _HANDLE, c_void_p, c_int, _OUT, _OUT)),
    "tn_pipeline_write": (_STATUS, (_HANDLE, POINTER(c_char_p))),
    "tn_metrics_create": (_STATUS, (_HANDLE, _HANDLE, POINTER(MetricsOptions), _OUT)),
    "tn_sequences_read": (_STATUS, (_HANDLE, _OUT)),
    "tn_sequences_score": (_STATUS, (_HANDLE, _HANDLE, POINTER(c_double), POINTER(c_double))),
    "tn_metrics_destroy": (type(None), (_HANDLE,)),
    "tn_metrics_samples": (c_int64, (_HANDLE,)),
    "tn_metrics_classes": (c_int, (_HANDLE,)),
    "tn_metric_name": (c_char_p, (c_int,)),
    "tn_metrics_applies": (c_bool, (_HANDLE, c_char_p)),
    "tn_metrics_value": (_STATUS, (_HANDLE, c_char_p, POINTER(c_double))),
    "tn_metrics_interval": (
        _STATUS,
        (_HANDLE, c_char_p, POINTER(BootstrapOptions), POINTER(c_double), POINTER(c_double)),
    ),
    "tn_metrics_confusion": (_STATUS, (_HANDLE, c_void_p)),
    "tn_metrics_curve": (_STATUS, (_HANDLE, c_int, c_int, c_size_t, POINTER(CurvePoint), POINTER(c_size_t))),
    "tn_model_cpu": (c_char_p, (_HANDLE,)),
    "tn_model_graph": (c_void_p, (_HANDLE,)),
    "tn_model_input_count": (c_int, (_HANDLE,)),
    "tn_model_output_count": (c_int, (_HANDLE,)),
    "tn_model_input_info": (_STATUS, (_HANDLE, c_int, POINTER(ValueInfoStruct))),
    "tn_model_output_info": (_STATUS, (_HANDLE, c_int, POINTER(ValueInfoStruct))),
    "tn_graph_node_count": (c_int, (_HANDLE,)),
    "tn_graph_input_value": (c_int, (_HANDLE, c_int)),
    "tn_graph_output_value": (c_int, (_HANDLE, c_int)),
    "tn_graph_value_text": (c_size_t, (_HANDLE, c_int, c_char_p, c_size_t)),
    "tn_session_create": (_STATUS, (_HANDLE, POINTER(SessionOptions), _OUT)),
    "tn_session_destroy": (type(None), (_HANDLE,)),
    "tn_session_model": (c_void_p, (_HANDLE,)),
    "tn_session_set_input": (_STATUS, (_HANDLE, c_int, _HANDLE)),
    "tn_session_set_input_sequence": (_STATUS, (_HANDLE, c_int, c_int, c_size_t, _OUT)),
    "tn_session_set_input_none": (_STATUS, (_HANDLE, c_int)),
    "tn_session_prepare": (_STATUS, (_HANDLE,)),
    "tn_session_run": (c_int, (_HANDLE,)),  # whoever calls it looks at the status: it is called often
    "tn_session_interrupt": (type(None), (_HANDLE,)),
    "tn_session_output": (_STATUS, (_HANDLE, c_int, _OUT)),
    "tn_session_output_length": (_STATUS, (_HANDLE, c_int, POINTER(c_size_t))),
    "tn_session_output_element": (_STATUS, (_HANDLE, c_int, c_size_t, _OUT)),
    "tn_session_outputs_version": (c_uint64, (_HANDLE,)),
    "tn_session_memory_info": (_STATUS, (_HANDLE, POINTER(MemoryStruct))),
    "tn_session_profile": (_STATUS, (_HANDLE, c_int, POINTER(ProfileStruct))),
    "tn_session_profile_reset": (type(None), (_HANDLE,)),
}


def _candidates() -> "list[str]":
    here = Path(__file__).resolve()
    named = os.environ.get("TENON_LIBRARY")
    if named:
        return [named]
    found = [here.parent / "libtenon.so"]
    root = here.parents[3]
    if (root / "include" / "tenon" / "tenon.h").exists():
        found.append(root / "build" / "libtenon.so")
    system = ctypes.util.find_library("tenon")
    return [str(path) for path in found if path.exists()] + ([system] if system else [])


def _check(status: int, function, arguments) -> int:
    if status:
        raise error(status)
    return status


def error(status: int) -> Error:
    """The exception for this thread's last failure."""
    sentence = lib.tn_last_error() or lib.tn_status_text(status)
    made = _CLASSES.get(status, Error)(sentence.decode("utf-8", "replace"))
    made.status = status
    return made


def number_of(kind: "Type[Error]") -> int:
    """The status that the exception is of."""
    return next(number for number, made in _CLASSES.items() if made is kind)


def _load() -> ctypes.CDLL:
    candidates = _candidates()
    if not candidates:
        raise ImportError("libtenon is not there; build it (make), install it, or name it in TENON_LIBRARY")
    library = ctypes.CDLL(candidates[0])
    _declare(library, _FUNCTIONS)
    return library


def _declare(library: ctypes.CDLL, functions) -> None:
    for name, (result, arguments) in functions.items():
        function = getattr(library, name)
        function.argtypes = arguments
        if result is None:
            function.restype, function.errcheck = c_int, _check
        else:
            function.restype = None if result is type(None) else result


lib = _load()


def declare(functions) -> None:
    """More functions of the library, as rows of _FUNCTIONS."""
    _declare(lib, functions)


class Handle:
    """Owns an object of the library, which lives until this and all that needs it are gone.

    The garbage collector may finalize a session and its model in any order, so that the needs are counted here:
    `_users` has an entry for this and for each that needs it, and whoever pops the first entry (pop is atomic) is the
    last.
    """

    __slots__ = ("pointer", "_destroy", "_needs", "_users")

    def __init__(self, pointer: int, destroy, *needs) -> None:
        self.pointer, self._destroy, self._needs, self._users = pointer, destroy, needs, [True]
        for need in needs:
            if isinstance(need, Handle):
                need._users.append(False)

    def _drop(self) -> None:
        if not self._users.pop():
            return
        self._destroy(self.pointer)
        for need in self._needs:
            if isinstance(need, Handle):
                need._drop()

    __del__ = _drop


def create(function, destroy, *arguments, needs=()) -> Handle:
    """The object that `function` makes into its last argument."""
    out = c_void_p()
    function(*arguments, byref(out))
    return Handle(out.value, destroy, *needs)
