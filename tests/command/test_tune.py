"""tenon tune: a study is run, shown, gone on with and drawn; what is wrong is a sentence."""
import json
import os
import subprocess
import tempfile
import unittest
import xml.dom.minidom
from pathlib import Path

TENON = Path(__file__).resolve().parents[2] / os.environ.get("BUILD", "build") / "tenon"
STUDY = """\
plan:
  name: sides
  data: {train: rows.csv}
  pipeline: {features: [{column: "*"}], target: {column: side, encode: ordinal}}
  model: {layers: [{dense: 4, activation: relu}]}
  train: {epochs: 2, validation: 0.25}
trials: 12
objectives: [accuracy, size]
space:
  train.optimizer.rate: {log: [1e-3, 1e-1]}
  model.layers.0.dense: {int: [2, 8]}
  model.layers.0.activation: {choose: [relu, "<b>tanh", tanh]}
"""


def tenon(*words):
    return subprocess.run([TENON, *words], capture_output=True, text=True)


class Tune(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        rows = "".join(f"{i % 7},{i % 5},{int(i % 7 > i % 5)}\n" for i in range(80))
        (self.folder / "rows.csv").write_text("a,b,side\n" + rows)
        (self.folder / "study.yaml").write_text(STUDY.replace('"<b>tanh", ', ""))

    def test_a_study_is_run_gone_on_with_and_drawn(self):
        study, page = self.folder / "study.yaml", self.folder / "page.html"
        done = tenon("tune", study, "--json")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        found = json.loads(done.stdout)
        self.assertEqual((found["complete"], found["pruned"], found["failed"]), (12, 0, 0))
        for best in found["best"]:
            self.assertEqual(Path(best["model"]).stat().st_size, best["values"]["size"])
            self.assertTrue(Path(best["plan"]).exists())
        self.assertEqual(len(list(self.folder.glob("sides.*.tenon"))), len(found["best"]))
        more = tenon("tune", study, "--trials", "15", "--jobs", "2", "--report", page)
        self.assertEqual((more.returncode, more.stderr), (0, ""))
        self.assertIn("15 trials complete", more.stdout)
        self.assertEqual(len((self.folder / "sides.study").read_text().splitlines()), 16)
        text = page.read_text()
        for start in range(len(text)):
            if text.startswith("<svg viewBox", start):
                xml.dom.minidom.parseString(text[start : text.index("</svg>", start) + 6])
        for word in ("History", "The front", "PED-ANOVA", "train.optimizer.rate"):
            self.assertIn(word, text)
        for address in ("http://", "https://", "<script"):
            self.assertNotIn(address, text)

    def test_what_is_wrong_is_a_sentence(self):
        study = self.folder / "study.yaml"
        study.write_text(STUDY)
        done = tenon("tune", study)
        self.assertEqual(done.returncode, 1)
        self.assertIn("'activation' is one of", done.stderr)
        done = tenon("tune", self.folder / "nowhere.yaml")
        self.assertEqual(done.returncode, 1)
        self.assertIn("nowhere.yaml", done.stderr)
        self.assertEqual(tenon("tune").returncode, 2)


if __name__ == "__main__":
    unittest.main()
