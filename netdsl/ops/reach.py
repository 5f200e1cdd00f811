"""Which input positions an output position sees, along one axis."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from netdsl.record import Record

if TYPE_CHECKING:
    from fractions import Fraction


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


def window(kernel: int, stride: int, pad_begin: int, dilation: int = 1) -> Reach:
    """The reach of a convolution or pool."""
    return Reach(stride, -pad_begin, dilation * (kernel - 1) - pad_begin)


def whole(size: int) -> Reach:
    """The reach of the one output of an axis of that size which is reduced."""
    return Reach(size, 0, size - 1)


def transposed(kernel: int, stride: int, crop_begin: int, dilation: int = 1) -> Reach:
    """The reach of a transposed convolution: output u = i * stride + j * dilation - crop_begin gathers inputs i."""
    from fractions import Fraction  # it takes 6 ms to import

    return Reach(
        Fraction(1, stride), Fraction(crop_begin - dilation * (kernel - 1), stride), Fraction(crop_begin, stride)
    )


def nearest(factor: int) -> Reach:
    """Nearest-neighbour upsampling: output u sees input floor(u / factor); the hull over the phases u mod factor."""
    from fractions import Fraction

    return Reach(Fraction(1, factor), Fraction(1 - factor, factor), 0)


def linear(factor: int) -> Reach:
    """Linear upsampling with half-pixel centres: output u sees inputs floor(c) and floor(c) + 1 of
    c = (u + 1/2) / factor - 1/2 (only c itself where it is whole).

    With u = factor * q + r, c is below q for 2 r + 1 < factor, whole for 2 r + 1 = factor, and above q for
    2 r + 1 > factor. The lowest input relative to u / factor is q - 1 at the last phase below, the highest q + 1 at
    the first phase above.
    """
    if factor == 1:
        return Reach()
    from fractions import Fraction

    last_below = factor // 2 - 1
    first_above = (factor + 1) // 2
    return Reach(Fraction(1, factor), -1 - Fraction(last_below, factor), 1 - Fraction(first_above, factor))
