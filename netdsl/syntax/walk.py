"""Going over a tree without knowing its classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netdsl.syntax import tree as t

#: annotations of what holds no nodes
_LEAVES = frozenset(["Span", "Source", "str", "str | None", "bool", "int | None", "Any", "list[str]"])
_parts: dict[type, tuple[str, ...]] = {}


def children(node: t.Node) -> list[t.Node]:
    """The nodes right below one, in the order of the text."""
    kind = type(node)
    slots = _parts.get(kind)
    if slots is None:
        slots = _parts[kind] = tuple(n for n, part in kind.__annotations__.items() if part not in _LEAVES)
    found: list[t.Node] = []
    for slot in slots:
        part = getattr(node, slot)
        if type(part) is list:
            _add(part, found)
        elif part is not None:
            found.append(part)
    return found


def walk(node: t.Node) -> Iterator[t.Node]:
    """A node and all below it, each before what it holds, in the order of the text."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        below = children(node)
        below.reverse()
        stack += below


def _add(parts: Any, found: list[t.Node]) -> None:
    for part in parts:
        if type(part) in (tuple, list):  # the branches of an `if`
            _add(part, found)
        else:
            found.append(part)
