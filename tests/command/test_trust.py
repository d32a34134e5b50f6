"""Trust beside python-tuf: it follows what Tenon signs, Tenon follows what it signs, and refuses each of the attacks that
the specification of The Update Framework names (section 1.5.2), made with it. TENON_COMMAND names another command."""
import json
import os
import shutil
import subprocess
import tempfile
import threading
import unittest
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (DelegatedRole, Delegations, Key, Metadata, MetaFile, Root, Snapshot, TargetFile,
                              Targets, Timestamp)
from tuf.ngclient import Updater

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(ROOT / os.environ.get("TENON_COMMAND", "build/tenon"))
LATER = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=30)
LONG_AGO = LATER - timedelta(days=400)
KINDS = {"root": Root, "timestamp": Timestamp, "snapshot": Snapshot, "targets": Targets}


def channel(manifest: Path, counter, name="press", version="1.0.0"):
    target = TargetFile.from_file(f"{name}/stable", str(manifest), ["sha256"])
    target.unrecognized_fields["custom"] = {"counter": counter, "name": name, "version": version}
    return target


class Repository:
    """A repository as python-tuf makes one: keys, metadata in memory, files in a folder."""

    def __init__(self, folder: Path, counts=None, threshold=None):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.signers = {r: [CryptoSigner.generate_ed25519() for _ in range((counts or {}).get(r, 1))] for r in KINDS}
        self.parts = {r: Metadata(kind(expires=LATER)) for r, kind in KINDS.items()}
        root = self.parts["root"].signed
        for role, signers in self.signers.items():
            for signer in signers:
                root.add_key(signer.public_key, role)
            root.roles[role].threshold = (threshold or {}).get(role, 1)
        self.write()

    def __getitem__(self, role):
        return self.parts[role].signed

    def sign(self, role, signers=None):
        self.parts[role].signatures.clear()
        for signer in signers or self.signers[role]:
            self.parts[role].sign(signer, append=True)

    def save(self, role, name=None):
        version = "" if role == "timestamp" else f"{self[role].version}."
        self.parts[role].to_file(str(self.folder / (name or f"{version}{role}.json")))

    def write(self, roles=("root", "targets", "snapshot", "timestamp"), signers=None):
        """Signs and saves; what lies above is told of what lies below."""
        for role in roles:
            if role == "snapshot":
                data = (self.folder / f"{self['targets'].version}.targets.json").read_bytes()
                self["snapshot"].meta["targets.json"] = MetaFile.from_data(self["targets"].version, data, ["sha256"])
            if role == "timestamp":
                data = (self.folder / f"{self['snapshot'].version}.snapshot.json").read_bytes()
                self["timestamp"].snapshot_meta = MetaFile.from_data(self["snapshot"].version, data, ["sha256"])
            self.sign(role, (signers or {}).get(role))
            self.save(role)

    def next(self, roles=("targets", "snapshot", "timestamp"), **more):
        for role in roles:
            self[role].version += 1
        self.write(roles, **more)

    def rotate(self, *roles, signers=None):
        old = list(self.signers["root"])
        for role in roles:
            for signer in self.signers[role]:
                self["root"].revoke_key(signer.public_key.keyid, role)
            self.signers[role] = [CryptoSigner.generate_ed25519() for _ in self.signers[role]]
            for signer in self.signers[role]:
                self["root"].add_key(signer.public_key, role)
        self["root"].version += 1
        self.sign("root", signers or [*old, *(s for s in self.signers["root"] if s not in old)])
        self.save("root")


