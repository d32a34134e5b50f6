"""Tests of the tenon command: what it prints, writes and refuses. TENON_COMMAND names another build of it."""
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zipfile
import zlib
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(ROOT / os.environ.get("TENON_COMMAND", "build/tenon"))


def tensor(name, dtype, shape):
    return helper.make_tensor_value_info(name, dtype, shape)


def save(path, nodes, inputs, outputs, initializers=()):
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializer=initializers)
    opsets = [helper.make_opsetid("", 21)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)


class Command(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.model = str(self.folder / "model.onnx")
        weights = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(3, 4), "w")
        nodes = [
            helper.make_node("MatMul", ["x", "w"], ["product"], name="product"),
            helper.make_node("Tanh", ["product"], ["y"], name="tanh"),
            helper.make_node("Neg", ["x"], ["z/1"], name="minus"),
        ]
        ends = [tensor("y", TensorProto.FLOAT, ["batch", 4]), tensor("z/1", TensorProto.FLOAT, ["batch", 3])]
        save(self.model, nodes, [tensor("x", TensorProto.FLOAT, ["batch", 3])], ends, [weights])
        self.x = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32) / 16
        self.y = np.tanh(self.x @ np.arange(12, dtype=np.float32).reshape(3, 4))

    def test_self_tests_go_into_a_model_file_and_are_run_by_check(self):
        case, path = self.folder / "case", self.folder / "model.tenon"
        case.mkdir()
        (case / "input_0.pb").write_bytes(numpy_helper.from_array(self.x, "x").SerializeToString())
        self.tenon("convert", self.model, path, "--self-test", case, "--self-test", "random", "--dim", "batch=5")
        result = json.loads(self.tenon("check", path, "--json"))["self_test"]
        self.assertEqual((result["cases"], result["failed"]), (2, 0))
        self.assertIn("its self-test passes: 2 cases", self.tenon("check", path))
        self.assertIn("self-test: ", self.tenon("inspect", path))
        # What is expected may be given; what the model does not compute is not written.
        for off, code in ((1e-5, 0), (0.5, 1)):
            (case / "output_0.pb").write_bytes(numpy_helper.from_array(self.y + np.float32(off), "y").SerializeToString())
            words = "convert", self.model, self.folder / f"{off}.tenon", "--self-test", case, "--atol", "1e-3"
            done = subprocess.run([COMMAND, *map(str, words)], capture_output=True, text=True)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertEqual((self.folder / f"{off}.tenon").exists(), not code)
        self.assertIn("the self-test 'case' fails: element 0 of output 'y'", done.stderr)
        self.tenon("convert", self.model, self.folder / "again.onnx", "--self-test", case, code=2)
        (case / "input_0.pb").unlink()
        self.tenon("convert", self.model, self.folder / "none.tenon", "--self-test", case, code=1)

    def identity(self, dtype):
        path = str(self.folder / "identity.onnx")
        nodes = [helper.make_node("Identity", ["x"], ["y"])]
        save(path, nodes, [tensor("x", dtype, ["n"])], [tensor("y", dtype, ["n"])])
        return path

    def tenon(self, *words, code=0):
        done = subprocess.run([COMMAND, *map(str, words)], capture_output=True, text=True, errors="replace")
        self.assertEqual(done.returncode, code, (words, done.stdout, done.stderr))
        return done.stdout

    def tell(self, *words, code=0):
        return json.loads(self.tenon(*words, "--json", code=code))

    def file(self, name, array):
        path = self.folder / name
        np.save(path, array)
        return path

    # convert

    def test_models_become_model_files_and_back(self):
        manifest = self.folder / "m.yaml"
        manifest.write_text("version: 1.4.0\nname: press\nextra: {line: 4, rate: 0.50}\nlicence: Apache-2.0\n")
        made, packed, back, again = (self.folder / n for n in ("a.tenon", "b.tenon", "c.onnx", "d.tenon"))
        self.assertEqual(self.tenon("convert", self.model, made, "--manifest", manifest), "")
        self.tenon("convert", made, packed, "--compress")
        self.tenon("convert", packed, back)
        self.tenon("convert", back, again)
        self.assertEqual(again.read_bytes(), made.read_bytes())
        onnx.checker.check_model(str(back), full_check=True)
        given = self.file("x.npy", self.x)
        for path in (made, packed, back):
            out = self.folder / "out.npz"
            self.tenon("run", path, "--input", given, "--output", out)
            with np.load(out) as arrays:
                np.testing.assert_allclose(arrays["y"], self.y, rtol=1e-5, atol=1e-6)
        text = self.tenon("inspect", made)
        for line in ("digest: sha256:", "  version: 1.4.0\n", "  licence: Apache-2.0\n", "      shape: [batch, 3]\n"):
            self.assertIn(line, text)
        said = self.tell("inspect", packed)
        self.assertEqual(said["manifest"]["extra"], {"line": 4, "rate": 0.5})
        self.assertEqual([i["name"] for i in said["manifest"]["outputs"]], ["y", "z/1"])
        self.assertEqual([s["name"] for s in said["sections"]], ["manifest", "graph"])
        self.assertTrue(said["sections"][1]["deflated"])
        self.assertRegex(said["digest"], "^sha256:[0-9a-f]{64}$")

    def test_large_weights_go_beside_the_model_if_they_shall(self):
        x, y = tensor("x", TensorProto.FLOAT, [1, 64]), tensor("y", TensorProto.FLOAT, [1, 64])
        weights = numpy_helper.from_array(np.eye(64, dtype=np.float32), "w")
        save(self.model, [helper.make_node("MatMul", ["x", "w"], ["y"])], [x], [y], [weights])
        (self.folder / "out").mkdir()
        copy = self.folder / "out" / "m.onnx"
        self.tenon("convert", self.model, copy, "--external-data")
        data = [p for p in copy.parent.iterdir() if p != copy]
        self.assertRegex(data[0].name, r"^m\.onnx\.[0-9a-f]{16}\.data$")
        self.assertEqual(data[0].read_bytes(), weights.raw_data)
        self.assertLess(copy.stat().st_size, 1000)
        onnx.checker.check_model(str(copy), full_check=True)
        self.tenon("check", copy)

    def test_what_cannot_be_converted_leaves_nothing(self):
        wrong = self.folder / "wrong.yaml"
        wrong.write_text("name: press\nversion: 1.0.0\nlicense: MIT\n")
        target = self.folder / "t.tenon"
        self.tenon("convert", self.model, target, "--manifest", wrong, code=1)
        self.tenon("convert", self.model, target, "--manifest", self.folder / "none.yaml", code=1)
        self.tenon("convert", wrong, target, code=1)
        self.tenon("convert", self.model, self.folder / "t.bin", code=2)
        self.tenon("convert", self.model, code=2)
        self.tenon("convert", self.model, "/nowhere/t.tenon", code=1)
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["model.onnx", "wrong.yaml"])
        said = subprocess.run([COMMAND, "convert", self.model, target, "--manifest", wrong], capture_output=True, text=True)
        self.assertIn("wrong.yaml: line 3, column 1: there is no key 'license' here", said.stderr)

    def test_damaged_model_files_are_refused(self):
        made = self.folder / "a.tenon"
        x, y = tensor("x", TensorProto.FLOAT, [1, 64]), tensor("y", TensorProto.FLOAT, [1, 64])
        weights = numpy_helper.from_array(np.eye(64, dtype=np.float32), "w")
        save(self.model, [helper.make_node("MatMul", ["x", "w"], ["y"])], [x], [y], [weights])
        self.tenon("convert", self.model, made)
        whole = made.read_bytes()
        for at, words in ((9, "version"), (70, "SHA-256"), (300, "manifest"), (len(whole) - 1, "weights")):
            damaged = bytearray(whole)
            damaged[at] ^= 0x40
            made.write_bytes(damaged)
            report = self.tell("check", made, code=1)
            self.assertIn(words, report["error"])

    # run

    def test_arrays_go_in_and_out_as_files_of_each_kind(self):
        given = self.file("x.npy", self.x)
        np.savez(self.folder / "x.npz", x=self.x)
        np.savez_compressed(self.folder / "small.npz", x=self.x)
        (self.folder / "set").mkdir()
        (self.folder / "set" / "input_0.pb").write_bytes(numpy_helper.from_array(self.x, "x").SerializeToString())
        for source in (f"x={given}", given, self.folder / "x.npz", self.folder / "small.npz", self.folder / "set"):
            with self.subTest(str(source)):
                out = self.folder / "out.npz"
                self.tenon("run", self.model, "--input", source, "--output", out)
                with np.load(out) as arrays:
                    np.testing.assert_allclose(arrays["y"], self.y, rtol=1e-5, atol=1e-6)
                    np.testing.assert_array_equal(arrays["z/1"], -self.x)
        self.tenon("run", self.model, "--input", given, "--output", self.folder / "all")
        np.testing.assert_array_equal(np.load(self.folder / "all" / "z_1.npy"), -self.x)
        self.tenon("run", self.model, "--input", given, "--output", self.folder / "y.pb")
        proto = onnx.TensorProto.FromString((self.folder / "y.pb").read_bytes())
        np.testing.assert_allclose(numpy_helper.to_array(proto), self.y, rtol=1e-5, atol=1e-6)

    def test_the_result_is_compared_and_decides_the_exit_code(self):
        given, wrong = self.file("x.npy", self.x), self.y.copy()
        wrong[1, 2] += 0.5
        good = self.file("good.npy", self.y)
        words = ("run", self.model, "--input", given, "--compare")
        self.assertTrue(self.tell(*words, good)["compared"][0]["equal"])
        report = self.tell(*words, f"y={self.file('wrong.npy', wrong)}", code=1)["compared"][0]
        self.assertEqual((report["equal"], report["wrong"]), (False, 1))
        self.tenon(*words, self.file("wrong.npy", wrong), "--atol", "1")
        self.assertIn("shapes", self.tenon(*words, self.file("wide.npy", self.y[:1]), code=1))
        self.assertIn("types", self.tenon(*words, self.file("double.npy", self.y.astype(float)), code=1))

    def test_random_inputs_hang_on_the_seed_alone(self):
        first, second, third = (self.tenon("run", self.model, "--dim", "batch=3", "--seed", s) for s in "112")
        self.assertEqual(first, second)
        self.assertNotEqual(first, third)
        self.assertIn("[3,4]", first)
        self.assertIn("[5,4]", self.tenon("run", self.model, "--shape", "x=5,3"))

    def test_every_numpy_type_comes_through(self):
        for name in "float16 float32 float64 int8 uint8 int16 uint16 int32 uint32 int64 uint64 bool complex64".split():
            for x in (np.array([0, 1, 2, 3], name), np.array([0, 1, 2, 3], np.dtype(name).newbyteorder(">"))):
                with self.subTest(x.dtype):
                    model = self.identity(helper.np_dtype_to_tensor_dtype(np.dtype(name)))
                    out = self.folder / "y.npy"
                    self.tenon("run", model, "--input", self.file("x.npy", x), "--output", out)
                    y = np.load(out)
                    self.assertEqual(y.dtype, np.dtype(name))
                    np.testing.assert_array_equal(y, x)

    def test_texts_come_through(self):
        model, out = self.identity(TensorProto.STRING), self.folder / "y.npy"
        for x in (np.array(["a", "Grüße 🙂", ""]), np.array(["a", "Grüße"], ">U9"), np.array([b"ab", b"c"])):
            self.tenon("run", model, "--input", self.file("x.npy", x), "--output", out)
            self.assertEqual(np.load(out).tolist(), [t.decode() if isinstance(t, bytes) else t for t in x.tolist()])

    def test_fortran_order_is_understood(self):
        x = np.asfortranarray(self.x)
        out = self.folder / "y.npz"
        self.tenon("run", self.model, "--input", self.file("x.npy", x), "--output", out)
        np.testing.assert_array_equal(np.load(out)["z/1"], -self.x)

    def test_small_types_come_through(self):
        import ml_dtypes

        for dtype, x, seen in (
            (TensorProto.BFLOAT16, np.array([1, -2], ml_dtypes.bfloat16), np.dtype("V2")),
            (TensorProto.INT4, np.array([-8, 7, 1], np.int8), np.dtype("int8")),
            (TensorProto.UINT4, np.array([15, 0, 3], np.uint8), np.dtype("uint8")),
        ):
            out = self.folder / "y.npy"
            self.tenon("run", self.identity(dtype), "--input", self.file("x.npy", x), "--output", out)
            y = np.load(out)
            self.assertEqual((y.dtype, y.tobytes()), (seen, x.tobytes()))

    # inspect, bench, check

    def test_inspect_counts_work_parameters_and_operators(self):
        seen = self.tell("inspect", self.model, "--dim", "batch=2", "--nodes", "--passes")
        self.assertEqual(seen["parameters"], 12)
        self.assertEqual(seen["multiply_adds"], 24)
        self.assertEqual([row["nodes"] for row in seen["operators"] if "MatMul" in row["op"]], [1])
        self.assertEqual(seen["inputs"][0]["dims"], ["batch", 3])
        self.assertIn("arena", seen["memory"])
        self.assertTrue(seen["passes"])
        self.assertIn("MatMul", self.tenon("inspect", self.model, "--nodes", "--passes"))

    def test_packed_weights_are_kept_and_found_again(self):
        file, packed = self.folder / "model.tenon", self.folder / "packed"
        packed.mkdir()
        self.tenon("convert", self.model, file)
        first = self.tell("inspect", file, "--packed", packed, "--dim", "batch=2")["memory"]
        self.assertEqual(first["packed_weights_in_file"], 0)  # too few for pages of their own
        kept = [(p.name, p.stat().st_ino) for p in packed.iterdir()]
        self.assertEqual(len(kept), 1)
        for command in ("run", "bench"):
            self.tenon(command, file, "--packed", packed, "--dim", "batch=2")
        again = self.tell("inspect", file, "--packed", packed, "--dim", "batch=2")["memory"]
        self.assertEqual(again["packed_weights_in_file"], again["packed_weights"])
        self.assertEqual([(p.name, p.stat().st_ino) for p in packed.iterdir()], kept)
        self.tenon("run", self.model, "--packed", packed, code=1)  # not a model file

    def test_the_drawing_is_xml_with_a_box_and_a_tooltip_for_each_node(self):
        drawing = self.folder / "model.svg"
        self.tenon("inspect", self.model, "--svg", drawing)
        titles = [t.text for t in ElementTree.parse(drawing).iter("{http://www.w3.org/2000/svg}title")]
        self.assertTrue(any("MatMul" in t and "w: float32[3,4]" in t for t in titles), titles)

    def test_bench_reports_percentiles_profile_and_trace(self):
        trace = self.folder / "trace.json"
        seen = self.tell("bench", self.model, "--runs", 20, "--warmup", 2, "--profile", "--trace", trace)
        latency = seen["latency_ms"]
        self.assertLessEqual(latency["min"], latency["median"])
        self.assertLessEqual(latency["p90"], latency["p99"])
        self.assertIn("Neg", [row["op"] for row in seen["profile"]])
        events = json.loads(trace.read_text())["traceEvents"]
        self.assertEqual({event["ph"] for event in events}, {"X"})
        self.assertIn("median", self.tenon("bench", self.model, "--runs", 3, "--threads", 2, "--nodes"))

    def test_bodies_are_counted_drawn_and_measured_once_they_run(self):
        path, drawing = str(self.folder / "if.onnx"), self.folder / "if.svg"
        weights = numpy_helper.from_array(np.ones((3, 5), np.float32), "w")
        out = [tensor("b", TensorProto.FLOAT, None)]
        product = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["b"])], "t", [], out, [weights])
        plain = helper.make_graph([helper.make_node("Neg", ["x"], ["b"])], "e", [], out)
        nodes = [helper.make_node("If", ["go"], ["y"], then_branch=product, else_branch=plain)]
        ends = [tensor("go", TensorProto.BOOL, []), tensor("x", TensorProto.FLOAT, [2, 3])]
        save(path, nodes, ends, [tensor("y", TensorProto.FLOAT, None)])
        seen = self.tell("inspect", path, "--value", "go=1", "--svg", drawing, "--nodes")
        self.assertEqual((seen["nodes"], seen["nodes_in_bodies"], seen["parameters"]), (1, 2, 15))
        self.assertEqual(seen["multiply_adds"], 30)
        self.assertEqual({row["op"] for row in seen["operators"]}, {"If", "MatMul", "Neg"})
        bodies = {b["attribute"]: b["node_list"][0]["op"] for b in seen["node_list"][0]["bodies"]}
        self.assertEqual(bodies, {"then_branch": "MatMul", "else_branch": "Neg"})
        self.assertIn("else_branch", drawing.read_text())
        for go, runs in ((1, "MatMul"), (0, "Neg")):
            profile = self.tell("bench", path, "--value", f"go={go}", "--runs", 5, "--profile")["profile"]
            self.assertEqual({row["op"] for row in profile if row["ms"] > 0} - {"If"}, {runs})
        self.tenon("run", path, "--value", "go=yes", code=1)
        self.tenon("run", path, "--value", "stop=1", code=1)

    def test_check_says_where_a_model_fails(self):
        self.assertTrue(self.tell("check", self.model)["valid"])
        bad = self.folder / "bad.onnx"
        bad.write_bytes(Path(self.model).read_bytes()[:50])
        report = self.tell("check", bad, code=1)
        self.assertEqual((report["valid"], report["stage"]), (False, "load"))
        self.assertTrue(report["error"])

    def test_open_dimensions_get_a_size_that_the_model_takes(self):
        weights = numpy_helper.from_array(np.ones((1, 1, 9, 9), np.float32), "w")
        image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, "height", "width"])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "g", [image], [y], [weights])
        path = self.folder / "picture.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        report = self.tell("check", path)
        self.assertEqual((report["valid"], report["open_size"]), (True, 32))
        self.assertIn("kernel reaches", self.tell("check", path, "--dim", "height=4", code=1)["error"])

    # what is refused

    def test_wrong_usage_is_exit_code_2(self):
        for words in (
            (),
            ("dance",),
            ("run",),
            ("run", self.model, "--bogus"),
            ("run", self.model, "--seed"),
            ("run", self.model, "--seed", "x"),
            ("run", self.model, "--json=1"),
            ("run", self.model, self.model),
            ("bench", self.model, "--runs", "0"),
        ):
            self.tenon(*words, code=2)

    def test_help_is_there_for_each_command(self):
        for name in ("run", "inspect", "bench", "check"):
            self.assertIn("--threads" if name != "inspect" else "--svg", self.tenon(name, "--help"))
        self.assertIn("inspect", self.tenon("--help"))

    def test_inputs_that_do_not_fit_are_refused(self):
        for words in (
            ("--input", "nothing=" + str(self.file("x.npy", self.x))),
            ("--input", "x=/nowhere.npy"),
            ("--input", self.file("x.npy", self.x.astype(float))),
            ("--input", self.file("wide.npy", np.zeros((2, 9), np.float32))),
            ("--input", self.file("object.npy", np.array([{}], object))),
            ("--dim", "size=2"),
            ("--dim", "batch=two"),
            ("--cpu", "abacus"),
            ("--compare", "/nowhere.npy"),
            ("--output", "/nowhere/y.npy"),
        ):
            with self.subTest(words):
                self.tenon("run", self.model, *words, code=1)

    def test_damaged_arrays_are_refused_without_a_crash(self):
        np.savez_compressed(self.folder / "a.npz", x=self.x)
        np.savez(self.folder / "b.npz", x=self.x)
        self.file("c.npy", self.x)
        chance = random.Random(1)
        for name in ("a.npz", "b.npz", "c.npy"):
            whole = (self.folder / name).read_bytes()
            for i in range(60):
                data = bytearray(whole)
                for _ in range(chance.choice((1, 1, 2, 8))):
                    data[chance.randrange(len(data))] = chance.choice((0, 255, 0x80, chance.randrange(256)))
                if i % 4 == 0:
                    del data[chance.randrange(len(data)) :]
                path = self.folder / ("damaged" + name[1:])
                path.write_bytes(data)
                done = subprocess.run([COMMAND, "run", self.model, "--input", f"x={path}"], capture_output=True)
                self.assertIn(done.returncode, (0, 1), done.stderr)

    def test_lies_in_headers_are_refused(self):
        def npy(text, data=b""):
            header = text.encode() + b"\n"
            return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data

        form = "{'descr': '%s', 'fortran_order': False, 'shape': %s}"
        for content in (
            npy(form % ("<f4", "(4611686018427387904, 8)")),
            npy(form % ("<f4", "(99999999999999999999999, 3)")),
            npy(form % ("<f4", "(-1, 3)")),
            npy(form % ("<f4", "(1,1,1,1,1,1,1,1,1)"), b"\0" * 4),
            npy(form % ("<U4611686018427387904", "(2, 3)")),
            npy(form % ("<U0", "(1000000000000,)")),
            npy(form % ("<f4", "(2, 3)"), b"\0" * 23),
            npy("{'descr': '<f4'"),
            npy("{'descr': __import__('os')}"),
            b"\x93NUMPY\x03\x00\xff\xff\xff\xff{}",
        ):
            path = self.folder / "lie.npy"
            path.write_bytes(content)
            self.tenon("run", self.model, "--input", f"x={path}", code=1)

    def test_a_bomb_of_zeros_is_refused_before_it_grows(self):
        packed = zlib.compress(b"\0" * 1000, 9)[2:-4]
        with zipfile.ZipFile(self.folder / "bomb.npz", "w") as archive:
            archive.writestr("x.npy", packed)
        data = bytearray((self.folder / "bomb.npz").read_bytes())
        entry = data.rindex(b"PK\1\2")
        struct.pack_into("<H", data, entry + 10, 8)
        struct.pack_into("<I", data, entry + 24, 0xFFFFFFF0)
        (self.folder / "bomb.npz").write_bytes(data)
        self.tenon("run", self.model, "--input", self.folder / "bomb.npz", code=1)

    def test_ctrl_c_ends_a_benchmark(self):
        words = [COMMAND, "bench", self.model, "--runs", "100000000", "--quiet"]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 130, said)

    def test_a_full_disk_is_told(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        with open("/dev/full", "w") as full:
            done = subprocess.run([COMMAND, "inspect", self.model], stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
    sys.exit(unittest.main())
