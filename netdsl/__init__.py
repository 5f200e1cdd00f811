"""netdsl: networks described in a file, analyzed, compiled to ONNX, trained on ONNX Runtime.

    net = netdsl.load("examples/resnet.net", n=9)
    print(net.analyze())
    net.compile("resnet.onnx")
    history = net.train("digits", epochs=3)

Importing this package loads neither numpy nor onnx: they come with what needs them.
"""

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
    "__version__",
    "load",
    "loads",
]
