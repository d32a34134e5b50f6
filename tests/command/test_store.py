"""Tests of tenon store, and of other programs on its folders. TENON_COMMAND names another build of the command."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(ROOT / os.environ.get("TENON_COMMAND", "build/tenon"))


class Store(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.store = self.folder / "store"
        self.files = []
        for i in range(3):
            self.files.append(self.folder / f"press{i}.onnx")
            self.files[i].write_bytes(bytes([i]) * 10000)
        self.tenon("create", self.store)

    def tenon(self, verb, *words, code=0):
        done = subprocess.run([COMMAND, "store", verb, *map(str, words)], capture_output=True, text=True)
        self.assertEqual(done.returncode, code, (words, done.stdout, done.stderr))
        return done.stdout + done.stderr

    def asked(self, verb, *words, code=0):
        return json.loads(self.tenon(verb, self.store, *words, "--json", code=code))

    def test_backups_are_chained_and_restored_to_any_of_them(self):
        full, later, new = self.folder / "full.tnb", self.folder / "later.tnb", self.folder / "new"
        self.tenon("put", self.store, self.files[1], "backup:0.1.0")
        self.assertEqual(self.asked("backup", full)["number"], 0)
        before = self.asked("list")["versions"]
        self.tenon("put", self.store, self.files[0], "backup:1.0.0")
        told = self.asked("backup", later, "--since", full, "--compress")
        self.assertEqual((told["number"], told["blobs"]), (1, 3))
        self.tenon("restore", new, later, code=1)
        self.tenon("restore", new, full, later)
        self.assertIn("backup:1.0.0", self.tenon("list", new))
        self.tenon("verify", new)
        self.tenon("restore", self.store, full)
        self.assertEqual(self.asked("list")["versions"], before)

    def test_an_upgrade_makes_the_next_version(self):
        source, model = ROOT / "tests/golden/v1.1-self-test.tenon", self.folder / "same.onnx"
        subprocess.run([COMMAND, "convert", source, model], check=True)
        self.tenon("put", self.store, source, "golden:1.0.0")
        told = self.asked("upgrade", "golden", "--parameters", model, "--backup", self.folder / "before.tnb")
        self.assertEqual((told["version"], told["made_of"], told["test_cases"]), ("1.0.1", "1.0.0", 2))
        self.assertGreater(told["carried"], 1)
        self.assertEqual(self.asked("diff", "golden:1.0.0", "golden:1.0.1")["differences"], [])
        self.assertIn("golden:1.1.0", self.tenon("upgrade", self.store, "golden", "--structure", model))
        self.assertIn("either new parameters or a new structure or a module", self.tenon("upgrade", self.store, "golden", code=1))
        self.tenon("restore", self.folder / "old", self.folder / "before.tnb")
        self.tenon("find", self.folder / "old", "golden:1.1.0", code=1)

    def test_a_gate_refuses_what_does_not_show_what_it_asks_for(self):
        model, gate, keys = self.folder / "valve.tenon", self.folder / "gate.yaml", self.folder / "keys"
        source, manifest = ROOT / "tests/golden/v1.1-self-test.tenon", self.folder / "press.yaml"
        gate.write_text("self_test: true\nmetrics:\n  - {name: recall, at_least: 0.95, drop: 0.01}\n")
        self.tenon("trust", self.store, "init", keys)
        for version, recall in (("1.0.0", 0.99), ("1.1.0", 0.97)):
            manifest.write_text(f"name: valve\nversion: {version}\n"
                                f"metrics: [{{name: recall, value: {recall}, data: test}}]\n")
            subprocess.run([COMMAND, "convert", source, model, "--manifest", manifest], check=True)
            self.tenon("put", self.store, model, f"valve:{version}")
        self.tenon("promote", self.store, "valve:1.0.0", "stable", keys, "--gate", gate)
        words = self.store, "valve:1.1.0", "stable"
        self.assertIn("FAILS   recall drop: expected at least 0.98 (stable is now at 0.99), found 0.97",
                      self.tenon("gate", *words, "--gate", gate, code=3))
        told = self.asked("promote", "valve:1.1.0", "stable", keys, "--gate", gate, code=3)
        self.assertEqual([row["passed"] for row in told["gate"]], [True, True, False])
        self.assertIn("refuses 'valve:1.1.0': recall drop", told["error"])
        self.assertEqual(self.asked("channel", "valve@stable")["version"], "1.0.0")
        self.tenon("gate", *words, code=1)

    def test_versions_go_in_and_out(self):
        self.asked("put", self.files[0], "press:1.0.0", "--licence", "MIT")
        second = self.asked("put", self.files[1], "press:1.1.0", "--parent", "press:1.0.0")
        self.assertEqual([v["version"] for v in self.asked("list")["versions"]], ["1.0.0", "1.1.0"])
        self.assertEqual(self.asked("find", "press:^1")["digest"], second["digest"])
        self.assertEqual(second["parent"], self.asked("find", "press:1.0.0")["digest"])
        self.tenon("get", self.store, "press", self.folder / "copy.onnx")
        self.assertEqual((self.folder / "copy.onnx").read_bytes(), self.files[1].read_bytes())
        self.assertIn("new version", self.tenon("put", self.store, self.files[2], "press:1.1.0", code=1))
        self.tenon("remove", self.store, "press:1.1.0")
        self.assertGreater(self.asked("collect")["freed_bytes"], 10000)
        actions = [e["action"] for e in self.asked("log")["events"]]
        self.assertEqual(actions, ["create", "put", "put", "remove", "collect"])

    def test_damage_is_told_and_mended(self):
        version = self.asked("put", self.files[0], "press:1.0.0")
        mirror = self.folder / "mirror"
        shutil.copytree(self.store, mirror)
        blob = self.store / "blobs/sha256" / version["file_digest"].removeprefix("sha256:")
        blob.write_bytes(b"x" + blob.read_bytes()[1:])
        self.assertEqual(len(self.asked("verify", code=1)["faults"]), 1)
        self.assertIn(blob.name, self.tenon("get", self.store, "press", self.folder / "copy", code=1))
        self.assertFalse((self.folder / "copy").exists())
        self.assertEqual(self.asked("repair", mirror)["mended"], 1)
        self.assertEqual(self.asked("verify")["faults"], [])

    def test_wrong_usage_is_exit_code_2(self):
        for words in (["frob", self.store], ["get", self.store], ["put", self.store, "a", "b", "c"]):
            self.tenon(*words, code=2)
        self.assertEqual(subprocess.run([COMMAND, "store"], capture_output=True).returncode, 2)

    def test_many_processes_at_once_lose_nothing(self):
        def work(i):
            loop = (
                f"for n in 1 2 3 4 5 6; do {COMMAND} store put {self.store} {self.files[i % 3]} m{i}:$n.0.0 && "
                f"{COMMAND} store get {self.store} m{i} {self.folder}/out{i} && {COMMAND} store collect {self.store} && "
                f"{COMMAND} store verify {self.store} || exit 1; done; {COMMAND} store remove {self.store} m{i}:3.0.0"
            )
            return subprocess.Popen(["sh", "-c", loop], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

        workers = [work(i) for i in range(8)]
        for worker in workers:
            _, errors = worker.communicate()
            self.assertEqual(worker.returncode, 0, errors)
        expected = [f"m{i}:{n}.0.0" for i in range(8) for n in range(1, 7) if n != 3]
        self.assertEqual([f"{v['name']}:{v['version']}" for v in self.asked("list")["versions"]], expected)
        numbers = [e["number"] for e in self.asked("log")["events"]]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        self.assertEqual(self.asked("verify")["faults"], [])

    @unittest.skipUnless(shutil.which("skopeo"), "skopeo is not installed")
    def test_skopeo_copies_versions(self):
        version = self.asked("put", self.files[0], "press:1.0.0")
        copy = self.folder / "copy"
        source = f"oci:{self.store}:press:1.0.0"
        subprocess.run(["skopeo", "copy", "-q", source, f"oci:{copy}:press:1.0.0"], check=True)
        blob = copy / "blobs/sha256" / version["file_digest"].removeprefix("sha256:")
        self.assertEqual(blob.read_bytes(), self.files[0].read_bytes())
        raw = subprocess.run(["skopeo", "inspect", "--raw", source], check=True, capture_output=True).stdout
        self.assertEqual(json.loads(raw)["artifactType"], "application/vnd.cncf.model.manifest.v1+json")


if __name__ == "__main__":
    unittest.main()
