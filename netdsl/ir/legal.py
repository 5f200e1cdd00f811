"""The sizes that one symbol may have: remainders of a period from some size on, and exceptions; and how that reads."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from math import gcd, inf
from typing import NamedTuple

#: so many sizes or remainders are listed one by one, at most
_LISTED = 8


class Legal(NamedTuple):
    """h is legal where it is one of `others`; or where `start <= h < stop`, and `h % period` is one of `remainders`.

    `legal_set` makes them, in one form for each set: a short period, sorted lists, no size that the rule could cover
    among the others; `start` is 1, or the first size of the rule where that leaves some out; and where there are only
    a few sizes, all are others.
    """

    period: int = 1
    remainders: tuple[int, ...] = (0,)
    start: int = 1
    stop: float = inf
    others: tuple[int, ...] = ()

    def __contains__(self, size: object) -> bool:
        return size in self.others or (isinstance(size, int) and size > 0 and self._up(size) == size)

    def below(self, size: int) -> int | None:
        """The greatest legal size that is smaller."""
        found = [h for h in self.others if h < size]
        if self.remainders:
            ruled = step_down(int(min(size, self.stop)) - 1, self.period, self.remainders)
            found += [ruled] if ruled >= self.start else []
        return max(found, default=None)

    def above(self, size: int) -> int | None:
        """The least legal size that is greater."""
        ruled = self._up(size + 1)
        found = [h for h in self.others if h > size]
        return min(found if ruled is None else [*found, ruled], default=None)

    def near(self, size: int) -> list[int]:
        """The legal sizes next to a size, itself included."""
        return [h for h in (self.below(size), size if size in self else None, self.above(size)) if h is not None]

    def edges(self) -> list[int]:
        """Where the sizes begin and end, and the first of those that are listed."""
        ends = [self.start] if self.stop == inf else [self.start, int(self.stop) - 1]
        return [*self.others[:_LISTED], *(ends if self.remainders else [])]

    def _up(self, size: int) -> int | None:
        """The least size of the rule from this one on."""
        if not self.remainders:
            return None
        found = step_up(max(size, self.start), self.period, self.remainders)
        return found if found < self.stop else None

    def words(self, plural: bool = False) -> str:
        """What completes "H must be", or "H and W must be"."""
        several = "one of " if len(self.others) > 1 else ""
        parts = [several + _listed(self.others)] if self.others else []
        if self.remainders:
            parts.insert(len(parts) if parts and self.others[0] < self.start else 0, self._rule(plural))
        return ", or ".join(parts)

    def _rule(self, plural: bool) -> str:
        parts = []
        if self.period > 1:
            multiple = f"multiples of {self.period}" if plural else f"a multiple of {self.period}"
            parts = [multiple if self.remainders == (0,) else
                     f"{_alternatives(self.remainders)} more than a multiple of {self.period}"]  # fmt: skip
        if self.start > 1 and self.stop < inf:
            parts.append(f"from {self.start} to {int(self.stop) - 1}")
        elif self.start > 1:
            parts.append(f"at least {self.start}")
        elif self.stop < inf:
            parts.append(f"at most {int(self.stop) - 1}")
        return ", ".join(parts)


ANY, NONE = Legal(), Legal(remainders=())


def sentence(defaults: Mapping[str, int], sizes: Legal) -> str:
    """`H and W must be multiples of 16, such as 240, 256, 272`: what sizes the symbols may have, and those next to the
    defaults.
    """
    if sizes == NONE:
        return f"no size of {joined(defaults)} fits"
    text = f"{joined(defaults)} must be {sizes.words(len(defaults) > 1)}"
    if sizes.period == 1 and (sizes.remainders or len(sizes.others) <= _LISTED):
        return text  # what there is to list is said
    if len(set(defaults.values())) == 1:
        return f"{text}, such as {_sizes(sizes.near(next(iter(defaults.values()))))}"
    return f"{text}, such as " + " and ".join(f"{name} = {_sizes(sizes.near(size))}" for name, size in defaults.items())


def nearest(defaults: Mapping[str, int], sizes: Legal, fitting: Sequence[Mapping[str, int]]) -> str:
    """`H and W must be multiples of 16; nearest to 358: 352, 368`: of defaults that are not legal; what they may be
    instead is given.
    """
    text = f"{joined(defaults)} must be {sizes.words(len(defaults) > 1)}"
    places: dict[str, None] = {}
    for name, size in defaults.items():
        near = sorted({fit[name] for fit in fitting})
        here = str(size) if len(set(defaults.values())) == 1 else f"{name} = {size}"
        if sizes != Legal(1, (), others=tuple(near)):  # else all of them are said
            places[f"to {here}: {_sizes(near)}"] = None
    return f"{text}; nearest {', '.join(places)}" if places else text


def joined(names: Iterable[str]) -> str:
    """`H and W`; `image's height and width`."""
    words: list[str] = []
    owner = None
    for name in names:
        before, _, own = name.rpartition("'s ")
        words.append(own if before and before == owner else name)
        owner = before
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def legal_set(period: int, remainders: Iterable[int], start: int, stop: float, others: Iterable[int]) -> Legal:
    """The set in its one form. The others lie outside `start` to `stop`, and have one of the remainders too."""
    rest = set(others)
    period, kept = _shortest(period, sorted(remainders))
    if start >= stop and rest:
        start = min(rest)
        stop = start
    if not kept or (start >= stop and not rest):
        return NONE
    while (below := step_down(start - 1, period, kept)) in rest:
        start = below
        rest.discard(below)
    while stop < inf and (above := step_up(int(stop), period, kept)) in rest:
        stop = above + 1
        rest.discard(above)
    if stop < inf:
        few = _first(start, int(stop), period, kept)
        if len(few) <= _LISTED:
            return Legal(1, (), 1, inf, tuple(sorted(rest.union(few))))
        stop = step_down(int(stop) - 1, period, kept) + 1
    return Legal(period, tuple(kept), 1 if below < 1 else step_up(start, period, kept), stop, tuple(sorted(rest)))


def _first(start: int, stop: int, period: int, remainders: Sequence[int]) -> list[int]:
    """The first members of a rule, one more than are listed."""
    found: list[int] = []
    size = step_up(start, period, remainders)
    while size < stop and len(found) <= _LISTED:
        found.append(size)
        size = step_up(size + 1, period, remainders)
    return found


def _shortest(period: int, remainders: list[int]) -> tuple[int, list[int]]:
    """The same sizes by the shortest period: one that is p times shorter maps the remainders onto each other, p by p."""
    prime = 2
    while prime <= (common := gcd(period, len(remainders))) and common:
        shorter = period // prime
        if period % prime == 0 and {(h + shorter) % period for h in remainders} == set(remainders):
            period, remainders = shorter, remainders[: len(remainders) // prime]
        else:
            prime += 1
    return period, remainders


def step_up(size: int, period: int, remainders: Sequence[int]) -> int:
    """The least size from this one on that has one of the remainders, sorted."""
    turn, rest = divmod(size, period)
    at = bisect_left(remainders, rest)
    return turn * period + (remainders[at] if at < len(remainders) else period + remainders[0])


def step_down(size: int, period: int, remainders: Sequence[int]) -> int:
    """The greatest size up to this one that has one of the remainders, sorted."""
    turn, rest = divmod(size, period)
    at = bisect_right(remainders, rest)
    return turn * period + (remainders[at - 1] if at else remainders[-1] - period)


def _sizes(sizes: Iterable[int]) -> str:
    return ", ".join(map(str, sizes))


def _listed(sizes: Sequence[int]) -> str:
    return _sizes(sizes[:_LISTED]) + (", ..." if len(sizes) > _LISTED else "")


def _alternatives(remainders: Sequence[int]) -> str:
    """`1`, `1 or 3`, `3 to 7`."""
    first, last = remainders[0], remainders[-1]
    if len(remainders) > 2 and last - first == len(remainders) - 1:
        return f"{first} to {last}"
    if len(remainders) > _LISTED or len(remainders) == 1:
        return _listed(remainders)
    return f"{', '.join(map(str, remainders[:-1]))} or {last}"
