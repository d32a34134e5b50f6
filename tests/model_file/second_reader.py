"""The second reader finds in model files what is in the models they were made of, and refuses what the library refuses.

    second_reader.py FOLDER...     folders that tests/export/mirror.py made of build/models/cases/real
"""
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

import reader

ROOT = Path(__file__).resolve().parents[2]
# The library alone knows what may be in a manifest, and what it is a version of.
OF_THE_LIBRARY = {"manifest-alias", "manifest-key", "newer-library"}


def weights(model):
    """The bytes of large initializers, names aside."""
    arrays = (numpy_helper.to_array(t) for t in model.graph.initializer if t.data_type != onnx.TensorProto.STRING)
    return sorted(a.tobytes() for a in arrays if a.nbytes >= 4096)


compared = 0
for folder in map(Path, sys.argv[1:]):
    for copy in sorted(folder.rglob("model.onnx")):
        original = ROOT / "build/models/cases/real" / copy.relative_to(folder)
        digest, found, model = reader.read(copy)
        assert b"\nversion: 0.0.0\n" in found[1], copy
        before, after = weights(onnx.load(original)), weights(model)
        assert set(before) <= set(after), f"{copy}: weights are missing"
        assert [v.name for v in model.graph.output] == [v.name for v in onnx.load(original).graph.output], copy
        compared += 1
for path in sorted((ROOT / "tests/golden").glob("*.tenon")):
    digest, found, model = reader.read(path)
    w = next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == "w")
    assert np.array_equal(w.ravel(), (np.arange(24) - 12) / 4), path
    assert ("self-test" in path.stem) == (5 in found), path
    for name, relative, absolute, inputs, outputs in reader.self_test_of(found):
        z = np.maximum(inputs["x"] @ w + np.arange(3), 0) + 27 * 300 - 200
        assert np.all(abs(z - outputs["z"]) <= absolute + relative * abs(z)), (path, name)
refused = 0
for path in sorted((ROOT / "tests/golden/rejected").glob("*.tenon")):
    try:
        reader.read(path)
    except Exception:
        refused += 1
        continue
    assert path.stem in OF_THE_LIBRARY, f"{path} was read"
print(f"{compared} models and every kept file are as the description says, {refused} forged ones are refused")
