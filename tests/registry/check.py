"""Pushes and pulls beside a real registry and other clients; see check.sh."""
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from servers import COMMAND, EXAMPLES, ROOT, USER, Registry, free_port, make_certificates, run_tenon, wait_for


class Registries(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        holder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(holder.cleanup)
        cls.folder = folder = Path(holder.name)
        cls.ca, certificate, key = make_certificates(folder)
        name, password = USER.split(":")
        passwords = subprocess.run(["htpasswd", "-Bbn", "-C", "5", name, password], check=True, capture_output=True).stdout
        (folder / "passwords").write_bytes(passwords)
        token_port = free_port()
        server = subprocess.Popen([sys.executable, ROOT / "tests/registry/token_server.py", str(token_port), certificate, key, USER])
        cls.addClassCleanup(lambda: (server.kill(), server.wait()))
        tls = certificate, key
        cls.plain = Registry(folder / "plain")
        cls.basic = Registry(folder / "basic", tls, f"auth: {{htpasswd: {{realm: tests, path: {folder}/passwords}}}}\n")
        cls.token = Registry(folder / "token", None,
                             f"auth:\n  token:\n    realm: http://127.0.0.1:{token_port}/token\n    service: tests registry\n"
                             f"    issuer: tests\n    rootcertbundle: {cls.ca}\n")
        wait_for(token_port)
        for registry in (cls.plain, cls.basic, cls.token):
            cls.addClassCleanup(registry.stop)
        cls.file, cls.big = folder / "press.onnx", folder / "big.onnx"
        cls.file.write_bytes(os.urandom(300_001))
        cls.big.write_bytes(os.urandom(3_000_000))
        cls.store = folder / "store"
        run_tenon("create", cls.store)
        cls.version = json.loads(run_tenon("put", cls.store, cls.file, "press:1.2.0", "--json"))
        run_tenon("put", cls.store, cls.big, "big:1.0.0")

    def edge(self, name):
        folder = self.folder / name
        run_tenon("create", folder)
        return folder

    def same_version(self, store, name="press", file=None):
        out = self.folder / "out"
        run_tenon("get", store, name, out)
        self.assertEqual(out.read_bytes(), (file or self.file).read_bytes())
        run_tenon("verify", store)

    def start(self, verb, *words):
        return subprocess.Popen([COMMAND, "store", verb, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_other_clients_find_what_was_pushed(self):
        address, copy = self.plain.address("line-2/press"), self.folder / "copy"
        told = json.loads(run_tenon("push", self.store, "press:1.2.0", address, "--json"))
        self.assertEqual((told["digest"], told["blobs"]), (self.version["digest"], 2))
        again = json.loads(run_tenon("push", self.store, "press:1.2.0", address + ":stable", "--json"))
        self.assertEqual((again["blobs"], again["skipped"], again["bytes"]), (0, 2, 0))
        raw = subprocess.run(["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{address}:stable"], check=True,
                             capture_output=True).stdout
        self.assertEqual("sha256:" + hashlib.sha256(raw).hexdigest(), self.version["digest"])
        subprocess.run(["skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{address}:1.2.0", f"oci:{copy}:press"], check=True)
        layer = json.loads(raw)["layers"][0]["digest"].removeprefix("sha256:")
        self.assertEqual((copy / "blobs/sha256" / layer).read_bytes(), self.file.read_bytes())
        import oras.client
        client = oras.client.OrasClient(hostname=self.plain.address("").rstrip("/"), insecure=True)
        files = client.pull(target=f"{address}:1.2.0", outdir=str(self.folder / "oras"))
        self.assertIn(self.file.read_bytes(), [Path(f).read_bytes() for f in files])

    def test_what_another_client_copied_is_pulled(self):
        address, edge = self.plain.address("copied"), self.edge("edge-copied")
        subprocess.run(["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{self.store}:press:1.2.0",
                        f"docker://{address}:one"], check=True)
        told = json.loads(run_tenon("pull", edge, address + ":one", "--json"))
        self.assertEqual(told["digest"], self.version["digest"])
        self.same_version(edge)
        run_tenon("pull", edge, f"{address}@{self.version['digest']}")
        self.assertIn("not found", run_tenon("pull", edge, address + ":two", code=1))

    def test_tls_and_passwords(self):
        address, edge = self.basic.address("press"), self.edge("edge-basic")
        ca = "--ca", self.ca
        push = "push", self.store, "press:1.2.0", address
        self.assertIn("certificate", run_tenon(*push, "--user", USER, code=1))
        self.assertIn("wants a name", run_tenon(*push, *ca, code=1))
        self.assertIn("does not accept", run_tenon(*push, *ca, "--user", "edge:open", code=1))
        run_tenon(*push, *ca, "--user", USER)
        (self.folder / "user").write_text(USER + "\n")
        run_tenon("pull", edge, address + ":1.2.0", *ca, "--user", f"@{self.folder}/user")
        self.same_version(edge)
        run_tenon("pull", edge, address + ":1.2.0", *ca, "--user", "edge", TENON_PASSWORD=USER.split(":")[1])
        run_tenon("pull", edge, address + ":1.2.0", *ca, TENON_USER=USER)

    def test_tokens(self):
        address, edge = self.token.address("line/press"), self.edge("edge-token")
        push = "push", self.store, "press:1.2.0", address
        self.assertIn("token server", run_tenon(*push, code=1))
        self.assertIn("token server", run_tenon(*push, "--user", "edge:open", code=1))
        run_tenon(*push, "--user", USER)
        run_tenon("pull", edge, address + ":1.2.0", "--user", USER)
        self.same_version(edge)

    def test_a_channel_is_followed(self):
        """The metadata from a plain server of files, the version from a registry that is not trusted."""
        address, edge, keys, port = self.plain.address("channel"), self.edge("edge-channel"), self.folder / "keys", free_port()
        run_tenon("trust", self.store, "init", keys)
        run_tenon("promote", self.store, "press:1.2.0", "stable", keys)
        run_tenon("push", self.store, "press:1.2.0", address)
        server = subprocess.Popen([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", self.store, str(port)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (server.kill(), server.wait()))
        wait_for(port)
        url = f"http://127.0.0.1:{port}/trust"
        run_tenon("trust", edge, "accept", self.store / "trust/1.root.json")
        run_tenon("trust", edge, "update", url)
        self.assertIn("not in the store", run_tenon("find", edge, "press@stable", code=1))
        run_tenon("follow", edge, "press@stable", url, address)
        self.same_version(edge, "press@stable")
        # A program that runs meanwhile changes over to what is promoted, wherever it comes from.
        golden, valve = ROOT / "tests/golden/v1.1-self-test.tenon", self.plain.address("valve")
        for version in ("1.0.0", "1.1.0"):
            run_tenon("put", self.store, golden, f"valve:{version}")
            run_tenon("push", self.store, f"valve:{version}", valve)
        run_tenon("promote", self.store, "valve:1.0.0", "stable", keys)
        running = subprocess.Popen([EXAMPLES / "follow_model", edge, "valve@stable", "200", url, valve], stdout=subprocess.PIPE,
                                   text=True)
        time.sleep(0.5)
        run_tenon("promote", self.store, "valve:1.1.0", "stable", keys)
        said = running.communicate(timeout=60)[0]
        self.assertEqual(running.returncode, 0, said)
        self.assertIn("cycle 0: version 1.0.0", said)
        self.assertRegex(said, "cycle [0-9]+: version 1.1.0\n1 changes, 0 failures")

    def test_a_pull_that_was_killed_goes_on(self):
        address, edge = self.plain.address("big"), self.edge("edge-killed")
        run_tenon("push", self.store, "big", address)
        pull = self.start("pull", edge, address + ":1.0.0", "--limit-rate", 1_500_000)
        for _ in range(400):
            if sum(f.stat().st_size for f in (edge / "journal").iterdir()) > 500_000:
                break
            time.sleep(0.01)
        pull.send_signal(signal.SIGKILL)
        pull.communicate()
        run_tenon("verify", edge)
        self.assertEqual(json.loads(run_tenon("list", edge, "--json"))["versions"], [])
        told = json.loads(run_tenon("pull", edge, address + ":1.0.0", "--json"))
        self.assertGreater(told["resumed"], 500_000)
        self.assertLess(told["bytes"], 2_500_300)
        self.same_version(edge, "big", self.big)
        self.assertEqual(list((edge / "journal").glob("*.part")), [])

    def test_a_registry_that_is_killed_and_comes_back_loses_nothing(self):
        edge = self.edge("edge-back")
        registry = Registry(self.folder / "back")
        self.addCleanup(lambda: registry.stop())
        for verb, words in (("push", (self.store, "big", registry.address("big:1.0.0"))),
                            ("pull", (edge, registry.address("big:1.0.0")))):
            started = time.monotonic()
            running = self.start(verb, *words, "--limit-rate", 2_000_000, "--json")
            time.sleep(0.5)
            registry.stop()
            time.sleep(0.2)
            registry.start()
            out, error = running.communicate(timeout=60)
            self.assertEqual(running.returncode, 0, (out, error))
            self.assertLess(json.loads(out)["bytes"], 4_500_000 if verb == "push" else 3_000_300)
            self.assertLess(time.monotonic() - started, 10)
        self.same_version(edge, "big", self.big)

    def test_a_bandwidth_limit_is_kept(self):
        address, edge = self.plain.address("slow"), self.edge("edge-slow")
        run_tenon("push", self.store, "big", address)
        rate, started = 1_000_000, time.monotonic()
        run_tenon("pull", edge, address + ":1.0.0", "--limit-rate", rate)
        # About a megabyte arrives in buffers before the limit can act, so half of the time is asked for.
        self.assertGreater(time.monotonic() - started, self.big.stat().st_size / rate / 2)


if __name__ == "__main__":
    unittest.main()
