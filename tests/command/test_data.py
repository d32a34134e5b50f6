"""Tests of tenon data. TENON_COMMAND names another build of the command."""
import gzip
import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(ROOT / os.environ.get("TENON_COMMAND", "build/tenon"))


class Data(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)

    def tenon(self, *words, code=0):
        done = subprocess.run([COMMAND, *map(str, words)], capture_output=True, text=True, errors="replace")
        self.assertEqual(done.returncode, code, (words, done.stdout, done.stderr))
        return done.stdout if code == 0 else done.stderr

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    # describe

    def test_real_data_are_described(self):
        data = load_breast_cancer()
        lines = [",".join(data.feature_names)] + [",".join(map(repr, map(float, row))) for row in data.data]
        plain = self.write("cancer.csv", "\n".join(lines) + "\n")
        packed = self.folder / "cancer.csv.gz"
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        for path in (plain, packed):
            found = json.loads(self.tenon("data", "describe", path, "--json"))
            self.assertEqual(found["rows"], len(data.data))
            self.assertEqual([c["name"] for c in found["columns"]], list(data.feature_names))
            for column, values in zip(found["columns"], data.data.T):
                self.assertEqual((column["type"], column["missing"]), ("number", 0))
                self.assertEqual((column["least"], column["greatest"]), (values.min(), values.max()))
                self.assertEqual(column["levels"], len(np.unique(values)))
                np.testing.assert_allclose(column["mean"], values.mean(), rtol=1e-8)
                np.testing.assert_allclose(column["deviation"], values.std(), rtol=1e-8)  # as printed
        self.assertIn("569 rows, 30 columns", self.tenon("data", "describe", plain))

    def test_european_files_are_described(self):
        path = self.write("werk.csv", "Leistung;Zustand\n1,5;an\n;aus\n2,5;an\n")
        words = ("data", "describe", path, "--separator", ";", "--decimal", ",", "--json")
        power, state = json.loads(self.tenon(*words))["columns"]
        self.assertEqual((power["type"], power["missing"], power["mean"]), ("number", 1, 2))
        self.assertEqual((state["type"], state["levels"]), ("text", 2))

    def test_wrong_files_and_words_are_refused(self):
        ragged = self.write("ragged.csv", "a,b\n1,2\n3\n")
        self.assertIn("ragged.csv line 3: a record of 1 fields", self.tenon("data", "describe", ragged, code=1))
        self.assertIn("No such file", self.tenon("data", "describe", self.folder / "none.csv", code=1))
        self.tenon("data", "describe", code=2)
        self.tenon("data", "paint", ragged, code=2)
        self.tenon("data", code=2)
        self.tenon("data", "describe", ragged, "--separator", "ab", code=2)


if __name__ == "__main__":
    unittest.main()
