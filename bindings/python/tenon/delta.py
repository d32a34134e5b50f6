"""What changed from one file to another, as a small file; how is in tenon/delta.h.

    made = tenon.delta.make("press-1.2.0.onnx", "press-1.3.0.onnx", "press.tnd")
    made.delta_bytes, made.result_bytes
    tenon.delta.apply("press-1.2.0.onnx", "press.tnd", "press-1.3.0.onnx")  # where the old one is

Stores keep deltas beside versions: see Store.put_delta, Store.fetch and Store.pull.
"""
from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, byref, c_char, c_char_p, c_size_t, c_uint64
from dataclasses import dataclass

from ._files import Path
from ._library import declare, lib

__all__ = ["Applied", "Delta", "apply", "inspect", "make"]


class DeltaStruct(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("base_digest", c_char * 72),
        ("result_digest", c_char * 72),
        ("base_bytes", c_uint64),
        ("result_bytes", c_uint64),
        ("delta_bytes", c_uint64),
        ("ready_bytes", c_uint64),
        ("blocks", c_uint64),
    ]


class ApplyOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("most_bytes", c_uint64)]


class ResultStruct(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("bytes", c_uint64), ("resumed", c_uint64)]


declare(
    {
        "tn_delta_make": (None, (c_char_p, c_char_p, c_char_p, POINTER(DeltaStruct))),
        "tn_delta_apply": (None, (c_char_p, c_char_p, c_char_p, POINTER(ApplyOptions), POINTER(ResultStruct))),
        "tn_delta_inspect": (None, (c_char_p, POINTER(DeltaStruct))),
    }
)


@dataclass(frozen=True)
class Delta:
    """A delta: the digests ("sha256:HEX") and sizes of both files, and its own size.

    ready_bytes: what of the result can be made of as much of the delta as is there, from the result's start; all of it,
    if it is whole.
    """

    base_digest: str
    result_digest: str
    base_bytes: int
    result_bytes: int
    delta_bytes: int
    ready_bytes: int


@dataclass(frozen=True)
class Applied:
    """Bytes of the file that was made, and how many of them were there from an attempt that had been cut."""

    bytes: int
    resumed: int


def _delta(raw: DeltaStruct) -> Delta:
    return Delta(
        raw.base_digest.decode(), raw.result_digest.decode(), raw.base_bytes, raw.result_bytes, raw.delta_bytes, raw.ready_bytes
    )


def make(base: Path, result: Path, delta: Path) -> Delta:
    """Writes to `delta` what makes `result` of `base`: the file is replaced whole or stays as it is."""
    raw = DeltaStruct(ctypes.sizeof(DeltaStruct))
    lib.tn_delta_make(os.fsencode(base), os.fsencode(result), os.fsencode(delta), byref(raw))
    return _delta(raw)


def apply(base: Path, delta: Path, result: Path, *, most_bytes: int = 0) -> Applied:
    """Makes `result`, whole and compared with its digest, or leaves it as it was.

    Interrupted: the delta is cut; fetch the rest and apply again, which goes on where it was. CheckFailed: it belongs to
    another base.  most_bytes: refuse to make a greater file than this (0: no limit but the format's).
    """
    raw, options = ResultStruct(ctypes.sizeof(ResultStruct)), ApplyOptions(ctypes.sizeof(ApplyOptions), most_bytes)
    lib.tn_delta_apply(os.fsencode(base), os.fsencode(delta), os.fsencode(result), byref(options), byref(raw))
    return Applied(raw.bytes, raw.resumed)


def inspect(delta: Path) -> Delta:
    """What a delta says of itself, and how much of it is there, each block compared with its check."""
    raw = DeltaStruct(ctypes.sizeof(DeltaStruct))
    lib.tn_delta_inspect(os.fsencode(delta), byref(raw))
    return _delta(raw)
