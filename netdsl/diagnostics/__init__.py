"""All that is said to the user about wrong input: sources, spans, diagnostics, and how they are shown."""

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
from netdsl.diagnostics.suggest import closest, did_you_mean
from netdsl.diagnostics.text import render

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
    "did_you_mean",
    "render",
]
