"""Which input positions an output position sees, along one axis."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Reach:
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


def transposed(kernel: int, stride: int, crop_begin: int, dilation: int = 1) -> Reach:
    """The reach of a transposed convolution: output u = i * stride + j * dilation - crop_begin gathers inputs i."""
    return Reach(
        Fraction(1, stride), Fraction(crop_begin - dilation * (kernel - 1), stride), Fraction(crop_begin, stride)
    )
