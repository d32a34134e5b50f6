"""Studies from Python: what C's tests show of the samplers is not repeated here."""
import json
import tempfile
import unittest
from pathlib import Path

import numpy as np
import tenon
from tenon import tune


def square(seed, path=None):
    study = tune.Study(path, seed=seed)
    study.add_float("x", -2, 2)
    study.add_int("n", 1, 64, log=True)
    study.add_choice("kind", ["sieve", "Sieb"])
    study.add_float("y", 0, 1, step=0.5)
    study.add_condition("y", "kind", "Sieb")
    return study


class Studies(unittest.TestCase):
    def test_a_study_asks_and_is_told(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "study"
            study = square(3, path)
            for _ in range(25):
                trial = study.ask()
                self.assertEqual(trial.state, "running")
                self.assertEqual("y" in trial.parameters, trial["kind"] == "Sieb")
                self.assertIsInstance(trial["n"], int)
                trial.tell(trial["x"] ** 2)
            self.assertEqual(len(study), 25)
            best = study.best
            self.assertEqual(best.values, [min(t.values[0] for t in study.trials)])
            self.assertEqual([t.number for t in study.front], [best.number])
            self.assertAlmostEqual(sum(study.importance().values()), 1)
            failed = study.ask()
            failed.fail("no luck")
            self.assertEqual((failed.state, failed.why), ("failed", "no luck"))
            lines = [json.loads(line) for line in path.read_text().splitlines()]  # JSON, as others read it
            self.assertEqual(lines[1 + best.number]["parameters"], best.parameters)
            with self.assertRaises(tenon.StateError):
                square(3, path).ask()  # it is open
            del study, trial, best, failed
            again = square(3, path)
            again.open()
            self.assertEqual(len(again), 26)

    def test_halving_prunes(self):
        study = tune.Study(first=1, reduction=2, seed=1)
        study.add_float("x", 0, 1)
        goes_on = []
        for value in (0.5, 0.6, 0.4):
            goes_on.append(study.ask().report(1, value))
        self.assertEqual(goes_on, [True, False, True])

    def test_what_waits_at_a_rung_goes_on(self):
        study = tune.Study(first=1, reduction=2, seed=1, promote=True)
        study.add_float("x", 0, 1)
        self.assertIsNone(study.promote())
        trials = [study.ask() for _ in range(4)]
        goes_on = [trial.report(1, value) for trial, value in zip(trials, (0.5, 0.6, 0.7, 0.8))]
        self.assertEqual(goes_on, [True, False, False, False])
        again = study.promote()  # the second of four, now
        self.assertEqual((again.number, again.rungs, again.state, trials[2].state), (1, 1, "running", "pruned"))
        self.assertIsNone(study.promote())
        self.assertEqual(len(study), 2)

    def test_what_is_wrong_is_said(self):
        with self.assertRaises(tenon.InvalidArgument):
            tune.Study(sampler="grid")
        with self.assertRaises(tenon.InvalidArgument):
            tune.Study().add_float("x", 1, 0)
        study = square(0)
        with self.assertRaises(tenon.NotFound):
            study.best
        with self.assertRaises(tenon.NotFound):
            study.ask()["z"]

    def test_a_study_of_a_plan(self):
        random = np.random.default_rng(0)
        with tempfile.TemporaryDirectory() as folder:
            x = random.normal(size=(80, 2))
            rows = "".join(f"{a:.3f},{b:.3f},{int(a + b > 0)}\n" for a, b in x)
            (Path(folder) / "rows.csv").write_text("a,b,side\n" + rows)
            (Path(folder) / "study.yaml").write_text(
                "plan:\n  name: sides\n  data: {train: rows.csv}\n"
                "  pipeline: {features: [{column: '*'}], target: {column: side, encode: ordinal}}\n"
                "  model: {layers: [{dense: 4}]}\n  train: {epochs: 3, validation: 0.25}\n"
                "trials: 6\nobjectives: [accuracy]\nspace: {train.optimizer.rate: {log: [1e-3, 1e-1]}}\n"
            )
            tuning = tune.run(Path(folder) / "study.yaml", jobs=2)
            self.assertEqual(len(tuning), 6)
            self.assertTrue(0 <= tuning.best.values[0] <= 1)
            model = tenon.load(tuning.path(tuning.best))
            self.assertEqual(model.run(np.zeros((1, 2), np.float32))[0].shape, (1, 2))


if __name__ == "__main__":
    unittest.main()
