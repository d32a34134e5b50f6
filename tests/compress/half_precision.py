"""Half precision: valid files, ONNX Runtime's agreement, and what must stay float32."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from native import apply, distance, run_ort, run_tenon


def encoder():
    """Embeddings, a mask with the largest float32, layer norm in its parts with an epsilon below half's range."""
    r = np.random.default_rng(1)
    f = lambda *s: (r.standard_normal(s) / np.sqrt(s[0])).astype(np.float32)
    weights = {"table": f(50, 64) * np.float32(8), "q": f(64, 64), "v": f(64, 64), "gain": f(64), "two": np.float32(2)}
    weights |= {"eps": np.float32(1e-12), "one": np.float32(1), "least": np.float32(-3.4e38), "axes": np.int64([1])}
    n = helper.make_node
    nodes = [
        n("Gather", ["table", "ids"], ["x"]),
        n("MatMul", ["x", "q"], ["k"]),
        n("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        n("MatMul", ["x", "kt"], ["scores"]),
        n("Cast", ["mask"], ["m"], to=TensorProto.FLOAT),
        n("Sub", ["one", "m"], ["off"]),
        n("Mul", ["off", "least"], ["shut"]),
        n("Unsqueeze", ["shut", "axes"], ["shut1"]),
        n("Add", ["scores", "shut1"], ["masked"]),
        n("Softmax", ["masked"], ["p"], axis=-1),
        n("MatMul", ["p", "x"], ["y"]),
        n("MatMul", ["y", "v"], ["z"]),
        n("ReduceMean", ["z"], ["mean"], axes=[-1]),
        n("Sub", ["z", "mean"], ["d"]),
        n("Pow", ["d", "two"], ["dd"]),
        n("ReduceMean", ["dd"], ["var"], axes=[-1]),
        n("Add", ["var", "eps"], ["var1"]),
        n("Sqrt", ["var1"], ["std"]),
        n("Div", ["d", "std"], ["normal"]),
        n("Mul", ["normal", "gain"], ["out"]),
    ]
    ids, mask = (helper.make_tensor_value_info(k, TensorProto.INT64, ["batch", "words"]) for k in ("ids", "mask"))
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "encoder", [ids, mask], [out],
                              [numpy_helper.from_array(np.asarray(v), k) for k, v in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def images():
    r = np.random.default_rng(2)
    f = lambda *s: (r.standard_normal(s) * 0.2).astype(np.float32)
    weights = {"w": f(8, 3, 3, 3), "b": f(8), "w2": f(8, 8, 3, 3), "s": np.float32([1, 1, 2, 2]), "d": f(10, 8)}
    n = helper.make_node
    nodes = [
        n("Conv", ["x", "w", "b"], ["c"], pads=[1] * 4),
        n("Relu", ["c"], ["r"]),
        n("Conv", ["r", "w2"], ["c2"], pads=[1] * 4),
        n("Conv", ["c2", "w2"], ["c3"], pads=[1] * 4),  # a weight that is read twice
        n("Add", ["c3", "r"], ["a"]),
        n("Resize", ["a", "", "s"], ["up"], mode="nearest"),
        n("GlobalAveragePool", ["up"], ["g"]),
        n("Flatten", ["g"], ["flat"]),
        n("Gemm", ["flat", "d"], ["y"], transB=1),
        n("Exp", ["y"], ["e"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 16, 16])
    outs = [helper.make_tensor_value_info(k, TensorProto.FLOAT, None) for k in ("e", "y")]
    graph = helper.make_graph(nodes, "images", [x], outs, [numpy_helper.from_array(v, k) for k, v in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def dtypes(model):
    return {t.name: t.data_type for t in model.graph.initializer}


def main():
    r = np.random.default_rng(3)
    mask = np.ones((2, 7), np.int64)
    mask[1, 4:] = 0
    cases = [(encoder(), {"ids": r.integers(0, 50, (2, 7)), "mask": mask}),
             (images(), {"x": r.standard_normal((2, 3, 16, 16)).astype(np.float32)})]
    for model, feed in cases:
        before = run_ort(model, feed)
        for dtype, bound in ((TensorProto.FLOAT16, 3e-3), (TensorProto.BFLOAT16, 2e-2)):
            for io in (False, True):
                half, report = apply(model, "tn_graph_to_half", dtype=dtype, half_io=io)
                assert 0 < report.error < bound and report.layers > 4, (report.layers, report.error)
                assert report.bytes_after < 0.6 * report.bytes_before, (report.bytes_after, report.bytes_before)
                given = {k: np.asarray(v) for k, v in feed.items()}
                for value in half.graph.input:  # names stay; types only where they were asked to change
                    if value.type.tensor_type.elem_type == dtype:
                        assert io
                        given[value.name] = given[value.name].astype(helper.tensor_dtype_to_np_dtype(dtype))
                assert [o.name for o in half.graph.output] == [o.name for o in model.graph.output]
                ours = run_tenon(half, given)
                for a, b in zip(ours, before):
                    assert distance(a, b) < bound, distance(a, b)
                if dtype == TensorProto.FLOAT16:  # ONNX Runtime has no bfloat16 on CPUs
                    for a, b in zip(run_ort(half, given), ours):
                        assert distance(a, b) < bound
                again, second = apply(half, "tn_graph_to_half", dtype=dtype, half_io=io)
                assert dtypes(again) == dtypes(half), "a second time changes weights"
                assert second.bytes_after == report.bytes_after
    kept, _ = apply(cases[1][0], "tn_graph_to_half", keep="*")
    assert set(dtypes(kept).values()) == {TensorProto.FLOAT}
    assert apply(helper.make_model(helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "no_weights",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])])), "tn_graph_to_half")[1].layers == 0
    print("half precision: 2 models, float16 and bfloat16")


if __name__ == "__main__":
    main()
