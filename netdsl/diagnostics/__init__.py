"""All that is said to the user about wrong input: sources, spans, diagnostics.

How they are shown is loaded where there is one to show: `text`, `as_json`, `github`, `sarif`.
"""

from netdsl.diagnostics.diagnostic import (
    CheckpointError,
    DataError,
    DeviceError,
    Diagnostic,
    Frame,
    Label,
    NetError,
    SourceError,
    TrainingError,
)
from netdsl.diagnostics.source import Source, Span
from netdsl.diagnostics.suggest import closest, counted, did_you_mean

__all__ = [
    "CheckpointError",
    "DataError",
    "DeviceError",
    "Diagnostic",
    "Frame",
    "Label",
    "NetError",
    "Source",
    "SourceError",
    "Span",
    "TrainingError",
    "closest",
    "counted",
    "did_you_mean",
]
