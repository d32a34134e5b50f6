"""Pruning: exact zeros, what the criteria gain, and channels taken out of a network with residuals, concatenations and
depthwise convolutions."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import native
from native import apply, distance, run_ort, run_tenon
from weight_only import network

ANYWHERE, N_OF_M, BLOCKS = range(3)
MAGNITUDE, WANDA, SPARSEGPT = range(3)


def tensors(model):
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def rows(name, w):
    """[outputs, inputs]: of MatMul the weights lie the other way."""
    return w.reshape(len(w), -1) if name in ("g",) or w.ndim > 2 else w.T


def zeros_are_where_they_should_be():
    model, weights = network()
    ids = {"ids": np.arange(150)}
    before = run_ort(model, ids)[0]
    names = ("w", "g", "used", "odd")
    for sparsity in (0.0, 0.5, 0.83):
        pruned, report = apply(model, "tn_graph_prune", sparsity=sparsity)
        again, second = apply(pruned, "tn_graph_prune", sparsity=sparsity)
        for name in names:
            w, p = weights[name], tensors(pruned)[name]
            assert (p == 0).sum() == int(sparsity * w.size), (name, sparsity)
            assert (p[p != 0] == w[p != 0]).all()
            if sparsity:
                assert np.abs(w[p == 0]).max() <= np.abs(w[p != 0]).min(), "small ones go first"
            assert (tensors(again)[name] == p).all(), "a second time changes weights"
        assert report.zeros == sum(int(sparsity * weights[n].size) for n in names) and second.error == 0
    every, _ = apply(model, "tn_graph_prune", sparsity=0.7, global_=True)
    all_of = np.concatenate([tensors(every)[n].ravel() for n in names])
    assert (all_of == 0).sum() == int(0.7 * all_of.size)
    for kept, of in ((2, 4), (4, 8), (1, 4)):
        pruned, _ = apply(model, "tn_graph_prune", pattern=N_OF_M, kept=kept, of=of)
        for name in names:
            w = rows(name, tensors(pruned)[name])
            w = w[:, :w.shape[1] // of * of].reshape(len(w), -1, of)
            assert ((w != 0).sum(2) == kept).all(), (name, kept, of)
    pruned, _ = apply(model, "tn_graph_prune", pattern=BLOCKS, block_rows=8, block_columns=4, sparsity=0.75)
    for name in ("w", "g", "used"):
        w = rows(name, tensors(pruned)[name])
        w = w.reshape(len(w) // 8, 8, -1, 4).transpose(0, 2, 1, 3).reshape(-1, 32)
        assert set((w == 0).sum(1)) == {0, 32} and (w == 0).all(1).sum() == int(0.75 * len(w)), name
    samples = [[np.arange(i, 200, 3)] for i in range(3)]
    losses = {}
    for name, fields in {"magnitude": {}, "Wanda": {"criterion": WANDA}, "SparseGPT": {"criterion": SPARSEGPT}}.items():
        for pattern in (ANYWHERE, N_OF_M):
            given = {} if name == "magnitude" else {"samples": samples}
            pruned, _ = apply(model, "tn_graph_prune", sparsity=0.5, pattern=pattern, **fields, **given)
            losses[name, pattern] = distance(run_tenon(pruned, ids)[0], before)
            if pattern == N_OF_M:
                w = rows("w", tensors(pruned)["w"]).reshape(96, -1, 4)
                assert ((w != 0).sum(2) <= 2).all()
            else:
                assert abs((tensors(pruned)["w"] == 0).mean() - 0.5) < 0.01
    for pattern in (ANYWHERE, N_OF_M):
        assert losses["SparseGPT", pattern] < 0.8 * losses["magnitude", pattern], losses
    print("half of the weights zero, error of the output:", ", ".join(
        f"{k[0]}{' 2:4' if k[1] else ''} {v:.3f}" for k, v in losses.items()))


def images():
    """Residuals, a depthwise convolution, squeeze and excitation, a concatenation, a flattening, a group convolution."""
    r = np.random.default_rng(6)
    f = lambda *s: (r.standard_normal(s) * np.sqrt(2 / np.prod(s[1:]))).astype(np.float32)
    weights = {"w1": f(16, 3, 3, 3), "b1": f(16, 1)[:, 0], "w2": f(16, 16, 3, 3), "w3": f(16, 16, 1, 1), "dw": f(16, 1, 3, 3),
               "w4": f(24, 16, 1, 1), "w5": f(8, 24, 1, 1), "se1": f(4, 32, 1, 1), "se2": f(32, 4, 1, 1),
               "gw": f(32, 8, 3, 3), "d1": f(40, 32 * 4), "db": f(40, 1)[:, 0], "d2": f(40, 10), "slope": f(24, 1, 1),
               "shape": np.int64([0, 128])}
    weights |= {f"n{i}": np.abs(f(16, 1)[:, 0]) + 0.5 for i in range(4)}
    n = helper.make_node
    nodes = [
        n("Conv", ["x", "w1", "b1"], ["c1"], "conv1", pads=[1] * 4),
        n("BatchNormalization", ["c1", "n0", "n1", "n2", "n3"], ["bn"], "bn"),
        n("Relu", ["bn"], ["r1"]),
        n("Conv", ["r1", "w2"], ["c2"], "conv2", pads=[1] * 4),
        n("Add", ["c2", "r1"], ["a1"]),
        n("Conv", ["a1", "dw"], ["dwise"], "depthwise", pads=[1] * 4, group=16),
        n("Conv", ["dwise", "w3"], ["c3"], "conv3"),
        n("Add", ["c3", "a1"], ["a2"]),
        n("Conv", ["a2", "w4"], ["c4"], "conv4"),
        n("PRelu", ["c4", "slope"], ["r4"]),
        n("Conv", ["r4", "w5"], ["c5"], "conv5"),
        n("Concat", ["c5", "r4"], ["cat"], axis=1),
        n("GlobalAveragePool", ["cat"], ["pool"]),
        n("Conv", ["pool", "se1"], ["s1"], "se1"),
        n("Relu", ["s1"], ["s1r"]),
        n("Conv", ["s1r", "se2"], ["s2"], "se2"),
        n("Sigmoid", ["s2"], ["s2s"]),
        n("Mul", ["cat", "s2s"], ["scaled"]),
        n("MaxPool", ["scaled"], ["half"], kernel_shape=[4, 4], strides=[4, 4]),
        n("Reshape", ["half", "shape"], ["flat"]),
        n("Gemm", ["flat", "d1", "db"], ["g1"], "dense1", transB=1),
        n("Relu", ["g1"], ["g1r"]),
        n("MatMul", ["g1r", "d2"], ["y"], "dense2"),
        n("Conv", ["scaled", "gw"], ["z"], "grouped", group=4),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])
    outs = [helper.make_tensor_value_info(k, TensorProto.FLOAT, None) for k in "yz"]
    graph = helper.make_graph(nodes, "images", [x], outs, [numpy_helper.from_array(v, k) for k, v in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def without_second_output(model):
    model = onnx.ModelProto.FromString(model.SerializeToString())
    del model.graph.output[1], model.graph.node[-1]
    return model


def channels_go():
    feed = {"x": np.random.default_rng(7).standard_normal((2, 3, 8, 8)).astype(np.float32)}
    whole = images()
    for model in (whole, without_second_output(whole)):
        small, report = apply(model, "tn_graph_prune_channels", sparsity=0.5)
        w = tensors(small)
        assert w["w1"].shape == (8, 3, 3, 3) and w["w2"].shape == (8, 8, 3, 3) and w["n3"].shape == (8,)
        assert w["dw"].shape == (8, 1, 3, 3) and w["w3"].shape == (8, 8, 1, 1) and w["b1"].shape == (8,)
        if model is whole:  # the group convolution holds on to what it reads
            assert w["w4"].shape == (24, 8, 1, 1) and w["se1"].shape == (2, 32, 1, 1) and w["se2"].shape == (32, 2, 1, 1)
        else:
            assert w["w4"].shape == (12, 8, 1, 1) and w["w5"].shape == (4, 12, 1, 1) and w["slope"].shape == (12, 1, 1)
            assert w["se1"].shape == (2, 16, 1, 1) and w["se2"].shape == (16, 2, 1, 1) and w["d1"].shape == (20, 64)
        assert w["d2"].shape == (20, 10) and report.bytes_after < 0.6 * report.bytes_before
        ours, theirs = run_tenon(small, feed), run_ort(small, feed)
        for a, b in zip(ours, theirs):
            assert a.shape == b.shape and distance(a, b) < 1e-5
        same, report = apply(model, "tn_graph_prune_channels", sparsity=0.0)
        assert report.layers == 0 and distance(run_tenon(same, feed)[0], run_ort(model, feed)[0]) < 1e-5
    # Channels that are zero anyway take nothing along: the result is that of the whole network.
    model = without_second_output(whole)
    for t in model.graph.initializer:
        if t.name in ("d1", "db", "w1", "w2", "w3", "b1", "n1"):
            a = numpy_helper.to_array(t).copy()
            a[::2] = 0
            t.CopyFrom(numpy_helper.from_array(a, t.name))
        if t.name == "n2":
            t.CopyFrom(numpy_helper.from_array(np.zeros(16, np.float32), "n2"))
    small, _ = apply(model, "tn_graph_prune_channels", sparsity=0.5, keep="conv4,conv5,se*")
    assert tensors(small)["w1"].shape[0] == 8 and tensors(small)["d1"].shape[0] == 20
    assert distance(run_tenon(small, feed)[0], run_ort(model, feed)[0]) < 1e-5
    eights, _ = apply(model, "tn_graph_prune_channels", sparsity=0.7, multiple=4)
    assert tensors(eights)["w1"].shape[0] == 8 and tensors(eights)["se1"].shape[0] == 4
    everywhere, _ = apply(whole, "tn_graph_prune_channels", sparsity=0.4, global_=True)
    assert distance(run_tenon(everywhere, feed)[0], run_ort(everywhere, feed)[0]) < 1e-5
    print("channels: residuals, depthwise, concatenation, flattening, groups")


def layers_are_scanned():
    model, _ = network()
    rows_seen = native.sensitivity(model, [[np.arange(9)]], [0.2, 0.8])
    assert [r[0] for r in rows_seen] == [n for n in ("first", "dense", "odd", "kept") for _ in range(2)], rows_seen
    assert all(a[2] < b[2] for a, b in zip(rows_seen[::2], rows_seen[1::2])), rows_seen


def refusals():
    model, _ = network()
    for name, fields, words in (("tn_graph_prune", {"sparsity": 1.0}, "below 1"), ("tn_graph_prune", {"sparsity": -0.1}, "below 1"),
                                ("tn_graph_prune", {"pattern": N_OF_M, "kept": 4, "of": 4}, "2 of 4"),
                                ("tn_graph_prune", {"criterion": WANDA, "sparsity": 0.5}, "samples"),
                                ("tn_graph_prune", {"criterion": WANDA, "pattern": BLOCKS}, "within a row"),
                                ("tn_graph_prune_channels", {"sparsity": 1.5}, "below 1")):
        native.refused(model, name, words, **fields)
    empty = helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "no_weights", *[
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, ["n", 4])] for k in "xy"]))
    for name in ("tn_graph_prune", "tn_graph_prune_channels", "tn_graph_cluster", "tn_graph_low_rank"):
        assert apply(empty, name)[1].layers == 0


if __name__ == "__main__":
    zeros_are_where_they_should_be()
    channels_go()
    layers_are_scanned()
    refusals()
