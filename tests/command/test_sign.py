"""tenon keygen, sign and verify beside minisign, both ways, and bundles before PyPI's model-signing. TENON_COMMAND names
another command."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(ROOT / os.environ.get("TENON_COMMAND", "build/tenon"))
PASSWORD = "between two chairs"
# A key that minisign 0.11 made and encrypted with "pw": to make another takes as long as to try its password.
LOCKED = ("untrusted comment: minisign encrypted secret key\n"
          "RWRTY0Iyp7KZTsQW9ysCZdrpomW/LQ40dwP7iEYXsBYER1/C3bUAAAACAAAAAAAAAEAAAAAA"
          "stUHs/0mFEsvsvpRj1eawuQIANxzh25KyJUJqUQNejd7vYG7XNospxWFrw7uDGwage99E4zA"
          "w8rh3RZAqEo8DWctPfZUalwt+2zMaVx6VA+q9P86g4h+R/uixSkyS3J/CGKDBgRXLgE=\n")
LOCKED_PUBLIC = "RWSzk1aJOfDm/QJc/a2tu5Ey0V5zLopAsOOYSwx8Fi5mKvs7KYzgldYe"


class Signatures(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "press.onnx").write_bytes(os.urandom(200_001))
        (self.folder / "password").write_text(PASSWORD + "\n")

    def run_one(self, *words, code=0, typed=""):
        run = subprocess.run(words, cwd=self.folder, input=typed, capture_output=True, text=True)
        self.assertEqual(run.returncode, code, f"{words}: {run.stdout}{run.stderr}")
        return run.stdout + run.stderr

    def tenon(self, *words, **more):
        return self.run_one(COMMAND, *words, **more)

    def minisign(self, *words, **more):
        return self.run_one("minisign", *words, **more)

    def test_minisign_verifies_ours(self):
        self.tenon("keygen", "k")
        self.tenon("sign", "press.onnx", "--key", "k.key", "--comment", "press 1.2.0")
        self.assertIn("press 1.2.0", self.minisign("-V", "-p", "k.pub", "-m", "press.onnx"))
        line = (self.folder / "k.pub").read_text().split("\n")[1]
        self.minisign("-V", "-P", line, "-m", "press.onnx")
        (self.folder / "press.onnx").write_bytes(b"another")
        self.minisign("-V", "-P", line, "-m", "press.onnx", code=1)
        self.assertIn("changed", self.tenon("verify", "press.onnx", "--public", line, code=1))

    def test_we_verify_minisigns_in_both_forms(self):
        self.minisign("-G", "-W", "-p", "k.pub", "-s", "k.key")
        for form in ([], ["-l"]):
            self.minisign("-S", *form, "-s", "k.key", "-m", "press.onnx", "-t", "trusted")
            answer = json.loads(self.tenon("verify", "press.onnx", "--public", "k.pub", "--json"))
            self.assertEqual(answer["comment"], "trusted")
            self.assertIn(answer["key"], (self.folder / "k.pub").read_text())
        (self.folder / "press.onnx").write_bytes(b"another")
        answer = json.loads(self.tenon("verify", "press.onnx", "--public", "k.pub", "--json", code=1))
        self.assertIn("changed", answer["error"])

    def test_each_signs_with_the_others_keys_encrypted_or_not(self):
        self.minisign("-G", "-W", "-p", "plain.pub", "-s", "plain.key")
        (self.folder / "locked.key").write_text(LOCKED)
        (self.folder / "locked.key").chmod(0o600)
        (self.folder / "pw").write_text("pw\n")
        self.tenon("sign", "press.onnx", "--key", "plain.key")
        self.minisign("-V", "-p", "plain.pub", "-m", "press.onnx")
        self.assertIn("--password", self.tenon("sign", "press.onnx", "--key", "locked.key", code=1))
        self.tenon("sign", "press.onnx", "--key", "locked.key", "--password", "pw")
        self.minisign("-V", "-P", LOCKED_PUBLIC, "-m", "press.onnx")
        self.tenon("keygen", "ours", "--password", "password")
        self.minisign("-S", "-s", "ours.key", "-m", "press.onnx", typed=PASSWORD + "\n")
        self.tenon("verify", "press.onnx", "--public", "ours.pub")

    def verify_bundle(self, public_key, code=0):
        return self.run_one(sys.executable, "-m", "model_signing", "verify", "key", "press.onnx", "--signature",
                            "press.onnx.sigstore.json", "--public_key", public_key, code=code)

    def test_model_signing_takes_our_bundles_and_refuses_what_was_changed(self):
        for name in ("k", "other"):
            self.run_one("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.pem")
            self.run_one("openssl", "ec", "-in", f"{name}.pem", "-pubout", "-out", f"{name}.pub")
        self.tenon("sign", "press.onnx", "--bundle", "--key", "k.pem")
        self.assertIn("succeeded", self.verify_bundle("k.pub"))
        self.assertIn("mismatch", self.verify_bundle("other.pub", code=1))
        self.run_one("openssl", "ec", "-aes128", "-in", "k.pem", "-passout", f"pass:{PASSWORD}", "-out", "locked.pem")
        (self.folder / "locked.pem").chmod(0o600)
        self.assertIn("password", self.tenon("sign", "press.onnx", "--bundle", "--key", "locked.pem", code=1))
        name = 'a "name" of \xfc'
        (self.folder / "press.onnx").rename(self.folder / name)
        self.tenon("sign", name, "--bundle", "--key", "locked.pem", "--password", "password", "--signature",
                   "press.onnx.sigstore.json")
        (self.folder / name).rename(self.folder / "press.onnx")
        self.assertIn("succeeded", self.verify_bundle("k.pub"))
        (self.folder / "press.onnx").write_bytes(b"another")
        self.assertIn("failed", self.verify_bundle("k.pub", code=1).lower())

    def test_bundles_want_a_key_on_p256(self):
        self.run_one("openssl", "ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", "long.pem")
        self.assertIn("P-256", self.tenon("sign", "press.onnx", "--bundle", "--key", "long.pem", code=1))
        self.tenon("keygen", "k")
        self.assertIn("PEM", self.tenon("sign", "press.onnx", "--bundle", "--key", "k.key", code=1))
        self.run_one("openssl", "genrsa", "-out", "rsa.pem")
        self.assertIn("P-256", self.tenon("sign", "press.onnx", "--bundle", "--key", "rsa.pem", code=1))
        (self.folder / "rsa.pem").chmod(0o644)
        self.assertIn("chmod 600", self.tenon("sign", "press.onnx", "--bundle", "--key", "rsa.pem", code=1))

    def test_wrong_usage_says_what_to_do(self):
        self.assertIn("--key", self.tenon("sign", "press.onnx", code=2))
        self.assertIn("--public", self.tenon("verify", "press.onnx", code=2))
        self.assertIn("which file", self.tenon("verify", code=2))
        self.assertIn("minisig", self.tenon("verify", "press.onnx", "--public", "RWQ" + "A" * 53, code=1))


if __name__ == "__main__":
    unittest.main()
