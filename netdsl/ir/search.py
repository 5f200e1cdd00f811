"""The sizes of one symbol at which conditions hold, exactly.

Over one symbol a size f is quasi-affine (`Affine`). Where its slope is 0, whether `f == 0` or `f >= 0` depends on a
remainder alone: the remainders are sieved, short periods first. Where it has a slope, the condition holds or fails for
good on either side of a window: there the sizes are tried one by one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf, lcm
from typing import NamedTuple

from netdsl.ir.affine import Affine, affine
from netdsl.ir.graph import Constraint
from netdsl.ir.legal import ANY, Legal, legal_set, step_down, step_up
from netdsl.ir.size import Size, grows

#: trials of remainders or sizes, at most; a condition that takes more is left as it is
_MOST_TRIALS = 1 << 16


class Condition(NamedTuple):
    """`size == 0`, or `size >= 0`; and the constraint that says so."""

    size: Size
    equal: bool
    origin: Constraint

    def holds(self, sizes: Mapping[str, int]) -> bool:
        value = self.size.at(sizes)
        return value == 0 if self.equal else value >= 0


class Found(NamedTuple):
    """The sizes, the constraints that leave others out, and the constraints that were left as they are."""

    legal: Legal
    reasons: list[Constraint]
    left: list[Constraint]


class _Window(NamedTuple):
    """Fails below `low` and from `high` on, holds from `start` up to `stop`; between low and start, and stop and high,
    the condition is to be tried.
    """

    low: int
    start: int
    stop: float
    high: float
    condition: Condition

    @property
    def width(self) -> float:
        """How many sizes are to be tried."""
        return self.start - self.low + (self.high - self.stop if self.high < inf else 0)


def search(name: str, conditions: Sequence[Condition]) -> Found:
    """The sizes of the symbol at which all conditions, which are over it alone, hold."""
    sieve, windows = _Sieve(name), []
    shapes = [(affine(condition.size), condition) for condition in conditions]
    for shape, condition in sorted(shapes, key=lambda pair: pair[0].period):
        if not shape.slope:
            sieve.keep(condition, shape.period)
            continue
        windows.append(_window(name, condition.size, shape, condition))
        if condition.equal:
            windows.append(_window(name, -condition.size, _negative(shape), condition))
    wide = sorted((w for w in windows if w.width), key=lambda w: w.width)
    windows = [w for w in windows if not w.width] + wide
    while len(wide) * sum(map(sieve.count, _zones(windows))) > _MOST_TRIALS:
        sieve.left.append(wide.pop().condition)
        windows.pop()
    _, start, stop, _ = _bounds(windows)
    tried = (h for zone in _zones(windows) for h in sieve.sizes(*zone))
    others = [h for h in tried if all(w.condition.holds({name: h}) for w in wide)]
    legal = legal_set(sieve.period, sieve.remainders, start, stop, others)
    cutting = [c for c in conditions if c.equal] + sieve.cutting
    for border in sieve.borders(legal) if sieve.remainders else ():
        cutting += [w.condition for w in windows if not w.condition.holds({name: border})][:1]
    left = {id(c): c.origin for c in sieve.left}
    known = set(map(id, cutting)) - left.keys()
    kept = [c.origin for c in conditions if id(c) in known]
    return Found(legal, [] if legal == ANY else kept, list(left.values()))


class _Sieve:
    """The remainders of a period that are left over."""

    def __init__(self, name: str) -> None:
        self._name, self._trials = name, _MOST_TRIALS
        self.period, self.remainders = 1, [0]
        self.cutting: list[Condition] = []  # the inequalities that leave remainders out
        self.left: list[Condition] = []

    def keep(self, condition: Condition, period: int) -> None:
        """Keep the remainders at which the condition holds."""
        longer = lcm(self.period, period)
        trials = longer // self.period * len(self.remainders)
        if trials > self._trials:
            self.left.append(condition)
            return
        self._trials -= trials
        lifted = [turn + h for turn in range(0, longer, self.period) for h in self.remainders]
        kept = [h for h in lifted if condition.holds({self._name: h})]
        if len(kept) < len(lifted) and not condition.equal:
            self.cutting.append(condition)
        self.period, self.remainders = longer, kept

    def sizes(self, start: int, stop: int) -> Iterator[int]:
        """The sizes from start up to stop that have one of the remainders."""
        for turn in range(start - start % self.period, stop, self.period):
            yield from (turn + h for h in self.remainders if start <= turn + h < stop)

    def borders(self, legal: Legal) -> set[int]:
        """The sizes that only a window can leave out, next to legal ones; or the first, where none is legal."""
        beside = {step(edge + by, self.period, self.remainders)
                  for edge in legal.edges() for step, by in ((step_down, -1), (step_up, 1))}  # fmt: skip
        return {h for h in beside or {step_up(1, self.period, self.remainders)} if h > 0 and h not in legal}

    def count(self, zone: tuple[int, int]) -> int:
        """How many these are, at most."""
        return ((zone[1] - zone[0]) // self.period + 1) * len(self.remainders)


def _negative(shape: Affine) -> Affine:
    return Affine(shape.period, -shape.slope, -shape.high, -shape.low)


def _window(name: str, size: Size, shape: Affine, condition: Condition) -> _Window:
    """Where `size >= 0` fails and holds for good. Of a size that only grows or only falls, this is all."""
    if shape.slope > 0:
        low, start = -(shape.high // shape.slope), -(shape.low // shape.slope)
        if grows(size):
            low = start = low + bisect_left(range(low, start), 0, key=lambda h: size.at({name: h}))
        return _Window(max(low, 1), max(start, 1), inf, inf, condition)
    stop, high = 1 + shape.low // -shape.slope, 1 + shape.high // -shape.slope
    if grows(-size):
        stop = high = stop + bisect_left(range(stop, high), 1, key=lambda h: -size.at({name: h}))
    return _Window(1, 1, stop, high, condition)


def _bounds(windows: Iterable[_Window]) -> tuple[int, int, float, float]:
    """What is known of all windows at once."""
    low, start, stop, high = 1, 1, inf, inf
    for window in windows:
        low, start = max(low, window.low), max(start, window.start)
        stop, high = min(stop, window.stop), min(high, window.high)
    return low, start, stop, high


def _zones(windows: Iterable[_Window]) -> list[tuple[int, int]]:
    """The ranges of sizes that are to be tried."""
    low, start, stop, high = _bounds(windows)
    if start >= stop:
        return [(low, int(high))] if low < high else []
    zones = [(low, start)] + ([(int(stop), int(high))] if high < inf else [])
    return [zone for zone in zones if zone[0] < zone[1]]
