"""Residual blocks taken out: those that give nothing go first and change nothing; bounds hold; shapes that differ stay."""
import numpy as np
from onnx import TensorProto, helper, numpy_helper

import native
from native import apply, distance, run_ort, run_tenon

SIZES = (1.0, 0.0, 0.3, 0.01)  # of what each block adds


def network():
    """x, four residual blocks, the last sum an output; and a sum that makes its x wider, which has no way around."""
    r = np.random.default_rng(4)
    t, nodes, x = {}, [], "x"
    for i, size in enumerate(SIZES):
        t[f"a{i}"] = (r.standard_normal((16, 32)) / 4).astype(np.float32)
        t[f"b{i}"] = (size * r.standard_normal((32, 16)) / 6).astype(np.float32)
        nodes += [helper.make_node("MatMul", [x, f"a{i}"], [f"h{i}"]), helper.make_node("Relu", [f"h{i}"], [f"r{i}"]),
                  helper.make_node("MatMul", [f"r{i}", f"b{i}"], [f"f{i}"]),
                  helper.make_node("Add", [x, f"f{i}"] if i % 2 else [f"f{i}", x], [f"y{i}"], f"sum{i}")]
        x = f"y{i}"
    t["one"], t["column"] = np.float32([1]), np.ones((16, 1), np.float32)
    nodes += [helper.make_node("MatMul", [x, "column"], ["narrow"]),
              helper.make_node("MatMul", ["narrow", "row"], ["wide"]),
              helper.make_node("Add", ["narrow", "wide"], ["z"], "wider"),
              helper.make_node("Add", [x, "one"], ["plain"], "constant")]
    t["row"] = np.ones((1, 16), np.float32)
    ends = [helper.make_tensor_value_info(k, TensorProto.FLOAT, ["n", 16]) for k in ("x", x, "z", "plain")]
    graph = helper.make_graph(nodes, "residual", ends[:1], ends[1:], [numpy_helper.from_array(v, k) for k, v in t.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def names(model):
    return {n.name for n in model.graph.node if n.op_type == "Add"}


def main():
    model = network()
    feed = {"x": np.random.default_rng(5).standard_normal((6, 16)).astype(np.float32)}
    samples = [[np.random.default_rng(i).standard_normal((7, 16)).astype(np.float32)] for i in range(2)]
    before = run_ort(model, feed)
    error = 0
    for count, gone in enumerate(((), (1,), (1, 3), (1, 3, 2), (1, 3, 2, 0))):
        if not count:
            continue
        small, report = apply(model, "tn_graph_prune_layers", samples=samples, count=count)
        assert report.layers == count and report.error >= error and {"wider", "constant"} <= names(small)
        assert names(small) == names(model) - {f"sum{i}" for i in gone}, (count, names(small))
        assert report.bytes_after < report.bytes_before
        for ours, theirs in zip(run_tenon(small, feed), run_ort(small, feed)):
            assert distance(ours, theirs) < 1e-5
        if count == 1:
            assert report.error < 1e-6 and distance(run_tenon(small, feed)[0], before[0]) < 1e-6
        bound, again = apply(model, "tn_graph_prune_layers", samples=samples, max_error=report.error * 1.0001 + 1e-9)
        assert again.layers == count and names(bound) == names(small)
        error = report.error
    kept, report = apply(model, "tn_graph_prune_layers", samples=samples, count=9, keep="sum0,sum1")
    assert report.layers == 2 and {"sum0", "sum1"} <= names(kept)
    native.refused(model, "tn_graph_prune_layers", "samples", count=1)
    native.refused(model, "tn_graph_prune_layers", "above 0", samples=samples)
    print("layers: residual blocks, bounds, blocks that stay")


if __name__ == "__main__":
    main()
