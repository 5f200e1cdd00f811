"""The signatures of the input transforms, for `prepare` and `augment` in a train block.

Without numpy, so that `check` can hold a file against them; `netdsl.runtime.transforms` has the implementations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from netdsl.ops.arguments import COUNT, Argument, Kind, is_int, is_number


class Transform(NamedTuple):
    """One transform: `prepare` runs wherever an input is fed to the network, `augment` in training only."""

    name: str
    stage: Literal["prepare", "augment"]
    arguments: tuple[Argument, ...]
    doc: str
    example: str


def _one_or_many(accepts: Callable[[Any], bool], most: int | None = None) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if isinstance(value, (list, tuple)):
            return bool(value) and (most is None or len(value) == most) and all(accepts(v) for v in value)
        return accepts(value)

    return check


_LARGEST = 3.4e38  # of float32
_SIZE = Kind("a whole number of at least 1, or [height, width]", _one_or_many(COUNT.accepts, 2))
_WIDTH = Kind("a whole number of at least 1, or none", lambda v: v is None or COUNT.accepts(v))
_MARGIN = Kind("a whole number of at least 0, or [height, width]", _one_or_many(lambda v: is_int(v) and v >= 0, 2))
_ANGLE = Kind("a number of degrees from 0 to 180", lambda v: is_number(v) and 0 <= v <= 180)
_PART = Kind("a number of at least 0 and less than 1", lambda v: is_number(v) and 0 <= v < 1)
_FACTOR = Kind("a finite number", lambda v: is_number(v) and abs(v) < _LARGEST)
_MEANS = Kind("a number, or a list with one per channel", _one_or_many(_FACTOR.accepts))
_SPREADS = Kind(
    "a positive number, or a list with one per channel", _one_or_many(lambda v: is_number(v) and 0 < v < _LARGEST)
)

_DECLARED = (
    Transform(
        "pad",
        "prepare",
        (Argument("margin", _MARGIN, doc="pixels added on each side"),),
        "add a border of zeros: 28 x 28 becomes 32 x 32 by `pad(2)`",
        "pad(2)",
    ),
    Transform(
        "resize",
        "prepare",
        (
            Argument("height", _SIZE, doc="the new height, or [height, width]"),
            Argument("width", _WIDTH, None, "the new width; none: the height's"),
        ),
        "resize to height x width, bilinear with half-pixel centres, smoothed when it shrinks (Pillow's BILINEAR)",
        "resize(8)",
    ),
    Transform(
        "scale",
        "prepare",
        (Argument("factor", _FACTOR, doc="what every value is multiplied by"),),
        "multiply every value by a factor, such as 1 / 255",
        "scale(1 / 255)",
    ),
    Transform(
        "normalize",
        "prepare",
        (Argument("mean", _MEANS, doc="what is subtracted"), Argument("std", _SPREADS, doc="what is divided by")),
        "(value - mean) / std, with one number for all channels or one each",
        "normalize(mean = 0.3, std = 0.35)",
    ),
    Transform(
        "shift",
        "augment",
        (Argument("pixels", _MARGIN, doc="the most that an image moves along each axis"),),
        "move each image at random by up to so many pixels, zeros moving in (pad and random crop)",
        "shift(2)",
    ),
    Transform(
        "affine",
        "augment",
        (
            Argument("rotate", _ANGLE, 0, "the most that an image turns either way, in degrees"),
            Argument("stretch", _PART, 0, "the most that its height and its width, each for itself, grow or shrink by"),
            Argument(
                "shear", _PART, 0, "the most that its upright lines lean to a side, as the tangent of their angle"
            ),
        ),
        "rotate, stretch and shear each image at random about its centre, bilinear; label maps by the nearest pixel",
        "affine(rotate = 10, stretch = 0.1)",
    ),
    Transform("flip", "augment", (), "mirror each image left to right with probability 1/2", "flip"),
)

#: every transform by name, in the order of the documentation
TRANSFORMS: dict[str, Transform] = {transform.name: transform for transform in _DECLARED}
