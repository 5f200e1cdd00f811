"""Where a span is, for programs."""

from __future__ import annotations

import os
from typing import NamedTuple

from netdsl.diagnostics.source import Span


class Place(NamedTuple):
    """Lines and columns counted from 1, columns in characters (Unicode code points), the end excluded."""

    path: str
    line: int
    column: int
    end_line: int
    end_column: int


def place(span: Span) -> Place:
    return Place(span.source.path, *span.source.position(span.start), *span.source.position(span.end))


def relative(path: str) -> str:
    """The path from the current folder, where it leads into it: what a reader on another machine can follow."""
    inside = os.path.relpath(path) if os.path.isabs(path) else path
    return path if inside.startswith(os.pardir) else inside.replace(os.sep, "/")
