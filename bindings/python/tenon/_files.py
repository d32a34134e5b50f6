"""Model files: converting, and what they say of themselves."""
from __future__ import annotations

import ctypes
import json
import os
from ctypes import byref
from typing import Any, Dict, Mapping, Optional, Union

from ._library import FileOptions, Handle, InvalidArgument, ModelOptions, OnnxOptions, create, lib

Path = Union[str, "os.PathLike[str]"]
Manifest = Union[str, Mapping[str, Any], None]
_TEXT, _NUMBER, _LIST, _MAP = 1, 2, 3, 4


def _number(text: str) -> Union[int, float]:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _value(manifest: Handle, path: str) -> Any:
    raw = path.encode()
    kind = lib.tn_manifest_kind_of(manifest.pointer, raw)
    if kind in (_TEXT, _NUMBER):
        text = lib.tn_manifest_get(manifest.pointer, raw).decode()
        return text if kind == _TEXT else _number(text)
    count, prefix = lib.tn_manifest_count(manifest.pointer, raw), path and path + "/"
    if kind == _LIST:
        return [_value(manifest, f"{prefix}{i}") for i in range(count)]
    keys = [lib.tn_manifest_key(manifest.pointer, raw, i).decode() for i in range(count)]
    return {key: _value(manifest, prefix + key) for key in keys}


def parse_manifest(text: str) -> Dict[str, Any]:
    """A manifest's YAML, checked, as a dictionary."""
    raw = text.encode()
    return _value(create(lib.tn_manifest_parse, lib.tn_manifest_destroy, raw, len(raw)), "")


def save_graph(graph: int, path: Path, manifest: Manifest, compress: bool, external_data: bool) -> None:
    name = os.fspath(path)
    if name.endswith(".onnx"):
        if manifest is not None or compress:
            raise InvalidArgument("a manifest and compression are for .tenon files")
        options = OnnxOptions(ctypes.sizeof(OnnxOptions), external_data)
        lib.tn_graph_save_onnx(graph, os.fsencode(path), byref(options))
    elif name.endswith(".tenon"):
        # JSON is YAML.
        text = manifest if isinstance(manifest, str) or manifest is None else json.dumps(manifest, ensure_ascii=False)
        options = FileOptions(ctypes.sizeof(FileOptions), text.encode() if text is not None else None, compress)
        lib.tn_graph_save(graph, os.fsencode(path), byref(options))
    else:
        raise InvalidArgument(f"{name}: models are written as .onnx or .tenon")


def convert(
    source: Path, target: Path, *, manifest: Manifest = None, compress: bool = False, external_data: bool = False
) -> None:
    """Writes a model in the form of target's name, .onnx or .tenon; the file is replaced whole or stays as it is.

    manifest: what a .tenon says of the model, YAML or a dictionary; None: what the source says, or little.
    compress: deflate a .tenon's graph and weights.  external_data: an .onnx's weights go to a file beside it.
    """
    options = ModelOptions(struct_size=ctypes.sizeof(ModelOptions), verify_weights=True)
    graph = create(lib.tn_graph_load, lib.tn_graph_destroy, os.fsencode(source), byref(options))
    save_graph(graph.pointer, target, manifest, compress, external_data)


def read_manifest(text: Optional[bytes]) -> Optional[Dict[str, Any]]:
    return None if text is None else parse_manifest(text.decode())
