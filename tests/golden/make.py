"""Makes the model files of this folder, from the description in include/tenon/model_file.h alone.

They are kept, and never made again for a version that was released: what an old file is does not change. Those in `rejected`
break one rule each; expected.txt says in what words they are refused.
"""
import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

HERE = Path(__file__).parent
MANIFEST = """name: golden
version: 1.0.0
licence: Apache-2.0
inputs:
  - name: x
    dtype: float32
    shape: [batch, 8]
outputs:
  - name: z
    dtype: float32
    shape: [batch, 3]
host:
  weight_bytes: 152
"""


def model(location="weights", length="96", offset="0"):
    """z = relu(x w + b) + halves, of constants in several places and orders of bytes."""
    w = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[8, 3], data_location=TensorProto.EXTERNAL)
    h = TensorProto(name="h", data_type=TensorProto.INT16, dims=[28], data_location=TensorProto.EXTERNAL)
    for tensor, at, size in ((w, offset, length), (h, "128" if offset == "0" else "0", "56")):
        for key, value in (("location", location), ("offset", at), ("length", size)):
            tensor.external_data.add(key=key, value=value)
    b = TensorProto(name="b", data_type=TensorProto.FLOAT, dims=[3], raw_data=np.array([0, 1, 2], "<f4").tobytes())
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"], name="product"),
        helper.make_node("Add", ["p", "b"], ["s"], name="sum"),
        helper.make_node("Relu", ["s"], ["y"], name="relu"),
        helper.make_node("Cast", ["h"], ["f"], to=TensorProto.FLOAT, name="widen"),
        helper.make_node("ReduceMax", ["f"], ["most"], keepdims=0, name="most"),
        helper.make_node("Add", ["y", "most"], ["z"], name="last"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", n]) for name, n in (("x", 8), ("z", 3))]
    graph = helper.make_graph(nodes, "golden", ends[:1], ends[1:], initializer=[w, b, h])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def weights():
    w = ((np.arange(24) - 12) / 4).astype("<f4").tobytes()
    h = (np.arange(28) * 300 - 200).astype("<i2").tobytes()
    return w + bytes(32) + h + bytes(0)


def message(number, body):
    """A field of protobuf, of bytes."""
    size, length = b"", len(body)
    while length > 127:
        size, length = size + bytes([length & 127 | 128]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + body


def self_test(wrong=0.0, name="two rows"):
    """Two cases, of which the second one is exact."""
    w, cases = ((np.arange(24) - 12) / 4).astype("<f4").reshape(8, 3), b""
    for case, relative, absolute in ((name, 1e-3, 1e-5), ("exact", 0.0, 0.0)):
        x = np.arange(16, dtype="<f4").reshape(2, 8) if relative else np.ones((1, 8), "<f4")
        z = np.maximum(x @ w + np.arange(3, dtype="<f4"), 0) + np.float32(27 * 300 - 200 + wrong)
        ends = [TensorProto(name=n, data_type=TensorProto.FLOAT, dims=a.shape, raw_data=a.astype("<f4").tobytes())
                for n, a in (("x", x), ("z", z))]
        cases += message(1, message(1, case.encode()) + struct.pack("<BfBf", 21, relative, 29, absolute)
                         + message(4, ends[0].SerializeToString()) + message(5, ends[1].SerializeToString()))
    return cases


def write(name, sections, major=1, minor=0, change=lambda head, rows: None, sign=True, after=b""):
    """sections: (kind, flags, bytes, length or None)."""
    offset, rows, bodies = 64 + 64 * len(sections), [], b""
    for kind, flags, body, length in sections:
        gap = -offset % 64
        bodies += bytes(gap) + body
        offset += gap
        if length is None:
            length = len(body)
        rows.append([kind, flags, offset, len(body), length, hashlib.sha256(body).digest()])
        offset += len(body)
    head = [b"\x89TNM\r\n\x1a\n", major, minor, len(sections), offset + len(after), bytes(8)]
    change(head, rows)
    front = struct.pack("<8sHHIQ8s", *head)
    table = b"".join(struct.pack("<IIQQQ32s", *row) for row in rows)
    digest = hashlib.sha256(front + table).digest() if sign else bytes(32)
    (HERE / name).write_bytes(front + digest + table + bodies + after)


def deflated(kind, body, length=None):
    return kind, 1, zlib.compress(body, 9), len(body) if length is None else length


def in_runs(kind, body):
    made = b""
    for piece in (body[i : i + 512] for i in range(0, len(body), 512)):
        halves = [h for b in piece for h in (b & 15, b >> 4)]
        usual, run, out = max(range(16), key=lambda h: (halves.count(h), -h)), 0, b""
        for i, h in enumerate(halves):
            if h == usual and run < 15 and i + 1 < len(halves):
                run += 1
            else:
                out, run = out + bytes([run << 4 | h]), 0
        made += bytes([16 | usual]) + out if len(out) < len(piece) else b"\0" + piece
    return kind, 4, made, len(body)


def main():
    text, graph, numbers = MANIFEST.encode(), model(), weights()
    plain = [(1, 0, text, None), (2, 0, graph, None), (3, 0, numbers, None)]
    write("v1.0-plain.tenon", plain)
    write("v1.0-deflated.tenon", [(1, 0, text, None), deflated(2, graph), deflated(3, numbers)])
    write("v1.0-bare.tenon", plain[1:])
    write("v1.0-other-order.tenon", [plain[2], plain[1], (4, 0, b"momentum", None), plain[0]])
    later = text.replace(b"licence:", b"licence_url: none\nlicence:")
    write("v1.7-newer.tenon", [(1, 0, later, None), plain[1], plain[2], (77, 0, b"of later", None)], minor=7)

    write("v1.1-self-test.tenon", plain + [(5, 0, self_test(), None)], minor=1)
    write("v1.1-deflated-self-test.tenon", plain + [deflated(5, self_test())], minor=1)

    write("v1.2-runs.tenon", [plain[0], plain[1], in_runs(3, numbers)], minor=2)

    bad = "rejected/"
    kind, flags, body, length = in_runs(3, numbers)
    write(bad + "early-runs.tenon", [plain[0], plain[1], (kind, flags, body, length)], minor=1)
    write(bad + "runs-and-deflated.tenon", [plain[0], plain[1], (kind, 5, body, length)], minor=2)
    write(bad + "runs-bomb.tenon", [plain[0], plain[1], (kind, flags, body, 8 * len(body) + 8)], minor=2)
    write(bad + "runs-cut.tenon", [plain[0], plain[1], (kind, flags, body[:-1], length)], minor=2)
    write(bad + "runs-longer.tenon", [plain[0], plain[1], (kind, flags, body + b"\0", length)], minor=2)
    write(bad + "runs-beyond.tenon", [plain[0], plain[1], (kind, flags, b"\x10" + b"\xf0" * 63 + b"\x01\xff", 512)], minor=2)
    write(bad + "runs-unknown.tenon", [plain[0], plain[1], (kind, flags, b"\x20" + body[1:], length)], minor=2)
    write(bad + "future-major.tenon", plain, major=2)
    write(bad + "no-digest.tenon", plain, sign=False)
    write(bad + "no-graph.tenon", [plain[0], plain[2]])
    write(bad + "unknown-kind.tenon", plain + [(77, 0, b"what", None)])
    write(bad + "must-understand.tenon", plain + [(77, 2, b"what", None)], minor=7)
    write(bad + "unknown-flag.tenon", plain, minor=7, change=lambda head, rows: rows[2].__setitem__(1, 16))
    write(bad + "two-graphs.tenon", plain + [plain[1]])
    write(bad + "overlap.tenon", plain, change=lambda head, rows: rows[2].__setitem__(2, rows[1][2]))
    write(bad + "beyond-the-end.tenon", plain, change=lambda head, rows: rows[2].__setitem__(3, 1 << 40))
    write(bad + "longer.tenon", plain, after=b"more")
    write(bad + "cut.tenon", plain, change=lambda head, rows: head.__setitem__(4, head[4] + 64))
    write(bad + "damaged-manifest.tenon", plain, change=lambda head, rows: rows[0].__setitem__(5, bytes(32)))
    write(bad + "damaged-graph.tenon", plain, change=lambda head, rows: rows[1].__setitem__(5, bytes(32)))
    write(bad + "damaged-weights.tenon", plain, change=lambda head, rows: rows[2].__setitem__(5, bytes(32)))
    write(bad + "bomb.tenon", [plain[0], plain[1], deflated(3, bytes(1 << 20), 1 << 60)])
    write(bad + "short-bomb.tenon", [plain[0], plain[1], deflated(3, numbers + bytes(1 << 18), len(numbers))])
    write(bad + "outside-of-the-weights.tenon", [plain[0], (2, 0, model(offset="64"), None), (3, 0, numbers[:96], None)])
    write(bad + "another-file.tenon", [plain[0], (2, 0, model(location="../secret"), None), plain[2]])
    write(bad + "manifest-key.tenon", [(1, 0, later, None), plain[1], plain[2]])
    write(bad + "manifest-alias.tenon", [(1, 0, text + b"extra: {a: &a [1], b: *a}\n", None), plain[1], plain[2]])
    write(bad + "newer-library.tenon", [(1, 0, text + b"  library: 99.0.0\n", None), plain[1], plain[2]])
    write(bad + "early-self-test.tenon", plain + [(5, 0, self_test(), None)])
    write(bad + "damaged-self-test.tenon", plain + [(5, 0, self_test(), None)], minor=1,
          change=lambda head, rows: rows[3].__setitem__(5, bytes(32)))
    write(bad + "no-onnx.tenon", [plain[0], (2, 0, b"\xff" * 40, None), plain[2]])


main()
