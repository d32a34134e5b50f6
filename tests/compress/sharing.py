"""Weights that share values, and weights of low rank, beside scikit-learn and NumPy."""
import ctypes

import numpy as np
from onnx import numpy_helper
from sklearn.cluster import KMeans

import native
from native import apply, distance, run_ort, run_tenon
from prune import images, tensors
from weight_only import network


def kmeans_is_that_of_scikit_learn():
    r = np.random.default_rng(8)
    for x in (r.standard_normal(3000), r.standard_t(2, 3000), np.repeat(r.standard_normal(40), 9)):
        x = x.astype(np.float32)
        for k in (2, 5, 16):
            start = np.sort(r.choice(np.unique(x), k, replace=False)).astype(np.float32)
            theirs = KMeans(k, init=start[:, None].astype(np.float64), n_init=1, max_iter=500, tol=0).fit(x[:, None].astype(np.float64))
            ours = start.copy()
            pointer = lambda a: a.ctypes.data_as(ctypes.c_void_p)
            native.must(native.lib.tn_kmeans(pointer(x), ctypes.c_size_t(len(x)), k, 500, pointer(ours)))
            inertia = ((x[:, None].astype(np.float64) - ours) ** 2).min(1).sum()
            assert abs(inertia - theirs.inertia_) <= 1e-6 * theirs.inertia_ + 1e-9, (inertia, theirs.inertia_)


def weights_share_values():
    model, weights = network()
    ids = {"ids": np.arange(150)}
    before, last = run_ort(model, ids)[0], 10
    for bits in range(2, 9):
        small, report = apply(model, "tn_graph_cluster", bits=bits)
        found, repeat = tensors(small), tensors(apply(model, "tn_graph_cluster", bits=bits)[0])
        assert all((found[k] == repeat[k]).all() for k in found), "the same seed, other weights"
        for name in ("w", "g", "odd"):
            book, codes = found[name + ".codebook"], found[name + ".codes"].astype(int)
            assert book.shape == (2**bits,) and codes.max() < 2**bits
            nearest = np.abs(weights[name][..., None] - book).min(-1)
            assert (np.abs(book[codes] - weights[name]) <= nearest + 1e-7).all()
        loss = distance(run_tenon(small, ids)[0], before)
        assert distance(run_tenon(small, ids)[0], run_ort(small, ids)[0]) < 1e-5
        assert loss < last and report.bytes_after < report.bytes_before
        last = loss
    pruned, _ = apply(model, "tn_graph_prune", sparsity=0.6)
    for linear in (False, True):
        shared = tensors(apply(pruned, "tn_graph_cluster", bits=4, linear=linear)[0])
        w = tensors(pruned)["w"]
        assert (shared["w.codebook"][shared["w.codes"].astype(int)][w == 0] == 0).all(), "zeros must stay"
    again, report = apply(small, "tn_graph_cluster", bits=8)
    assert report.layers == 0, "what shares values already stays"
    native.refused(model, "tn_graph_cluster", "2 to 8", bits=9)


def groups_of_outputs_have_codebooks_of_their_own():
    model, weights = network()
    ids = {"ids": np.arange(150)}
    before = run_ort(model, ids)[0]
    whole = distance(run_ort(apply(model, "tn_graph_cluster", bits=4)[0], ids)[0], before)
    for bits, group, limit in ((4, 1, 0.5), (2, 5, 0), (4, 16, 1), (6, 40, 0), (3, 1000, 0)):
        small, report = apply(model, "tn_graph_cluster", bits=bits, group=group)
        found = tensors(small)
        for name, transposed in (("w", False), ("g", True), ("odd", False)):
            w = weights[name] if transposed else weights[name].T  # a row an output
            if name + ".codes" not in found:
                assert 2**bits * 4 + 4 >= group * w.shape[1] * (4 - bits / 8), "the smaller form was not taken"
                continue
            book, codes = found[name + ".codebook"].reshape(-1, 2**bits), found[name + ".codes"].astype(int)
            codes = codes if transposed else codes.T
            assert len(book) == -(-len(w) // group)
            for i, row in enumerate(w):
                own = book[i // group]
                assert (np.abs(own[codes[i]] - row) <= np.abs(row[:, None] - own).min(-1) + 1e-7).all()
        ours, theirs = run_tenon(small, ids)[0], run_ort(small, ids)[0]
        assert distance(ours, theirs) < 1e-5
        if bits == 4:
            assert distance(theirs, before) < limit * whole, (group, distance(theirs, before), whole)
            assert report.bytes_after < report.bytes_before
    native.refused(model, "tn_graph_cluster", "1 or more", group=-1)


def convolutions_have_groups_too():
    feed = {"x": np.random.default_rng(9).standard_normal((2, 3, 8, 8)).astype(np.float32)}
    small, _ = apply(images(), "tn_graph_cluster", bits=4, group=2)
    assert any(name.endswith(".starts") for name in tensors(small))
    for ours, theirs in zip(run_tenon(small, feed), run_ort(small, feed)):
        assert distance(ours, theirs) < 1e-5


def ranks_are_low():
    model, weights = network()
    r = np.random.default_rng(9)
    thin = (r.standard_normal((48, 5)) @ r.standard_normal((5, 96)) / 10).astype(np.float32)
    for t in model.graph.initializer:
        if t.name == "g":
            t.CopyFrom(numpy_helper.from_array(thin, "g"))
    ids = {"ids": np.arange(150)}
    small, report = apply(model, "tn_graph_low_rank", energy=0.9999)
    found = tensors(small)
    assert found["g.right"].shape == (96, 5) and found["g.left"].shape == (48, 5) and "w" in found and "odd" in found
    assert distance(run_tenon(small, ids)[0], run_ort(model, ids)[0]) < 0.01
    assert distance(run_ort(small, ids)[0], run_tenon(small, ids)[0]) < 1e-5
    half, report = apply(model, "tn_graph_low_rank", rank=8, keep="dense")
    u, s, v = np.linalg.svd(weights["odd"])
    best = u[:, :8] * s[:8] @ v[:8]
    assert distance(tensors(half)["odd.right"] @ tensors(half)["odd.left"], best) < 1e-4
    convs = images()
    feed = {"x": r.standard_normal((2, 3, 8, 8)).astype(np.float32)}
    whole, _ = apply(convs, "tn_graph_low_rank", rank=12)
    assert tensors(whole)["w2.right"].shape == (12, 16, 3, 3) and tensors(whole)["w2.left"].shape == (16, 12, 1, 1)
    for a, b in zip(run_tenon(whole, feed), run_ort(whole, feed)):
        assert distance(a, b) < 1e-5
    native.refused(model, "tn_graph_low_rank", "share up to 1", energy=1.5)


if __name__ == "__main__":
    kmeans_is_that_of_scikit_learn()
    weights_share_values()
    groups_of_outputs_have_codebooks_of_their_own()
    convolutions_have_groups_too()
    ranks_are_low()
    print("shared weights and low ranks, beside scikit-learn and NumPy")
