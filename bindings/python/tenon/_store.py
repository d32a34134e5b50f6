"""Stores: folders that keep versions of models, and never lose or mix one up.

    store = tenon.Store.create("models")
    store.put("press.onnx", "press", "1.2.0", licence="Apache-2.0")
    store.get("press:^1.0", "newest.onnx")
    store.backup("monday.tnb")
    store.push("press:1.2.0", "registry.example.com/line-2/press", user="edge:secret")

A reference is "press" (the newest that is no pre-release), "press:1.2.0", a range "press:^1.2" or "press:~1.2", a signed
channel "press@stable", or a manifest's digest "sha256:HEX".
"""
from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, byref, c_bool, c_char, c_char_p, c_int, c_int64, c_size_t, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any, Iterator, List, Optional, Sequence, Union

from . import _registry
from ._files import Path
from ._library import NotFound, StateError, create, declare, lib
from ._model import Model, load_by

_NAME, _DIGEST = 128, 72


class VersionStruct(ctypes.Structure):
    _fields_ = [
        ("name", c_char * _NAME),
        ("version", c_char * _NAME),
        ("digest", c_char * _DIGEST),
        ("file_digest", c_char * _DIGEST),
        ("parent", c_char * _DIGEST),
        ("created", c_char * 32),
        ("file_bytes", c_uint64),
    ]


class PutOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t)] + [
        (name, c_char_p) for name in ("name", "version", "parent", "created", "licence", "description")
    ]


class ChannelStruct(ctypes.Structure):
    _fields_ = [
        ("name", c_char * _NAME),
        ("channel", c_char * _NAME),
        ("version", c_char * _NAME),
        ("digest", c_char * _DIGEST),
        ("bytes", c_uint64),
        ("counter", c_int64),
    ]


class BackupOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("since", c_char_p), ("compress", c_bool)]


class FetchOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("most_bytes", c_uint64)]


class BackupStruct(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("number", c_int),
        ("digest", c_char * _DIGEST),
        ("previous", c_char * _DIGEST),
        ("created", c_char * 32),
        ("parts", c_int),
        ("blobs", c_int),
        ("bytes", c_uint64),
    ]


class RestoreStruct(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("blobs", c_int), ("versions", c_int), ("trust", c_bool)]


class UpgradeOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t)] + [
        (name, c_char_p) for name in ("parameters", "structure", "module", "version", "backup")
    ]


class UpgradeStruct(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("before", VersionStruct),
        ("after", VersionStruct),
        ("carried", c_int),
        ("own", c_int),
        ("test_cases", c_int),
        ("nodes_added", c_int),
        ("nodes_gone", c_int),
    ]


class DiffStruct(ctypes.Structure):
    _fields_ = [(name, c_char_p) for name in ("what", "name", "before", "after")]


_ROW = ctypes.CFUNCTYPE(None, c_void_p, POINTER(DiffStruct))
_FAULT = ctypes.CFUNCTYPE(None, c_void_p, c_char_p)
_HANDLE, _OUT, _VERSION = c_void_p, POINTER(c_void_p), POINTER(VersionStruct)
declare(
    {
        "tn_store_create": (None, (c_char_p,)),
        "tn_store_open": (None, (c_char_p, _OUT)),
        "tn_store_close": (type(None), (_HANDLE,)),
        "tn_store_put": (None, (_HANDLE, c_char_p, POINTER(PutOptions), _VERSION)),
        "tn_store_find": (None, (_HANDLE, c_char_p, _VERSION)),
        "tn_store_at": (None, (_HANDLE, c_int, _VERSION)),
        "tn_store_get": (None, (_HANDLE, c_char_p, c_char_p)),
        "tn_store_remove": (None, (_HANDLE, c_char_p)),
        "tn_store_collect": (None, (_HANDLE, POINTER(c_uint64))),
        "tn_store_verify": (None, (_HANDLE, _FAULT, c_void_p, POINTER(c_int))),
        "tn_store_promote": (None, (_HANDLE, c_char_p, c_char_p, c_char_p)),
        "tn_store_promote_through": (
            None,
            (_HANDLE, c_char_p, c_char_p, c_char_p, c_char_p, c_size_t, c_void_p, c_void_p),
        ),
        "tn_store_channel": (None, (_HANDLE, c_char_p, c_char_p, POINTER(ChannelStruct))),
        "tn_store_backup": (None, (_HANDLE, c_char_p, POINTER(BackupOptions), POINTER(BackupStruct))),
        "tn_store_restore": (None, (c_char_p, POINTER(c_char_p), c_size_t, POINTER(RestoreStruct))),
        "tn_store_fetch": (None, (_HANDLE, c_char_p, c_char_p, POINTER(FetchOptions), _VERSION, c_void_p)),
        "tn_store_put_delta": (None, (_HANDLE, c_char_p, c_char_p, POINTER(c_uint64))),
        "tn_store_load": (None, (_HANDLE, c_char_p, c_void_p, _OUT)),
        "tn_store_diff": (None, (_HANDLE, c_char_p, c_char_p, _ROW, c_void_p, POINTER(c_int))),
        "tn_upgrade": (None, (_HANDLE, c_char_p, POINTER(UpgradeOptions), POINTER(UpgradeStruct))),
        "tn_trust_init": (None, (_HANDLE, c_char_p, c_void_p)),
        "tn_trust_accept": (None, (_HANDLE, c_char_p, c_int)),
        "tn_trust_update": (None, (_HANDLE, c_char_p)),
    }
)


