"""Words for axes and lists in the messages of lints."""

from __future__ import annotations

from collections.abc import Sequence

from netdsl.ir import Dim

#: what the cells along each spatial axis are called, by the number of axes
AXES = {1: ("cell",), 2: ("row", "column"), 3: ("slice", "row", "column")}


def listed(items: Sequence[str], last: str) -> str:
    """`a, b and c`"""
    return f" {last} ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def extent(sizes: Sequence[Dim]) -> str:
    """`7 x 7`, at the default sizes."""
    return " x ".join(str(int(size)) for size in sizes)
