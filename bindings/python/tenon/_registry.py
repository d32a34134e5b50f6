"""Pushing to and pulling from registries: the options that Store's methods share, and what they give back."""
from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, byref, c_bool, c_char, c_char_p, c_int, c_size_t, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any, Callable, Optional

from ._library import declare

Progress = Callable[[int, int], Any]
_PROGRESS = ctypes.CFUNCTYPE(c_bool, c_void_p, c_uint64, c_uint64)


class RegistryOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("user", c_char_p),
        ("ca_file", c_char_p),
        ("plain_http", c_bool),
        ("bytes_per_second", c_uint64),
        ("most_bytes", c_uint64),
        ("piece_bytes", c_uint64),
        ("attempts", c_int),
        ("wait_ms", c_int),
        ("connect_seconds", c_int),
        ("stall_seconds", c_int),
        ("progress", _PROGRESS),
        ("context", c_void_p),
    ]


class RegistryResult(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("digest", c_char * 72),
        ("bytes", c_uint64),
        ("resumed", c_uint64),
        ("blobs", c_int),
        ("skipped", c_int),
        ("deltas", c_int),
    ]


declare(
    {
        "tn_store_push": (
            None,
            (c_void_p, c_char_p, c_char_p, POINTER(RegistryOptions), POINTER(RegistryResult)),
        ),
        "tn_store_pull": (None, (c_void_p, c_char_p, POINTER(RegistryOptions), c_void_p, POINTER(RegistryResult))),
        "tn_trust_fetch": (None, (c_void_p, c_char_p, POINTER(RegistryOptions))),
        "tn_store_follow": (
            None,
            (c_void_p, c_char_p, c_char_p, c_char_p, POINTER(RegistryOptions), c_void_p),
        ),
    }
)


@dataclass(frozen=True)
class Transfer:
    """What went to or from a registry: blobs that moved and that were there already, and bytes of them.
    deltas: those that went along."""

    digest: str
    blobs: int
    skipped: int
    bytes: int
    resumed: int
    deltas: int


def new_result() -> RegistryResult:
    return RegistryResult(ctypes.sizeof(RegistryResult))


def transfer(raw: RegistryResult) -> Transfer:
    return Transfer(raw.digest.decode(), raw.blobs, raw.skipped, raw.bytes, raw.resumed, raw.deltas)


def call(function: Any, *words: Any, progress: Optional[Progress] = None, **options: Any) -> None:
    """Calls with `words`, the options, and what is in `after`. What `progress` raises ends the transfer, and comes out
    here."""
    after = options.pop("after", ())
    raw = RegistryOptions(ctypes.sizeof(RegistryOptions))
    user, ca_file = options.pop("user", None), options.pop("ca_file", None)
    raw.user = None if user is None else user.encode()
    raw.ca_file = None if ca_file is None else os.fsencode(ca_file)
    for name, value in options.items():
        if not hasattr(RegistryOptions, name):
            raise TypeError(f"there is no option '{name}'")
        setattr(raw, name, value)
    raised = []

    def tell(context: Any, done: int, total: int) -> bool:
        try:
            return progress is None or progress(done, total) is not False
        except BaseException as error:
            raised.append(error)
            return False

    raw.progress = _PROGRESS(tell)
    try:
        function(*words, byref(raw), *after)
    finally:
        if raised:
            raise raised[0]
