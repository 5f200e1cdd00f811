"""Words for axes, lists and counts in the messages of lints."""

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


def so_often(found: int, applied: int) -> tuple[str, ...]:
    """The note on a layer that is applied at several places."""
    if applied == 1:
        return ()
    return (f"so at {'all' if found == applied else f'{found} of the'} {applied} places where it is applied",)
