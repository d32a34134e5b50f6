"""A plant without a network: versions come in a store on a stick, and what is trusted of them beside it. The plant's machine
knows one root, and runs what its channel leads to, whatever else is on the stick. TENON_COMMAND names another command."""
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(ROOT / os.environ.get("TENON_COMMAND", "build/tenon"))


class AirGap(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.store("create", "centre")
        self.put("centre", "1.0.0")
        self.store("trust", "centre", "init", "keys")
        self.store("promote", "centre", "press:1.0.0", "stable", "keys")
        # When the plant's machine is set up:
        self.store("create", "plant")
        self.store("trust", "plant", "accept", "centre/trust/1.root.json")

    def store(self, *words, code=0):
        run = subprocess.run([COMMAND, "store", *words], cwd=self.folder, capture_output=True, text=True)
        self.assertEqual(run.returncode, code, f"{words}: {run.stdout}{run.stderr}")
        return run.stdout + run.stderr

    def put(self, store, version, content=None):
        (self.folder / "file").write_bytes((content or version.encode()) * 1000)
        self.store("put", store, "file", f"press:{version}")

    def publish(self, version):
        self.put("centre", version)
        self.store("promote", "centre", f"press:{version}", "stable", "keys")

    def write_stick(self, stick, version):
        self.store("create", stick)
        self.store("fetch", stick, "centre", f"press:{version}")
        shutil.copytree(self.folder / "centre/trust", self.folder / stick / "trust", dirs_exist_ok=True)

    def read_stick(self, stick, version, code=0):
        self.store("fetch", "plant", stick, f"press:{version}")
        return self.store("trust", "plant", "update", f"{stick}/trust", code=code)

    def running(self):
        self.store("get", "plant", "press@stable", "running")
        return (self.folder / "running").read_bytes()[:5].decode()

    def test_versions_and_channels_cross_the_gap(self):
        self.write_stick("monday", "1.0.0")
        self.read_stick("monday", "1.0.0")
        self.assertEqual(self.running(), "1.0.0")
        self.publish("1.1.0")
        self.write_stick("tuesday", "1.1.0")
        self.store("fetch", "plant", "tuesday", "press:1.1.0")
        self.assertEqual(self.running(), "1.0.0")  # it is there, and nobody said yet that it may run
        self.read_stick("tuesday", "1.1.0")
        self.assertEqual(self.running(), "1.1.0")
        for store in ("monday", "tuesday", "plant"):
            self.store("verify", store)

    def test_an_old_stick_does_not_take_the_plant_back(self):
        self.write_stick("monday", "1.0.0")
        self.publish("1.1.0")
        self.write_stick("tuesday", "1.1.0")
        self.read_stick("tuesday", "1.1.0")
        self.assertIn("version", self.read_stick("monday", "1.0.0", code=1))
        self.assertEqual(self.running(), "1.1.0")

    def test_a_stick_of_others_changes_nothing_that_runs(self):
        self.write_stick("monday", "1.0.0")
        self.read_stick("monday", "1.0.0")
        self.store("create", "thief")
        self.put("thief", "1.0.0", b"other")
        self.put("thief", "9.0.0")
        self.store("trust", "thief", "init", "thiefs-keys")
        self.store("promote", "thief", "press:9.0.0", "stable", "thiefs-keys")
        self.assertIn("another file", self.store("fetch", "plant", "thief", "press:1.0.0", code=1))
        self.read_stick("thief", "9.0.0", code=1)
        self.assertEqual(self.running(), "1.0.0")

    def test_a_damaged_stick_is_refused(self):
        self.write_stick("monday", "1.0.0")
        blobs = sorted((self.folder / "monday/blobs/sha256").iterdir(), key=lambda f: f.stat().st_size)
        whole = blobs[-1].read_bytes()
        blobs[-1].write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
        self.assertIn("gives wrong bytes", self.store("fetch", "plant", "monday", "press:1.0.0", code=1))
        self.assertEqual(self.store("list", "plant"), "")
        blobs[-1].write_bytes(whole)
        self.read_stick("monday", "1.0.0")
        self.assertEqual(self.running(), "1.0.0")


if __name__ == "__main__":
    unittest.main()
