"""Tables beside Python's csv module; pipelines beside scikit-learn's preprocessing, on random and real data."""
import csv
import io
import json
import unittest

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, RobustScaler, StandardScaler

import tenon
from tenon.data import Pipeline, Table

SCALERS = {"standard": StandardScaler, "min-max": MinMaxScaler, "robust": RobustScaler}


def fitted_of(pipeline):
    """What is in the YAML of a fitted pipeline's first feature, by name, as floats."""
    lines = pipeline.write().split("fitted:\n")[1].splitlines()[:3]
    return {key.strip(): float(value) for key, value in (line.split(":") for line in lines)}


def table_of(**columns):
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(columns)
    for row in zip(*columns.values()):
        numbers = ["" if v != v else repr(float(v)) if isinstance(v, float) else v for v in row]
        writer.writerow(numbers)
    return Table(file.getvalue().encode())


def made(features, target=None, split=None):
    parts = {"features": features, "target": target, "split": split}
    return Pipeline(json.dumps({key: value for key, value in parts.items() if value}))


class Tables(unittest.TestCase):
    def test_texts_are_those_of_pythons_csv(self):
        random = np.random.default_rng(1)
        alphabet = ["a", "Ω", '"', ",", "\n", "\r\n", " ", "7", ";"]
        for case in range(100):
            rows = [["t" + "".join(random.choice(alphabet, 4)) for _ in range(3)] for _ in range(20)]
            file = io.StringIO()
            csv.writer(file, quoting=(csv.QUOTE_MINIMAL, csv.QUOTE_ALL)[case % 2]).writerows([["x", "y", "z"], *rows])
            table = Table(file.getvalue().encode())
            self.assertEqual((len(table), table.columns), (20, ["x", "y", "z"]))
            for i, name in enumerate("xyz"):
                self.assertEqual(list(table[name]), [row[i] for row in rows])

    def test_numbers_are_read_to_the_last_bit(self):
        random = np.random.default_rng(2)
        values = random.normal(size=2000) * 10.0 ** random.integers(-300, 300, 2000)
        for form in (repr, "{:.3g}".format, "{:.17e}".format):
            texts = [form(float(value)) for value in values]
            found = Table(("v\n" + "\n".join(texts) + "\n").encode())["v"]
            np.testing.assert_array_equal(found, [float(text) for text in texts])

    def test_wrong_ones_are_refused(self):
        with self.assertRaisesRegex(tenon.FormatError, "line 3: a record of 1 fields"):
            Table(b"a,b\n1,2\n3\n")
        with self.assertRaises(tenon.NotFound):
            Table(b"a\n1\n")["b"]


