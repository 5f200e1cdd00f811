"""What is reported to the user: one record for every kind of message, and the exceptions that carry them."""

from __future__ import annotations

from typing import Literal, NamedTuple

from netdsl.diagnostics.source import Span

Severity = Literal["error", "warning", "note"]


class Label(NamedTuple):
    """A span and what is to be said at it. The first label of a diagnostic is its primary place."""

    span: Span
    text: str = ""


class Frame(NamedTuple):
    """One step of the chain through which a place was reached: the block that was expanded, and where."""

    block: str
    span: Span


class Diagnostic(NamedTuple):
    """A message to the user.

    `notes` are facts, `helps` are ways out. `chain` lists the blocks from the net inwards. `path` names a file
    that is not a .net source (a data set, a checkpoint) where there is no label.
    """

    code: str
    message: str
    labels: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    helps: tuple[str, ...] = ()
    chain: tuple[Frame, ...] = ()
    path: str | None = None
    severity: Severity = "error"


class NetError(Exception):
    """The input is wrong; `diagnostics` says what, where, and what to do.

    NetError
     ├─ SourceError       a .net file: syntax, names, types, shapes, a failed expect
     ├─ DataError         a data file: missing, truncated, labels out of range
     ├─ CheckpointError   a checkpoint: missing, truncated, of another network
     ├─ DeviceError       the provider asked for is not there, or has no memory left
     └─ TrainingError     training cannot start or go on: no gradient, a loss that is not finite
    """

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__(*diagnostics)
        self.diagnostics = list(diagnostics)

    def __str__(self) -> str:
        from netdsl.diagnostics.text import render

        return "\n".join(render(d) for d in self.diagnostics)


class SourceError(NetError):
    """A .net file is wrong."""


class DataError(NetError):
    """A data file is missing, damaged, or does not fit the network."""


class CheckpointError(NetError):
    """A checkpoint is missing, damaged, or belongs to another network."""


class DeviceError(NetError):
    """The execution provider asked for is not available, or is out of memory."""


class TrainingError(NetError):
    """Training cannot start or cannot go on."""