class WithStores(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.store = self.make_store("store")

    def make_store(self, name):
        self.tenon("create", self.folder / name)
        for i, version in enumerate(["press:1.0.0", "press:1.1.0", "valve:1.0.0"]):
            file = self.folder / "file"
            file.write_bytes(bytes([i]) * 1000)
            self.tenon("put", self.folder / name, file, version)
        return self.folder / name

    def tenon(self, verb, store, *words, code=0):
        done = subprocess.run([COMMAND, "store", verb, str(store), *map(str, words), "--json"], capture_output=True, text=True)
        self.assertEqual(done.returncode, code, (verb, words, done.stdout, done.stderr))
        return json.loads(done.stdout)

    def manifest(self, reference):
        return self.store / "blobs/sha256" / self.tenon("find", self.store, reference)["digest"].split(":")[1]


class Served:
    """A store's trust folder and blobs over HTTP, as a static server would have them."""

    def __init__(self, store: Path):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                kind, name = self.path.split("/", 2)[1:]
                file = store / "trust" / name
                if kind == "targets":
                    file = store / "blobs/sha256" / name.split("/")[-1].split(".")[0]
                if not file.is_file():
                    return self.send_error(404)
                self.send_response(200)
                self.send_header("Content-Length", str(file.stat().st_size))
                self.end_headers()
                self.wfile.write(file.read_bytes())

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class PythonTufFollowsTenon(WithStores):
    def check(self, url, version, counter):
        client = self.folder / "client"
        (client / "targets").mkdir(parents=True, exist_ok=True)
        first = (self.store / "trust/1.root.json").read_bytes()
        updater = Updater(str(client / "metadata"), f"{url}/metadata/", str(client / "targets"), f"{url}/targets/", bootstrap=first)
        updater.refresh()
        target = updater.get_targetinfo("press/stable")
        self.assertEqual(target.unrecognized_fields["custom"], {"counter": counter, "name": "press", "version": version})
        got = Path(updater.download_target(target))
        self.assertEqual(got.read_bytes(), self.manifest(f"press:{version}").read_bytes())

    def test_channels_rollbacks_and_new_keys_of_each_role(self):
        keys = self.folder / "keys"
        self.tenon("trust", self.store, "init", keys)
        (self.folder / "client/metadata").mkdir(parents=True)
        with Served(self.store) as served:
            self.tenon("promote", self.store, "press:1.1.0", "stable", keys)
            self.check(served.url, "1.1.0", 1)
            self.tenon("promote", self.store, "press:1.0.0", "stable", keys)
            self.check(served.url, "1.0.0", 2)
            for role in KINDS:
                self.tenon("trust", self.store, "rotate", role, keys)
                self.check(served.url, "1.0.0", 2)
            self.tenon("trust", self.store, "sign", keys)
            self.check(served.url, "1.0.0", 2)

    def test_the_root_lies_elsewhere_between_its_signatures(self):
        keys, away = self.folder / "keys", self.folder / "away"
        self.tenon("trust", self.store, "init", keys)
        away.mkdir()
        for file in keys.glob("root-*.key"):
            self.assertEqual(file.stat().st_mode & 0o777, 0o600)
            file.rename(away / file.name)
        self.tenon("promote", self.store, "press:1.0.0", "stable", keys)
        told = self.tenon("trust", self.store, "rotate", "targets", keys, code=1)
        self.assertIn("keys are missing to sign root", told["error"])
        self.tenon("trust", self.store, "rotate", "targets", f"{keys}:{away}")
        self.assertEqual(self.tenon("find", self.store, "press@stable")["version"], "1.0.0")


class TenonFollowsPythonTuf(WithStores):
    def setUp(self):
        super().setUp()
        self.repository = Repository(self.folder / "mirror")
        self.repository["targets"].targets["press/stable"] = channel(self.manifest("press:1.0.0"), 1)
        self.repository.next()
        self.tenon("trust", self.store, "accept", self.repository.folder / "1.root.json")
        self.update()

    def update(self):
        return self.tenon("trust", self.store, "update", self.repository.folder)

    def state(self):
        """What is trusted, but for the line of the log."""
        state = json.loads((self.store / "trust/trusted.json").read_text())
        return {k: v for k, v in state.items() if k != "event"}

    def refused(self, sentence):
        before = (self.store / "trust/trusted.json").read_bytes()
        told = self.tenon("trust", self.store, "update", self.repository.folder, code=1)["error"]
        self.assertRegex(told, sentence)
        self.assertEqual((self.store / "trust/trusted.json").read_bytes(), before)
        self.assertEqual(self.found(), "1.0.0")

    def found(self):
        return self.tenon("find", self.store, "press@stable")["version"]

    def point_at(self, reference, counter, **more):
        name, version = reference.split(":")
        self.repository["targets"].targets[f"{name}/stable"] = channel(self.manifest(reference), counter, name, version)
        self.repository.next(**more)

    def test_channels_and_rollbacks(self):
        self.assertEqual(self.found(), "1.0.0")
        self.point_at("press:1.1.0", 2)
        self.update()
        self.assertEqual(self.found(), "1.1.0")
        self.point_at("press:1.0.0", 3)
        self.update()
        self.assertEqual(self.tenon("channel", self.store, "press@stable")["counter"], 3)
        self.update()  # nothing new
        self.assertEqual(self.found(), "1.0.0")

    def test_new_keys_of_each_role(self):
        for role in KINDS:
            self.repository.rotate(role)
            self.repository.next()
            self.update()
            self.assertEqual(self.found(), "1.0.0")
        self.assertEqual(self.tenon("trust", self.store)["root"]["version"], 5)

    def test_many_roots_at_once_keys_of_other_kinds_and_thresholds(self):
        other = CryptoSigner.generate_ecdsa()
        self.repository["root"].add_key(other.public_key, "targets")
        self.repository.rotate("root")
        for _ in range(5):
            self.repository.rotate("root", "targets")
        self.repository.next()
        self.update()
        self.assertEqual(self.tenon("trust", self.store)["root"]["version"], 7)
        self.assertEqual(len(list((self.store / "trust").glob("*.root.json"))), 7)

    def test_a_higher_threshold_of_the_same_keys(self):
        shutil.rmtree(self.store / "trust")
        for role in ("targets", "snapshot", "timestamp"):
            with self.subTest(role):
                self.repository = Repository(self.folder / f"two-{role}", {role: 2})
                self.repository["targets"].targets["press/stable"] = channel(self.manifest("press:1.0.0"), 5)
                first = {"targets": [], role: self.repository.signers[role][:1]}
                self.repository.next(signers={r: s for r, s in first.items() if s})
                self.tenon("trust", self.store, "accept", self.repository.folder / "1.root.json")
                self.update()
                self.assertEqual(self.found(), "1.0.0")
                self.repository["root"].roles[role].threshold = 2
                self.repository.rotate()
                told = self.tenon("trust", self.store, "update", self.repository.folder, code=1)["error"]
                self.assertIn(f"{role} metadata of version 2 has 1 valid signatures", told)
                self.assertEqual(self.tenon("trust", self.store)["root"]["version"], 2)
                self.repository["targets"].targets["press/stable"] = channel(self.manifest("press:1.0.0"), 4)
                self.repository.next()
                told = self.tenon("trust", self.store, "update", self.repository.folder, code=1)["error"]
                self.assertIn("goes from counter 5 back to 4", told)
                self.repository["targets"].targets["press/stable"] = channel(self.manifest("press:1.0.0"), 6)
                self.repository.next()
                self.update()
                self.assertEqual(self.found(), "1.0.0")
                shutil.rmtree(self.store / "trust")

    def test_names_are_any_text_and_other_targets_and_roles_are_left_alone(self):
        targets = self.repository["targets"]
        targets.targets['a "file"/\\ with ü and \x7f'] = TargetFile(5, {"sha256": "ab", "sha512": "cd"}, "x")
        key = CryptoSigner.generate_ed25519().public_key
        targets.delegations = Delegations({key.keyid: key}, {"else": DelegatedRole("else", [key.keyid], 1, False, ["*"])})
        self.repository["snapshot"].meta["else.json"] = MetaFile(1)
        self.repository.next()
        self.update()
        self.assertEqual(len(self.tenon("channel", self.store)["channels"]), 1)

    # ---- the specification's attacks ----
    def test_arbitrary_installation(self):
        thief = CryptoSigner.generate_ed25519()
        self.point_at("press:1.1.0", 2, signers={"targets": [thief]})
        self.refused("targets metadata of version 3 has 0 valid signatures")

    def test_arbitrary_installation_by_altered_metadata(self):
        self.point_at("press:1.1.0", 2)
        file = self.repository.folder / "3.targets.json"
        for old, new in ((b'"counter": 2', b'"counter": 3'), (b"1.1.0", b"1.1.1"), (b'"_type": "targets"', b'"_type": "tarmets"')):
            good = file.read_bytes()
            if old not in good:
                old, new = old.replace(b": ", b":"), new.replace(b": ", b":")
            self.assertIn(old, good)
            file.write_bytes(good.replace(old, new))
            self.refused("states|signatures")
            file.write_bytes(good)
        self.update()

    def test_endless_data(self):
        self.point_at("press:1.1.0", 2)
        for name, size in (("timestamp.json", 16385), ("3.snapshot.json", 2000001), ("3.targets.json", 5000001), ("2.root.json", 512001)):
            file = self.repository.folder / name
            good = file.read_bytes() if file.exists() else None
            with file.open("ab") as f:
                f.truncate(size)
            self.refused("bytes; at most")
            if good is None:
                file.unlink()
            else:
                file.write_bytes(good)
        with (self.repository.folder / "3.targets.json").open("ab") as f:
            f.write(b" ")
        self.refused("metadata above it states")

    def test_endless_data_in_a_pipe(self):
        os.unlink(self.repository.folder / "timestamp.json")
        os.mkfifo(self.repository.folder / "timestamp.json")
        self.refused("is no file")

    def test_endless_depth(self):
        (self.repository.folder / "2.root.json").write_text('{"signed":' + "[" * 100000)
        self.refused("malformed")

    def test_extraneous_dependencies(self):
        """A mirror adds software that nobody signed to the signed."""
        self.repository["targets"].version += 1
        self.repository.sign("targets")
        self.repository["targets"].targets["valve/stable"] = channel(self.manifest("valve:1.0.0"), 1, "valve")
        self.repository.save("targets")
        self.repository.next(("snapshot", "timestamp"))
        self.refused("targets metadata of version 3 has 0 valid signatures")

    def test_extraneous_dependencies_by_delegation(self):
        """Whom the targets role delegates to has no say in channels."""
        targets, thief = self.repository["targets"], CryptoSigner.generate_ed25519()
        key = thief.public_key
        targets.delegations = Delegations({key.keyid: key}, {"valve": DelegatedRole("valve", [key.keyid], 1, True, ["valve/*"])})
        role = Metadata(Targets(expires=LATER))
        role.signed.targets["valve/stable"] = channel(self.manifest("valve:1.0.0"), 1, "valve")
        role.sign(thief)
        role.to_file(str(self.repository.folder / "1.valve.json"))
        self.repository["snapshot"].meta["valve.json"] = MetaFile(1)
        self.repository.next()
        self.update()
        self.assertIn("no channel valve@stable", self.tenon("find", self.store, "valve@stable", code=1)["error"])

    def test_fast_forward_and_the_way_back(self):
        for role in ("snapshot", "timestamp"):  # their keys were stolen
            self.repository[role].version = 2**53 - 1
        self.repository.write(("snapshot", "timestamp"))
        self.update()
        for role in ("snapshot", "timestamp"):
            self.repository[role].version = 3
        self.repository.write(("snapshot", "timestamp"))
        self.refused("version 3 comes after version 9007199254740991")
        self.repository.rotate("snapshot", "timestamp")
        self.repository.write(("snapshot", "timestamp"))
        self.update()
        self.assertEqual(self.tenon("trust", self.store)["timestamp"]["version"], 3)
        self.assertEqual(self.found(), "1.0.0")

    def test_fast_forward_of_a_counter_and_the_way_back(self):
        self.point_at("press:1.0.0", 2**62)
        self.update()
        self.point_at("press:1.0.0", 2)
        self.refused("goes from counter 4611686018427387904 back to 2")
        self.repository.rotate("targets")
        self.repository.next()
        self.update()
        self.assertEqual(self.tenon("channel", self.store, "press@stable")["counter"], 2)

    def test_fast_forward_beyond_what_numbers_hold(self):
        self.repository["timestamp"].version = 2**53
        self.repository.next(("timestamp",))
        self.refused("no valid version")

    def test_indefinite_freeze(self):
        for role in ("root", "timestamp", "snapshot", "targets"):
            with self.subTest(role):
                other = Repository(self.folder / f"old-{role}")
                other[role].expires = LONG_AGO
                other.write()
                store = self.make_store(f"store-{role}")
                self.tenon("trust", store, "accept", other.folder / "1.root.json")
                told = self.tenon("trust", store, "update", other.folder, code=1)["error"]
                self.assertRegex(told, f"{role} metadata of version 1 expired at")
                self.assertEqual(self.tenon("trust", store)["timestamp"]["version"], 0)
                self.tenon("trust", store, "clock", "counter-only")
                self.tenon("trust", store, "update", other.folder)

    def test_indefinite_freeze_by_what_is_there_already(self):
        """The newest that was signed has expired: it is used no more, and nothing else is taken for it."""
        self.repository["timestamp"].expires = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=2)
        self.repository.next(("timestamp",))
        self.update()
        while datetime.now(timezone.utc) < self.repository["timestamp"].expires:
            threading.Event().wait(0.2)
        self.assertIn("expired at", self.tenon("trust", self.store, "update", self.repository.folder, code=1)["error"])
        self.assertIn("expired at", self.tenon("find", self.store, "press@stable", code=1)["error"])
        self.repository["timestamp"].expires = LATER
        self.repository.next(("timestamp",))
        self.update()
        self.assertEqual(self.found(), "1.0.0")

    def test_malicious_mirror(self):
        self.point_at("press:1.1.0", 2)
        whole = {f: f.read_bytes() for f in self.repository.folder.iterdir()}
        for name in ("timestamp.json", "3.snapshot.json", "3.targets.json"):
            file = self.repository.folder / name
            for data in (None, b"", b"{}", b"[]", b"\0", whole[file][: len(whole[file]) // 2], b"<html>busy</html>", b"\xff" * 100):
                file.unlink(missing_ok=True)
                if data is not None:
                    file.write_bytes(data)
                self.refused(".")
            file.unlink(missing_ok=True)
            file.symlink_to("/etc/passwd")
            self.refused(".")
            file.unlink()
            file.write_bytes(whole[file])
        self.update()
        self.assertEqual(self.found(), "1.1.0")

    def test_mix_and_match(self):
        """Files of different times, each well signed."""
        folder = self.repository.folder
        self.point_at("press:1.1.0", 2)
        older_targets, older_snapshot = (folder / "3.targets.json").read_bytes(), (folder / "3.snapshot.json").read_bytes()
        self.point_at("press:1.0.0", 3)
        newer_targets, newer_snapshot = (folder / "4.targets.json").read_bytes(), (folder / "4.snapshot.json").read_bytes()
        (folder / "4.targets.json").write_bytes(older_targets)
        self.refused("targets metadata has .* above it states")
        (folder / "4.targets.json").write_bytes(newer_targets)
        (folder / "4.snapshot.json").write_bytes(older_snapshot)
        self.refused("snapshot metadata has .* above it states")
        (folder / "4.snapshot.json").write_bytes(newer_snapshot)
        self.update()

    def test_mix_and_match_where_only_versions_are_stated(self):
        folder = self.repository.folder
        self.repository.next()
        self.repository["targets"].version += 1
        self.repository.write(("targets",))
        self.repository["snapshot"].version += 1
        self.repository["snapshot"].meta = {"targets.json": MetaFile(4)}
        self.repository.sign("snapshot")
        self.repository.save("snapshot")
        self.repository["timestamp"].version += 1
        self.repository["timestamp"].snapshot_meta = MetaFile(4)
        self.repository.sign("timestamp")
        self.repository.save("timestamp")
        for role in ("targets", "snapshot"):
            good = (folder / f"4.{role}.json").read_bytes()
            shutil.copy(folder / f"3.{role}.json", folder / f"4.{role}.json")
            self.refused(f"{role} metadata is of version 3; the metadata above it states 4")
            (folder / f"4.{role}.json").write_bytes(good)
        self.update()

    def test_rollback(self):
        folder = self.repository.folder
        old = {f.name: f.read_bytes() for f in folder.iterdir()}
        self.point_at("press:1.1.0", 2)
        self.point_at("press:1.0.0", 3)
        self.update()
        (folder / "timestamp.json").write_bytes(old["timestamp.json"])
        self.refused("timestamp metadata of version 2 comes after version 4")

    def test_rollback_by_stolen_keys_of_timestamp_and_snapshot(self):
        self.point_at("press:1.1.0", 2)
        self.point_at("press:1.0.0", 3)
        self.update()
        self.repository["targets"].version = 2  # well signed, once
        self.repository["snapshot"].version += 1
        self.repository["timestamp"].version += 1
        self.repository.write(("targets", "snapshot", "timestamp"))
        self.refused(r"takes 'targets.json' from version 4 back to 2")
        self.repository["snapshot"].meta["targets.json"] = MetaFile(5)
        self.repository["snapshot"].version = 3
        self.repository["targets"].version = 5
        self.repository.write(("targets", "snapshot", "timestamp"))
        self.refused(r"takes 'snapshot.json' from version 4 back to 3")

    def test_rollback_of_a_channel_by_its_counter(self):
        self.point_at("press:1.1.0", 5)
        self.point_at("press:1.0.0", 6)
        self.update()
        self.point_at("press:1.1.0", 5)
        self.refused("goes from counter 6 back to 5")
        self.point_at("press:1.1.0", 6)
        self.refused("changes its version under the same counter 6")
        del self.repository["targets"].targets["press/stable"]  # withdrawn: the counter is not forgotten
        self.repository.next()
        self.update()
        self.assertIn("no channel", self.tenon("find", self.store, "press@stable", code=1)["error"])
        self.point_at("press:1.1.0", 5)
        told = self.tenon("trust", self.store, "update", self.repository.folder, code=1)["error"]
        self.assertIn("goes from counter 6 back to 5", told)
        self.point_at("press:1.1.0", 7)
        self.update()

    def test_rollback_of_the_root(self):
        self.repository.rotate("targets")
        self.repository.next()
        self.update()
        shutil.copy(self.repository.folder / "1.root.json", self.repository.folder / "3.root.json")
        self.refused("3.root.json: it is of version 1")

    def test_key_compromise_below_the_threshold(self):
        shutil.rmtree(self.store / "trust")
        self.repository = Repository(self.folder / "three", {"targets": 3, "root": 3}, {"targets": 2, "root": 2})
        self.repository["targets"].targets["press/stable"] = channel(self.manifest("press:1.0.0"), 1)
        self.repository.next()
        self.tenon("trust", self.store, "accept", self.repository.folder / "1.root.json")
        self.update()
        stolen = self.repository.signers["targets"][0]
        self.point_at("press:1.1.0", 2, signers={"targets": [stolen]})
        self.refused("targets metadata of version 3 has 1 valid signatures .* at least 2")
        # The same signature again, under the same id, under another, and by a key that has no say in this role.
        metadata = self.repository.parts["targets"]
        for what in ("twice", "another id", "another role"):
            whole = json.loads(metadata.to_bytes())
            again = dict(whole["signatures"][0])
            if what == "another id":
                again["keyid"] = self.repository.signers["targets"][1].public_key.keyid
            if what == "another role":
                signature = self.repository.signers["snapshot"][0].sign(metadata.signed_bytes)
                again = {"keyid": signature.keyid, "sig": signature.signature}
            whole["signatures"].append(again)
            (self.repository.folder / "3.targets.json").write_text(json.dumps(whole))
            self.repository.next(("snapshot", "timestamp"))
            self.refused("two signatures of the key" if what == "twice" else "has 1 valid signatures")

    def test_key_compromise_of_one_of_two_root_keys(self):
        shutil.rmtree(self.store / "trust")
        self.repository = Repository(self.folder / "three", {"root": 2}, {"root": 2})
        self.repository["targets"].targets["press/stable"] = channel(self.manifest("press:1.0.0"), 1)
        self.repository.next()
        self.tenon("trust", self.store, "accept", self.repository.folder / "1.root.json")
        self.update()
        stolen = self.repository.signers["root"][0]
        self.repository.rotate("targets", signers=[stolen])
        self.refused("2.root.json: root metadata of version 2 has 1 valid signatures of the keys that root 1")

    def test_key_compromise_cannot_name_new_root_keys(self):
        """A new root that only its own keys, or only the old ones, signed."""
        old = list(self.repository.signers["root"])
        self.repository.rotate("root", signers=old)
        self.refused("valid signatures of the keys that root 2 gives")
        self.repository.sign("root", self.repository.signers["root"])
        self.repository.save("root")
        self.refused("valid signatures of the keys that root 1 gives")

    def test_key_compromise_under_a_made_up_key_id(self):
        """A root, well signed, in which one key stands under two ids, to count twice."""
        one = self.repository.signers["targets"][0].public_key
        self.repository["root"].add_key(Key.from_dict("ab" * 32, one.to_dict()), "targets")
        self.repository.rotate()
        self.refused("the key under the id 'abab.*' has the id")

    def test_wrong_software(self):
        """A channel of one model that leads to another's version."""
        target = channel(self.manifest("valve:1.0.0"), 2)
        self.repository["targets"].targets["press/stable"] = target
        self.repository.next()
        self.update()
        told = self.tenon("find", self.store, "press@stable", code=1)["error"]
        self.assertIn("it leads to a version of the model 'valve'", told)
        self.tenon("get", self.store, "press@stable", self.folder / "out", code=1)
        self.assertFalse((self.folder / "out").exists())

    def test_wrong_software_by_an_altered_index_or_blob(self):
        """Whoever can write to the folder cannot make a channel give another file."""
        index = json.loads((self.store / "index.json").read_text())
        entries = {e["annotations"]["org.opencontainers.image.ref.name"]: e["annotations"] for e in index["manifests"]}
        entries["press:1.0.0"]["org.tenon.file.digest"] = entries["press:1.1.0"]["org.tenon.file.digest"]
        (self.store / "index.json").write_text(json.dumps(index))
        self.tenon("get", self.store, "press@stable", self.folder / "out")
        self.assertEqual((self.folder / "out").read_bytes(), bytes([0]) * 1000)
        self.manifest("press:1.0.0").write_bytes(self.manifest("press:1.1.0").read_bytes())
        self.assertIn("damaged", self.tenon("get", self.store, "press@stable", self.folder / "other", code=1)["error"])
        self.assertFalse((self.folder / "other").exists())


if __name__ == "__main__":
    unittest.main()
