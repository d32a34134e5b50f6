"""Odd graphs through every pass: shared weights, weights that something else reads, or that are outputs, or inputs with a
default; no weights; shapes that only a run knows; bodies of If; quantized already. What comes out is valid, runs in Tenon and in
ONNX Runtime to the same, keeps inputs and outputs by name and type, and done once more it stays as it is. An interrupted or
refused tenon compress leaves no file behind."""
import pathlib
import signal
import subprocess
import time

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from native import apply, distance, folder, run_ort, run_tenon

K = 64
nd = helper.make_node


def weights(*names, seed=3):
    r = np.random.default_rng(seed)
    return [numpy_helper.from_array((r.standard_t(5, (K, K)) / 8).astype(np.float32), n) for n in names]


def model(nodes, tensors, shape=("rows", K), outputs=("y",), inputs=()):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    outs = [helper.make_tensor_value_info(o, TensorProto.FLOAT, [None, K]) for o in outputs]
    graph = helper.make_graph(nodes, "odd", [x, *inputs], outs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def branches():
    """Products in both bodies of an If, of a weight outside and one inside."""
    bodies = []
    for name in ("then", "else"):
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, K])
        inner = [] if name == "then" else weights("inner", seed=9)
        bodies.append(helper.make_graph([nd("MatMul", ["x", "w" if name == "then" else "inner"], [name])], name, [], [out], inner))
    nodes = [nd("ReduceSum", ["x"], ["sum"], keepdims=0), nd("Greater", ["sum", "zero"], ["positive"]),
             nd("If", ["positive"], ["y"], then_branch=bodies[0], else_branch=bodies[1])]
    return model(nodes, [*weights("w"), numpy_helper.from_array(np.float32(0), "zero")])


def quantized():
    w = numpy_helper.to_array(weights("w")[0])
    scale = (np.abs(w).max(0) / 127).astype(np.float32)
    tensors = [numpy_helper.from_array(np.round(w / scale).astype(np.int8), "q"), numpy_helper.from_array(scale, "s"),
               numpy_helper.from_array(np.zeros(K, np.int8), "z"), numpy_helper.from_array(np.float32(0.05), "xs"),
               numpy_helper.from_array(np.uint8(128), "xz")]
    return model([nd("QuantizeLinear", ["x", "xs", "xz"], ["xq"]), nd("DequantizeLinear", ["xq", "xs", "xz"], ["xf"]),
                  nd("DequantizeLinear", ["q", "s", "z"], ["w"], axis=1), nd("MatMul", ["xf", "w"], ["y"], "product")], tensors)


def given():
    default = helper.make_tensor_value_info("w", TensorProto.FLOAT, (K, K))
    return model([nd("MatMul", ["x", "w"], ["y"], "product")], weights("w"), inputs=[default])


GRAPHS = {
    "shared": model([nd("MatMul", ["x", "w"], ["a"], "one"), nd("Relu", ["a"], ["b"]), nd("MatMul", ["b", "w"], ["y"], "two")],
                    weights("w")),
    "both ways round": model([nd("Gemm", ["x", "w"], ["a"], "one", transB=1), nd("MatMul", ["a", "w"], ["y"], "two")],
                             weights("w")),
    "used twice": model([nd("MatMul", ["x", "w"], ["a"], "product"), nd("ReduceMean", ["w"], ["m"], keepdims=0),
                         nd("Add", ["a", "m"], ["y"])], weights("w")),
    "an output": model([nd("MatMul", ["x", "w"], ["y"], "product"), nd("Identity", ["w"], ["w_out"])], weights("w"),
                       outputs=("y", "w_out")),
    "an input": given(),
    "none": model([nd("Relu", ["x"], ["y"])], []),
    "both constant": model([nd("MatMul", ["v", "w"], ["c"], "constant"), nd("MatMul", ["x", "c"], ["y"], "product")],
                           weights("v", "w")),
    "unknown rank": model([nd("Squeeze", ["x"], ["a"]), nd("MatMul", ["a", "w"], ["y"], "product")], weights("w"),
                          shape=("a", "b", K)),
    "bodies": branches(),
    "quantized": quantized(),
}
PASSES = {
    "tn_graph_to_half": [{}],
    "tn_graph_quantize_weights": [{"bits": 8}, {"bits": 4, "method": 1}, {"bits": 3}, {"bits": 3, "symmetric": True}],
    "tn_graph_cluster": [{"bits": 4}, {"bits": 8}],
    "tn_graph_low_rank": [{"rank": 16}],
    "tn_graph_prune": [{"sparsity": 0.5}, {"pattern": 1, "kept": 2, "of": 4}],
    "tn_graph_prune_channels": [{"sparsity": 0.5}],
    "tn_graph_prune_heads": [{"sparsity": 0.5}],
}
# Of the output, relative; what a pass takes away on purpose is left out.
MOST = {"tn_graph_to_half": 0.01, "tn_graph_quantize_weights": 0.5, "tn_graph_cluster": 0.3}


