"""Heads of attention taken out: in each form that exporters write, graph and result stay valid; heads whose part of the output
product is zero go first and change nothing; what is not understood stays."""
import numpy as np
from onnx import TensorProto, helper, numpy_helper

import native
from native import PruneHeads, apply, distance, run_ort, run_tenon

HEADS, DEPTH, WIDTH = 4, 8, 24
ALL = HEADS * DEPTH
IDLE = (1, 2)  # heads that give nothing


def network(form, spoil=None):
    r = np.random.default_rng(8)
    t, nodes = {}, []

    def op(kind, *inputs, out=None, **attrs):
        out = out or f"v{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [out], attrs.pop("name", out), **attrs))
        return out

    def const(value):
        t[f"c{len(t)}"] = np.asarray(value)
        return f"c{len(t) - 1}"

    def weight(name, *shape):
        t[name] = (r.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)
        return name

    def linear(x, name, inputs, outputs):
        w = weight(name, inputs, outputs)
        if name == "wo":
            each = inputs // HEADS
            for h in IDLE:
                t[w][h * each:(h + 1) * each] = 0
        if form == "gemm":
            t[w] = np.ascontiguousarray(t[w].T)
            rows = op("Reshape", x, const(np.int64([-1, inputs]))) if name != "wo" else x
            return op("Gemm", rows, w, weight("b" + name, outputs), transB=1, name=name)
        y = op("MatMul", x, w, name=name)
        b = weight("b" + name, outputs)
        return op("Add", b, y) if name == "wk" else op("Add", y, b)

    def split(x, y):
        """[batch, rows, heads, depth]."""
        if form == "dynamic":
            axes = [op("Unsqueeze", op("Gather", op("Shape", y), const(np.int64(i)), axis=0), const(np.int64([0])))
                    for i in (0, 1)]
            shape = op("Concat", *axes, const(np.int64([HEADS])), const(np.int64([DEPTH])), axis=0)
        elif form == "gemm":
            shape = const(np.int64([-1, 5, HEADS, DEPTH]))
        else:
            shape = const(np.int64([0, 0, HEADS, -1] if form == "rest" else [0, 0, HEADS, DEPTH]))
        return op("Reshape", y, shape)

    if form == "timm":  # qkv.reshape(B, N, 3, heads, depth).permute(2, 0, 3, 1, 4).unbind(0)
        y = op("Reshape", linear("x", "wqkv", WIDTH, 3 * ALL), const(np.int64([-1, 5, 3, HEADS, DEPTH])))
        y = op("Transpose", y, perm=[2, 0, 3, 1, 4])
        packed = [op("Gather", y, const(np.int64(i)), axis=0) for i in range(3)]
    elif form == "gpt":
        y = linear("x", "wqkv", WIDTH, 3 * ALL)
        nodes.append(helper.make_node("Split", [y, const(np.int64([ALL] * 3))], ["q", "k", "v"], axis=-1))
        packed = ["q", "k", "v"]
    if form in ("timm", "gpt"):
        q, k, v = packed
    elif form == "grouped":
        q, k, v = (linear("x", n, WIDTH, size) for n, size in (("wq", 2 * ALL), ("wk", ALL), ("wv", ALL)))
    else:
        q, k, v = (linear("x", n, WIDTH, ALL) for n in ("wq", "wk", "wv"))
    if spoil == "read twice":
        k = linear("x", "wk2", WIDTH, ALL)
        nodes[-2].input[1] = "wq"
    mha = form == "mha"
    if mha:
        y = op("MultiHeadAttention", q, k, v, domain="com.microsoft", num_heads=HEADS)
    elif form == "grouped":
        y = op("Attention", q, k, v, q_num_heads=2 * HEADS, kv_num_heads=HEADS)
    elif form == "operator":
        y = op("Attention", q, k, v, q_num_heads=HEADS, kv_num_heads=HEADS)
    else:
        if form == "timm":
            k = op("Transpose", k, perm=[0, 1, 3, 2])
        else:
            q, v = (op("Transpose", split("x", a), perm=[0, 2, 1, 3]) for a in (q, v))
        if form == "rest":
            k = op("Transpose", op("Transpose", split("x", k), perm=[0, 2, 1, 3]), perm=[0, 1, 3, 2])
            q = op("Mul", q, const(np.float32(0.3)))
        elif form != "timm":
            k = op("Transpose", split("x", k), perm=[0, 2, 3, 1])
        scores = op("Div", op("MatMul", q, k), const(np.float32(3)))
        per_head = HEADS if spoil == "mask for each head" else 1
        scores = op("Add", scores, const(r.standard_normal((1, per_head, 5, 5)).astype(np.float32)))
        y = op("Transpose", op("MatMul", op("Softmax", scores, axis=-1), v, name="core"), perm=[0, 2, 1, 3])
        if form == "dynamic":
            axes = [op("Unsqueeze", op("Gather", op("Shape", y), const(np.int64(i)), axis=0), const(np.int64([0])))
                    for i in (0, 1)]
            y = op("Reshape", y, op("Concat", *axes, const(np.int64([ALL])), axis=0))
        else:
            y = op("Reshape", y, const(np.int64({"rest": [-1, 5, ALL], "gemm": [-1, ALL]}.get(form, [0, 0, ALL]))))
    if spoil == "width asked":
        op("Gather", op("Shape", y), const(np.int64(2)), axis=0, out="width")
    y = linear(y, "wo", 2 * ALL if form == "grouped" else ALL, WIDTH)
    if form == "gemm":
        y = op("Reshape", y, const(np.int64([-1, 5, WIDTH])))
    op("Add", y, "x", out="y")
    shape = ["batch", "rows" if form == "dynamic" else 5, WIDTH]
    outs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)]
    if spoil == "width asked":
        outs.append(helper.make_tensor_value_info("width", TensorProto.INT64, []))
    graph = helper.make_graph(nodes, "attention", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)], outs,
                              [numpy_helper.from_array(v, k) for k, v in t.items()])
    opsets = [helper.make_opsetid("", 23 if form in ("operator", "grouped") else 17)] + [helper.make_opsetid("com.microsoft", 1)] * mha
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def shapes(model):
    return {t.name: tuple(t.dims) for t in model.graph.initializer}


