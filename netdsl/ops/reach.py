"""Which input positions an output position sees, along one axis."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from netdsl.record import Record

if TYPE_CHECKING:
    from fractions import Fraction

    from netdsl.ops.operator import Args


class Unseen(Enum):
    """In place of a reach: the operator reads the input's size and none of its numbers."""

    UNSEEN = "unseen"


UNSEEN = Unseen.UNSEEN


class Reach(Record, eq=True):
    """Output u sees the inputs from stride * u + first to stride * u + last, both included.

    `first` and `last` are the hull over phases where an operator's outputs differ by phase (upsampling). Araujo,
    Norris, Sim, "Computing receptive fields of convolutional neural networks", Distill 2019.
    """

    stride: Fraction | int = 1
    first: Fraction | int = 0
    last: Fraction | int = 0


def windows(args: Args) -> tuple[Reach, ...]:
    """The reach along each axis of an operator that is `windowed`."""
    axes = zip(args.kernel, args.stride, args.pads, args.dilation, strict=True)
    return tuple(Reach(s, -begin, d * (k - 1) - begin) for k, s, (begin, _), d in axes)


def whole(size: int) -> Reach:
    """The reach of the one output of an axis of that size which is reduced."""
    return Reach(size, 0, size - 1)


def transposed(kernel: int, stride: int, crop_begin: int, dilation: int = 1) -> Reach:
    """The reach of a transposed convolution: output u = i * stride + j * dilation - crop_begin gathers inputs i."""
    from fractions import Fraction  # it takes 6 ms to import

    return Reach(
        Fraction(1, stride), Fraction(crop_begin - dilation * (kernel - 1), stride), Fraction(crop_begin, stride)
    )


def nearest(inputs: int, outputs: int) -> Reach:
    """Resizing to the nearest cell: output u sees input floor(u * inputs / outputs); the hull over the phases.

    In lowest terms n / m, u * n mod m takes all values below m.
    """
    from fractions import Fraction

    ratio = Fraction(inputs, outputs)
    return Reach(ratio, Fraction(1 - ratio.denominator, ratio.denominator), 0)


def linear(inputs: int, outputs: int) -> Reach:
    """Linear resizing with half-pixel centres: output u sees inputs floor(c) and floor(c) + 1 of
    c = (u + 1/2) * inputs / outputs - 1/2 (only c itself where it is whole); the hull over the phases.

    In lowest terms n / m, 2 m c takes over the phases all values modulo 2 m of the parity of n - m. So relative to
    u * n / m + k, with k = (n / m - 1) / 2, the lowest input lies by the greatest of these fractions below, and the highest by
    1 less the smallest that is not 0 above.
    """
    if inputs == outputs:
        return Reach()
    from fractions import Fraction

    ratio = Fraction(inputs, outputs)
    unit = 2 * ratio.denominator
    odd = (ratio.numerator - ratio.denominator) % 2
    smallest = 1 if odd else 2
    above = Fraction(unit - smallest, unit) if smallest < unit else Fraction(0)
    middle = (ratio - 1) / 2
    return Reach(ratio, middle - Fraction(unit - 2 + odd, unit), middle + above)
