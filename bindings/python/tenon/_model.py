"""Models and sessions."""
from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Mapping
from ctypes import byref, c_char_p, c_size_t, c_void_p
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ._library import (
    DataTypeError,
    Handle,
    InvalidArgument,
    MemoryStruct,
    ModelOptions,
    NotFound,
    ProfileStruct,
    SessionOptions,
    ValueInfoStruct,
    create,
    error,
    lib,
)
from ._files import Manifest, read_manifest, save_graph
from ._tensor import Views, as_array, numpy_dtype, wrap

Value = Union[np.ndarray, List[np.ndarray], None]
Results = Union[Dict[str, Value], List[Value]]


class ValueInfo(NamedTuple):
    """An input or output of a model."""

    name: str
    kind: str  #: "tensor", "sequence", "optional" or "other"
    type: str  #: as libtenon writes it: "float32[batch,3,?]", "optional sequence of int64[...]"
    dtype: Optional[np.dtype]  #: None: unknown
    shape: Optional[Tuple[Union[int, str, None], ...]]  #: None: unknown; a dim may be a number, a symbol, None
    number: int  #: ONNX's number of the data type


class Memory(NamedTuple):
    """Bytes that a session's plan takes."""

    arena: int  #: for all intermediate tensors
    sum: int  #: what they would take were none to share memory
    packed: int  #: packed weights, shared by all sessions of the model
    scratch: int
    mapped: int  #: of `packed`, what lies in a file that processes share: see `packed` of load


class NodeTime(NamedTuple):
    """Time that a node took, since the start or the last reset."""

    node: int
    op: str
    name: str
    shape: str
    runs: int
    seconds: float
    last_start: float  #: of the last run, in seconds since that run's start
    last: float
    depth: int  #: 0; 1 in the body of an If, Loop or Scan, whose own time includes it; and so on


def _text(raw: Optional[bytes]) -> str:
    return (raw or b"").decode("utf-8", "replace")


def _infos(model: int, count, get, value_at) -> Tuple[ValueInfo, ...]:
    graph, rows = lib.tn_model_graph(model), []
    for i in range(count(model)):
        raw, buffer = ValueInfoStruct(), ctypes.create_string_buffer(1200)
        get(model, i, byref(raw))
        lib.tn_graph_value_text(graph, value_at(graph, i), buffer, len(buffer))
        shape = None
        if raw.rank >= 0:
            dims = zip(raw.dims[: raw.rank], raw.symbols[: raw.rank])
            shape = tuple(dim if dim >= 0 else symbol and _text(symbol) for dim, symbol in dims)
        name, kind, text = _text(raw.name), _text(raw.kind), _text(buffer.value)
        rows.append(ValueInfo(name, kind, text, numpy_dtype(raw.dtype), shape, raw.dtype))
    return tuple(rows)


