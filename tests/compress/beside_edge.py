"""tenon compress beside ai-edge-quantizer (LiteRT's) on networks of scikit-learn's digits, trained by Tenon's examples: the same
weights, the same calibration data. It takes TFLite files alone, so the ONNX networks are written as such here, and are
compared with the originals before. Accuracy of test pictures, signal to noise of the scores, size of what each engine loads
(.tenon, deflated, and .tflite), time; LiteRT runs theirs, Tenon ours. Fails where ours loses more accuracy, has more noise or a larger file, or where ours took longer in all.

    python -m venv FOLDER && FOLDER/bin/pip install ai-edge-quantizer onnx scikit-learn
    FOLDER/bin/python tests/compress/beside_edge.py build/tenon build/examples"""
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as tfl
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import quantizer, recipe
from onnx import numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

command, examples = sys.argv[1], pathlib.Path(sys.argv[2])
BUILTIN, PADDING, ACTIVATION = tfl.BuiltinOperator, tfl.Padding, tfl.ActivationFunctionType


class Network:
    """A TFLite file in the making: [N, H, W, C] where ONNX has [N, C, H, W]."""

    def __init__(self):
        self.buffers, self.tensors, self.operators, self.codes = [tfl.BufferT()], [], [], []

    def tensor(self, name, shape, data=None, dtype=tfl.TensorType.FLOAT32):
        t = tfl.TensorT()
        t.name, t.shape, t.type, t.buffer = name.encode(), np.array(shape, np.int32), dtype, 0
        if data is not None:
            buffer = tfl.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            t.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(t)
        return len(self.tensors) - 1

    def operator(self, code, kind, options, inputs, output):
        if code not in self.codes:
            self.codes.append(code)
        o = tfl.OperatorT()
        o.opcodeIndex, o.inputs, o.outputs = self.codes.index(code), np.array(inputs, np.int32), np.array([output], np.int32)
        o.builtinOptionsType, o.builtinOptions = kind, options
        self.operators.append(o)

    def save(self, path, first, last):
        def tensor_map(name, index):
            m = tfl.TensorMapT()
            m.name, m.tensorIndex = name.encode(), index
            return m

        graph, model, signature = tfl.SubGraphT(), tfl.ModelT(), tfl.SignatureDefT()
        graph.tensors, graph.operators, graph.name = self.tensors, self.operators, b"main"
        graph.inputs, graph.outputs = np.array([first], np.int32), np.array([last], np.int32)
        signature.inputs, signature.outputs = [tensor_map("pixels", first)], [tensor_map("scores", last)]
        signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
        model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [graph], self.buffers, []
        model.signatureDefs = [signature]
        for code in self.codes:
            c = tfl.OperatorCodeT()
            c.builtinCode, c.deprecatedBuiltinCode, c.version = code, code, 1
            model.operatorCodes.append(c)
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))


