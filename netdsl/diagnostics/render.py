"""Diagnostics as text for a terminal (or a log) and as JSON."""

from __future__ import annotations

from typing import Any

from netdsl.diagnostics.diagnostic import Diagnostic, Frame, Label

_COLOURS = {"error": "31", "warning": "33", "note": "36"}
_LONGEST_LINE = 160


def render(diagnostic: Diagnostic, colour: bool = False) -> str:
    """The diagnostic as text, in the form rustc made known. No trailing line break."""

    def paint(text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if colour else text

    tone = "1;" + _COLOURS[diagnostic.severity]
    lines = [paint(f"{diagnostic.severity}[{diagnostic.code}]", tone) + paint(f": {_printable(diagnostic.message)}", "1")]
    gutter = max((len(str(label.span.line)) for label in diagnostic.labels), default=1)
    path = None
    for index, label in enumerate(diagnostic.labels):
        arrow = "-->" if index == 0 else ":::"
        if label.span.source.path != path or index == 0:
            lines.append(" " * gutter + paint(f"{arrow} ", "34") + str(label.span))
            lines.append(" " * gutter + paint(" |", "34"))
            path = label.span.source.path
        lines += _excerpt(label, gutter, paint, tone if index == 0 else "34")
    if not diagnostic.labels and diagnostic.path is not None:
        lines.append(" " + paint("--> ", "34") + diagnostic.path)
    for frame in _folded(diagnostic.chain):
        lines.append(" " * gutter + paint(" = ", "34") + frame)
    for kind, texts in (("note", diagnostic.notes), ("help", diagnostic.helps)):
        for text in texts:
            indented = ("\n" + " " * (gutter + 9)).join(map(_printable, text.split("\n")))
            lines.append(" " * gutter + paint(" = ", "34") + paint(kind, "1") + ": " + indented)
    return "\n".join(lines)


def _excerpt(label: Label, gutter: int, paint: Any, tone: str) -> list[str]:
    source, start, end = label.span.source, label.span.start, label.span.end
    line, column = source.position(start)
    text = _printable(source.line(line))
    width = max(1, min(end - start, len(text) - column + 1))
    if len(text) > _LONGEST_LINE:
        cut = max(0, column - 1 - _LONGEST_LINE // 2)
        text = text[cut : cut + _LONGEST_LINE]
        column -= cut
        width = min(width, max(1, len(text) - column + 1))
    indent, width = _cells(text[: column - 1]), max(1, _cells(text[column - 1 : column - 1 + width]))
    mark = " " * indent + paint("^" * width, tone) + (f" {paint(_printable(label.text), tone)}" if label.text else "")
    bar = paint("|", "34")
    return [f"{line:>{gutter}} {bar} {text}", f"{' ' * gutter} {bar} {mark}"]


def _printable(text: str) -> str:
    """The text with a blank for a tab, and a replacement for all that would control the terminal."""
    text = text.replace("\t", " ")
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)


def _cells(text: str) -> int:
    """The columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def _folded(chain: tuple[Frame, ...]) -> list[str]:
    """The chain of blocks, innermost first, a repeated frame once with its count."""
    texts: list[tuple[str, int]] = []
    for frame in reversed(chain):
        text = f"in block `{frame.block}`, applied at {frame.span}"
        if texts and texts[-1][0] == text:
            texts[-1] = (text, texts[-1][1] + 1)
        else:
            texts.append((text, 1))
    folded = [text + (f" ({count} times)" if count > 1 else "") for text, count in texts]
    if len(folded) > 8:
        folded = [*folded[:4], f"... {len(folded) - 7} more ...", *folded[-3:]]
    return folded


def to_dict(diagnostic: Diagnostic) -> dict[str, Any]:
    """The diagnostic for programs: places as path, line and column (counted from 1)."""

    def place(label: Label) -> dict[str, Any]:
        line, column = label.span.source.position(label.span.start)
        end_line, end_column = label.span.source.position(label.span.end)
        return {
            "path": label.span.source.path,
            "line": line,
            "column": column,
            "end_line": end_line,
            "end_column": end_column,
            "text": label.text,
        }

    return {
        "severity": diagnostic.severity,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "labels": [place(label) for label in diagnostic.labels],
        "chain": [{"block": f.block, "path": f.span.source.path, "line": f.span.line} for f in diagnostic.chain],
        "notes": list(diagnostic.notes),
        "helps": list(diagnostic.helps),
        "path": diagnostic.path,
    }
