"""Passes of weights as steps of recipes: what tenon compress writes is smaller, and ONNX Runtime agrees with Tenon on it."""
import pathlib
import subprocess
import tempfile

import numpy as np
import onnx

import heads
from native import distance, run_ort, run_tenon
from prune import images, tensors, without_second_output

STEPS = """\
  - channels: {sparsity: 0.25, multiple: 2, keep: "conv4"}
  - prune: {sparsity: 0.5}
  - prune: {pattern: n-of-m, kept: 2, of: 4, criterion: sparsegpt, samples: 2}
  - prune: {sparsity: 0.6, criterion: wanda, samples: 2}
  - prune: {sparsity: 0.1, pattern: blocks, block_rows: 2, block_columns: 2}
  - low_rank: {energy: 0.9, keep: "conv*"}
  - share: {bits: 5, keep: "dense*"}
  - weights: {bits: 4, block: 16, method: gptq, awq: true, embedding_bits: 8, samples: 2}
"""


def compress(folder, steps):
    (folder / "r.yaml").write_text(f"model: in.onnx\noutput: out.onnx\ndata: [in.npz]\nsteps:\n{steps}")
    return subprocess.run(["build/tenon", "compress", folder / "r.yaml"], capture_output=True, text=True)


def main():
    model = without_second_output(images())
    feed = {"x": np.random.default_rng(7).standard_normal((2, 3, 8, 8)).astype(np.float32)}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        onnx.save(model, folder / "in.onnx")
        np.savez(folder / "in.npz", **feed)
        said = compress(folder, STEPS)
        assert said.returncode == 0, said.stderr
        small = onnx.load(folder / "out.onnx")
        onnx.checker.check_model(small)
        assert {"MatMulNBits", "Gather"} <= {n.op_type for n in small.graph.node}
        assert tensors(small)["w1.codes"].shape[0] == 12, "a quarter of 16 channels goes"
        assert distance(run_tenon(small, feed)[0], run_ort(small, feed)[0]) < 1e-5
        for step, words in (("prune: {sparsity: 1}", "'sparsity'"), ("share: {bits: 9}", "'bits'"),
                            ("channels: {kept: 3}", "no key 'kept'"), ("weights: {bits: 5}", "8, 4, 3 or 2"),
                            ("heads: {sparsity: 1}", "'sparsity'")):
            said = compress(folder, f"  - {step}\n")
            assert said.returncode != 0 and words in said.stderr, said.stderr
        model = heads.network("dynamic")
        onnx.save(model, folder / "in.onnx")
        feed = {"x": np.random.default_rng(9).standard_normal((2, 5, heads.WIDTH)).astype(np.float32)}
        np.savez(folder / "in.npz", **feed)
        for step in ("heads: {sparsity: 0.5}", "heads: {sparsity: 0.5, global: true, samples: 1, keep: none}"):
            said = compress(folder, f"  - {step}\n")
            assert said.returncode == 0, said.stderr
            small = onnx.load(folder / "out.onnx")
            assert heads.shapes(small)["wq"][1] == heads.ALL // 2
            assert distance(run_ort(small, feed)[0], run_ort(model, feed)[0]) < 1e-5
        onnx.save(heads.network("constant", "mask for each head"), folder / "in.onnx")
        said = compress(folder, "  - heads: {sparsity: 0.5}\n")
        assert said.returncode == 0 and "'core' keeps its heads" in said.stderr and "head to head" in said.stderr, said.stderr
        onnx.save(model, folder / "in.onnx")
        said = compress(folder, "  - layers: {count: 3, samples: 1}\n")
        assert said.returncode == 0 and "wq" not in heads.shapes(onnx.load(folder / "out.onnx")), said.stderr
    print("recipes: channels, heads, layers, prune, low_rank, share, weights")


if __name__ == "__main__":
    main()
