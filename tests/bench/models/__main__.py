"""Makes the models that the benchmarks run beside the real ones: published structures, weights of a seed.

    build/venv/bin/python tests/bench/models [part of a name ...]

Each becomes a folder of a test case as ONNX's own tests have it, which tests/conformance/onnx_backend checks too:
build/models/bench/{float32,int8}/test_NAME_bBATCH/{model.onnx, test_data_set_0/{input,output}_K.pb}, outputs being
ONNX Runtime's. A model is made again only when what makes it changes.
"""
import hashlib
import importlib
import pathlib
import sys

import numpy as np
import onnx
from onnx import numpy_helper

from quantized import CALIBRATION, quantize, runtime, with_batch

HERE = pathlib.Path(__file__).parent
ROOT = pathlib.Path("build/models/bench")
FAMILIES = ["resnet", "mobilenet", "efficientnet", "yolo", "bert", "signals"]
QUANTIZED = {"resnet50", "mobilenetv2", "mobilenetv3small", "efficientnetlite0", "yolov8n_640", "yolov8n_320"}
QUANTIZED |= {"minilm6", "wdcnn4096"}
BATCHES = [1, 8]
# A last bit of a float tips a whole step of 8 bits over, and later layers carry it on.
TOLERANCE = "0.05  activations are rounded to 8 bits: a last bit of a float moves a whole step\n"


def draw(graph, random, batch):
    """Inputs as the models read them: normal numbers, and tokens beside a mask that covers most of them."""
    feed = {}
    for value in graph.input:
        shape = [batch, *(d.dim_value for d in value.type.tensor_type.shape.dim[1:])]
        if value.name == "attention_mask":
            feed[value.name] = (np.arange(shape[1]) < 100 + random.integers(0, 28, (shape[0], 1))).astype(np.int64)
        elif value.name == "token_type_ids":
            feed[value.name] = np.zeros(shape, np.int64)
        elif value.type.tensor_type.elem_type == onnx.TensorProto.INT64:
            feed[value.name] = random.integers(1000, 30000, shape)
        else:
            feed[value.name] = random.standard_normal(shape).astype(np.float32)
    return feed


def write_case(folder, model, batch, mark):
    data = folder / "test_data_set_0"
    data.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "model.onnx")
    session = runtime.session(folder / "model.onnx", exact=False)
    feed = draw(model.graph, np.random.default_rng(11), batch)
    for k, value in enumerate(session.get_inputs()):
        array = feed[value.name]
        (data / f"input_{k}.pb").write_bytes(numpy_helper.from_array(array, value.name).SerializeToString())
    for k, (value, array) in enumerate(zip(session.get_outputs(), session.run(None, feed))):
        if not np.isfinite(array).all() or array.std() < 1e-6:
            sys.exit(f"{folder.name}: {value.name} says nothing: its weights are out of scale")
        (data / f"output_{k}.pb").write_bytes(numpy_helper.from_array(array, value.name).SerializeToString())
    for old in folder.glob("*.mnn"):
        old.unlink()
    if folder.parent.name == "int8":
        (folder / "tolerance").write_text(TOLERANCE)
    (folder / "made").write_text(mark)


def make(name, build, mark):
    def missing(kind, batch):
        made = ROOT / kind / f"test_{name}_b{batch}" / "made"
        return not made.exists() or made.read_text() != mark

    for batch in BATCHES:
        if missing("float32", batch):
            print(f"{name}, batch {batch}", flush=True)
            write_case(ROOT / "float32" / f"test_{name}_b{batch}", build(batch), batch, mark)
    if name in QUANTIZED and any(missing("int8", batch) for batch in BATCHES):
        print(f"{name}, int8", flush=True)
        model, random = build("batch"), np.random.default_rng(5)
        small = quantize(model, [draw(model.graph, random, 1) for _ in range(CALIBRATION)])
        for batch in BATCHES:
            write_case(ROOT / "int8" / f"test_{name}_b{batch}", with_batch(small, batch), batch, mark)


def main():
    common = b"".join((HERE / f).read_bytes() for f in ("__main__.py", "net.py", "quantized.py"))
    for family in FAMILIES:
        mark = hashlib.sha256(common + (HERE / f"{family}.py").read_bytes()).hexdigest()
        for name, build in importlib.import_module(family).MODELS.items():
            if len(sys.argv) < 2 or any(part in name for part in sys.argv[1:]):
                make(name, build, mark)


main()
