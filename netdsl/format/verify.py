"""Whether formatting kept what a file means and says."""

from __future__ import annotations

from typing import Any

from netdsl.diagnostics import Source
from netdsl.syntax import tree as t
from netdsl.syntax.comments import comments

_PLACES = frozenset(["span", "name_span", "path_span", "source"])


def same_tree(one: Any, other: Any) -> bool:
    """Whether two trees differ in nothing but the places they were read from. Trees can be deep: it does not recurse."""
    pairs = [(one, other)]
    while pairs:
        a, b = pairs.pop()
        if type(a) is not type(b):
            return False
        if isinstance(a, t.Node):
            slots = [slot for slot in a.__slots__ if slot not in _PLACES]  # type: ignore[attr-defined]
            pairs += [(getattr(a, slot), getattr(b, slot)) for slot in slots]
        elif isinstance(a, (list, tuple)):
            if len(a) != len(b):
                return False
            pairs += zip(a, b)
        elif a != b:
            return False
    return True


def same_comments(one: Source, other: Source) -> bool:
    """Whether two texts have the same comments in the same order."""
    return [span.text for span in comments(one)] == [span.text for span in comments(other)]
