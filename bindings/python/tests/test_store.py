"""Tests of tenon.Store: what the library promises of stores is tested in C; here, that Python reaches all of it."""
import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import tenon


def scale(factor: float, path: Path) -> Path:
    """The model y = factor x, of two elements."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy")
    weight = numpy_helper.from_array(np.full(2, factor, np.float32), "w")
    graph = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["y"])], "scale", [x], [y], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


class Stores(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.store = tenon.Store.create(self.folder / "models")
        for i, version in enumerate(("1.0.0", "1.1.0", "2.0.0-rc.1")):
            (self.folder / version).write_bytes(b"weights %d" % i)
            self.store.put(self.folder / version, "press", version, licence="Apache-2.0")

    def test_versions_come_back_by_reference(self):
        self.assertEqual([v.version for v in self.store.list()], ["1.0.0", "1.1.0", "2.0.0-rc.1"])
        found = self.store.find("press:^1.0")
        self.assertEqual((found.name, found.version, found.parent, found.file_bytes), ("press", "1.1.0", None, 9))
        self.store.get(found.digest, self.folder / "copy")
        self.assertEqual((self.folder / "copy").read_bytes(), b"weights 1")
        made = self.store.put(self.folder / "1.0.0", "press", "1.2.0", parent="press:1.1.0", created="2026-03-01T12:00:00Z")
        self.assertEqual((made.parent, made.created), (found.digest, "2026-03-01T12:00:00Z"))
        with self.assertRaises(tenon.NotFound):
            self.store.find("press:3.0.0")
        with self.assertRaises(tenon.StateError):
            self.store.put(self.folder / "1.0.0", "press", "1.1.0")

    def test_damage_is_told_and_space_given_back(self):
        self.assertEqual(self.store.verify(), [])
        lost = self.store.find("press:1.0.0")
        self.store.remove("press:1.0.0")
        self.assertGreater(self.store.collect(), 0)
        blobs = self.folder / "models/blobs/sha256"
        self.assertFalse((blobs / lost.file_digest[7:]).exists())
        (blobs / self.store.find("press").file_digest[7:]).write_bytes(b"rot")
        faults = self.store.verify()
        self.assertEqual(len(faults), 1)
        self.assertIn("is damaged", faults[0])

    def test_versions_are_loaded_compared_and_upgraded(self):
        first = self.store.put(scale(2, self.folder / "two.onnx"), "scale", "1.0.0")
        made = self.store.upgrade("scale", parameters=scale(3, self.folder / "three.onnx"), backup=self.folder / "b.tnb")
        self.assertEqual((made.before, made.after.version, made.after.parent), (first, "1.0.1", first.digest))
        self.assertEqual((made.carried, made.own), (1, 0))
        self.assertTrue((self.folder / "b.tnb").exists())
        x = np.array([1, -2], np.float32)
        for reference, factor in (("scale:1.0.0", 2), ("scale", 3)):
            model = self.store.load(reference, threads=1)
            np.testing.assert_array_equal(model.run({"x": x})["y"], factor * x)
        rows = self.store.diff("scale:1.0.0", "scale:1.0.1")
        self.assertEqual([(r.what, r.name) for r in rows if r.what == "parameter"], [("parameter", "w")])
        self.assertEqual(self.store.diff("scale", "scale"), [])
        with self.assertRaises(tenon.NotFound):
            self.store.load("scale:7.0.0")
        with self.assertRaises(tenon.InvalidArgument):
            self.store.upgrade("scale")

    def test_channels_are_promoted_and_rolled_back(self):
        keys = self.folder / "keys"
        self.store.init_trust(keys)
        self.assertEqual(self.store.promote("press:1.0.0", "stable", keys).counter, 1)
        now = self.store.promote("press:1.1.0", "stable", keys)
        self.assertEqual((now.version, now.counter), ("1.1.0", 2))
        with self.assertRaises(tenon.StateError):
            self.store.rollback("press:1.1.0", "stable", keys)
        back = self.store.rollback("press:1.0.0", "stable", keys)
        self.assertEqual((back.version, back.counter), ("1.0.0", 3))
        self.assertEqual(self.store.find("press@stable").version, "1.0.0")
        with self.assertRaisesRegex(tenon.CheckFailed, "signed: expected press@canary at 1.1.0"):
            self.store.promote("press:1.1.0", "stable", keys, gate="signed: canary")
        self.assertEqual(self.store.channel("press", "stable").counter, 3)
        edge = tenon.Store.create(self.folder / "edge")
        edge.accept_trust(self.folder / "models/trust/1.root.json")
        edge.update_trust(self.folder / "models/trust")
        self.assertEqual(edge.channel("press", "stable").version, "1.0.0")
        self.assertEqual(edge.fetch(self.folder / "models", "press@stable"), edge.find("press@stable"))
        (self.folder / "valve").write_bytes(bytes(5000))
        self.store.put(self.folder / "valve", "valve", "1.0.0")
        with self.assertRaisesRegex(tenon.Error, "allows 4000"):
            edge.fetch(self.folder / "models", "valve", most_bytes=4000)

    def test_backups_are_restored_to_any_point(self):
        full, later = self.folder / "full.tnb", self.folder / "later.tnb"
        self.assertEqual(self.store.backup(full).number, 0)
        self.store.remove("press:1.0.0")
        (self.folder / "new").write_bytes(b"new")
        self.store.put(self.folder / "new", "press", "1.2.0")
        second = self.store.backup(later, since=full, compress=True)
        self.assertEqual((second.number, second.blobs), (1, 3))
        made = tenon.Store.restore(self.folder / "back", [full, later])
        self.assertEqual((made.versions, made.trust), (3, False))
        self.assertEqual(tenon.Store(self.folder / "back").find("press").version, "1.2.0")
        self.assertEqual(tenon.Store.restore(self.folder / "models", full).blobs, 0)
        self.assertEqual([v.version for v in self.store], ["1.0.0", "1.1.0", "2.0.0-rc.1"])
        with self.assertRaises(tenon.InvalidArgument):
            tenon.Store.restore(self.folder / "models", [later])


if __name__ == "__main__":
    unittest.main()
