"""Roots of sums of powers, with a gradient that is finite at zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netdsl.ops.builder import Builder

#: the smallest normal float32, for practical purposes zero
_TINY = 1.1754944e-38


def square_root(b: Builder, x: str) -> str:
    """Emit the root of what is not negative; where that is zero, the gradient is zero, not infinite."""
    return b.op("Sqrt", [_positive(b, x)])


def root(b: Builder, x: str, degree: float) -> str:
    """`square_root` for any degree."""
    return square_root(b, x) if degree == 2 else b.op("Pow", [_positive(b, x), b.floats(1 / degree)])


def _positive(b: Builder, x: str) -> str:
    return b.op("Clip", [x, b.floats(_TINY)])