def attribute(node, name, default):
    return next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def to_tflite(source, target):
    """Of chains of Conv (that keeps the size), Relu, MaxPool of 2 x 2, Flatten and Gemm."""
    model, n = onnx.load(source).graph, Network()
    constants = {t.name: numpy_helper.to_array(t) for t in model.initializer}
    side = model.input[0].type.tensor_type.shape.dim[2].dim_value
    shape, picture = [1, side, side, 1], None
    first = at = n.tensor("pixels", shape)
    for node in model.node:
        weights = [constants[i] for i in node.input[1:]]
        if node.op_type == "Relu":  # of what was before
            n.operators[-1].builtinOptions.fusedActivationFunction = ACTIVATION.RELU
            continue
        if node.op_type == "Conv":
            assert list(attribute(node, "pads", [])) == [1, 1, 1, 1] and weights[0].shape[2:] == (3, 3)
            shape, o = [1, *shape[1:3], len(weights[0])], tfl.Conv2DOptionsT()
            o.padding, o.strideH, o.strideW, o.dilationHFactor, o.dilationWFactor = PADDING.SAME, 1, 1, 1, 1
            code, kind, parts = BUILTIN.CONV_2D, tfl.BuiltinOptions.Conv2DOptions, [weights[0].transpose(0, 2, 3, 1), weights[1]]
        elif node.op_type == "MaxPool":
            assert list(attribute(node, "kernel_shape", [])) == list(attribute(node, "strides", [])) == [2, 2]
            shape, o = [1, shape[1] // 2, shape[2] // 2, shape[3]], tfl.Pool2DOptionsT()
            o.padding, o.strideH, o.strideW, o.filterHeight, o.filterWidth = PADDING.VALID, 2, 2, 2, 2
            code, kind, parts = BUILTIN.MAX_POOL_2D, tfl.BuiltinOptions.Pool2DOptions, []
        elif node.op_type == "Flatten":
            picture, shape, o = shape, [1, int(np.prod(shape))], tfl.ReshapeOptionsT()
            o.newShape = np.array([-1, shape[1]], np.int32)
            code, kind, parts = BUILTIN.RESHAPE, tfl.BuiltinOptions.ReshapeOptions, [o.newShape]
        else:
            assert node.op_type == "Gemm"
            w = weights[0] if attribute(node, "transB", 0) else weights[0].T
            if picture:  # the order of pixels changed
                w = w.reshape(len(w), picture[3], *picture[1:3]).transpose(0, 2, 3, 1).reshape(len(w), -1)
                picture = None
            shape, o = [1, len(w)], tfl.FullyConnectedOptionsT()
            code, kind, parts = BUILTIN.FULLY_CONNECTED, tfl.BuiltinOptions.FullyConnectedOptions, [w, weights[1]]
        inputs = [at] + [n.tensor(f"{node.output[0]}.{i}", p.shape, p, tfl.TensorType.INT32 if p.dtype == np.int32 else
                                  tfl.TensorType.FLOAT32) for i, p in enumerate(parts)]
        at = n.tensor(node.output[0], shape)
        n.operator(code, kind, o, inputs, at)
    n.save(target, first, at)


def litert(path, pictures):
    """Scores in float32; what is 8 bits at the ends is made of floats, and floats of it."""
    run = Interpreter(model_path=str(path)).get_signature_runner("serving_default")
    into, out = (next(iter(d.values())) for d in (run.get_input_details(), run.get_output_details()))
    scores = []
    for p in pictures.reshape(-1, 1, *pictures.shape[1:], 1):
        if into["dtype"] == np.int8:
            step, zero = into["quantization"]
            p = np.clip(np.rint(p / step) + zero, -128, 127).astype(np.int8)
        y = next(iter(run(pixels=p).values()))[0]
        step, zero = out["quantization"] if out["dtype"] == np.int8 else (1, 0)
        scores.append((y.astype(np.float32) - zero) * step)
    return np.array(scores)


def tenon(path, pictures):
    with tempfile.TemporaryDirectory() as f:
        np.savez(f"{f}/in.npz", pixels=pictures)
        subprocess.run([command, "run", path, f"--input={f}/in.npz", f"--output={f}/out.npz"], check=True, capture_output=True)
        with np.load(f"{f}/out.npz") as z:
            return z[z.files[0]]


def theirs(source, target, pictures):
    q = quantizer.Quantizer(str(source), recipe.static_wi8_ai8())
    ranges = q.calibrate({"serving_default": [{"pixels": p.reshape(1, *p.shape, 1)} for p in pictures]})
    target.write_bytes(bytes(q.quantize(ranges).quantized_model))


def ours(source, target, data):
    made = target.with_suffix(".int8.tenon")
    done = subprocess.run([command, "compress", source, made, f"--data={data}", "--json", "--calibration=best",
                           "--bias-correction"], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["int8_layers"] > 0
    subprocess.run([command, "convert", made, target, "--compress"], check=True, capture_output=True)


def noise(wanted, found):
    return 10 * np.log10((wanted.astype(np.float64) ** 2).sum() / ((wanted.astype(np.float64) - found) ** 2).sum())


def timed(make, *what):
    start = time.monotonic()
    make(*what)
    return time.monotonic() - start


x, y = load_digits(return_X_y=True)
parts = train_test_split(x, y, test_size=0.25, stratify=y, random_state=0)
learn, test = ((p / 16).reshape(-1, 1, 8, 8).astype(np.float32) for p in parts[:2])
failures, seconds, losses = [], np.zeros(2), np.zeros(2)
print(f"{'ours / ai-edge-quantizer':26} {'accuracy: float, int8':>22} {'SQNR dB':>12} {'kB: float, int8':>18} {'seconds':>11}")
with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    tables = [folder / "train.csv", folder / "test.csv"]
    for path, pixels, digits in zip(tables, parts[:2], parts[2:]):
        np.savetxt(path, np.column_stack([pixels, digits]), fmt="%d", delimiter=",")
    np.savez(folder / "train.npz", pixels=learn)
    for title, words in (("digits", ["train_digits", *tables]), ("digits, LeNet-300-100", ["deep_compression", "mlp", *tables]),
                         ("digits, dense CNN", ["deep_compression", "cnn", *tables])):
        source, lite, small, other = (folder / n for n in ("float.onnx", "float.tflite", "small.tenon", "small.tflite"))
        rest = [folder / "unused.tenon", "0.5", "4", "5"] if words[0] == "deep_compression" else []
        subprocess.run([examples / words[0], *words[1:], source, *rest], check=True, capture_output=True)
        to_tflite(source, lite)
        wanted = tenon(source, test)
        assert np.abs(litert(lite, test[:, 0]) - wanted).max() < 1e-3, "the TFLite file is another network"
        took = np.array([timed(ours, source, small, folder / "train.npz"), timed(theirs, lite, other, learn[:, 0])])
        found = [tenon(small, test), litert(other, test[:, 0])]
        right = [float((s.argmax(1) == parts[3]).mean()) for s in (wanted, *found)]
        ratios, sizes = [noise(wanted, f) for f in found], [p.stat().st_size / 1e3 for p in (source, small, other)]
        print(f"{title:26} {right[0]:7.4f} {right[1]:7.4f} {right[2]:6.4f} {ratios[0]:6.1f} {ratios[1]:5.1f} {sizes[0]:6.0f} "
              f"{sizes[1]:5.1f} {sizes[2]:5.1f} {took[0]:5.2f} {took[1]:5.2f}", flush=True)
        seconds += took
        losses += [right[0] - right[1], right[0] - right[2]]
        for bad, what in ((right[1] < min(right[0], right[2]), "loses more accuracy"), (ratios[0] < ratios[1], "has more noise"),
                          (sizes[1] > sizes[2], "is larger")):
            if bad:
                failures.append(f"{title}: ours {what}")
if seconds[0] >= seconds[1]:
    failures.append("ours took longer")
if losses[0] > max(losses[1], 0):
    failures.append("ours loses more accuracy on average")
if failures:
    sys.exit("\n".join(failures))
