"""NumPy arrays as tensors and back, without a copy where the memory is the same on both sides."""
from __future__ import annotations

import ctypes
from typing import Any, Optional, Tuple

import numpy as np

from ._library import Handle, InvalidArgument, StringStruct, create, lib

try:
    import ml_dtypes as _small
except ImportError:
    _small = None

STRING = 8
_PLAIN = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
}
# number: (name in ml_dtypes, the NumPy type that holds its bits, bits)
_SMALL = {
    16: ("bfloat16", "uint16", 16),
    17: ("float8_e4m3fn", "uint8", 8),
    18: ("float8_e4m3fnuz", "uint8", 8),
    19: ("float8_e5m2", "uint8", 8),
    20: ("float8_e5m2fnuz", "uint8", 8),
    21: ("uint4", "uint8", 4),
    22: ("int4", "int8", 4),
    23: ("float4_e2m1fn", "uint8", 4),
    24: ("float8_e8m0fnu", "uint8", 8),
    25: ("uint2", "uint8", 2),
    26: ("int2", "int8", 2),
}


def numpy_dtype(number: int) -> Optional[np.dtype]:
    """What arrays of this data type have; without ml_dtypes, the integers that hold the bits of its types."""
    if number in _PLAIN:
        return np.dtype(_PLAIN[number])
    if number == STRING:
        return np.dtype(object)
    if number not in _SMALL:
        return None
    name, holder, _ = _SMALL[number]
    return np.dtype(getattr(_small, name, holder))


_NUMBERS = {np.dtype(name): number for number, name in _PLAIN.items()}
_NUMBERS.update({np.dtype(getattr(_small, row[0])): n for n, row in _SMALL.items() if hasattr(_small, row[0])})


def _number_of(array: np.ndarray, expected: int) -> int:
    """The data type of an array; `expected` where the array holds that type's bits."""
    if expected in _SMALL and array.dtype in (np.dtype(_SMALL[expected][1]), numpy_dtype(expected)):
        return expected
    if array.dtype.kind in "USO":
        return STRING
    number = _NUMBERS.get(array.dtype)
    if number is None:
        raise InvalidArgument(f"arrays of {array.dtype} have no tensor type; convert with astype")
    return number


def _pack(array: np.ndarray, bits: int) -> np.ndarray:
    """Elements of a byte each to several in a byte, the first in the lowest bits."""
    each = 8 // bits
    codes = np.ascontiguousarray(array).view(np.uint8).reshape(-1) & ((1 << bits) - 1)
    codes = np.concatenate([codes, np.zeros(-codes.size % each, np.uint8)]).reshape(-1, each)
    return np.bitwise_or.reduce(codes << (np.arange(each, dtype=np.uint8) * bits), axis=1).astype(np.uint8)


def _unpack(packed: np.ndarray, number: int, shape: Tuple[int, ...]) -> np.ndarray:
    name, holder, bits = _SMALL[number]
    shifts = np.arange(8 // bits, dtype=np.uint8) * bits
    codes = (packed[:, None] >> shifts & ((1 << bits) - 1)).reshape(-1)[: int(np.prod(shape))]
    if holder == "int8":
        codes = (codes ^ (1 << (bits - 1))).astype(np.int8) - (1 << (bits - 1))
    return codes.astype(holder).reshape(shape).view(numpy_dtype(number))


def _strings(array: np.ndarray) -> "tuple[Any, list[bytes]]":
    texts = [text if isinstance(text, bytes) else str(text).encode("utf-8", "surrogateescape") for text in array.flat]
    table = (StringStruct * max(len(texts), 1))()
    for row, text in zip(table, texts):
        row.data, row.size = ctypes.cast(ctypes.c_char_p(text), ctypes.c_void_p), len(text)
    return table, texts


def as_array(value: Any, expected: int) -> np.ndarray:
    """An array in the machine's byte order. Arrays keep their type; lists and numbers take the expected one."""
    if not isinstance(value, (np.ndarray, np.generic)):
        return np.asarray(value, dtype=numpy_dtype(expected))
    array = np.asarray(value)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def wrap(array: np.ndarray, expected: int) -> Handle:
    """A tensor on an array's memory; on a copy's where the elements do not lie as a tensor's do."""
    number, rank = _number_of(array, expected), array.ndim
    dims = (ctypes.c_int64 * max(rank, 1))(*array.shape)
    if number == STRING:
        table, texts = _strings(array)
        data, size, keep = ctypes.addressof(table), ctypes.sizeof(table), (table, texts)
    else:
        bits = _SMALL[number][2] if number in _SMALL else 8
        array = _pack(array, bits) if bits < 8 else np.ascontiguousarray(array)
        data, size, keep = array.ctypes.data, array.nbytes, (array,)
    return create(lib.tn_tensor_wrap, lib.tn_tensor_destroy, number, rank, dims, None, data, size, needs=keep)


class _Memory:
    """Memory of the library's, as NumPy takes it from others; keeps its owner alive."""

    def __init__(self, pointer: int, shape: Tuple[int, ...], dtype: np.dtype, owner: Any) -> None:
        self.owner = owner
        self.__array_interface__ = {
            "version": 3,
            "data": (pointer, True),
            "shape": shape,
            "typestr": dtype.str,
        }


class Views:
    """The arrays on a session's output tensors, made once for each place in memory and shape."""

    def __init__(self, owner: Any) -> None:
        self._owner = owner
        self._known: "dict[int, tuple[np.ndarray, tuple, Any, list[int]]]" = {}

    def of(self, tensor: int) -> np.ndarray:
        """As view."""
        rank, number, dense = lib.tn_tensor_rank(tensor), lib.tn_tensor_dtype(tensor), lib.tn_tensor_is_dense(tensor)
        place = lib.tn_tensor_const_data(tensor), rank, number, dense
        known = self._known.get(tensor)
        if known is not None:
            array, known_place, dims, known_dims = known
            if place == known_place and dims[:rank] == known_dims:
                return array
        array, dims = view(tensor, self._owner), lib.tn_tensor_dims(tensor)
        if dense and number in _PLAIN and not array.flags.owndata:
            if len(self._known) > 64:
                self._known.clear()
            self._known[tensor] = array, place, dims, dims[:rank]
        return array


def view(tensor: int, owner: Any) -> np.ndarray:
    """A read-only array on a tensor's memory. Strings, and elements of less than a byte, are copies."""
    if not lib.tn_tensor_is_dense(tensor):
        owner = create(lib.tn_tensor_clone, lib.tn_tensor_destroy, tensor, None)
        tensor = owner.pointer
    number = lib.tn_tensor_dtype(tensor)
    dims = lib.tn_tensor_dims(tensor)
    shape = tuple(dims[i] for i in range(lib.tn_tensor_rank(tensor)))
    data = lib.tn_tensor_const_data(tensor)
    if number == STRING:
        result = np.empty(shape, object)
        table = (StringStruct * result.size).from_address(data) if result.size else ()
        for i, row in enumerate(table):
            result.flat[i] = ctypes.string_at(row.data, row.size).decode("utf-8", "surrogateescape")
        return result
    dtype = numpy_dtype(number)
    if 0 in shape or not data:
        return np.empty(shape, dtype)
    bits = _SMALL[number][2] if number in _SMALL else 8
    if bits < 8:
        packed = _Memory(data, (lib.tn_tensor_bytes(tensor),), np.dtype(np.uint8), owner)
        return _unpack(np.asarray(packed), number, shape)
    holder = np.dtype(_SMALL[number][1]) if number in _SMALL else dtype
    return np.asarray(_Memory(data, shape, holder, owner)).view(dtype)
