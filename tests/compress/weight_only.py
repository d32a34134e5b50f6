"""Weights of few bits: within half a step, as ONNX Runtime's kernels read them, and better with better methods."""
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import tenon
from native import (WeightOnly, apply, call, distance, folder, graph_of, lib, load_graph, model_of, must, run_ort,
                    run_tenon)

NEAREST, HQQ, GPTQ = range(3)


def network(k=96, n=48):
    """Two products that share a weight, a Gemm with a bias, a table, and a matrix that something else reads."""
    r = np.random.default_rng(4)
    f = lambda *s: (r.standard_t(5, s) / np.sqrt(s[-2])).astype(np.float32)
    weights = {"table": f(200, k), "w": f(k, k), "g": f(n, k), "b": f(1, n)[0], "used": f(k, k), "odd": f(n, 50)}
    nd = helper.make_node
    nodes = [
        nd("Gather", ["table", "ids"], ["x"], "lookup"),
        nd("MatMul", ["x", "w"], ["x1"], "first"),
        nd("Tanh", ["x1"], ["x2"]),
        nd("MatMul", ["x2", "w"], ["x3"], "second"),
        nd("Gemm", ["x3", "g", "b"], ["y0"], "dense", transB=1, alpha=0.5),
        nd("MatMul", ["y0", "odd"], ["y"], "odd"),
        nd("MatMul", ["x3", "used"], ["z0"], "kept"),
        nd("Add", ["z0", "used_sum"], ["z"]),
        nd("ReduceSum", ["used"], ["used_sum"], keepdims=0),
    ]
    nodes.insert(0, nodes.pop())
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["words"])
    outs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "yz"]
    graph = helper.make_graph(nodes, "net", [ids], outs, [numpy_helper.from_array(v, m) for m, v in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), weights


def unpack(packed, bits):
    per = 8 // bits
    return np.stack([packed >> (bits * i) & (2**bits - 1) for i in range(per)], -1).reshape(*packed.shape[:-1], -1)


def weights_of(model, node):
    """[n, k] and the step of each element, as the node's inputs say."""
    tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    attrs = {a.name: a.i for a in node.attribute}
    bits, block = attrs["bits"], attrs["block_size"]
    table = node.op_type == "GatherBlockQuantized"
    places = (0, 2, 3) if table else (1, 2, 3)
    q, scales, zeros = (tensors[node.input[i]] if i < len(node.input) and node.input[i] else None for i in places)
    rows = q.shape[0]
    q = unpack(q.reshape(rows, -1), bits).astype(np.int32)
    blocks = q.shape[1] // block
    scales = scales.reshape(rows, blocks)
    zeros = np.full((rows, blocks), 2 ** (bits - 1)) if zeros is None else unpack(zeros.reshape(rows, -1), bits)[:, :blocks]
    step = np.repeat(scales, block, 1)
    k = attrs.get("K", q.shape[1])
    return ((q - np.repeat(zeros.astype(np.int32), block, 1)) * step)[:, :k], step[:, :k]


def find(model, name):
    return next(n for n in model.graph.node if n.name == name)


def three_bits_are_packed(model, ids):
    """Model files have them in 3 bits, ONNX files in 4: the same weights."""
    for symmetric in (False, True):
        graph = graph_of(model)
        call(graph, "tn_graph_quantize_weights", WeightOnly(bits=3, symmetric=symmetric))
        files = [f"{folder.name}/three.{end}" for end in ("tenon", "onnx", "back.onnx")]
        must(lib.tn_graph_save(graph, files[0].encode(), None))
        model_of(graph, files[1])
        lib.tn_graph_destroy(graph)
        graph = load_graph(files[0])
        model_of(graph, files[2])
        lib.tn_graph_destroy(graph)
        ours = [tenon.load(f).run(ids) for f in files]
        theirs = run_ort(onnx.load(files[1]), ids)
        for name, other in zip("yz", theirs):
            assert (ours[0][name] == ours[1][name]).all() and (ours[0][name] == ours[2][name]).all(), name
            assert distance(ours[0][name], other) < 1e-5, name
        packed = [sum(t.ByteSize() for t in onnx.load(f).graph.initializer) for f in files[1:]]
        assert packed[0] == packed[1]
        tables = weights_bytes(files[0]) - weights_bytes(files[0], 4, model, symmetric)
        assert tables < 0, tables


def weights_bytes(path, bits=3, model=None, symmetric=False):
    """Of a model file; or of one with so many bits."""
    if model is not None:
        graph = graph_of(model)
        call(graph, "tn_graph_quantize_weights", WeightOnly(bits=bits, symmetric=symmetric))
        path = f"{folder.name}/other.tenon"
        must(lib.tn_graph_save(graph, path.encode(), None))
        lib.tn_graph_destroy(graph)
    return pathlib.Path(path).stat().st_size


def main():
    model, weights = network()
    ids = {"ids": np.arange(150)}
    before = run_ort(model, ids)
    samples = [[np.arange(i, 200, 5)] for i in range(5)]
    originals = {"first": weights["w"].T, "dense": weights["g"] * np.float32(0.5), "odd": weights["odd"].T,
                 "lookup": weights["table"]}
    worst = {8: 0.02, 4: 0.25, 3: 0.6, 2: 1.2}
    for bits in (8, 4, 3, 2):
        for block in (16, 32, 128):
            for symmetric in (False, True):
                packed, report = apply(model, "tn_graph_quantize_weights", bits=bits, block=block,
                                       symmetric=symmetric, embeddings=True)
                assert find(packed, "kept").op_type == "MatMul", "a weight that others read must stay"
                for name, w in originals.items():
                    node = find(packed, name)
                    if node.op_type in ("Gather", "MatMul"):
                        assert name == "odd" or bits == 2 or block == 128 or (bits == 3 and name == "lookup"), (name, bits, block)
                        continue
                    back, step = weights_of(packed, node)
                    assert (np.abs(back - w) <= step * 0.5001).all(), (name, bits, block, symmetric)
                    assert bits != 3 or len(np.unique(np.round(back / step)[0, :16])) <= 8, name
                assert report.bytes_after < report.bytes_before
                ours, theirs = run_tenon(packed, ids), None
                assert distance(ours[0], before[0]) < worst[bits], (bits, distance(ours[0], before[0]))
                if bits != 2:
                    theirs = run_ort(packed, ids)
                    assert distance(ours[0], theirs[0]) < 1e-5, (bits, block, distance(ours[0], theirs[0]))
                again, second = apply(packed, "tn_graph_quantize_weights", bits=bits, block=block)
                assert second.bytes_after == second.bytes_before, "what is quantized already stays"
    three_bits_are_packed(model, ids)
    losses, errors = {}, {}
    for name, fields in {"nearest": {}, "hqq": {"method": HQQ}, "gptq": {"method": GPTQ, "samples": samples},
                         "awq": {"awq": True, "samples": samples},
                         "3 bits": {"bits": 3}, "hqq of 3 bits": {"method": HQQ, "bits": 3},
                         "gptq of 3 bits": {"method": GPTQ, "samples": samples, "bits": 3},
                         "gptq of 2 bits": {"method": GPTQ, "samples": samples, "bits": 2},
                         "2 bits": {"bits": 2}}.items():
        packed, report = apply(model, "tn_graph_quantize_weights", block=fields.pop("block", 32), **fields)
        losses[name] = distance(run_tenon(packed, ids)[0], before[0])
        errors[name] = report.error
        if fields.get("bits") != 2:
            assert distance(run_tenon(packed, ids)[0], run_ort(packed, ids)[0]) < 1e-5
    assert losses["gptq"] < losses["nearest"] and losses["gptq of 2 bits"] < 0.8 * losses["2 bits"], losses
    assert errors["hqq"] < errors["nearest"] and losses["awq"] < losses["nearest"], (errors, losses)
    assert losses["gptq of 3 bits"] < 0.8 * losses["3 bits"] and losses["gptq"] < losses["gptq of 3 bits"], losses
    assert errors["hqq of 3 bits"] < errors["3 bits"], errors
    for fields, words in (({"bits": 5}, "8, 4, 3 or 2"), ({"block": 24}, "16, 32"), ({"method": GPTQ}, "samples"),
                          ({"awq": True, "samples": [[np.float32([1])]]}, "sample 0"), ({"damping": -1.0}, "share")):
        try:
            apply(model, "tn_graph_quantize_weights", **fields)
        except tenon.Error as error:
            assert words in str(error), str(error)
        else:
            raise AssertionError(fields)
    broken = onnx.ModelProto.FromString(model.SerializeToString())
    for t in broken.graph.initializer:
        if t.name == "g":
            w = weights["g"].copy()
            w[3, 5] = np.nan
            t.CopyFrom(numpy_helper.from_array(w, "g"))
    try:
        apply(broken, "tn_graph_quantize_weights")
    except tenon.Error as error:
        assert "'g' holds NaN" in str(error), str(error)
    else:
        raise AssertionError("NaN")
    print("weights of few bits, error of the output:", ", ".join(f"{k} {v:.4f}" for k, v in losses.items()))


if __name__ == "__main__":
    main()
