"""Tests of tenon.delta and of stores' deltas: what the library promises of them is tested in C; here, that Python reaches it."""
import hashlib
import tempfile
import unittest
from pathlib import Path

import numpy as np

import tenon


class Deltas(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.old, self.new, self.delta = (self.folder / name for name in ("old", "new", "delta"))
        values = np.random.default_rng(1).normal(size=50_000).astype(np.float32)
        self.old.write_bytes(values.tobytes())
        values[-500:] += 0.25
        self.new.write_bytes(values.tobytes())

    def test_what_changed_makes_the_one_of_the_other(self):
        made = tenon.delta.make(self.old, self.new, self.delta)
        self.assertEqual(made.base_digest, "sha256:" + hashlib.sha256(self.old.read_bytes()).hexdigest())
        self.assertEqual(made.result_digest, "sha256:" + hashlib.sha256(self.new.read_bytes()).hexdigest())
        self.assertEqual((made.base_bytes, made.result_bytes, made.ready_bytes), (200_000,) * 3)
        self.assertEqual(made.delta_bytes, self.delta.stat().st_size)
        self.assertLess(made.delta_bytes, 10_000)
        self.assertEqual(tenon.delta.inspect(self.delta), made)
        applied = tenon.delta.apply(self.old, self.delta, self.folder / "copy")
        self.assertEqual((applied.bytes, applied.resumed), (200_000, 0))
        self.assertEqual((self.folder / "copy").read_bytes(), self.new.read_bytes())

    def test_what_cannot_be_made_is_refused(self):
        tenon.delta.make(self.old, self.new, self.delta)
        with self.assertRaises(tenon.CheckFailed):
            tenon.delta.apply(self.new, self.delta, self.folder / "copy")
        with self.assertRaises(tenon.LimitExceeded):
            tenon.delta.apply(self.old, self.delta, self.folder / "copy", most_bytes=1000)
        whole = self.delta.read_bytes()
        self.delta.write_bytes(whole[:-1])
        with self.assertRaises(tenon.Interrupted):
            tenon.delta.apply(self.old, self.delta, self.folder / "copy")
        self.assertLess(tenon.delta.inspect(self.delta).ready_bytes, 200_000)
        self.delta.write_bytes(whole)
        tenon.delta.apply(self.old, self.delta, self.folder / "copy")
        self.delta.write_bytes(b"no delta" + whole[8:])
        with self.assertRaises(tenon.FormatError):
            tenon.delta.inspect(self.delta)

    def test_a_store_keeps_one_beside_a_version(self):
        store, edge = tenon.Store.create(self.folder / "models"), tenon.Store.create(self.folder / "edge")
        store.put(self.old, "press", "1.0.0")
        store.put(self.new, "press", "1.1.0")
        edge.fetch(store.path, "press:1.0.0")
        with self.assertRaises(tenon.LimitExceeded):
            edge.fetch(store.path, "press:1.1.0", most_bytes=20_000)
        self.assertLess(store.put_delta("press:1.0.0", "press:1.1.0"), 10_000)
        self.assertEqual(edge.fetch(store.path, "press:1.1.0", most_bytes=20_000), store.find("press:1.1.0"))
        self.assertEqual(edge.verify(), [])


if __name__ == "__main__":
    unittest.main()
