"""Tests of tenon.sign: what the library promises of signatures is tested in C; here, that Python reaches all of it."""
import json
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import tenon


class Signatures(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.file, self.key, self.public = (self.folder / name for name in ("press.tenon", "press.key", "press.pub"))
        self.file.write_bytes(b"weights")
        tenon.sign.make_key(self.key, self.public)

    def test_what_is_signed_is_verified(self):
        tenon.sign.sign(self.file, self.key, comment="press 1.2.0")
        found = tenon.sign.verify(self.file, self.public)
        self.assertEqual((found.comment, len(found.key_id)), ("press 1.2.0", 16))
        line = self.public.read_text().splitlines()[1]
        self.assertEqual(tenon.sign.verify(self.file, line, signature=f"{self.file}.minisig"), found)
        tenon.sign.sign(self.file, self.key, signature=self.folder / "other")
        self.assertIn("press.tenon", tenon.sign.verify(self.file, self.public, signature=self.folder / "other").comment)

    def test_minisign_takes_it(self):
        if not shutil.which("minisign"):
            self.skipTest("minisign is not installed")
        tenon.sign.sign(self.file, self.key)
        subprocess.run(["minisign", "-V", "-q", "-p", self.public, "-m", self.file], check=True)

    def test_what_is_not_signed_is_refused(self):
        with self.assertRaises(tenon.InvalidArgument):
            tenon.sign.sign(self.file, self.key, comment="two\nlines")
        with self.assertRaises(tenon.Error):
            tenon.sign.make_key(self.key, self.public)
        with self.assertRaises((tenon.NotFound, tenon.IOFailure)):
            tenon.sign.verify(self.file, self.public)
        tenon.sign.sign(self.file, self.key)
        self.file.write_bytes(b"Weights")
        with self.assertRaises(tenon.CheckFailed):
            tenon.sign.verify(self.file, self.public)
        self.key.chmod(0o644)
        with self.assertRaises(tenon.StateError):
            tenon.sign.sign(self.file, self.key)

    def test_a_password_is_asked_for(self):
        key, public = self.folder / "locked.key", self.folder / "locked.pub"
        tenon.sign.make_key(key, public, password="open sesame", memory=1 << 20)
        with self.assertRaises(tenon.StateError):
            tenon.sign.sign(self.file, key)
        with self.assertRaises(tenon.FormatError):
            tenon.sign.sign(self.file, key, password="close")
        tenon.sign.sign(self.file, key, password="open sesame")
        tenon.sign.verify(self.file, public)

    def test_a_bundle_names_the_file_by_its_digest(self):
        if not shutil.which("openssl"):
            self.skipTest("openssl is not installed")
        pem = self.folder / "p256.pem"
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", pem], check=True)
        pem.chmod(0o600)
        tenon.sign.bundle(self.file, pem)
        made = json.loads((self.folder / "press.tenon.sigstore.json").read_text())
        self.assertIn("dsseEnvelope", made)


if __name__ == "__main__":
    unittest.main()
