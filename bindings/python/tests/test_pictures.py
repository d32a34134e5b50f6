"""PNG files of all colour types and depths, interlaced and not, beside Pillow."""
import io
import struct
import tempfile
import unittest
import zlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

import tenon

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
KINDS = ((0, 1, (1, 2, 4, 8, 16)), (2, 3, (8, 16)), (3, 1, (1, 2, 4, 8)), (4, 2, (8, 16)), (6, 4, (8, 16)))


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def packed(row, depth):
    if depth == 16:
        return row.astype(">u2").tobytes()
    bits = "".join(f"{v:0{depth}b}" for v in row.reshape(-1))
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def png(samples, kind, depth, interlaced):
    """Of [height, width, channels]; each other row is what it differs by from the one above."""
    height, width, _ = samples.shape
    raw, palette = b"", b""
    for x, y, dx, dy in ADAM7 if interlaced else ((0, 0, 1, 1),):
        before = None
        for i, row in enumerate(samples[y::dy, x::dx]):
            if not row.size:
                continue
            line = packed(row, depth)
            if before is not None and i % 2:
                raw += b"\2" + bytes((a - b) % 256 for a, b in zip(line, before))
            else:
                raw += b"\0" + line
            before = line
    if kind == 3:
        palette = chunk(b"PLTE", bytes((i * k) % 256 for i in range(2**depth) for k in (7, 31, 101)))
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    parts = chunk(b"IHDR", head), palette, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def by_pillow(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    if not image.mode.startswith("I"):
        return np.asarray(image.convert("RGB"))
    grey = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)  # of 16 bits
    return np.stack([grey] * 3, -1)


class Pictures(unittest.TestCase):
    def test_png_of_all_kinds_are_what_pillow_reads(self):
        node = helper.make_node("ImageDecoder", ["file"], ["image"], pixel_format="RGB")
        file = helper.make_tensor_value_info("file", TensorProto.UINT8, ["bytes"])
        image = helper.make_tensor_value_info("image", TensorProto.UINT8, [None, None, 3])
        graph = helper.make_graph([node], "decoder", [file], [image])
        random = np.random.default_rng(2)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "decoder.onnx"
            onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
            model = tenon.load(path)
        for kind, channels, depths in KINDS:
            for depth in depths:
                for interlaced in (False, True):
                    for height, width in ((1, 1), (3, 5), (8, 8), (9, 13), (2, 33)):
                        samples = random.integers(0, 2**depth, (height, width, channels))
                        data = png(samples, kind, depth, interlaced)
                        found = model.run({"file": np.frombuffer(data, np.uint8)})["image"]
                        with self.subTest(kind=kind, depth=depth, interlaced=interlaced, height=height, width=width):
                            np.testing.assert_array_equal(found, by_pillow(data))


if __name__ == "__main__":
    unittest.main()
