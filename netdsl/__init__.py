"""netdsl: networks described in a file, analyzed, compiled to ONNX, trained on ONNX Runtime.

    net = netdsl.load("examples/resnet.net", n=9)
    print(net.analyze())
    net.compile("resnet.onnx")
    history = net.train("digits", epochs=3)

    step = netdsl.TrainingStep("step.onnx")

Importing this package loads neither numpy nor onnx: they come with what needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netdsl.api import Net, load, loads
from netdsl.diagnostics import (
    CheckpointError,
    DataError,
    DeviceError,
    Diagnostic,
    NetError,
    SourceError,
    TrainingError,
)
from netdsl.report import Report
from netdsl.version import __version__

if TYPE_CHECKING:
    from netdsl.runtime.training_step import TrainingStep

__all__ = [
    "CheckpointError",
    "DataError",
    "DeviceError",
    "Diagnostic",
    "Net",
    "NetError",
    "Report",
    "SourceError",
    "TrainingError",
    "TrainingStep",
    "__version__",
    "load",
    "loads",
]


def __getattr__(name: str) -> Any:
    if name == "TrainingStep":  # it needs onnxruntime, which what is above does without
        from netdsl.runtime.training_step import TrainingStep

        return TrainingStep
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
