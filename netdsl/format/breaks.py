"""Where a run that does not fit on its line is broken.

Every decision depends on widths on one line and on what the formatter itself keeps (commas at the end of a bracket,
breaks before `->`), so that formatting what was formatted decides the same.
"""

from __future__ import annotations

from typing import NamedTuple

from netdsl.format.pieces import ARROW, CONDITIONAL, LIMIT, OPERATOR, Element, flat_code

#: columns after the indentation in which the first `->` may stand for the others to stand below it
_FARTHEST_ARROW = 32


class Plan(NamedTuple):
    """The parts of a run between which it may be broken."""

    parts: list[list[Element]]
    #: where lines begin from the second on
    column: int
    #: whether it is broken between all of them, or only where a part does not fit
    all: bool


def breaks(elements: list[Element], start: int, indent: int, hang: int, behind: int, bracketed: bool) -> Plan:
    """The plan for a run that begins at column `start` of a line indented by `indent`, with `behind` columns after it."""
    column = indent + hang
    branches = _split(elements, CONDITIONAL)
    if len(branches) > 1 and _fit(branches, start, column, behind):
        return Plan(branches, column, True)
    stages = _split(elements, ARROW)
    if len(stages) > 1:
        below = _below_first_arrow(stages, start, indent, behind)
        return Plan(stages, column if below is None else below, False)
    loosest = min((e.point for e in elements if e.point >= OPERATOR), default=0) if bracketed else 0
    return Plan(_split(elements, loosest) if loosest else stages, column, False)


def _split(elements: list[Element], point: int) -> list[list[Element]]:
    parts: list[list[Element]] = [[]]
    for element in elements:
        if element.point == point:
            parts.append([])
        parts[-1].append(element)
    return parts


def _fit(parts: list[list[Element]], start: int, column: int, behind: int) -> bool:
    """Whether the first part fits at `start`, the others at `column`, with `behind` columns after the last."""
    for place, part in enumerate(parts):
        text = None if any(e.kept_break for e in part) else flat_code(part)
        room = behind if place == len(parts) - 1 else 0
        if text is None or (column if place else start) + len(text) + room > LIMIT:
            return False
    return True


def _below_first_arrow(stages: list[list[Element]], start: int, indent: int, behind: int) -> int | None:
    """The column of the first `->`, where all lines that begin with one may begin there."""
    text = flat_code(stages[0])
    if text is None or stages[1][0].kept_break:
        return None
    column = start + len(text) + 1
    if column - indent > _FARTHEST_ARROW:
        return None
    fit = all(
        (stage := flat_code(part)) is not None and column + len(stage) + (behind if part is stages[-1] else 0) <= LIMIT
        for part in stages[1:]
    )
    return column if fit else None
