"""tenon.compress: what comes out runs, is small, and is close; failures of the host's functions come back as they are."""
import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import tenon


def network(path):
    random = np.random.default_rng(3)
    weights = [random.normal(0, 0.3, shape).astype(np.float32) for shape in ((8, 3, 3, 3), (8,), (512, 10))]
    nodes = [
        helper.make_node("Conv", ["x", "w0", "w1"], ["a"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Flatten", ["b"], ["c"]),
        helper.make_node("MatMul", ["c", "w2"], ["y"], name="dense"),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


class Compress(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.source, self.target = self.folder / "float.onnx", self.folder / "int8.onnx"
        network(self.source)
        random = np.random.default_rng(5)
        self.data = [{"x": random.uniform(-1, 1, (4, 3, 8, 8)).astype(np.float32)} for _ in range(6)]

    def test_weights_of_few_bits_are_trained_through_rounding(self):
        rounding, trained = self.folder / "rounding.onnx", self.folder / "trained.onnx"
        x = np.concatenate([s["x"] for s in self.data])
        wanted = tenon.load(self.source).run({"x": x})["y"]
        self.assertEqual(tenon.compress.quantize(self.source, rounding, self.data, weight_bits=3, trainable=True), {})
        trainer = tenon.Trainer(rounding, "mse", rate=1e-3, keep_zeros=True)
        trainer.fit(x, wanted, epochs=20, batch=8)
        trainer.save(trained)
        errors = []
        for source in (rounding, trained):
            tenon.compress.integers(source, self.target)
            onnx.checker.check_model(str(self.target), full_check=True)
            self.assertLess(self.target.stat().st_size * 2, self.source.stat().st_size)
            found = tenon.load(self.target).run({"x": x})["y"]
            np.testing.assert_allclose(found, tenon.load(source).run({"x": x})["y"], atol=0.2)
            errors.append(np.square(found - wanted).mean())
        self.assertLess(errors[1], 0.5 * errors[0])

    def test_weights_of_a_reduced_range(self):
        for narrow, most in ((False, 127), (True, 64)):
            tenon.compress.quantize(self.source, self.target, self.data, reduce_range=narrow)
            weights = [numpy_helper.to_array(t) for t in onnx.load(self.target).graph.initializer
                       if t.data_type == TensorProto.INT8 and len(t.dims) > 1]
            self.assertTrue(weights)
            self.assertEqual({int(np.abs(w.astype(int)).max()) for w in weights}, {most})

    def test_quantized_models_are_small_and_close(self):
        best = {"calibration": "best", "bias_correction": True}
        for options in ({}, best, {"activations": "int8"}, {"dynamic": True}, {"smooth": True}):
            report = tenon.compress.quantize(self.source, self.target, self.data, **options)
            self.assertEqual(report["int8_layers"], 2)
            self.assertGreater(report["sqnr_db"], 30)
            onnx.checker.check_model(str(self.target), full_check=True)
            self.assertLess(self.target.stat().st_size * 2, self.source.stat().st_size)
            wanted = tenon.load(self.source).run(self.data[0])["y"]
            found = tenon.load(self.target).run(self.data[0])["y"]
            self.assertLess(np.abs(wanted - found).max(), 0.03 * np.abs(wanted).max())

    def test_metrics_are_asked_set_by_set(self):
        asked = []

        def metric(index, outputs):
            asked.append(index)
            return float((outputs["y"] ** 2).sum()), 1.0

        report = tenon.compress.quantize(
            self.source, self.target, self.data, metric=metric, report_html=self.folder / "report.html"
        )
        self.assertEqual(asked, [i for i in range(6) for _ in range(2)])
        self.assertAlmostEqual(report["metric_after"] / report["metric_before"], 1, delta=0.05)
        self.assertIn("<svg", (self.folder / "report.html").read_text())

    def test_failures_come_back_and_nothing_is_written(self):
        class Ill(Exception):
            pass

        def metric(index, outputs):
            raise Ill()

        with self.assertRaises(Ill):
            tenon.compress.quantize(self.source, self.target, self.data, metric=metric)
        for data in ([], [{"z": np.zeros(3)}], [{}], [{"x": np.full((1, 3, 8, 8), np.nan, np.float32)}], None):
            with self.assertRaises(tenon.InvalidArgument):
                tenon.compress.quantize(self.source, self.target, data)
        with self.assertRaises(tenon.ShapeError):
            tenon.compress.quantize(self.source, self.target, [{"x": np.zeros((1, 3, 8, 9), np.float32)}])
        with self.assertRaises(tenon.InvalidArgument):
            tenon.compress.quantize(self.source, self.target, self.data, calibration="magic")
        self.assertFalse(self.target.exists())

    def test_recipes_chain_passes_and_go_on_after_an_interruption(self):
        steps = [{"prune": {"sparsity": 0.5}}, [{"share": {"bits": 2}}, {"quantize": {"calibration": "best"}}]]
        recipe = {"bounds": {"min_sqnr": 10}, "steps": steps}
        done = tenon.compress.recipe(self.source, self.target, recipe, self.data)
        tried = [(row["index"], row["step"], row["way"], row["known"]) for row in done["steps"]]
        self.assertEqual(tried, [(0, "prune", 0, False), (1, "share", 0, False), (1, "quantize", 1, False)])
        self.assertEqual(done["quantization"]["int8_layers"], 2)
        bytes_made = self.target.read_bytes()

        def stop(row):
            if row["step"] == "share":
                raise KeyboardInterrupt

        self.target.unlink()
        place = {"folder": self.folder / "steps"}
        with self.assertRaises(KeyboardInterrupt):
            tenon.compress.recipe(self.source, self.target, recipe, self.data, progress=stop, **place)
        self.assertFalse(self.target.exists())
        again = tenon.compress.recipe(self.source, self.target, recipe, self.data, **place)
        self.assertEqual([row["known"] for row in again["steps"]], [True, True, False])
        self.assertEqual(self.target.read_bytes(), bytes_made)
        self.assertFalse(place["folder"].exists())
        text = "steps: [{share: {bits: 4}}]"
        alone = tenon.compress.recipe(self.source, self.target, text)["quantization"]
        self.assertEqual(alone["rows"], [])
        self.assertEqual([p["kept"] for p in alone["tried"]], [False, True])
        with self.assertRaises(tenon.FormatError):
            tenon.compress.recipe(self.source, self.target, "steps: [{bake: {}}]")

    def test_excluded_layers_stay_float(self):
        report = tenon.compress.quantize(self.source, self.target, self.data, exclude=["dense"])
        self.assertEqual([row["form"] for row in report["rows"]], ["int8", "float32"])


if __name__ == "__main__":
    unittest.main()
