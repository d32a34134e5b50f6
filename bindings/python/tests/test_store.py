"""Tests of tenon.Store: what the library promises of stores is tested in C; here, that Python reaches all of it."""
import tempfile
import unittest
from pathlib import Path

import tenon


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
