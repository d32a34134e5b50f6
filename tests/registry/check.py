"""Pushes and pulls beside a real registry and other clients; see check.sh."""
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(ROOT / os.environ.get("TENON_COMMAND", "build/tenon"))
EXAMPLES = ROOT / os.environ.get("EXAMPLES", "build/examples")
USER = "edge:open sesame"
os.environ["no_proxy"] = "127.0.0.1,localhost"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    for _ in range(200):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")


class Registry:
    """docker-registry in a folder, until stopped."""

    def __init__(self, folder, tls=None, extra=""):
        self.port, self.folder = free_port(), folder
        folder.mkdir()
        files = f"  tls: {{certificate: {tls[0]}, key: {tls[1]}}}\n" if tls else ""
        (folder / "config.yml").write_text(
            f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
            f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
            f"http:\n  addr: 127.0.0.1:{self.port}\n  secret: tests\n{files}{extra}")
        self.start()

    def start(self):
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", str(self.folder / "config.yml")],
                                            stdout=log, stderr=log)
        wait_for(self.port)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def address(self, rest):
        return f"127.0.0.1:{self.port}/{rest}"


class Registries(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        holder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(holder.cleanup)
        cls.folder = folder = Path(holder.name)
        cls.ca, certificate, key = folder / "ca.pem", folder / "server.pem", folder / "server.key"
        make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"]
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([*make, "/CN=tests", "-keyout", folder / "ca.key", "-out", cls.ca], **quiet)
        subprocess.run([*make, "/CN=registry", "-keyout", key, "-out", certificate, "-CA", cls.ca, "-CAkey", folder / "ca.key",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"], **quiet)
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
        cls.run_tenon("create", cls.store)
        cls.version = json.loads(cls.run_tenon("put", cls.store, cls.file, "press:1.2.0", "--json"))
        cls.run_tenon("put", cls.store, cls.big, "big:1.0.0")

    @classmethod
    def run_tenon(cls, verb, *words, code=0, **environment):
        done = subprocess.run([COMMAND, "store", verb, *map(str, words)], capture_output=True, text=True,
                              env={**os.environ, **environment})
        assert done.returncode == code, (verb, words, done.stdout, done.stderr)
        assert "sesame" not in done.stdout + done.stderr
        return done.stdout if code == 0 else done.stdout + done.stderr

    def edge(self, name):
        folder = self.folder / name
        self.run_tenon("create", folder)
        return folder

    def same_version(self, store, name="press", file=None):
        out = self.folder / "out"
        self.run_tenon("get", store, name, out)
        self.assertEqual(out.read_bytes(), (file or self.file).read_bytes())
        self.run_tenon("verify", store)

    def start(self, verb, *words):
        return subprocess.Popen([COMMAND, "store", verb, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_other_clients_find_what_was_pushed(self):
        address, copy = self.plain.address("line-2/press"), self.folder / "copy"
        told = json.loads(self.run_tenon("push", self.store, "press:1.2.0", address, "--json"))
        self.assertEqual((told["digest"], told["blobs"]), (self.version["digest"], 2))
        again = json.loads(self.run_tenon("push", self.store, "press:1.2.0", address + ":stable", "--json"))
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
        told = json.loads(self.run_tenon("pull", edge, address + ":one", "--json"))
        self.assertEqual(told["digest"], self.version["digest"])
        self.same_version(edge)
        self.run_tenon("pull", edge, f"{address}@{self.version['digest']}")
        self.assertIn("not found", self.run_tenon("pull", edge, address + ":two", code=1))

    def test_tls_and_passwords(self):
        address, edge = self.basic.address("press"), self.edge("edge-basic")
        ca = "--ca", self.ca
        push = "push", self.store, "press:1.2.0", address
        self.assertIn("certificate", self.run_tenon(*push, "--user", USER, code=1))
        self.assertIn("wants a name", self.run_tenon(*push, *ca, code=1))
        self.assertIn("does not accept", self.run_tenon(*push, *ca, "--user", "edge:open", code=1))
        self.run_tenon(*push, *ca, "--user", USER)
        (self.folder / "user").write_text(USER + "\n")
        self.run_tenon("pull", edge, address + ":1.2.0", *ca, "--user", f"@{self.folder}/user")
        self.same_version(edge)
        self.run_tenon("pull", edge, address + ":1.2.0", *ca, "--user", "edge", TENON_PASSWORD=USER.split(":")[1])
        self.run_tenon("pull", edge, address + ":1.2.0", *ca, TENON_USER=USER)

    def test_tokens(self):
        address, edge = self.token.address("line/press"), self.edge("edge-token")
        push = "push", self.store, "press:1.2.0", address
        self.assertIn("token server", self.run_tenon(*push, code=1))
        self.assertIn("token server", self.run_tenon(*push, "--user", "edge:open", code=1))
        self.run_tenon(*push, "--user", USER)
        self.run_tenon("pull", edge, address + ":1.2.0", "--user", USER)
        self.same_version(edge)

    def test_a_channel_is_followed(self):
        """The metadata from a plain server of files, the version from a registry that is not trusted."""
        address, edge, keys, port = self.plain.address("channel"), self.edge("edge-channel"), self.folder / "keys", free_port()
        self.run_tenon("trust", self.store, "init", keys)
        self.run_tenon("promote", self.store, "press:1.2.0", "stable", keys)
        self.run_tenon("push", self.store, "press:1.2.0", address)
        server = subprocess.Popen([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", self.store, str(port)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (server.kill(), server.wait()))
        wait_for(port)
        url = f"http://127.0.0.1:{port}/trust"
        self.run_tenon("trust", edge, "accept", self.store / "trust/1.root.json")
        self.run_tenon("trust", edge, "update", url)
        self.assertIn("not in the store", self.run_tenon("find", edge, "press@stable", code=1))
        self.run_tenon("follow", edge, "press@stable", url, address)
        self.same_version(edge, "press@stable")
        # A program that runs meanwhile changes over to what is promoted, wherever it comes from.
        golden, valve = ROOT / "tests/golden/v1.1-self-test.tenon", self.plain.address("valve")
        for version in ("1.0.0", "1.1.0"):
            self.run_tenon("put", self.store, golden, f"valve:{version}")
            self.run_tenon("push", self.store, f"valve:{version}", valve)
        self.run_tenon("promote", self.store, "valve:1.0.0", "stable", keys)
        running = subprocess.Popen([EXAMPLES / "follow_model", edge, "valve@stable", "200", url, valve], stdout=subprocess.PIPE,
                                   text=True)
        time.sleep(0.5)
        self.run_tenon("promote", self.store, "valve:1.1.0", "stable", keys)
        said = running.communicate(timeout=60)[0]
        self.assertEqual(running.returncode, 0, said)
        self.assertIn("cycle 0: version 1.0.0", said)
        self.assertRegex(said, "cycle [0-9]+: version 1.1.0\n1 changes, 0 failures")

    def test_a_pull_that_was_killed_goes_on(self):
        address, edge = self.plain.address("big"), self.edge("edge-killed")
        self.run_tenon("push", self.store, "big", address)
        pull = self.start("pull", edge, address + ":1.0.0", "--limit-rate", 1_500_000)
        for _ in range(400):
            if sum(f.stat().st_size for f in (edge / "journal").iterdir()) > 500_000:
                break
            time.sleep(0.01)
        pull.send_signal(signal.SIGKILL)
        pull.communicate()
        self.run_tenon("verify", edge)
        self.assertEqual(json.loads(self.run_tenon("list", edge, "--json"))["versions"], [])
        told = json.loads(self.run_tenon("pull", edge, address + ":1.0.0", "--json"))
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
        self.run_tenon("push", self.store, "big", address)
        rate, started = 1_000_000, time.monotonic()
        self.run_tenon("pull", edge, address + ":1.0.0", "--limit-rate", rate)
        # About a megabyte arrives in buffers before the limit can act, so half of the time is asked for.
        self.assertGreater(time.monotonic() - started, self.big.stat().st_size / rate / 2)


if __name__ == "__main__":
    unittest.main()
