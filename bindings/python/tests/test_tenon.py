"""Tests of the package. Models are made with onnx, which is also the reference where one is needed."""
import ctypes
import gc
import os
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

import tenon
from tenon import _library, _registry, _store, _subscription, _train, compress, delta, ensemble, explain, sign

ROOT = Path(__file__).resolve().parents[3]


def make_model(nodes, inputs, outputs, opset=21, initializers=()):
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializer=initializers)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def tensor(name, dtype, shape):
    return helper.make_tensor_value_info(name, dtype, shape)


def relu(dtype=TensorProto.FLOAT, shape=("batch", 3)):
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    return make_model(nodes, [tensor("x", dtype, shape)], [tensor("y", dtype, shape)])


def identity(dtype, shape=("n",)):
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    return make_model(nodes, [tensor("x", dtype, shape)], [tensor("y", dtype, shape)])


class Loading(unittest.TestCase):
    def test_a_file_loads_by_path_of_any_kind(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "relu.onnx"
            path.write_bytes(relu())
            for spelling in (path, str(path)):
                model = tenon.load(spelling)
                self.assertEqual([info.name for info in model.inputs], ["x"])

    def test_inputs_and_outputs_say_name_type_and_shape(self):
        info = tenon.load_bytes(relu()).inputs[0]
        self.assertEqual(info.name, "x")
        self.assertEqual(info.kind, "tensor")
        self.assertEqual(info.dtype, np.float32)
        self.assertEqual(info.shape, ("batch", 3))

    def test_errors_are_tenon_errors_and_built_in_ones(self):
        with self.assertRaises(tenon.FormatError) as caught:
            tenon.load_bytes(b"this is no model")
        self.assertIsInstance(caught.exception, (tenon.Error, ValueError))
        self.assertTrue(str(caught.exception))
        with self.assertRaises(tenon.Error):
            tenon.load("/nowhere/model.onnx")

    def test_an_instruction_set_can_be_chosen(self):
        self.assertEqual(tenon.load_bytes(relu(), cpu="scalar").cpu, "scalar")
        self.assertEqual(tenon.cpu_levels()[0], "scalar")
        self.assertIn(tenon.load_bytes(relu()).cpu, tenon.cpu_levels())

    def test_the_version_is_the_librarys(self):
        self.assertRegex(tenon.__version__, r"^\d+\.\d+\.\d+")


class Running(unittest.TestCase):
    def setUp(self):
        self.model = tenon.load_bytes(relu())
        self.x = np.array([[-1, 2, -3], [4, -5, 6]], np.float32)

    def test_a_dict_gives_a_dict_and_a_list_a_list(self):
        np.testing.assert_array_equal(self.model.run({"x": self.x})["y"], np.maximum(self.x, 0))
        np.testing.assert_array_equal(self.model.run([self.x])[0], np.maximum(self.x, 0))
        np.testing.assert_array_equal(self.model.run(self.x)[0], np.maximum(self.x, 0))

    def test_lists_and_numbers_take_the_models_type(self):
        self.assertEqual(self.model.run({"x": [[1, -1, 2]]})["y"].tolist(), [[1, 0, 2]])

    def test_arrays_that_are_not_contiguous_are_read_rightly(self):
        for x in (self.x[:, ::-1], np.asfortranarray(self.x), self.x[::2], np.broadcast_to(self.x[:1], (4, 3))):
            np.testing.assert_array_equal(self.model.run([x])[0], np.maximum(x, 0))

    def test_arrays_of_the_other_byte_order_are_read_rightly(self):
        np.testing.assert_array_equal(self.model.run([self.x.astype(">f4")])[0], np.maximum(self.x, 0))

    def test_an_input_is_read_where_it_is_at_each_run(self):
        session = self.model.session()
        session.run([self.x])
        held = session._held[0]
        self.x[:] = 7
        np.testing.assert_array_equal(session.run([self.x])[0], self.x)
        self.assertIs(session._held[0], held)

    def test_a_view_shows_session_memory_and_a_copy_does_not(self):
        session = self.model.session()
        copied = session.run([self.x])[0]
        seen = session.run([self.x], copy=False)[0]
        self.assertFalse(seen.flags.writeable)
        self.assertTrue(copied.flags.writeable)
        other = session.run([-self.x], copy=False)[0]
        np.testing.assert_array_equal(copied, np.maximum(self.x, 0))
        np.testing.assert_array_equal(other, np.maximum(-self.x, 0))

    def test_a_view_keeps_session_and_model_alive(self):
        seen = tenon.load_bytes(relu()).session().run([self.x], copy=False)[0]
        gc.collect()
        np.testing.assert_array_equal(seen, np.maximum(self.x, 0))

    def test_models_and_sessions_in_a_cycle_are_collected_in_any_order(self):
        for _ in range(20):
            box = [tenon.load_bytes(relu())]
            box.append(box[0].session())
            box.append(box)
            box[1].run([self.x])
            del box
            gc.collect()

    def test_the_shape_may_change_between_runs(self):
        for rows in (1, 5, 2, 0, 9, 5):
            x = np.full((rows, 3), -1, np.float32)
            self.assertEqual(self.model.run([x])[0].shape, (rows, 3))

    def test_wrong_inputs_are_refused_with_a_sentence(self):
        with self.assertRaises(tenon.DataTypeError):
            self.model.run([self.x.astype(np.float64)])
        with self.assertRaisesRegex(tenon.ShapeError, "'x'"):
            self.model.run([np.zeros((2, 4), np.float32)])
        with self.assertRaisesRegex(tenon.InvalidArgument, "'x'"):
            self.model.run({})
        with self.assertRaisesRegex(tenon.NotFound, "'z'.*'x'"):
            self.model.run({"z": self.x})
        with self.assertRaises(tenon.InvalidArgument):
            self.model.run([self.x, self.x])
        with self.assertRaises(tenon.NotFound):
            self.model.run([self.x], ["nothing"])
        with self.assertRaises(tenon.InvalidArgument):
            self.model.run([np.zeros(3, "M8[s]")])

    def test_memory_and_profile_are_there(self):
        session = self.model.session(profile=True)
        session.run([self.x])
        self.assertGreater(session.memory.sum, 0)
        self.assertEqual([(row.op, row.runs) for row in session.profile()], [("Relu", 1)])
        with self.assertRaises(tenon.StateError):
            self.model.session().profile()

    def test_threads_run_side_by_side(self):
        x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
        wrong = []

        def work():
            session = self.model.session(threads=2)
            for _ in range(50):
                if not np.array_equal(session.run([x])[0], np.maximum(x, 0)):
                    wrong.append(1)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])