@dataclass(frozen=True)
class Version:
    """A version of a model. `digest` is its identity: of the manifest that names its files by theirs."""

    name: str
    version: str
    digest: str
    file_digest: str
    parent: Optional[str]
    created: str
    file_bytes: int


@dataclass(frozen=True)
class Channel:
    """Where a channel points, by what the store trusts. `counter` only rises, also when a version is taken back."""

    name: str
    channel: str
    version: Optional[str]
    digest: str
    counter: int


@dataclass(frozen=True)
class Backup:
    """A backup file: its number in its chain, from 0 on, and its digest."""

    number: int
    digest: str
    previous: Optional[str]
    created: str
    blobs: int
    bytes: int


@dataclass(frozen=True)
class Restored:
    """What a restoration did. trust: what is trusted came from the backup, and wants an update."""

    versions: int
    blobs: int
    trust: bool


@dataclass(frozen=True)
class Difference:
    """One thing that two versions differ in. None: it is not there."""

    what: str
    name: str
    before: Optional[str]
    after: Optional[str]


@dataclass(frozen=True)
class Upgraded:
    """What an upgrade made. carried: weights that came over; own: those that the new structure had itself."""

    before: Version
    after: Version
    carried: int
    own: int
    test_cases: int


def _text(value: Optional[str]) -> Optional[bytes]:
    return None if value is None else value.encode()


def _version(raw: VersionStruct) -> Version:
    texts = [getattr(raw, name).decode() for name in ("name", "version", "digest", "file_digest", "parent", "created")]
    return Version(*texts[:4], texts[4] or None, texts[5], raw.file_bytes)


