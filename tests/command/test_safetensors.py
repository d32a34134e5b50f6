"""Weights to and from PyPI's safetensors: what it writes Tenon takes into a model, and the other way round. TENON_COMMAND
names another command."""
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file, save_file

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(ROOT / os.environ.get("TENON_COMMAND", "build/tenon"))


class Weights(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def tenon(self, *words, code=0):
        run = subprocess.run([COMMAND, *words], cwd=self.folder, capture_output=True, text=True)
        self.assertEqual(run.returncode, code, f"{words}: {run.stdout}{run.stderr}")
        return run.stdout + run.stderr

    def save_model(self, arrays, name):
        """A model that adds the sums of all arrays to its input."""
        nodes, last = [], "x"
        for key in arrays:
            nodes += [helper.make_node("Cast", [key], [key + "/f"], to=TensorProto.FLOAT),
                      helper.make_node("ReduceSum", [key + "/f"], [key + "/s"], keepdims=0),
                      helper.make_node("Add", [last, key + "/s"], [key + "/y"])]
            last = key + "/y"
        info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in ("x", last)]
        graph = helper.make_graph(nodes, "g", info[:1], info[1:],
                                  [numpy_helper.from_array(a, key) for key, a in arrays.items()])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10),
                  self.folder / name)

    def test_safetensors_reads_the_weights_that_tenon_writes(self):
        random = np.random.default_rng(1)
        arrays = {t: (random.normal(size=(3, 5)) * 9).astype(t) for t in
                  ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16",
                   "uint8", "bool", ml_dtypes.bfloat16)}
        arrays = {np.dtype(t).name + "/w": a for t, a in arrays.items()}
        self.save_model(arrays, "m.onnx")
        self.tenon("convert", "m.onnx", "m.safetensors")
        found = load_file(self.folder / "m.safetensors")
        self.assertEqual(sorted(found), sorted(arrays))
        for key, array in arrays.items():
            self.assertEqual(found[key].dtype, array.dtype)
            np.testing.assert_array_equal(found[key].view(np.uint8), array.view(np.uint8))

    def test_an_upgrade_takes_the_weights_that_safetensors_writes(self):
        random = np.random.default_rng(2)
        old = {"w": np.ones((4, 3), np.float32), "b/ü": np.ones(3, np.float16), "big": np.ones((256, 256), np.float32)}
        new = {key: random.normal(size=a.shape).astype(a.dtype) for key, a in old.items()}
        self.save_model(old, "m.onnx")
        self.tenon("store", "create", "s")
        self.tenon("store", "put", "s", "m.onnx", "m:1.0.0")
        save_file({**new, "of the optimizer": np.zeros(7)}, self.folder / "new.safetensors", {"format": "np"})
        self.tenon("store", "upgrade", "s", "m", "--parameters", "new.safetensors")
        self.tenon("store", "get", "s", "m:1.0.1", "next.tenon")
        self.tenon("convert", "next.tenon", "again.safetensors")
        found = load_file(self.folder / "again.safetensors")
        for key, array in new.items():
            np.testing.assert_array_equal(found[key], array)
        del new["w"]
        save_file(new, self.folder / "less.safetensors")
        self.assertIn("'w'", self.tenon("store", "upgrade", "s", "m", "--parameters", "less.safetensors", code=1))


if __name__ == "__main__":
    unittest.main()
