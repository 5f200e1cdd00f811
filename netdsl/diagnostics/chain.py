"""The chain of blocks through which a place was reached, short enough to read."""

from __future__ import annotations

from collections.abc import Sequence

from netdsl.diagnostics.diagnostic import Frame

_LONGEST_CYCLE = 3
_MOST_LINES = 8


def folded(chain: Sequence[Frame]) -> list[str]:
    """A line for each block, innermost first; what repeats, alone or in turn with others, once with its count."""
    frames = [f"in block `{frame.block}`, applied at {frame.span}" for frame in reversed(chain)]
    lines: list[str] = []
    at = 0
    while at < len(frames):
        length, times = _repetition(frames, at)
        lines += frames[at : at + length]
        if length == 1 and times > 1:
            lines[-1] += f" ({times} times)"
        elif times > 1:
            lines.append(f"... and the same {length} blocks {times - 1} more time{'s' if times > 2 else ''}")
        at += length * times
    if len(lines) > _MOST_LINES:
        lines = [*lines[:4], f"... {len(lines) - 7} more ...", *lines[-3:]]
    return lines


def _repetition(frames: list[str], at: int) -> tuple[int, int]:
    """The cycle that starts here and covers the most: its length, and how often it is gone through."""
    found = [(length, _times(frames, at, length)) for length in range(1, _LONGEST_CYCLE + 1)]
    length, times = max(found, key=lambda cycle: cycle[0] * cycle[1] if cycle[1] > 1 else 1)
    return (length, times) if times > 1 else (1, 1)


def _times(frames: list[str], at: int, length: int) -> int:
    cycle = frames[at : at + length]
    times = 1
    while frames[at + times * length : at + (times + 1) * length] == cycle:
        times += 1
    return times
