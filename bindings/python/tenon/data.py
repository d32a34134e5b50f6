"""Tables from CSV files, and pipelines from tables to arrays; what they do is in tenon/data.h and tenon/pipeline.h.

    table = tenon.data.Table("plant.csv.gz")
    table["power"]                                # numbers, NaN where missing; texts as an array of str and None
    pipeline = tenon.data.Pipeline(yaml)
    part = pipeline.split(table)                  # 0 for training, 1 for testing
    pipeline.fit(table, part)
    x, y = pipeline.apply(table, part, 1)
"""
from __future__ import annotations

import ctypes
import os
from ctypes import byref, c_char_p, c_void_p
from typing import Optional, Tuple, Union

import numpy as np

from ._library import CsvOptions, Handle, InvalidArgument, NotFound, create, lib
from ._tensor import view


class Table:
    """A CSV file in memory. source: its path, or its bytes."""

    def __init__(
        self,
        source: Union[str, "os.PathLike[str]", bytes],
        *,
        separator: str = ",",
        decimal: str = ".",
        header: bool = True,
    ) -> None:
        options = CsvOptions(ctypes.sizeof(CsvOptions), separator.encode(), decimal.encode(), not header)
        destroy = lib.tn_table_destroy
        if isinstance(source, bytes):
            memory = source, len(source), b"the CSV data"
            self._handle = create(lib.tn_table_read_memory, destroy, *memory, byref(options))
        else:
            self._handle = create(lib.tn_table_read, destroy, os.fsencode(source), byref(options))
        count = lib.tn_table_column_count(self._handle.pointer)
        self.columns = [lib.tn_table_column_name(self._handle.pointer, i).decode() for i in range(count)]

    def __len__(self) -> int:
        return lib.tn_table_rows(self._handle.pointer)

    def __getitem__(self, name: str) -> np.ndarray:
        pointer = self._handle.pointer
        column = lib.tn_table_find(pointer, name.encode())
        if column < 0:
            raise NotFound(f"the table has no column {name!r}")
        numbers, codes = lib.tn_table_numbers(pointer, column), lib.tn_table_codes(pointer, column)
        if len(self) == 0:
            return np.empty(0)
        if numbers:
            return np.ctypeslib.as_array(numbers, (len(self),)).copy()
        levels = np.empty(lib.tn_table_level_count(pointer, column) + 1, object)  # the last is None, for -1
        for i in range(len(levels) - 1):
            level = lib.tn_table_level(pointer, column, i)
            levels[i] = ctypes.string_at(level.data, level.size).decode()
        return levels[np.ctypeslib.as_array(codes, (len(self),))]


class Pipeline:
    """From a table's columns to arrays. text: YAML, of a fitted pipeline too."""

    def __init__(self, text: str) -> None:
        raw = text.encode()
        self._handle = create(lib.tn_pipeline_parse, lib.tn_pipeline_destroy, raw, len(raw))

    @property
    def fitted(self) -> bool:
        return lib.tn_pipeline_fitted(self._handle.pointer)

    @property
    def width(self) -> int:
        """Columns of x; 0 before it is fitted."""
        return lib.tn_pipeline_width(self._handle.pointer)

    def split(self, table: Table) -> np.ndarray:
        """0 for each row that is for training, 1 for each that is for testing."""
        part = np.zeros(len(table), np.uint8)
        lib.tn_pipeline_split(self._handle.pointer, table._handle.pointer, part.ctypes.data)
        return part

    def fit(self, table: Table, part: Optional[np.ndarray] = None) -> None:
        """Looks at the rows of part 0 alone; None: at all."""
        part = _checked(table, part)
        lib.tn_pipeline_fit(self._handle.pointer, table._handle.pointer, _pointer(part))

    def apply(
        self, table: Table, part: Optional[np.ndarray] = None, wanted: int = 0
    ) -> Tuple[np.ndarray, Optional[np.ndarray]]:
        """x, and y or None, of the rows whose part is the wanted one; None: of all."""
        part, x, y = _checked(table, part), c_void_p(), c_void_p()
        lib.tn_pipeline_apply(
            self._handle.pointer, table._handle.pointer, _pointer(part), wanted, byref(x), byref(y)
        )
        return _array(x), _array(y) if y else None

    def write(self) -> str:
        """YAML, with what was fitted."""
        text = c_char_p()
        lib.tn_pipeline_write(self._handle.pointer, byref(text))
        return text.value.decode()


def _checked(table: Table, part: Optional[np.ndarray]) -> Optional[np.ndarray]:
    if part is None:
        return None
    part = np.ascontiguousarray(part, np.uint8)
    if part.shape != (len(table),):
        raise InvalidArgument(f"part has the shape {part.shape}; the table has {len(table)} rows")
    return part


def _pointer(part: Optional[np.ndarray]) -> Optional[int]:
    return None if part is None else part.ctypes.data


def _array(tensor: c_void_p) -> np.ndarray:
    return np.array(view(tensor.value, Handle(tensor.value, lib.tn_tensor_destroy)))
