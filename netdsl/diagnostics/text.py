"""Diagnostics as text, for a terminal or a log."""

from __future__ import annotations

from netdsl.diagnostics.chain import folded
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.diagnostics.layout import Look, printable, wrapped
from netdsl.diagnostics.snippet import GUTTER, Mark, snippet
from netdsl.diagnostics.source import Source

_TONES = {"error": "1;31", "warning": "1;33", "note": "1;36"}
_NARROWEST = 40


def render(diagnostic: Diagnostic, colour: bool = False, width: int | None = None) -> str:
    """The diagnostic in the form rustc made known, for a terminal of `width` columns or, where that is None, a file.

    No trailing line break.
    """
    look = Look(colour, None if width is None else max(_NARROWEST, width))
    tone = _TONES[diagnostic.severity]
    marks = [Mark.of(label, not i, GUTTER if i else tone) for i, label in enumerate(diagnostic.labels)]
    gutter = len(str(max((mark.last_line for mark in marks), default=0)))
    name = f"{diagnostic.severity}[{diagnostic.code}]"
    lines = _hanging(look.paint(name, tone) + ": ", len(name) + 2, diagnostic.message, look, "1")
    lines += _places(diagnostic, marks, gutter, look)
    if not marks and diagnostic.path is not None:
        lines.append(" " * gutter + look.paint("--> ", GUTTER) + printable(diagnostic.path))
    sign = " " * gutter + look.paint(" = ", GUTTER)
    for frame in folded(diagnostic.chain):
        lines += _hanging(sign, gutter + 3, frame, look)
    for kind, texts in (("note", diagnostic.notes), ("help", diagnostic.helps)):
        for text in texts:
            lines += _hanging(f"{sign}{look.paint(kind, '1')}: ", gutter + 9, text, look)
    return "\n".join(lines)


def _places(diagnostic: Diagnostic, marks: list[Mark], gutter: int, look: Look) -> list[str]:
    """Each file with its labels, that of the primary one first."""
    files: dict[Source, list[int]] = {}
    for index, label in enumerate(diagnostic.labels):
        files.setdefault(label.span.source, []).append(index)
    lines: list[str] = []
    for source, indices in files.items():
        arrow = ":::" if lines else "-->"
        place = printable(str(diagnostic.labels[indices[0]].span))
        lines += [" " * gutter + look.paint(f"{arrow} ", GUTTER) + place, " " * gutter + look.paint(" |", GUTTER)]
        lines += snippet(source, [marks[i] for i in indices], gutter, look)
    return lines


def _hanging(start: str, indent: int, text: str, look: Look, tone: str = "") -> list[str]:
    """The text behind a start that takes `indent` columns, its further lines below its first."""
    room = None if look.width is None else look.width - indent
    lines = [look.paint(line, tone) for part in text.split("\n") for line in wrapped(printable(part), room)]
    return [start + lines[0], *(" " * indent + line for line in lines[1:])]
