"""The difference between a file and its formatted text.

Formatting keeps all but white space, commas, quotes and parentheses, in order: lines that belong together are found by
counting what they hold, in one pass. A search for the smallest difference takes minutes on large files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

#: lines around a change that are shown with it
_CONTEXT = 3
#: what formatting adds, takes away, or changes
_FREE = re.compile(r"[\s,\"'()]+")


class _Change(NamedTuple):
    """Lines `start` to `end` (excluded) that became lines `new_start` to `new_end`."""

    start: int
    end: int
    new_start: int
    new_end: int


def unified_diff(path: str, before: str, after: str) -> Iterator[str]:
    """The lines of a unified diff, without line breaks; none where the texts are the same."""
    old, new = _lines(before), _lines(after)
    changes = list(_changes(old, new))
    if changes:
        yield f"--- {path}"
        yield f"+++ {path}"
    start = 0
    for end in range(1, len(changes) + 1):
        if end == len(changes) or changes[end].start - changes[end - 1].end > 2 * _CONTEXT:
            yield from _hunk(changes[start:end], old, new)
            start = end


def _lines(text: str) -> list[str]:
    *lines, last = text.split("\n")
    return [*lines, f"{last}\n\\ No newline at end of file"] if last else lines


def _changes(old: list[str], new: list[str]) -> Iterator[_Change]:
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and old[i] == new[j]:
            i, j = i + 1, j + 1
            continue
        change = _change(old, new, i, j)
        yield change
        i, j = change.end, change.new_end


def _change(old: list[str], new: list[str], i: int, j: int) -> _Change:
    """The shortest change from two lines that differ up to lines that are the same and have as much before them."""
    start, new_start, ahead = i, j, 0
    while i < len(old) or j < len(new):
        if ahead == 0 and i < len(old) and j < len(new) and old[i] == new[j]:
            break
        held = _held(old[i]) if i < len(old) else None
        held_new = _held(new[j]) if j < len(new) else None
        # the text that is behind goes on; an empty line goes by itself
        if held is not None and (held_new is None or ahead < 0 or (ahead == 0 and held <= held_new)):
            ahead += held
            i += 1
        elif held_new is not None:
            ahead -= held_new
            j += 1
    return _Change(start, i, new_start, j)


def _held(line: str) -> int:
    return len(_FREE.sub("", line))


def _hunk(changes: list[_Change], old: list[str], new: list[str]) -> Iterator[str]:
    first, last = changes[0], changes[-1]
    above = min(_CONTEXT, first.start)
    below = min(_CONTEXT, len(old) - last.end)
    counts = (
        _range(first.start - above, last.end + below),
        _range(first.new_start - above, last.new_end + below),
    )
    yield "@@ -{} +{} @@".format(*counts)
    at = first.start - above
    for change in changes:
        yield from (f" {line}" for line in old[at : change.start])
        yield from (f"-{line}" for line in old[change.start : change.end])
        yield from (f"+{line}" for line in new[change.new_start : change.new_end])
        at = change.end
    yield from (f" {line}" for line in old[at : at + below])


def _range(start: int, end: int) -> str:
    """Lines in a unified diff: counted from 1, or the line before where there are none."""
    return f"{start + (end > start)},{end - start}"
