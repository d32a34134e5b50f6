"""Signatures of single files, in minisign's formats; how is in tenon/sign.h.

    tenon.sign.make_key("press.key", "press.pub")
    tenon.sign.sign("press.tenon", "press.key")  # writes press.tenon.minisig
    tenon.sign.verify("press.tenon", "press.pub").comment  # elsewhere; CheckFailed if it is not that file or key
"""
from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, byref, c_bool, c_char, c_char_p, c_size_t
from dataclasses import dataclass
from typing import Any, Optional

from ._files import Path
from ._library import declare, lib

__all__ = ["Signature", "bundle", "make_key", "sign", "verify"]


class KeyOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("password", c_char_p), ("memory", c_size_t)]


class SignOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t)] + [(name, c_char_p) for name in ("password", "signature", "comment")]


class SignatureStruct(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("key_id", c_char * 17), ("comment", c_char * 8193), ("prehashed", c_bool)]


declare(
    {
        "tn_sign_make_key": (None, (c_char_p, c_char_p, POINTER(KeyOptions))),
        "tn_sign_file": (None, (c_char_p, c_char_p, POINTER(SignOptions))),
        "tn_sign_verify": (None, (c_char_p, c_char_p, c_char_p, POINTER(SignatureStruct))),
        "tn_sign_bundle": (None, (c_char_p, c_char_p, POINTER(SignOptions))),
    }
)


@dataclass(frozen=True)
class Signature:
    """Whose signature it is, by the key's number as minisign writes it, and the comment, which is signed too."""

    key_id: str
    comment: str


def _text(value: Optional[str]) -> Optional[bytes]:
    return None if value is None else value.encode()


def _path(value: Optional[Path]) -> Optional[bytes]:
    return None if value is None else os.fsencode(value)


def _options(password: Optional[str], signature: Optional[Path], comment: Optional[str]) -> Any:
    return byref(SignOptions(ctypes.sizeof(SignOptions), _text(password), _path(signature), _text(comment)))


def make_key(secret_file: Path, public_file: Path, *, password: Optional[str] = None, memory: int = 0) -> None:
    """Makes a pair of keys; neither file may be there yet.

    password: encrypts the secret key; None: whoever reads its file can sign.  memory: bytes that it takes to try a
    password, 1 MiB to 1 GiB (0: 1 GiB, as minisign).
    """
    options = KeyOptions(ctypes.sizeof(KeyOptions), _text(password), memory)
    lib.tn_sign_make_key(os.fsencode(secret_file), os.fsencode(public_file), byref(options))


def sign(
    file: Path,
    secret_file: Path,
    *,
    password: Optional[str] = None,
    signature: Optional[Path] = None,
    comment: Optional[str] = None,
) -> None:
    """Signs a file. StateError: others than its owner may read the secret key, or it wants a password.

    signature: the file to write; None: `file` and ".minisig".  comment: one line, which is signed too; None: the time and
    the file's name.
    """
    lib.tn_sign_file(os.fsencode(file), os.fsencode(secret_file), _options(password, signature, comment))


def verify(file: Path, public_key: Path, *, signature: Optional[Path] = None) -> Signature:
    """Whose signature of the file it is: CheckFailed if it is another file's or another key's.

    public_key: a file, or the line itself, 56 characters that begin with "RW".  signature: None: `file` and ".minisig".
    """
    raw = SignatureStruct(ctypes.sizeof(SignatureStruct))
    lib.tn_sign_verify(os.fsencode(file), os.fsencode(public_key), _path(signature), byref(raw))
    return Signature(raw.key_id.decode(), raw.comment.decode("utf-8", "replace"))


def bundle(file: Path, secret_file: Path, *, password: Optional[str] = None, signature: Optional[Path] = None) -> None:
    """Signs a file for verifiers of the OpenSSF model signing specification, such as PyPI's model-signing, with a P-256 key
    in PEM.  signature: None: `file` and ".sigstore.json"."""
    lib.tn_sign_bundle(os.fsencode(file), os.fsencode(secret_file), _options(password, signature, None))
