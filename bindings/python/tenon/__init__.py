"""Neural networks on CPUs: ONNX models run by libtenon.

    model = tenon.load("press.onnx", threads=2)
    answer = model.run({"x": np.zeros((1, 8), np.float32)})["y"]

Models are immutable and may be shared by threads; each thread that is to run in parallel makes a session:

    session = model.session()
    answer = session.run({"x": x}, copy=False)["y"]  # a view of the session's memory, until its next run

    tenon.convert("press.onnx", "press.tenon", manifest={"name": "press", "version": "1.0.0"})
    tenon.load("press.tenon").manifest["inputs"]

    tenon.Store.create("models").put("press.tenon", "press", "1.0.0")  # versions, channels, backups
    tenon.Subscription("models", "press:^1.0").run({"x": x})  # follows new versions while it runs
    tenon.sign.verify("press.tenon", "press.pub")  # minisign's signatures; tenon.delta makes and applies what changed

    trainer = tenon.Trainer("press.onnx", "cross-entropy", rate=1e-3)  # fine-tuning on arrays; tenon.train("plan.yaml") for plans
    trainer.fit(x, labels, epochs=20, validation=0.1)
    trainer.save("trained.onnx")

    tenon.evaluation.Evaluation("press.tenon", "new.csv").metrics["accuracy"]  # on raw data; gates, importance, risks

    tenon.compress.quantize("press.onnx", "press.int8.onnx", [{"x": x} for x in recorded])  # and what it cost

Inputs that are C-contiguous arrays are not copied. Failures raise tenon.Error, in subclasses that are also the built-in
exceptions of their kind (tenon.ShapeError is a ValueError). The GIL is free while the library works.
"""
from . import compress, data, delta, ensemble, evaluation, explain, metrics, sign, tune
from ._library import (
    CheckFailed,
    DataTypeError,
    Error,
    FormatError,
    InternalError,
    Interrupted,
    InvalidArgument,
    IOFailure,
    LimitExceeded,
    NotFound,
    OutOfMemory,
    ShapeError,
    StateError,
    Unsupported,
    lib as _lib,
)
from ._files import convert, parse_manifest
from ._registry import Transfer
from ._store import Backup, Channel, Difference, Restored, Store, Upgraded, Version
from ._subscription import Lease, State, Subscription, announce
from ._train import Progress, Trainer, train
from ._model import Memory, Model, NodeTime, Session, ValueInfo, cpu_levels, load, load_bytes

__version__ = _lib.tn_version().decode()

__all__ = [
    "Backup",
    "Channel",
    "CheckFailed",
    "DataTypeError",
    "Difference",
    "Error",
    "FormatError",
    "IOFailure",
    "InternalError",
    "Interrupted",
    "InvalidArgument",
    "Lease",
    "LimitExceeded",
    "Memory",
    "Model",
    "NodeTime",
    "NotFound",
    "OutOfMemory",
    "Progress",
    "Restored",
    "Session",
    "ShapeError",
    "State",
    "StateError",
    "Store",
    "Subscription",
    "Trainer",
    "Transfer",
    "Unsupported",
    "Upgraded",
    "ValueInfo",
    "Version",
    "announce",
    "compress",
    "convert",
    "cpu_levels",
    "data",
    "delta",
    "ensemble",
    "evaluation",
    "explain",
    "load",
    "load_bytes",
    "metrics",
    "parse_manifest",
    "sign",
    "train",
    "tune",
]
