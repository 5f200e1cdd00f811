"""A size as a function of one symbol: quasi-affine, a slope per period and a pattern that repeats with it."""

from __future__ import annotations

from math import gcd, lcm
from typing import NamedTuple

from netdsl.ir.size import Atom, Dim, Symbol


class Affine(NamedTuple):
    """What is true of a size f at every h: `f(h + period) == f(h) + slope`, and
    `slope * h + low <= period * f(h) <= slope * h + high`.
    """

    period: int
    slope: int
    low: int
    high: int


def affine(size: Dim) -> Affine:
    """The period, slope and bounds of a size over one symbol."""
    if isinstance(size, int):
        return Affine(1, 0, size, size)
    parts = [(_of_atom(atom), factor) for atom, factor in size.terms]
    period = lcm(*(part.period for part, _ in parts))
    slope, low, high = 0, period * size.constant, period * size.constant
    for part, factor in parts:
        times = factor * (period // part.period)
        slope += times * part.slope
        ends = sorted((times * part.low, times * part.high))
        low, high = low + ends[0], high + ends[1]
    return Affine(period, slope, low, high)


def _of_atom(atom: Atom) -> Affine:
    if isinstance(atom, Symbol):
        return Affine(1, 1, 0, 0)
    inner, divisor = affine(atom.numerator), atom.divisor
    # after so many of the inner periods its slope has become a multiple of the divisor
    turns = divisor // gcd(inner.slope, divisor)
    low = (turns * (inner.low - inner.period * (divisor - 1))) // divisor  # floor(n / d) is at least (n - d + 1) / d
    high = -(-turns * inner.high // divisor)
    return Affine(turns * inner.period, turns * inner.slope // divisor, low, high)