class Store:
    """A store, open. Any number of processes and threads may use the folder, each with a Store of its own."""

    def __init__(self, path: Path) -> None:
        self.path = os.fspath(path)
        self._handle = create(lib.tn_store_open, lib.tn_store_close, os.fsencode(path))

    @classmethod
    def create(cls, path: Path) -> "Store":
        """Makes an empty store in a folder that is new or empty."""
        lib.tn_store_create(os.fsencode(path))
        return cls(path)

    def put(
        self,
        file: Path,
        name: str,
        version: str,
        *,
        parent: Optional[str] = None,
        created: Optional[str] = None,
        licence: Optional[str] = None,
        description: Optional[str] = None,
    ) -> Version:
        """Copies a model file into the store as a new version. A version never changes: the same file again is no
        failure, another one raises StateError.

        parent: a reference to the version that this one was made from.  created: "2026-03-01T12:00:00Z"; None: now.
        """
        texts = map(_text, (name, version, parent, created, licence, description))
        raw, options = VersionStruct(), PutOptions(ctypes.sizeof(PutOptions), *texts)
        lib.tn_store_put(self._handle.pointer, os.fsencode(file), byref(options), byref(raw))
        return _version(raw)

    def find(self, reference: str) -> Version:
        """The version that a reference names; NotFound if there is none."""
        raw = VersionStruct()
        lib.tn_store_find(self._handle.pointer, reference.encode(), byref(raw))
        return _version(raw)

    def get(self, reference: str, path: Path) -> None:
        """Writes a version's file to `path`, checked against its digest, whole or not at all."""
        lib.tn_store_get(self._handle.pointer, reference.encode(), os.fsencode(path))

    def fetch(self, folder: Path, reference: str, *, most_bytes: int = 0) -> Version:
        """Takes a version as it is from another store's folder, through what changed if that lies beside it. A channel is
        what this store trusts. most_bytes: no more may come (0: no limit)."""
        raw, options = VersionStruct(), FetchOptions(ctypes.sizeof(FetchOptions), most_bytes)
        words = self._handle.pointer, os.fsencode(folder), reference.encode()
        lib.tn_store_fetch(*words, byref(options), byref(raw), None)
        return _version(raw)

    def put_delta(self, base: str, reference: str) -> int:
        """Puts what makes the one version's file of the other's beside the one; its bytes. `fetch`, `push` and `pull` take it
        along. LimitExceeded, and nothing is put there, if it would not be smaller than the file."""
        size = c_uint64()
        lib.tn_store_put_delta(self._handle.pointer, base.encode(), reference.encode(), byref(size))
        return size.value

    def load(self, reference: str, **options: Any) -> Model:
        """A version as a model, read where it lies in the store after its digest was checked. The options are those of
        tenon.load."""
        def load_version(name, options, out):
            lib.tn_store_load(self._handle.pointer, name, options, out)

        return load_by(load_version, reference.encode(), **options)

    def diff(self, before: str, after: str) -> List[Difference]:
        """What changed between two versions in structure, parameters and metrics."""
        rows: List[Difference] = []

        def tell(context, row):
            texts = [getattr(row.contents, name) for name in ("what", "name", "before", "after")]
            rows.append(Difference(*(t if t is None else t.decode("utf-8", "replace") for t in texts)))

        lib.tn_store_diff(self._handle.pointer, before.encode(), after.encode(), _ROW(tell), None, None)
        return rows

    def upgrade(
        self,
        reference: str,
        *,
        parameters: Optional[Path] = None,
        structure: Optional[Path] = None,
        module: Optional[Path] = None,
        version: Optional[str] = None,
        backup: Optional[Path] = None,
    ) -> Upgraded:
        """Makes the next version of a model: with the weights of `parameters` (a model or .safetensors), with the graph of
        `structure` and the weights that both have, or with `module` in the place of what is between the values of its
        inputs' and outputs' names. One of the three.

        version: of the new one; None: the next.  backup: a file that the store is backed up into first.
        """
        paths = [None if p is None else os.fsencode(p) for p in (parameters, structure, module)]
        options = UpgradeOptions(
            ctypes.sizeof(UpgradeOptions), *paths, _text(version), None if backup is None else os.fsencode(backup)
        )
        raw = UpgradeStruct(ctypes.sizeof(UpgradeStruct))
        lib.tn_upgrade(self._handle.pointer, reference.encode(), byref(options), byref(raw))
        return Upgraded(_version(raw.before), _version(raw.after), raw.carried, raw.own, raw.test_cases)

    def list(self) -> List[Version]:
        """All versions, in order of name, then of version."""
        return [*self]

    def __iter__(self) -> Iterator[Version]:
        raw, index = VersionStruct(), 0
        while True:
            try:
                lib.tn_store_at(self._handle.pointer, index, byref(raw))
            except NotFound:
                return
            yield _version(raw)
            index += 1

    def remove(self, reference: str) -> None:
        """Takes a version out; its bytes stay until `collect`, and its name and number taken."""
        lib.tn_store_remove(self._handle.pointer, reference.encode())

    def collect(self) -> int:
        """Deletes what no version needs; the bytes that this freed."""
        freed = c_uint64()
        lib.tn_store_collect(self._handle.pointer, byref(freed))
        return freed.value

    def verify(self) -> List[str]:
        """Reads and checks every byte; a sentence for each thing that is wrong."""
        faults: List[str] = []
        tell = _FAULT(lambda context, sentence: faults.append(sentence.decode("utf-8", "replace")))
        lib.tn_store_verify(self._handle.pointer, tell, None, byref(c_int()))
        return faults

    def init_trust(self, keys: Path) -> None:
        """Makes keys in the folder `keys`, and the first signed metadata."""
        lib.tn_trust_init(self._handle.pointer, os.fsencode(keys), None)

    def accept_trust(self, root: Path) -> None:
        """Trusts a root file that came on a way that is trusted."""
        lib.tn_trust_accept(self._handle.pointer, os.fsencode(root), 0)

    def update_trust(self, mirror: Path, **options: Any) -> None:
        """Brings what is trusted up to date from another store's folder trust, a copy of it, or the URL of one (then with
        the options of `push`)."""
        if "://" in os.fspath(mirror):
            _registry.call(lib.tn_trust_fetch, self._handle.pointer, os.fsencode(mirror), **options)
        else:
            lib.tn_trust_update(self._handle.pointer, os.fsencode(mirror))

    def push(self, reference: str, address: str, **options: Any) -> _registry.Transfer:
        """Sends a version to a registry, HOST[:PORT]/REPOSITORY[:TAG]; without a tag, under its version.

        Options, here and where it says so: user ("NAME:PASSWORD"), ca_file (authorities to trust instead of the system's),
        plain_http, bytes_per_second, most_bytes (of a pull), piece_bytes, attempts, wait_ms, connect_seconds, stall_seconds,
        and progress, which is called with the bytes that are done and all of them, and ends it by returning False.
        """
        raw = _registry.new_result()
        words = self._handle.pointer, reference.encode(), address.encode()
        _registry.call(lib.tn_store_push, *words, after=(byref(raw),), **options)
        return _registry.transfer(raw)

    def pull(self, address: str, **options: Any) -> Version:
        """Takes a version from a registry, by a tag or a digest (HOST/REPOSITORY@sha256:HEX). What a cut left is continued.
        Options: those of `push`."""
        raw = VersionStruct()
        _registry.call(lib.tn_store_pull, self._handle.pointer, address.encode(), after=(byref(raw), None), **options)
        return _version(raw)

    def follow(self, channel: str, trust: Path, repository: str, **options: Any) -> Version:
        """Updates what is trusted from `trust`, a folder or a URL, and pulls what the channel ("press@stable") points at
        from a repository, if it is not there. Options: those of `push`."""
        raw = VersionStruct()
        words = self._handle.pointer, channel.encode(), os.fsencode(trust), repository.encode()
        _registry.call(lib.tn_store_follow, *words, after=(byref(raw),), **options)
        return _version(raw)

    def promote(self, reference: str, channel: str, keys: Path, *, gate: Optional[str] = None) -> Channel:
        """Points a channel ("stable") of the model at a version, signed with the keys in a folder.

        gate: YAML of what the version must show first, such as "self_test: true"; if it does not, CheckFailed names each
        bound that was not kept, and the channel stays.
        """
        version = self.find(reference)
        words = self._handle.pointer, version.digest.encode(), channel.encode(), os.fsencode(keys)
        if gate is None:
            lib.tn_store_promote(*words)
        else:
            raw = gate.encode()
            lib.tn_store_promote_through(*words, raw, len(raw), None, None)
        return self.channel(version.name, channel)

    def rollback(self, reference: str, channel: str, keys: Path) -> Channel:
        """Points a channel back at an older version: a promotion with a higher counter, whatever a gate would say.
        StateError if that is no older version than the one it points at."""
        version = self.find(reference)
        now = self.channel(version.name, channel)
        order = [v.digest for v in self if v.name == version.name]
        if now.digest in order and order.index(version.digest) >= order.index(now.digest):
            raise StateError(f"{version.name}:{version.version} is not older than {now.version}; promote it")
        return self.promote(version.digest, channel, keys)

    def channel(self, name: str, channel: str) -> Channel:
        """What a channel points at; NotFound if there is none."""
        raw = ChannelStruct()
        lib.tn_store_channel(self._handle.pointer, name.encode(), channel.encode(), byref(raw))
        texts = [getattr(raw, key).decode() for key in ("name", "channel", "version", "digest")]
        return Channel(texts[0], texts[1], texts[2] or None, texts[3], raw.counter)

    def backup(self, file: Path, *, since: Optional[Path] = None, compress: bool = False) -> Backup:
        """Writes the store's state to one file.  since: an earlier backup; no more than what came since goes into it."""
        raw = BackupStruct(ctypes.sizeof(BackupStruct))
        options = BackupOptions(
            ctypes.sizeof(BackupOptions), None if since is None else os.fsencode(since), compress
        )
        lib.tn_store_backup(self._handle.pointer, os.fsencode(file), byref(options), byref(raw))
        texts = [getattr(raw, key).decode() for key in ("digest", "previous", "created")]
        return Backup(raw.number, texts[0], texts[1] or None, texts[2], raw.blobs, raw.bytes)

    @staticmethod
    def restore(path: Path, files: Union[Path, Sequence[Path]]) -> Restored:
        """Restores a chain of backups, from its first file on, as far as it is given, into a new folder or into the
        store that it is of. What a store trusts is never taken back."""
        if isinstance(files, (str, os.PathLike)):
            files = [files]
        chain = (c_char_p * len(files))(*map(os.fsencode, files))
        raw = RestoreStruct(ctypes.sizeof(RestoreStruct))
        lib.tn_store_restore(os.fsencode(path), chain, len(files), byref(raw))
        return Restored(raw.versions, raw.blobs, raw.trust)