class Session:
    """Runs a model on one thread at a time; any number of sessions share one model's weights.

    A session may be used from several threads: they wait for each other. To run in parallel, make one each.
    """

    def __init__(
        self, model: "Model", *, threads: int = 1, max_shapes: int = 0, seed: int = 0, profile: bool = False
    ) -> None:
        """`threads` compute with; `max_shapes` sets of input shapes stay prepared (0: 4); `seed` is of random
        operators; `profile` measures each node's time."""
        options = SessionOptions(ctypes.sizeof(SessionOptions), None, threads, max_shapes, seed, profile)
        self._start(
            model,
            create(
                lib.tn_session_create,
                lib.tn_session_destroy,
                model._handle.pointer,
                byref(options),
                needs=(model._handle,),
            ),
        )

    @classmethod
    def _of(cls, model: "Model", handle: Handle) -> "Session":
        """The session that the handle has."""
        session = cls.__new__(cls)
        session._start(model, handle)
        return session

    def _start(self, model: "Model", handle: Handle) -> None:
        self.model = model
        self._handle = handle
        self._pointer = handle.pointer
        self._lock = threading.Lock()
        self._views = Views(self._handle)
        self._shown: Tuple[int, Any, List[Value]] = (0, None, [])  # version of the outputs, those wanted, views of them
        self._held: List[Any] = [None] * len(model.inputs)  # what the session borrows: (array, shape, tensor)

    def _set_sequence(self, index: int, info: ValueInfo, values: Sequence[Any]) -> None:
        tensors = [wrap(as_array(value, info.number), info.number) for value in values]
        table = (c_void_p * max(len(tensors), 1))(*[t.pointer for t in tensors])
        dtype = lib.tn_tensor_dtype(tensors[0].pointer) if tensors else info.number
        lib.tn_session_set_input_sequence(self._pointer, index, dtype, len(tensors), table)  # copies
        self._held[index] = None

    def _set(self, index: int, value: Any) -> None:
        info = self.model.inputs[index]
        if value is None:
            lib.tn_session_set_input_none(self._pointer, index)
            self._held[index] = None
        elif "sequence of" in info.type:
            self._set_sequence(index, info, value)
        else:
            array = as_array(value, info.number)
            tensor = wrap(array, info.number)
            lib.tn_session_set_input(self._pointer, index, tensor.pointer)
            # Only memory that the array shares with the tensor may be refilled and used again without a word.
            shared = array is value and array.ctypes.data == lib.tn_tensor_const_data(tensor.pointer)
            self._held[index] = (array if shared else tensor, array.shape, tensor)

    def _set_all(self, inputs: Any) -> bool:
        infos = self.model.inputs
        named = type(inputs) is dict or isinstance(inputs, Mapping)
        if not named and isinstance(inputs, np.ndarray):
            inputs = [inputs]
        if named:
            if not self.model._input_names.issuperset(inputs):
                unknown = [name for name in inputs if name not in self.model._input_names]
                known = ", ".join(repr(info.name) for info in infos)
                raise NotFound(f"the model has no input {unknown[0]!r}; it has {known}")
        elif len(inputs) > len(infos):
            raise InvalidArgument(f"{len(inputs)} inputs given; the model has {len(infos)}")
        for i, info in enumerate(infos):
            given = info.name in inputs if named else i < len(inputs)
            if not given and info.kind != "optional":
                raise InvalidArgument(f"input {info.name!r} is missing; it is {info.type}")
            value = (inputs[info.name] if named else inputs[i]) if given else None
            held = self._held[i]
            if held is None or value is not held[0] or value.shape != held[1] or not value.flags.c_contiguous:
                self._set(i, value)  # else the session has it already
        return named

    def _output(self, index: int, copy: bool) -> Value:
        out, length = c_void_p(), c_size_t()
        try:
            lib.tn_session_output(self._pointer, index, byref(out))
        except DataTypeError:  # a sequence
            lib.tn_session_output_length(self._pointer, index, byref(length))
            elements = []
            for i in range(length.value):
                lib.tn_session_output_element(self._pointer, index, i, byref(out))
                elements.append(self._array(out.value, copy))
            return elements
        return self._array(out.value, copy)

    def _array(self, tensor: Optional[int], copy: bool) -> Value:
        if tensor is None:
            return None
        array = self._views.of(tensor)
        return array.copy() if copy and not array.flags.owndata else array

    def run(self, inputs: Any = (), outputs: Optional[Sequence[str]] = None, *, copy: bool = True) -> Results:
        """Runs the model and gives its outputs: a dict if `inputs` is one, else a list.

        inputs: a dict by name, a list in the model's order, or one array. C-contiguous arrays are read where they are,
        others are copied first. Arrays must have the model's data type; lists and numbers are converted to it. A
        sequence is a list of arrays; None is an empty optional.
        outputs: names of those wanted; None: all.
        copy: False gives read-only views of the session's memory, valid until the session runs again.
        """
        names = self.model._output_names if outputs is None else outputs
        wanted = None if outputs is None else [self.model._output_index(name) for name in outputs]
        with self._lock:
            named = self._set_all(inputs)
            status = lib.tn_session_run(self._pointer)
            if status:
                raise error(status)
            version = lib.tn_session_outputs_version(self._pointer)
            if not copy and self._shown[0] == version and self._shown[1] == wanted:
                results = self._shown[2]
            else:
                results = [self._output(i, copy) for i in (range(len(names)) if wanted is None else wanted)]
                if not copy and all(isinstance(r, np.ndarray) and not r.flags.owndata for r in results):
                    self._shown = version, wanted, results
        return dict(zip(names, results)) if named else list(results)

    def prepare(self, inputs: Any = ()) -> None:
        """Prepares for inputs like these, so that the first run is as quick as the others."""
        with self._lock:
            self._set_all(inputs)
            lib.tn_session_prepare(self._pointer)

    def interrupt(self) -> None:
        """Makes a run on another thread stop: it raises Interrupted."""
        lib.tn_session_interrupt(self._pointer)

    @property
    def memory(self) -> Memory:
        """Memory of the plan in use; zeros before the first run."""
        raw = MemoryStruct(ctypes.sizeof(MemoryStruct))
        lib.tn_session_memory_info(self._pointer, byref(raw))
        return Memory(raw.arena, raw.sum, raw.packed, raw.scratch, raw.mapped)

    def profile(self) -> List[NodeTime]:
        """The time of each node, bodies right behind theirs; the session must have been made with profile=True."""
        raw, rows = ProfileStruct(ctypes.sizeof(ProfileStruct)), []
        try:
            while True:
                lib.tn_session_profile(self._pointer, len(rows), byref(raw))
                times = raw.nanoseconds / 1e9, raw.last_start_ns / 1e9, raw.last_ns / 1e9
                rows.append(NodeTime(raw.node, _text(raw.op), _text(raw.name), _text(raw.shape), raw.runs, *times, raw.depth))
        except NotFound:
            return rows

    def reset_profile(self) -> None:
        """Forgets the times measured so far."""
        lib.tn_session_profile_reset(self._pointer)


