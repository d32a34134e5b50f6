"""Tests of pushes, pulls and channels from Python, against a small registry: all else is tested in C."""
import hashlib
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import tenon


class Registry(BaseHTTPRequestHandler):
    """One repository in memory, and the files of a folder below /trust/."""

    protocol_version = "HTTP/1.1"

    def answer(self, code, body=b"", **fields):
        self.send_response(code)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_GET(self):
        kept, file = self.server.kept.get(self.path.rsplit("/", 1)[1]), self.server.folder / self.path.rsplit("/", 1)[1]
        if self.path.startswith("/trust/") and file.exists():
            self.answer(200, file.read_bytes())
        elif kept is None or self.path.startswith("/trust/"):
            self.answer(404)
        else:
            self.answer(200, kept, Content_Type="application/vnd.oci.image.manifest.v1+json")

    do_HEAD = do_GET

    def do_POST(self):
        self.server.upload = self.body()
        self.answer(202, Location="/upload")

    def do_PATCH(self):
        self.server.upload += self.body()
        self.answer(202, Location="/upload", Range=f"0-{len(self.server.upload) - 1}")

    def do_PUT(self):
        body, query = self.body(), parse_qs(urlparse(self.path).query)
        name = query["digest"][0] if query else self.path.rsplit("/", 1)[1]
        content = self.server.upload if query else body
        self.server.kept[name] = self.server.kept["sha256:" + hashlib.sha256(content).hexdigest()] = content
        self.answer(201)

    def log_message(self, *arguments):
        pass


class Registries(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
        self.server.kept, self.server.folder = {}, self.folder / "models/trust"
        thread = threading.Thread(target=self.server.serve_forever)
        thread.start()
        self.addCleanup(lambda: (self.server.shutdown(), thread.join(), self.server.server_close()))
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.options = {"plain_http": True, "attempts": 2, "wait_ms": 10}
        self.store = tenon.Store.create(self.folder / "models")
        self.edge = tenon.Store.create(self.folder / "edge")
        (self.folder / "press.onnx").write_bytes(b"weights" * 1000)
        self.version = self.store.put(self.folder / "press.onnx", "press", "1.0.0")

    def test_a_version_goes_there_and_back(self):
        told = []
        sent = self.store.push("press", f"{self.host}/press", progress=lambda *words: told.append(words), **self.options)
        self.assertEqual((sent.digest, sent.blobs, sent.skipped), (self.version.digest, 2, 0))
        self.assertEqual(told[-1][1], sent.bytes)
        self.assertEqual(self.edge.pull(f"{self.host}/press:1.0.0", **self.options), self.version)
        self.assertEqual(self.edge.verify(), [])
        with self.assertRaises(tenon.NotFound):
            self.edge.pull(f"{self.host}/press:2.0.0", **self.options)
        with self.assertRaises(tenon.InvalidArgument):
            self.edge.pull("https://press", **self.options)
        with self.assertRaises(TypeError):
            self.edge.pull(f"{self.host}/press:1.0.0", retries=3)

    def test_progress_can_end_a_transfer(self):
        def fail(done, total):
            raise KeyError("mine")

        with self.assertRaises(tenon.Interrupted):
            self.store.push("press", f"{self.host}/press", progress=lambda *words: False, **self.options)
        with self.assertRaises(KeyError):
            self.store.push("press", f"{self.host}/press", progress=fail, **self.options)

    def test_a_channel_is_followed(self):
        keys, url = self.folder / "keys", f"http://{self.host}/trust"
        self.store.init_trust(keys)
        self.store.promote("press", "stable", keys)
        self.store.push("press", f"{self.host}/press", **self.options)
        self.edge.accept_trust(self.folder / "models/trust/1.root.json")
        self.edge.update_trust(url, **self.options)
        self.assertEqual(self.edge.channel("press", "stable").digest, self.version.digest)
        self.assertEqual(self.edge.list(), [])
        self.assertEqual(self.edge.follow("press@stable", url, f"{self.host}/press", **self.options), self.version)


if __name__ == "__main__":
    unittest.main()
