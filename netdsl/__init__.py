"""netdsl: networks described in a file, analyzed, compiled to ONNX, trained on ONNX Runtime.

    net = netdsl.load("examples/resnet.net", n=9)
    print(net.analyze())
    net.compile("resnet.onnx")
    history = net.train("digits", epochs=3)

    step = netdsl.TrainingStep("step.onnx")

Importing this package loads neither numpy nor onnx: they come with what needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from netdsl.version import __version__

if TYPE_CHECKING:
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


#: where other names than of errors come from
_HOMES = {
    "Net": "api", "load": "api", "loads": "api", "Report": "report", "TrainingStep": "runtime.training_step",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """A name is imported when it is first asked for: commands need not all, and start their own way."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"netdsl.{_HOMES.get(name, 'diagnostics')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