class Model:
    """A model, ready to run; immutable. Make it with tenon.load."""

    def __init__(self, handle: Handle, session_options: Dict[str, Any]) -> None:
        pointer = handle.pointer
        self._handle = handle
        self._options = session_options
        self._default: Optional[Session] = None
        self._lock = threading.Lock()
        self.inputs = _infos(pointer, lib.tn_model_input_count, lib.tn_model_input_info, lib.tn_graph_input_value)
        self.outputs = _infos(pointer, lib.tn_model_output_count, lib.tn_model_output_info, lib.tn_graph_output_value)
        self._input_names = frozenset(info.name for info in self.inputs)
        self._output_names = [info.name for info in self.outputs]

    @property
    def cpu(self) -> str:
        """The instruction set in use: "avx512"."""
        return _text(lib.tn_model_cpu(self._handle.pointer))

    @property
    def node_count(self) -> int:
        """Nodes that run, after the passes."""
        return lib.tn_graph_node_count(lib.tn_model_graph(self._handle.pointer))

    @property
    def manifest(self) -> Optional[Dict[str, Any]]:
        """What the model's file says of it; None if that is no .tenon file with a manifest."""
        return read_manifest(lib.tn_model_manifest(self._handle.pointer))

    @property
    def digest(self) -> Optional[str]:
        """"sha256:..." of a .tenon file; None of another."""
        return _text(lib.tn_model_digest(self._handle.pointer)) or None

    def save(
        self,
        path: Union[str, "os.PathLike[str]"],
        *,
        manifest: Manifest = None,
        compress: bool = False,
        external_data: bool = False,
    ) -> None:
        """Writes the model as it runs, after the passes, to an .onnx or a .tenon file: see tenon.convert, which writes
        models as they were loaded. Refuses what passes made operators of libtenon's own of; load with skip_passes."""
        save_graph(lib.tn_model_graph(self._handle.pointer), path, manifest, compress, external_data)

    def _output_index(self, name: str) -> int:
        for i, info in enumerate(self.outputs):
            if info.name == name:
                return i
        raise NotFound(f"the model has no output {name!r}; it has {', '.join(repr(o.name) for o in self.outputs)}")

    def session(self, **options: Any) -> Session:
        """A session of its own, for a thread of its own; options are Session's, by default those given to load."""
        return Session(self, **{**self._options, **options})

    def run(self, inputs: Any = (), outputs: Optional[Sequence[str]] = None, *, copy: bool = True) -> Results:
        """Session.run on a session that the model keeps for this."""
        if self._default is None:
            with self._lock:
                self._default = self._default or self.session()
        return self._default.run(inputs, outputs, copy=copy)

    def __repr__(self) -> str:
        def side(infos):
            return ", ".join(f"{info.name}: {info.type}" for info in infos)

        return f"<tenon.Model ({side(self.inputs)}) -> ({side(self.outputs)})>"


_PRECISIONS = {"full": 0, "fast": 1}
_WEIGHTS = {"auto": 0, "in-place": 1, "packed": 2}


