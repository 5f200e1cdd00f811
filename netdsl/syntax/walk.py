"""Going over a tree without knowing its classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netdsl.syntax import tree as t


def children(node: t.Node) -> Iterator[t.Node]:
    """The nodes right below one, in the order of the text."""
    for slot in node.__slots__:  # type: ignore[attr-defined]
        yield from _nodes(getattr(node, slot))


def walk(node: t.Node) -> Iterator[t.Node]:
    """A node and all below it, each before what it holds, in the order of the text."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        stack += reversed(list(children(node)))


def _nodes(part: Any) -> Iterator[t.Node]:
    if isinstance(part, t.Node):
        yield part
    elif isinstance(part, (list, tuple)) and not hasattr(part, "source"):  # a span is a tuple too
        for item in part:
            yield from _nodes(item)
