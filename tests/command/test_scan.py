"""What `tenon check` finds in a model's file that no model needs: hidden in weights, deflated, behind the model, in texts."""
import json
import os
import pickle
import subprocess
import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(ROOT / os.environ.get("TENON_COMMAND", "build/tenon"))


class Call:
    def __init__(self, function, word):
        self.parts = function, (word,)

    def __reduce__(self):
        return self.parts


class Scan(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.path = Path(holder.name) / "model.onnx"

    def save(self, weights, *others, **texts):
        """A product and a branch that reads two more constants; what is in `others` nobody reads."""
        branches = [helper.make_graph([helper.make_node(op, ["p", "inner"], [op])], op,
                                      [], [helper.make_tensor_value_info(op, TensorProto.FLOAT, None)])
                    for op in ("Add", "Sub")]
        nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]),
                 helper.make_node("If", ["which"], ["y"], then_branch=branches[0], else_branch=branches[1])]
        constants = [numpy_helper.from_array(weights.astype(np.float32), "w"),
                     numpy_helper.from_array(np.array([-np.inf], np.float32), "inner"),
                     numpy_helper.from_array(np.array(True), "which"), *others]
        graph = helper.make_graph(nodes, "test", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, len(weights)])],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, weights.shape[1]])],
                                  initializer=constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        helper.set_model_props(model, texts)
        onnx.save(model, self.path)

    def found(self, path=None, code=0):
        done = subprocess.run([COMMAND, "check", path or self.path, "--json"], capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stderr)
        return {(f["where"], f["what"]) for f in json.loads(done.stdout)["findings"]}

    def test_nothing_is_found_in_a_model(self):
        weights = np.random.default_rng(0).normal(size=(1000, 500))
        self.save(weights, author="Press shop, https://example.org/presses", licence="MIT")
        self.assertEqual(self.found(), set())

    def test_what_is_hidden_in_weights_is_found(self):
        program = Path(os.path.realpath("/bin/true")).read_bytes()[:4000]
        windows = bytearray(b"MZ" + bytes(62) + bytes(64))
        windows[60:64] = (100).to_bytes(4, "little")
        windows[100:104] = b"PE\0\0"
        for what, hidden in (("a program (ELF)", program), ("a program (PE)", bytes(windows)),
                             ("a script", b"#!/bin/sh\nexit 0\n"),
                             ("a Python pickle that calls programs", pickle.dumps(Call(os.system, "true"), protocol=0)),
                             ("a Python pickle that calls programs", pickle.dumps(Call(os.system, "true"), protocol=4)),
                             ("a Python pickle that calls programs", pickle.dumps(Call(eval, "1"), protocol=4))):
            weights = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)
            data = bytearray(weights.tobytes())
            data[13:13 + len(hidden)] = hidden
            weights = np.frombuffer(bytes(data), np.float32).reshape(64, 32)
            with self.subTest(hidden[:8]):
                self.save(weights)
                self.assertIn(("constant 'w'", what), self.found())
                small = self.path.with_suffix(".tenon")
                subprocess.run([COMMAND, "convert", self.path, small, "--compress"], check=True, capture_output=True)
                self.assertIn(("constant 'w'", what), self.found(small))

    def test_what_stands_beside_a_model_is_found(self):
        idle = numpy_helper.from_array(np.zeros(100, np.int8), "idle")
        words = numpy_helper.from_array(np.array(["a", "#!/usr/bin/env python"], object), "words")
        weights = np.ones((4, 2))
        weights[1, 1] = np.nan
        self.save(weights, idle, words, chat_template="{% for m in messages %}", note="__import__('os').system('id')")
        self.assertEqual({w for w in self.found() if w[0] != "constant 'words'"}, {
            ("constant 'w'", "1 of 8 numbers are NaN"), ("constant 'idle'", "100 bytes that no node reads"),
            ("metadata 'chat_template'", "a template, which other programs run"),
            ("metadata 'note'", "a call of Python")})
        self.assertIn(("constant 'words'", "a script"), self.found())

    def test_what_is_no_model_is_searched_too(self):
        path = self.path.with_suffix(".onnx")
        path.write_bytes(pickle.dumps(Call(os.system, "true"), protocol=2))
        self.assertEqual({what for _, what in self.found(path, code=1)}, {"a Python pickle that calls programs"})
        text = subprocess.run([COMMAND, "check", path], capture_output=True, text=True).stdout
        self.assertIn("found in byte ", text)


if __name__ == "__main__":
    unittest.main()