def _model_options(
    cpu: Optional[str],
    memory_limit: int,
    skip_passes: Union[str, Sequence[str]],
    precision: str,
    verify_weights: bool = False,
    packed: Union[str, "os.PathLike[str]", None] = None,
    weights: str = "auto",
) -> ModelOptions:
    if precision not in _PRECISIONS:
        raise ValueError(f'precision is {precision!r}; expected "full" or "fast"')
    if weights not in _WEIGHTS:
        raise ValueError(f"weights is {weights!r}; expected one of {', '.join(_WEIGHTS)}")
    passes = skip_passes if isinstance(skip_passes, str) else ",".join(skip_passes)
    return ModelOptions(
        struct_size=ctypes.sizeof(ModelOptions),
        cpu=cpu.encode() if cpu else None,
        memory_limit=memory_limit,
        skip_passes=passes.encode() if passes else None,
        precision=_PRECISIONS[precision],
        verify_weights=verify_weights,
        packed_folder=os.fsencode(packed) if packed is not None else None,
        weights=_WEIGHTS[weights],
    )


def load(
    path: Union[str, "os.PathLike[str]"],
    *,
    threads: int = 1,
    cpu: Optional[str] = None,
    memory_limit: int = 0,
    skip_passes: Union[str, Sequence[str]] = (),
    precision: str = "full",
    max_shapes: int = 0,
    seed: int = 0,
    profile: bool = False,
    verify_weights: bool = False,
    packed: Union[str, "os.PathLike[str]", None] = None,
    weights: str = "auto",
) -> Model:
    """Loads an ONNX or a .tenon model. The file must stay unchanged as long as the model lives.

    cpu: the instruction set to stay within, "scalar", "avx2"...; None: the best there is.
    memory_limit: most bytes that loading may allocate; 0: ten times the file's size and 1 GiB.
    skip_passes: names of graph passes to leave out; "all": every one.
    precision: "full", or "fast": products of bfloat16 with float32 sums where the CPU multiplies those faster.
    verify_weights: compare the weights of a .tenon file with their SHA-256.
    packed: a folder where the packed weights of a .tenon file are kept, so that the next process need not make them, and
        all processes together have them once.
    weights: of matrix products: "in-place", as the file has them, which needs less memory and is sooner there; "packed",
        which runs faster; "auto": in place where that costs a few per cent at most.
    threads, max_shapes, seed, profile: of the model's sessions, see Session.
    """
    sessions = dict(threads=threads, max_shapes=max_shapes, seed=seed, profile=profile)
    options = dict(cpu=cpu, memory_limit=memory_limit, skip_passes=skip_passes, precision=precision)
    options.update(verify_weights=verify_weights, packed=packed, weights=weights)
    return load_by(lib.tn_model_load, os.fsencode(path), **options, **sessions)


def load_by(
    function: Any,
    place: bytes,
    *,
    threads: int = 1,
    cpu: Optional[str] = None,
    memory_limit: int = 0,
    skip_passes: Union[str, Sequence[str]] = (),
    precision: str = "full",
    max_shapes: int = 0,
    seed: int = 0,
    profile: bool = False,
    verify_weights: bool = False,
    packed: Union[str, "os.PathLike[str]", None] = None,
    weights: str = "auto",
) -> Model:
    """What load does, by a function of the library that takes a place, options and where the model's handle goes."""
    options = _model_options(cpu, memory_limit, skip_passes, precision, verify_weights, packed, weights)
    handle = create(function, lib.tn_model_destroy, place, byref(options))
    return Model(handle, dict(threads=threads, max_shapes=max_shapes, seed=seed, profile=profile))


def load_bytes(
    data: Any,
    folder: Union[str, "os.PathLike[str]", None] = None,
    *,
    threads: int = 1,
    cpu: Optional[str] = None,
    memory_limit: int = 0,
    skip_passes: Union[str, Sequence[str]] = (),
    precision: str = "full",
    max_shapes: int = 0,
    seed: int = 0,
    profile: bool = False,
) -> Model:
    """As load, from memory: bytes or any contiguous buffer, which must not change. External tensor data is looked for
    in `folder`; None: refused."""
    memory = np.frombuffer(data, np.uint8)
    options = _model_options(cpu, memory_limit, skip_passes, precision)
    place = os.fsencode(folder) if folder is not None else None
    handle = create(
        lib.tn_model_load_memory,
        lib.tn_model_destroy,
        memory.ctypes.data,
        memory.nbytes,
        c_char_p(place),
        byref(options),
        needs=(memory,),
    )
    return Model(handle, dict(threads=threads, max_shapes=max_shapes, seed=seed, profile=profile))


def cpu_levels() -> Tuple[str, ...]:
    """The instruction set levels that this machine can run, lowest first."""
    levels: List[str] = []
    while True:
        level = lib.tn_cpu_level_at(len(levels))
        if level is None:
            return tuple(levels)
        levels.append(_text(level))