class Pipelines(unittest.TestCase):
    def test_scales_are_scikit_learns(self):
        random = np.random.default_rng(3)
        for case in range(60):
            x = random.normal(size=(50, 1)) * 10.0 ** random.integers(-5, 6) + random.integers(-100, 100)
            if case % 10 == 0:
                x[:] = 3.25
            table = table_of(v=x[:, 0])
            for name, scaler in SCALERS.items():
                pipeline = made([{"column": "v", "scale": name}])
                pipeline.fit(table)
                theirs = scaler().fit(x)
                found, width = fitted_of(pipeline), x.max() - x.min()
                centre = {"standard": "mean_", "min-max": "data_min_", "robust": "center_"}[name]
                spread = {"standard": "scale_", "min-max": "data_range_", "robust": "scale_"}[name]
                wanted = getattr(theirs, spread)[0] or 1.0
                self.assertAlmostEqual(found["centre"], getattr(theirs, centre)[0], delta=1e-9 * max(1, width))
                self.assertAlmostEqual(found["spread"], wanted, delta=1e-9 * wanted)
                ours, _ = pipeline.apply(table)
                np.testing.assert_allclose(ours, theirs.transform(x), rtol=2e-7, atol=1e-7)

    def test_means_and_codes_are_scikit_learns(self):
        random = np.random.default_rng(4)
        x = random.normal(size=80)
        x[random.random(80) < 0.3] = np.nan
        kinds, numbers = random.choice(["on", "off", "Ω, 7"], 80), random.integers(-3, 4, 80)
        table = table_of(v=x, kind=kinds, number=numbers)
        pipeline = made(
            [
                {"column": "v", "missing": "mean", "scale": "standard"},
                {"column": "kind", "encode": "one-hot"},
                {"column": "number", "encode": "ordinal"},
            ],
            {"column": "kind", "encode": "ordinal"},
        )
        pipeline.fit(table)
        filled = SimpleImputer().fit(x[:, None])
        self.assertAlmostEqual(fitted_of(pipeline)["fill"], filled.statistics_[0], delta=1e-9)
        columns = (
            StandardScaler().fit_transform(filled.transform(x[:, None])),
            OneHotEncoder(sparse_output=False).fit_transform(kinds[:, None]),
            OrdinalEncoder().fit_transform(numbers[:, None]),
        )
        found, y = pipeline.apply(table)
        np.testing.assert_allclose(found, np.hstack(columns), rtol=2e-7, atol=1e-7)
        np.testing.assert_array_equal(y, OrdinalEncoder().fit_transform(kinds[:, None])[:, 0])
        again = Pipeline(pipeline.write())
        self.assertTrue(again.fitted)
        self.assertEqual(again.write(), pipeline.write())
        np.testing.assert_array_equal(again.apply(table)[0], found)

    def test_gaps_are_filled(self):
        nan = np.nan
        table = table_of(v=[nan, 1.0, nan, nan, 4.0, nan])
        expected = {
            "last": [1, 1, 1, 1, 4, 4],
            "interpolate": [1, 1, 2, 3, 4, 4],
            "drop": [1, 4],
            "mean": [2.5, 1, 2.5, 2.5, 4, 2.5],
        }
        for how, values in expected.items():
            pipeline = made([{"column": "v", "missing": how}])
            pipeline.fit(table)
            np.testing.assert_array_equal(pipeline.apply(table)[0][:, 0], values)
        pipeline = made([{"column": "v", "missing": "interpolate"}])
        part = [0, 0, 0, 0, 1, 0]  # what is for testing fills no gap of training
        pipeline.fit(table, part)
        np.testing.assert_array_equal(pipeline.apply(table, part)[0][:, 0], [1, 1, 1, 1, 1])

    def test_nothing_is_learnt_of_rows_for_testing(self):
        random = np.random.default_rng(5)
        x, kinds = random.normal(size=60), random.choice(["a", "b"], 60)
        features = [{"column": "v", "missing": "mean", "scale": "robust"}, {"column": "k", "encode": "one-hot"}]
        part = (random.random(60) < 0.4).astype(np.uint8)
        texts = []
        for change in (0, 1):
            pipeline = made(features)
            pipeline.fit(table_of(v=x + 1000.0 * change * part, k=np.where(part & change, "c", kinds)), part)
            texts.append(pipeline.write())
        self.assertEqual(*texts)

    def test_splits(self):
        random = np.random.default_rng(6)
        n = 200
        day, kind = random.integers(0, 20, n), random.choice(["good", "worn"], n, p=[0.8, 0.2])
        table = table_of(v=random.normal(size=n), day=day, kind=kind)
        feature, target = [{"column": "v"}], {"column": "kind", "encode": "ordinal"}
        for by in ("ratio", "stratified", "group", "time"):
            split = {"by": by, "test": 0.25, "seed": 1}
            if by in ("group", "time"):
                split["column"] = "day"
            part = made(feature, target, split).split(table)
            np.testing.assert_array_equal(part, made(feature, target, split).split(table))
            self.assertAlmostEqual(part.mean(), 0.25, delta=0.06)
            other = made(feature, target, {**split, "seed": 2}).split(table)
            self.assertEqual((part == other).all(), by == "time")
            if by == "ratio":
                self.assertEqual(part.sum(), 50)
            if by == "stratified":
                for name in ("good", "worn"):
                    self.assertEqual(part[kind == name].sum(), int(0.25 * (kind == name).sum() + 0.5))
            if by == "group":
                self.assertFalse(set(day[part == 0]) & set(day[part == 1]))
            if by == "time":
                self.assertLess(day[part == 0].max(), day[part == 1].min())

    def test_real_data(self):
        x, y = load_breast_cancer(return_X_y=True)
        table = table_of(**{f"f{i}": column for i, column in enumerate(x.T)}, y=y)
        features = [{"column": f"f{i}", "scale": "standard"} for i in range(30)]
        pipeline = made(features, {"column": "y", "encode": "ordinal"}, {"by": "stratified", "seed": 3})
        part = pipeline.split(table)
        pipeline.fit(table, part)
        scaler = StandardScaler().fit(x[part == 0])
        for which in (0, 1):
            found, labels = pipeline.apply(table, part, which)
            np.testing.assert_allclose(found, scaler.transform(x[part == which]), rtol=2e-7, atol=1e-6)
            np.testing.assert_array_equal(labels, y[part == which])

    def test_wrong_ones_are_refused(self):
        table = table_of(v=[1.0, np.nan], k=["a", "b"])
        for words, features in (
            ("in row 1 of the table is no number; 'encode' makes numbers", [{"column": "k"}]),
            ("no column 'w'", [{"column": "w"}]),
            ("there is no key 'colour'", [{"column": "v", "colour": "red"}]),
            ("'scale' is one of standard, min-max, robust", [{"column": "v", "scale": "log"}]),
            ("has no value in row 2", [{"column": "v"}]),
            ("do not go together", [{"column": "v", "scale": "robust", "encode": "ordinal"}]),
            ("'features' must be a list", []),
        ):
            with self.assertRaisesRegex(tenon.Error, words):
                pipeline = Pipeline(json.dumps({"features": features}))
                pipeline.fit(table)
                pipeline.apply(table)
        with self.assertRaisesRegex(tenon.Error, "leaves none for testing"):
            made([{"column": "k", "encode": "ordinal"}], None, {"test": 0.1}).split(table)
        with self.assertRaisesRegex(tenon.StateError, "not fitted"):
            made([{"column": "v"}]).apply(table)
        with self.assertRaisesRegex(tenon.Error, "no row for training has"):
            pipeline = made([{"column": "v", "missing": "mean"}], {"column": "k", "encode": "ordinal"})
            pipeline.fit(table, [0, 1])
            pipeline.apply(table, [0, 1], 1)


if __name__ == "__main__":
    unittest.main()