class Types(unittest.TestCase):
    def check(self, dtype, x):
        y = tenon.load_bytes(identity(dtype, x.shape)).run([x])[0]
        self.assertEqual(y.dtype, x.dtype)
        np.testing.assert_array_equal(y, x)

    def test_numbers_of_every_numpy_type_pass_through(self):
        for name in "float32 float64 float16 uint8 int8 uint16 int16 uint32 int32 uint64 int64 bool".split():
            x = np.array([0, 1, 3, 100], name)
            self.check(helper.np_dtype_to_tensor_dtype(x.dtype), x)
        self.check(TensorProto.COMPLEX64, np.array([1 + 2j, -3j], np.complex64))
        self.check(TensorProto.FLOAT, np.float32(2.5).reshape(()))

    def test_small_types_pass_through(self):
        import ml_dtypes

        for name, dtype in (
            ("bfloat16", TensorProto.BFLOAT16),
            ("float8_e4m3fn", TensorProto.FLOAT8E4M3FN),
            ("float8_e5m2", TensorProto.FLOAT8E5M2),
            ("int4", TensorProto.INT4),
            ("uint4", TensorProto.UINT4),
        ):
            with self.subTest(name):
                self.check(dtype, np.array([0, 1, 2, 3, 7], getattr(ml_dtypes, name)))
        self.check(TensorProto.INT4, np.array([-8, -1, 7], ml_dtypes.int4))

    def test_the_bits_of_a_bfloat16_may_come_as_integers(self):
        y = tenon.load_bytes(identity(TensorProto.BFLOAT16)).run([np.array([0x3F80], np.uint16)])[0]
        self.assertEqual(float(y[0]), 1.0)

    def test_strings_pass_through(self):
        model = tenon.load_bytes(identity(TensorProto.STRING))
        for x in (np.array(["a", "Grüße", ""]), np.array(["a", "Grüße", ""], object)):
            self.assertEqual(model.run([x])[0].tolist(), ["a", "Grüße", ""])
        self.assertEqual(model.run([np.array([b"raw", b"\xff"])])[0].tolist(), ["raw", "\udcff"])

    def test_sequences_are_lists(self):
        before, after = (helper.make_tensor_sequence_value_info(name, TensorProto.FLOAT, None) for name in "st")
        nodes = [helper.make_node("SequenceInsert", ["s", "x"], ["t"])]
        model = tenon.load_bytes(make_model(nodes, [before, tensor("x", TensorProto.FLOAT, (2,))], [after]))
        self.assertEqual(model.inputs[0].kind, "sequence")
        result = model.run({"s": [np.array([1, 2], np.float32)], "x": np.array([3, 4], np.float32)})["t"]
        self.assertEqual([a.tolist() for a in result], [[1, 2], [3, 4]])
        self.assertEqual([a.tolist() for a in model.run([[], np.array([3, 4], np.float32)])[0]], [[3, 4]])

    def test_none_is_an_empty_optional(self):
        inner = helper.make_tensor_type_proto(TensorProto.FLOAT, (2,))
        optional = helper.make_value_info("o", helper.make_optional_type_proto(inner))
        nodes = [helper.make_node("OptionalHasElement", ["o"], ["has"])]
        model = tenon.load_bytes(make_model(nodes, [optional], [tensor("has", TensorProto.BOOL, ())]))
        self.assertEqual(bool(model.run({"o": None})["has"]), False)
        self.assertEqual(bool(model.run({})["has"]), False)
        self.assertEqual(bool(model.run({"o": np.zeros(2, np.float32)})["has"]), True)


