"""Tests of tenon compress. TENON_COMMAND names another build of the command."""
import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(ROOT / os.environ.get("TENON_COMMAND", "build/tenon"))


class Compress(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        random = np.random.default_rng(3)
        weights = [random.normal(0, 0.3, shape).astype(np.float32) for shape in ((64, 32), (32, 10))]
        nodes = [
            helper.make_node("MatMul", ["x", "w0"], ["a"], name="first"),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("MatMul", ["b", "w1"], ["y"], name="second"),
        ]
        graph = helper.make_graph(
            nodes,
            "network",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])],
            [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)],
        )
        self.model, self.out = self.folder / "float.onnx", self.folder / "int8.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), self.model)
        self.rows = random.uniform(-1, 1, (100, 64)).astype(np.float32)
        np.save(self.folder / "rows.npy", self.rows)
        np.savez(self.folder / "rows.npz", x=self.rows)
        hidden = np.maximum(self.rows @ weights[0], 0)
        np.save(self.folder / "labels.npy", (hidden @ weights[1]).argmax(1))

    def tenon(self, *words, code=0):
        done = subprocess.run([COMMAND, *map(str, words)], capture_output=True, text=True, errors="replace")
        self.assertEqual(done.returncode, code, (words, done.stdout, done.stderr))
        return done.stdout if code == 0 else done.stderr

    def test_data_come_as_rows_and_as_folders(self):
        sets = self.folder / "sets"
        for i in range(3):
            (sets / f"set{i}").mkdir(parents=True)
            tensor = numpy_helper.from_array(self.rows[i * 4 : i * 4 + 4], "x")
            (sets / f"set{i}" / "input_0.pb").write_bytes(tensor.SerializeToString())
        for data, count in [("rows.npy", 3), ("rows.npz", 3), ("sets", 3), ("sets/set0", 1)]:
            report = json.loads(self.tenon("compress", self.model, self.out, "--data", self.folder / data, "--json"))
            self.assertEqual((report["samples"], report["int8_layers"]), (count, 2))
            onnx.checker.check_model(str(self.out), full_check=True)

    def test_accuracy_is_of_the_labels(self):
        options = ["--data", self.folder / "rows.npy", "--labels", self.folder / "labels.npy", "--json"]
        report = json.loads(self.tenon("compress", self.model, self.out, *options))
        self.assertEqual(report["metric_before"], 1)
        np.save(self.folder / "labels.npy", np.full(100, 77))
        report = json.loads(self.tenon("compress", self.model, self.out, *options))
        self.assertEqual((report["metric_before"], report["metric_after"]), (0, 0))

    def test_recipes_take_paths_from_their_folder(self):
        recipe = self.folder / "recipe.yaml"
        recipe.write_text(
            "model: float.onnx\noutput: small.tenon\ndata: rows.npz\nreport: report.html\n"
            "bounds: {min_sqnr: 20}\nsteps:\n  - quantize: {calibration: mse}\n"
        )
        self.assertIn("step 1, quantize: kept", self.tenon("compress", recipe))
        self.assertIn("2 of 2 layers", self.tenon("compress", recipe))
        self.assertTrue((self.folder / "small.tenon").exists())
        self.assertIn("<svg", (self.folder / "report.html").read_text())
        self.tenon("check", self.folder / "small.tenon")

    def test_recipes_go_on_after_a_kill_and_make_the_same(self):
        recipe = self.folder / "recipe.yaml"
        recipe.write_text(
            "model: float.onnx\noutput: small.tenon\ndata: rows.npz\nreport: report.json\nbounds: {min_sqnr: 28}\nsteps:\n"
            "  - - quantize: {calibration: best}\n    - weights: {bits: 4, block: 16}\n    - half: {}\n"
            "  - - share: {bits: 3}\n    - quantize: {calibration: mse, bias_correction: true}\n"
        )
        small, kept = self.folder / "small.tenon", self.folder / "small.tenon.steps"
        self.tenon("compress", recipe)
        made, report = small.read_bytes(), json.loads((self.folder / "report.json").read_text())
        small.unlink()
        left, out = False, None  # left: something to go on from
        for tries in range(100):
            run = subprocess.Popen([COMMAND, "compress", str(recipe)], stdout=subprocess.PIPE, text=True)
            try:
                out, _ = run.communicate(timeout=0.004 * (1 + tries))
                break
            except subprocess.TimeoutExpired:
                run.kill()
                run.communicate()
                if small.exists():  # it was done, but had not ended
                    break
                left = (kept / "state.json").exists()
        self.assertEqual(small.read_bytes(), made)
        if out is not None:
            self.assertEqual(run.returncode, 0)
            self.assertEqual("(in the run before)" in out, left)
            again = json.loads((self.folder / "report.json").read_text())
            for told in report, again:
                for part in (told, *told["rows"], *told["tried"]):  # what was measured differs
                    for key in ("seconds", "ns", "ns_before", "ns_after"):
                        part.pop(key, None)
            self.assertEqual(again, report)
            self.assertFalse(kept.exists())

    def test_manifest_pipeline_and_self_test_go_along(self):
        (self.folder / "press.yaml").write_text(
            "name: press\nversion: 1.4.2\nlicence: Apache-2.0\ncreated: 2026-01-31T12:00:00Z\n"
            "inputs:\n  - name: x\n    unit: Pa\nmetrics:\n  - name: accuracy\n    value: 1\n    data: old\n"
            "provenance:\n  seed: 7\nhost:\n  arena_bytes: 12\n"
            "extra:\n  pipeline:\n    features:\n      - column: a\n"
        )
        sets = self.folder / "sets"
        (sets / "set0").mkdir(parents=True)
        tensor = numpy_helper.from_array(self.rows[:4], "x")
        (sets / "set0" / "input_0.pb").write_bytes(tensor.SerializeToString())
        with_outputs = self.folder / "float.tenon"
        made = ["--manifest", self.folder / "press.yaml", "--self-test", sets / "set0"]
        self.tenon("convert", self.model, with_outputs, *made)
        parent = json.loads(self.tenon("inspect", with_outputs, "--json"))["digest"]
        (self.folder / "recipe.yaml").write_text(
            "model: float.tenon\noutput: b.tenon\ndata: rows.npy\nlabels: labels.npy\n"
            "steps:\n  - quantize: {}\n  - weights: {bits: 4}\n"
        )
        labels = ["--labels", self.folder / "labels.npy"]
        self.tenon("compress", with_outputs, self.folder / "a.tenon", "--data", self.folder / "rows.npy", *labels)
        self.tenon("compress", self.folder / "recipe.yaml")
        for name in ("a.tenon", "b.tenon"):
            self.tenon("check", self.folder / name)
            self.tenon("convert", self.folder / name, self.folder / "back.onnx")
            texts = {p.key: p.value for p in onnx.load(self.folder / "back.onnx").metadata_props}
            text = texts["tenon.manifest"]
            for line in (
                "version: 1.5.0", f"parent: {parent}", "licence: Apache-2.0", "unit: Pa", "seed: 7", "- column: a",
                "name: accuracy", "name: sqnr_db", "data: rows.npy", "samples: 3",
            ):  # fmt: skip
                self.assertIn(line, text)
            for gone in ("created", "arena_bytes", "version: 1.4.2"):
                self.assertNotIn(gone, text)
            self.assertEqual(text.count("name: accuracy"), 1)
        again = self.folder / "c.tenon"
        self.tenon("compress", self.folder / "a.tenon", again, "--data", self.folder / "rows.npy")
        self.tenon("check", again)

    def test_what_cannot_be_is_refused_and_nothing_is_written(self):
        data = ["--data", self.folder / "rows.npy"]
        for words, code, sentence in [
            ([self.model, self.out], 2, "which calibration data"),
            ([self.model], 2, "expected tenon compress"),
            ([self.model, self.folder / "x.bin", *data], 2, "written as .onnx or .tenon"),
            ([self.model, self.out, "--data", self.folder / "none"], 1, "none"),
            ([self.model, self.out, "--data", self.folder], 1, "dimensions"),
            ([self.model, self.out, *data, "--calibration", "magic"], 1, "expected min-max"),
            ([self.folder / "none.yaml"], 1, "none.yaml"),
        ]:
            if words[-1] == self.folder:
                np.save(self.folder / "labels.npy", np.zeros(3))
            self.assertIn(sentence, self.tenon("compress", *words, code=code))
            self.assertFalse(self.out.exists())
        np.save(self.folder / "bad.npy", np.full((4, 64), np.nan, np.float32))
        self.assertIn("NaN", self.tenon("compress", self.model, self.out, "--data", self.folder / "bad.npy", code=1))
        (self.folder / "bad.yaml").write_text("model: a\nsteps: [{bake: }]\n")
        self.assertIn("line 2", self.tenon("compress", self.folder / "bad.yaml", code=1))
        self.assertFalse(self.out.exists())


if __name__ == "__main__":
    unittest.main()