def heads_go():
    feed = {"x": np.random.default_rng(9).standard_normal((2, 5, WIDTH)).astype(np.float32)}
    runs = [[np.random.default_rng(i).standard_normal((2, 5, WIDTH)).astype(np.float32)] for i in range(3)]
    for form in ("constant", "rest", "gemm", "dynamic", "mha", "operator", "timm", "gpt", "grouped"):
        model = network(form)
        before = run_tenon(model, feed)[0]
        for samples in (None, runs):
            same, report = apply(model, "tn_graph_prune_heads", samples=samples, sparsity=0.0)
            assert report.layers == 0 and distance(run_tenon(same, feed)[0], before) < 1e-6, form
            for sparsity, kept in ((0.5, 2), (0.26, 3), (0.99, 1)):
                small, report = apply(model, "tn_graph_prune_heads", samples=samples, sparsity=sparsity)
                s, n = shapes(small), kept * DEPTH
                assert report.layers == 1, form
                if form in ("timm", "gpt"):
                    assert s["wqkv"] == (WIDTH, 3 * n) and s["bwqkv"] == (3 * n,) and s["wo"] == (n, WIDTH), (form, s)
                else:
                    each = 2 if form == "grouped" else 1
                    assert set(s["wk"]) == set(s["wv"]) == {n, WIDTH} - {0}, (form, s)
                    assert set(s["wq"]) == set(s["wo"]) == {each * n, WIDTH} - {0}, (form, s)
                    assert s["bwk"] == s["bwv"] == (n,) and s["bwq"] == (each * n,), (form, s)
                assert s["bwo"] == (WIDTH,), (form, s)
                ours = run_tenon(small, feed)[0]
                assert ours.shape == before.shape and distance(ours, run_ort(small, feed)[0]) < 1e-5, form
                if kept > 1:
                    assert distance(ours, before) < 1e-5, (form, "heads that give nothing go first")
        kept, report = apply(model, "tn_graph_prune_heads", sparsity=0.5, keep="wo" if form != "gemm" else "w*")
        assert report.layers == 0 and shapes(kept)["wo"] == shapes(model)["wo"], form
    longer = {"x": np.random.default_rng(9).standard_normal((3, 11, WIDTH)).astype(np.float32)}
    model = network("dynamic")
    node = next(n for n in model.graph.node if n.op_type == "Add" and n.output[0] not in ("y",) and
                any(t.name in n.input and len(t.dims) == 4 for t in model.graph.initializer))
    for t in model.graph.initializer:
        if t.name == node.input[1]:
            t.CopyFrom(numpy_helper.from_array(np.zeros((1, 1, 1, 1), np.float32), t.name))
    small, report = apply(model, "tn_graph_prune_heads", sparsity=0.5)
    assert report.layers == 1 and distance(run_tenon(small, longer)[0], run_ort(model, longer)[0]) < 1e-5
    print("heads: constant and dynamic shapes, Gemm, operators, packed, grouped")


def heads_stay():
    reasons = {"read twice": "'wq' is read elsewhere as well", "mask for each head": "differs from head to head",
               "width asked": "read elsewhere as well"}
    for spoil, reason in reasons.items():
        told = []
        stays = PruneHeads.STAYS(lambda _, block, why: told.append((block.decode(), why.decode())))
        model = network("constant", spoil)
        same, report = apply(model, "tn_graph_prune_heads", sparsity=0.5, stays=stays)
        assert report.layers == 0 and shapes(same)["wo"] == shapes(model)["wo"], spoil
        assert len(told) == 1 and told[0][0] == "core" and reason in told[0][1], (spoil, told)
    native.refused(network("constant"), "tn_graph_prune_heads", "below 1", sparsity=1.0)


if __name__ == "__main__":
    heads_go()
    heads_stay()
