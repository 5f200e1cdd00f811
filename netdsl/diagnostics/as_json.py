"""Diagnostics for programs: places as path, line and column, counted from 1, the end excluded."""

from __future__ import annotations

from typing import Any

from netdsl.diagnostics.diagnostic import Diagnostic, Label


def to_dict(diagnostic: Diagnostic) -> dict[str, Any]:
    return {
        "severity": diagnostic.severity,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "labels": [_place(label) for label in diagnostic.labels],
        "chain": [{"block": f.block, "path": f.span.source.path, "line": f.span.line} for f in diagnostic.chain],
        "notes": list(diagnostic.notes),
        "helps": list(diagnostic.helps),
        "path": diagnostic.path,
    }


def _place(label: Label) -> dict[str, Any]:
    source, start, end = label.span
    line, column = source.position(start)
    end_line, end_column = source.position(end)
    return {
        "path": source.path,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
        "text": label.text,
    }
