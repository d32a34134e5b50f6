"""A second reader of model files, written from the description in include/tenon/model_file.h alone.

    reader.py FILE...     prints what is in them, as JSON; fails on a file that breaks the format

It shares no code with the library: struct, hashlib, zlib, and ONNX's Python package for the graph.
"""
import hashlib
import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import onnx
from onnx import external_data_helper, numpy_helper

MAGIC = b"\x89TNM\r\n\x1a\n"
KINDS = {1: "manifest", 2: "graph", 3: "weights", 4: "optimizer", 5: "self-test"}
MAJOR, MINOR = 1, 2
SINCE = {5: 1}  # the minor version that a kind came with


class Broken(Exception):
    pass


def need(condition, what):
    if not condition:
        raise Broken(what)


def unpacked(body, length):
    """Of a section in runs."""
    made, at = b"", 0
    while len(made) < length:
        size, head = min(512, length - len(made)), body[at]
        at += 1
        if head == 0:
            made, at = made + body[at : at + size], at + size
            continue
        need(head >> 4 == 1, "a piece's first byte")
        halves = []
        while len(halves) < 2 * size:
            halves += [head & 15] * (body[at] >> 4) + [body[at] & 15]
            at += 1
        need(len(halves) == 2 * size, "a piece's end")
        made += bytes(low | high << 4 for low, high in zip(halves[::2], halves[1::2]))
    need(at == len(body), "runs")
    return made


def sections(data):
    """The digest, and the sections' (inflated) bytes by their kind."""
    need(len(data) >= 64 and data[:8] == MAGIC, "magic")
    major, minor, count, length = struct.unpack("<HHIQ", data[8:24])
    need(major == MAJOR, "version")
    need(1 <= count <= 64 and length == len(data), "length")
    need(data[24:32] == bytes(8), "reserved")
    table = data[64 : 64 + 64 * count]
    need(len(table) == 64 * count, "table")
    digest = hashlib.sha256(data[:32] + table).digest()
    need(digest == data[32:64], "digest of the header")
    end, found = 64 + len(table), {}
    for i in range(count):
        row = table[64 * i : 64 * i + 64]
        kind, flags, offset, stored, length = struct.unpack("<IIQQQ", row[:32])
        need(flags < (8 if minor > 1 else 4) and flags & 5 != 5, "flags")
        need(kind not in found, "twice")
        start = (end + 63) // 64 * 64
        need(offset == start and stored >= 1 and start + stored <= len(data), "place")
        need(not any(data[end:start]), "gap")
        end = start + stored
        body = data[start:end]
        need(hashlib.sha256(body).digest() == row[32:64], f"digest of section {kind}")
        if flags & 1:
            need(length <= 1032 * stored + 1031, "ratio")
            stream = zlib.decompressobj()
            body = stream.decompress(body, length + 1)
            need(stream.eof and not stream.unused_data, "deflated")
        if flags & 4:
            body = unpacked(body, length)
        need(len(body) == length, "length of a section")
        if kind not in KINDS or minor < SINCE.get(kind, 0):
            need(minor > MINOR and not flags & 2, "kind")
        found[kind] = body
    need(end == len(data), "end")
    need(2 in found, "graph")
    return "sha256:" + digest.hex(), found


def model_of(found):
    """The ONNX model, its weights put into it."""
    model = onnx.ModelProto.FromString(found[2])
    weights = found.get(3, b"")
    for tensor in external_data_helper._get_all_tensors(model):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entries = {e.key: e.value for e in tensor.external_data}
        offset, length = int(entries["offset"]), int(entries["length"])
        need(entries["location"] == "weights" and offset % 64 == 0, "external data")
        need(offset + length <= len(weights), "external data outside of the weights")
        tensor.raw_data = weights[offset : offset + length]
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT
    return model


def fields(message):
    """Number and value of each field of a message of protobuf."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            need(at < len(message), "a number is cut")
            byte, at = message[at], at + 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        number, wire = divmod(varint(), 8)
        size = varint() if wire in (0, 2) else {1: 8, 5: 4}[wire]
        if wire == 0:
            yield number, size
            continue
        need(at + size <= len(message), "a field is cut")
        yield number, message[at : at + size]
        at += size


def self_test_of(found):
    """Cases of name, relative and absolute tolerance, inputs and expected outputs; the last two as arrays by their names."""
    cases = []
    for number, message in fields(found.get(5, b"")):
        need(number == 1, "case")
        name, tolerances, tensors = "", {2: 0.0, 3: 0.0}, {4: {}, 5: {}}
        for at, value in fields(message):
            if at == 1:
                name = value.decode()
            elif at in tolerances:
                (tolerances[at],) = struct.unpack("<f", value)
            elif at in tensors:
                tensor = onnx.TensorProto.FromString(value)
                tensors[at][tensor.name] = numpy_helper.to_array(tensor)
        need(tensors[5], "a case expects something")
        cases.append((name, tolerances[2], tolerances[3], tensors[4], tensors[5]))
    return cases


def read(path):
    digest, found = sections(Path(path).read_bytes())
    return digest, found, model_of(found)


if __name__ == "__main__":
    for path in sys.argv[1:]:
        digest, found, model = read(path)
        sums = {t.name: float(np.sum(numpy_helper.to_array(t), dtype=np.float64)) for t in model.graph.initializer
                if t.data_type == onnx.TensorProto.FLOAT}
        sizes = {KINDS.get(kind, str(kind)): len(body) for kind, body in found.items()}
        print(json.dumps({"file": path, "digest": digest, "sections": sizes, "sums": sums,
                          "manifest": found.get(1, b"").decode()}))
