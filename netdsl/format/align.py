"""Marks of neighbouring lines below each other: `=` in train blocks, the first `->` of arguments."""

from __future__ import annotations

from netdsl.format.pieces import ARROW, CONDITIONAL, LIMIT, Body, Comment, Group, Mark, Run, Statement, flat

#: spaces that may be put before a mark to have it below another
_FARTHEST = 24


def align_settings(body: Body) -> None:
    """Put the `=` of a train block's statements below each other, up to a blank line."""
    section: list[tuple[Mark, int]] = []
    for entry in body.entries:
        place = _assignment(entry) if type(entry) is Statement else None
        if entry.blank or (place is None and type(entry) is Statement):
            _align(section)
            section = []
        if place is not None:
            section.append(place)
    _align(section)


def _assignment(statement: Statement) -> tuple[Mark, int] | None:
    """The `=` of `name = value`, and the width of the name."""
    elements = statement.clauses[0].head.elements
    for place, element in enumerate(elements):
        if type(element) is Mark and element.flat == "=":
            text = flat(elements[:place])
            return None if text is None else (element, len(text))
    return None


def align_arrows(group: Group, indent: int) -> None:
    """Put the first `->` of neighbouring items below each other, where all of them fit."""
    section: list[tuple[Mark, int, int]] = []
    for entry in [*group.entries, None]:
        if type(entry) is Comment and not entry.own:
            continue
        found = _first_arrow(entry) if type(entry) is Run else None
        if found is not None and indent + found[1] + found[2] < LIMIT:
            section.append(found)
            continue
        widest = max((before for _, before, _ in section), default=0)
        if all(indent + widest + behind < LIMIT for _, _, behind in section):
            _align([(mark, before) for mark, before, _ in section])
        section = []


def _first_arrow(item: Run) -> tuple[Mark, int, int] | None:
    """The first `->` of an item, with the columns before it and those from it on."""
    text = item.flat
    for place, element in enumerate(item.elements):
        if element.point == CONDITIONAL:
            return None
        if element.point == ARROW and type(element) is Mark and text is not None:
            before = len(flat(item.elements[:place]) or "")
            return element, before, len(text) - before
    return None


def _align(section: list[tuple[Mark, int]]) -> None:
    """Pad marks, each given with the width of what stands before it, so that they stand below each other."""
    widths = [width for _, width in section]
    if section and max(widths) - min(widths) <= _FARTHEST:
        for mark, width in section:
            mark.space = 1 + max(widths) - width