class Files(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.onnx, self.tenon = self.folder / "relu.onnx", self.folder / "relu.tenon"
        self.onnx.write_bytes(relu())

    def test_a_model_becomes_a_model_file_and_back(self):
        extra = {"line": 4, "rate": 0.5, "note": "a: b\n\u2028é", "list": [1, "1", {"deep": []}]}
        tenon.convert(self.onnx, self.tenon, manifest={"name": "press", "version": "1.2.3", "extra": extra})
        model = tenon.load(self.tenon, verify_weights=True)
        self.assertEqual(model.manifest["name"], "press")
        self.assertEqual(model.manifest["extra"], extra)
        self.assertEqual(model.manifest["inputs"], [{"name": "x", "dtype": "float32", "shape": ["batch", 3]}])
        self.assertRegex(model.digest, "^sha256:[0-9a-f]{64}$")
        self.assertEqual(model.run([np.array([[-1, 0, 2]], np.float32)])[0].tolist(), [[0, 0, 2]])
        back, again = self.folder / "back.onnx", self.folder / "again.tenon"
        tenon.convert(self.tenon, back)
        onnx.checker.check_model(str(back), full_check=True)
        tenon.convert(back, again)
        self.assertEqual(again.read_bytes(), self.tenon.read_bytes())

    def test_packed_weights_are_kept_for_the_next(self):
        weights = np.arange(128 * 128, dtype=np.float32).reshape(128, 128) / 999
        nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
        ends = [tensor(name, TensorProto.FLOAT, ["n", 128]) for name in "xy"]
        self.onnx.write_bytes(make_model(nodes, ends[:1], ends[1:], initializers=[onnx.numpy_helper.from_array(weights, "w")]))
        tenon.convert(self.onnx, self.tenon)
        packed = self.folder / "packed"
        packed.mkdir()
        x = np.ones((4, 128), np.float32)
        expected = tenon.load(self.tenon).run([x])[0]
        for _ in range(2):
            session = tenon.load(self.tenon, packed=packed).session()
            np.testing.assert_array_equal(session.run([x])[0], expected)
            self.assertGreaterEqual(session.memory.mapped, weights.nbytes)
            self.assertEqual(len(list(packed.iterdir())), 1)
        session = tenon.load(self.tenon, weights="in-place").session()
        np.testing.assert_array_equal(session.run([x])[0], expected)
        self.assertEqual(session.memory.packed, 0)
        with self.assertRaisesRegex(tenon.Unsupported, "packed_folder"):
            tenon.load(self.onnx, packed=packed)

    def test_an_onnx_model_has_no_manifest_and_no_digest(self):
        model = tenon.load(self.onnx)
        self.assertIsNone(model.manifest)
        self.assertIsNone(model.digest)

    def test_a_model_is_saved_as_it_runs(self):
        tenon.load(self.onnx).save(self.tenon, manifest="name: press\nversion: 1.0.0\n", compress=True)
        self.assertEqual(tenon.load(self.tenon).manifest["version"], "1.0.0")
        tenon.load(self.tenon).save(self.folder / "copy.onnx")
        self.assertEqual(tenon.load(self.folder / "copy.onnx").node_count, 1)

    def test_wrong_manifests_and_names_are_refused(self):
        with self.assertRaisesRegex(tenon.FormatError, "line 2, column 1: 'version'"):
            tenon.convert(self.onnx, self.tenon, manifest="name: press\nversion: one\n")
        with self.assertRaisesRegex(tenon.InvalidArgument, "line 1: the name of inputs 0"):
            manifest = {"name": "press", "version": "1.0.0", "inputs": [{"name": "z"}]}
            tenon.convert(self.onnx, self.tenon, manifest=manifest)
        for target, options in (("relu.txt", {}), ("copy.onnx", {"compress": True})):
            with self.assertRaises(tenon.InvalidArgument):
                tenon.convert(self.onnx, self.folder / target, **options)
        self.assertFalse(self.tenon.exists())

    def test_damage_is_found(self):
        tenon.convert(self.onnx, self.tenon)
        data = bytearray(self.tenon.read_bytes())
        data[-1] ^= 1
        self.tenon.write_bytes(data)
        with self.assertRaisesRegex(tenon.FormatError, "section 'graph' is damaged"):
            tenon.load(self.tenon)

    def test_manifests_are_parsed(self):
        parsed = tenon.parse_manifest("name: m\nversion: 1.0.0\nprovenance: {seed: 7}\n")
        self.assertEqual(parsed, {"name": "m", "version": "1.0.0", "provenance": {"seed": 7}})


class Interface(unittest.TestCase):
    def test_structs_have_the_sizes_that_c_gives_them(self):
        structs = {
            "tn_model_options": _library.ModelOptions,
            "tn_session_options": _library.SessionOptions,
            "tn_value_info": _library.ValueInfoStruct,
            "tn_session_memory": _library.MemoryStruct,
            "tn_profile_row": _library.ProfileStruct,
            "tn_string": _library.StringStruct,
            "tn_csv_options": _library.CsvOptions,
            "tn_metrics_options": _library.MetricsOptions,
            "tn_bootstrap_options": _library.BootstrapOptions,
            "tn_curve_point": _library.CurvePoint,
            "tn_model_file_options": _library.FileOptions,
            "tn_onnx_options": _library.OnnxOptions,
            "tn_store_version": _store.VersionStruct,
            "tn_store_put_options": _store.PutOptions,
            "tn_store_channel_info": _store.ChannelStruct,
            "tn_store_backup_options": _store.BackupOptions,
            "tn_fetch_options": _store.FetchOptions,
            "tn_backup_state": _store.BackupStruct,
            "tn_restore_result": _store.RestoreStruct,
            "tn_subscription_options": _subscription.SubscriptionOptions,
            "tn_subscription_state": _subscription.StateStruct,
            "tn_lease": _subscription.LeaseStruct,
            "tn_mqtt_options": _subscription.MqttOptions,
            "tn_registry_options": _registry.RegistryOptions,
            "tn_registry_result": _registry.RegistryResult,
            "tn_delta_info": delta.DeltaStruct,
            "tn_delta_apply_options": delta.ApplyOptions,
            "tn_delta_result": delta.ResultStruct,
            "tn_sign_key_options": sign.KeyOptions,
            "tn_sign_options": sign.SignOptions,
            "tn_signature": sign.SignatureStruct,
            "tn_samples": compress.SamplesStruct,
            "tn_quantize_options": compress.QuantizeOptions,
            "tn_attack_options": explain.AttackOptions,
            "tn_trainer_options": _train.TrainerOptions,
            "tn_plan_options": _train.PlanOptions,
            "tn_plan_progress": _train.PlanProgress,
            "tn_plan_result": _train.PlanResult,
            "tn_node_info": _train.NodeInfo,
            "tn_ensemble_member": ensemble.MemberStruct,
            "tn_ensemble_fit_options": ensemble.FitOptions,
            "tn_ensemble_fit_result": ensemble.FitResult,
        }
        with tempfile.TemporaryDirectory() as folder:
            source, program = Path(folder) / "sizes.c", Path(folder) / "sizes"
            lines = "".join(f'printf("%zu\\n", sizeof({name}));' for name in structs)
            source.write_text(f"#include <stdio.h>\n#include <tenon/tenon.h>\nint main(void) {{ {lines} return 0; }}\n")
            compiler = os.environ.get("CC", "cc")
            subprocess.check_call([compiler, f"-I{ROOT / 'include'}", str(source), "-o", str(program)])
            sizes = [int(line) for line in subprocess.check_output([str(program)]).split()]
        self.assertEqual(sizes, [ctypes.sizeof(struct) for struct in structs.values()])

    def test_importing_says_what_to_do_without_a_library(self):
        environment = {**os.environ, "TENON_LIBRARY": "/nowhere/libtenon.so"}
        done = subprocess.run([sys.executable, "-c", "import tenon"], env=environment, capture_output=True, text=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("/nowhere/libtenon.so", done.stderr)


if __name__ == "__main__":
    unittest.main()