def ends(m):
    return [(v.name, v.type.tensor_type.elem_type) for v in [*m.graph.input, *m.graph.output]]


def holds(name, m, what, fields, feed):
    once, _ = apply(m, what, **fields)
    twice, report = apply(once, what, **fields)
    where = (name, what, fields)
    assert ends(once)[:1] == ends(m)[:1] and [e for e in ends(once) if e[0] == "y"] == [("y", TensorProto.FLOAT)], where
    before, ours, theirs = run_ort(m, feed)[0], run_tenon(once, feed)[0], run_ort(once, feed)[0]
    assert np.isfinite(ours).all() and distance(ours, theirs) < (0.01 if "half" in what else 1e-4), (where, distance(ours, theirs))
    assert distance(ours, before) < MOST.get(what, 1.5), (where, distance(ours, before))
    if what in ("tn_graph_to_half", "tn_graph_quantize_weights", "tn_graph_cluster"):
        assert report.bytes_after == report.bytes_before, (where, "once more makes it smaller")
        assert (run_tenon(twice, feed)[0] == ours).all(), where
    if what == "tn_graph_prune":
        assert (run_tenon(twice, feed)[0] == ours).all(), (where, "zeros move")


def command(*words):
    return ["build/tenon", "compress", *map(str, words)]


def nothing_is_left(work):
    """Interrupted again and again, later each time: a whole file, or none."""
    onnx.save(GRAPHS["shared"], work / "in.onnx")
    np.save(work / "in.npy", np.random.default_rng(1).standard_normal((20000, K)).astype(np.float32))
    whole = command(work / "in.onnx", work / "out.onnx", "--data", work / "in.npy", "--calibration=best")
    start = time.monotonic()
    subprocess.run(whole, check=True, capture_output=True)
    took = time.monotonic() - start
    right = (work / "out.onnx").read_bytes()
    (work / "out.onnx").unlink()
    for turn in range(6):
        for kind in (signal.SIGINT, signal.SIGKILL):
            run = subprocess.Popen(whole, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(took * turn / 5)
            run.send_signal(kind)
            run.wait()
            if (work / "out.onnx").exists():
                assert (work / "out.onnx").read_bytes() == right
                (work / "out.onnx").unlink()


def main():
    feed = {"x": np.random.default_rng(5).standard_normal((3, K)).astype(np.float32)}
    for name, m in GRAPHS.items():
        onnx.checker.check_model(m)
        rows = {"x": feed["x"][:, None]} if name == "unknown rank" else feed
        for what, options in PASSES.items():
            for fields in options:
                holds(name, m, what, fields, rows)
    work = pathlib.Path(folder.name)
    nothing_is_left(work)
    print(f"{len(GRAPHS)} odd graphs through {sum(map(len, PASSES.values()))} passes")


if __name__ == "__main__":
    main()
