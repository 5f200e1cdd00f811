"""Spatial transformers: images read at positions that a grid gives (Jaderberg et al. 2015, arXiv:1506.02025)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from onnx import TensorProto

from ..rule import Backward, Gradients, rule

_CUBIC = -0.75  # of Keys' kernel, as PyTorch and ONNX have it


class Tap(NamedTuple):
    """One of the elements along an axis that each output reads, [N, P] for P outputs: where it lies (int64, inside the
    image), its weight, and the derivative of that over the grid's number. None stands for 1 and 0."""

    place: str
    weight: str | None
    slope: str | None


@rule("GridSample", kinks="positions on an element (linear) or halfway (nearest), the border of the image")
def grid_sample(bw: Backward) -> Gradients:
    """x [N, C, *in], grid [N, *out, rank] with the last axis of x first, y [N, C, *out].

    Along every axis an output is a weighted sum of elements; over the axes the weights multiply.
    """
    axes = [_Axis(bw, axis).taps() for axis in range(bw.rank(bw.x) - 2)]
    dy = bw.op("Reshape", bw.dy, bw.ints([0, 0, -1]))
    corners = [(taps, _flat_index(bw, taps)) for taps in product(*axes)]
    dx = _image_gradient(bw, corners, dy) if bw.needs[0] else None
    return [dx, _grid_gradient(bw, corners, dy) if bw.needs[1] else None]


@rule("AffineGrid", lacks="a size of unknown length")
def affine_grid(bw: Backward) -> Gradients:
    """y [N, *out, rank] is theta [N, rank, rank + 1] times the positions (x, y, .., 1), which the same node gives for
    the identity."""
    rank = bw.rank(bw.y) - 2
    size = bw.op("Concat", bw.ints([1]), bw.op("Slice", bw.inputs[1], bw.ints([1]), bw.ints([rank + 2])), axis=0)
    unit = bw.constant(np.eye(rank, rank + 1)[None])
    positions = bw.op("AffineGrid", unit, size, align_corners=bw.attribute("align_corners", 0))
    flat = bw.op("Reshape", positions, bw.ints([-1, rank]))
    whole = bw.op("Pad", flat, bw.ints([0, 0, 0, 1]), bw.scalar(1))
    dy = bw.op("Transpose", bw.op("Reshape", bw.dy, bw.ints([0, -1, rank])), perm=[0, 2, 1])
    return [bw.op("MatMul", dy, whole), None]


Corners = Sequence[tuple[tuple[Tap, ...], str]]


def _image_gradient(bw: Backward, corners: Corners, dy: str) -> str:
    """dy by the weight, added where it was read."""
    values, places = [], []
    for taps, index in corners:
        weight = _times(bw, [tap.weight for tap in taps])
        values.append(bw.op("Mul", dy, bw.op("Unsqueeze", weight, bw.ints([1]))) if weight else dy)
        places.append(bw.op("Expand", index, bw.op("Shape", dy)))
    joined = [parts[0] if len(parts) == 1 else bw.op("Concat", *parts, axis=2) for parts in (places, values)]
    pixels = bw.op("Reshape", bw.zeros_like(bw.x), bw.ints([0, 0, -1]))
    return bw.reshape_like(bw.op("ScatterElements", pixels, *joined, axis=2, reduction="add"), bw.x)


def _grid_gradient(bw: Backward, corners: Corners, dy: str) -> str:
    """Σ over channels of dy·x, by the derivative of the weight along one axis and the weights along the others."""
    rank = bw.rank(bw.x) - 2
    pixels = bw.op("Reshape", bw.x, bw.ints([0, 0, -1]))
    parts: list[list[str]] = [[] for _ in range(rank)]
    for taps, index in corners:
        read = bw.op("GatherElements", pixels, bw.op("Expand", index, bw.op("Shape", dy)), axis=2)
        agreement = bw.reduce_sum(bw.op("Mul", dy, read), [1], keepdims=False)
        for axis, tap in enumerate(taps):
            if tap.slope:
                others = [t.weight for a, t in enumerate(taps) if a != axis]
                slope = _times(bw, [tap.slope, *others]) or tap.slope
                parts[rank - 1 - axis].append(bw.op("Mul", agreement, slope))
    if not any(parts):
        return bw.zeros_like(bw.inputs[1])
    sums = [bw.op("Unsqueeze", bw.op("Sum", *part), bw.ints([2])) for part in parts]
    return bw.reshape_like(bw.op("Concat", *sums, axis=2), bw.inputs[1])


def _flat_index(bw: Backward, taps: Sequence[Tap]) -> str:
    """Row-major positions in the image [N, 1, P]."""
    index = taps[0].place
    for axis, tap in enumerate(taps[1:], 1):
        index = bw.op("Add", bw.op("Mul", index, _size(bw, axis)), tap.place)
    return bw.op("Unsqueeze", index, bw.ints([1]))


def _times(bw: Backward, factors: Sequence[str | None]) -> str | None:
    value = None
    for factor in factors:
        value = factor if value is None else value if factor is None else bw.op("Mul", value, factor)
    return value


def _size(bw: Backward, axis: int) -> str:
    """The image's size along an axis, int64."""
    size = bw.dims(bw.x)[axis + 2]
    if isinstance(size, int):
        return bw.builder.constant(np.array(size, np.int64))
    return bw.op("Squeeze", bw.op("Shape", bw.x, start=axis + 2, end=axis + 3), bw.ints([0]))


class _Axis:
    """Where the outputs read along one axis."""

    def __init__(self, bw: Backward, axis: int) -> None:
        self.bw, self.op, self.scalar = bw, bw.op, bw.scalar
        mode = bw.attribute("mode", "linear")
        self.mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
        self.padding = bw.attribute("padding_mode", "zeros")
        self.size = bw.op("Cast", _size(bw, axis), to=bw.element(bw.x))
        self.last = self.op("Sub", self.size, self.scalar(1))
        aligned = bw.attribute("align_corners", 0)
        # What lies beyond these is reflected: the centres of the outermost elements, or their edges.
        self.low = self.scalar(0 if aligned else -0.5)
        self.span = self.last if aligned else self.size
        #: of a position in elements over the grid's number
        self.scale = self.op("Mul", self.span, self.scalar(0.5))
        grid = bw.op("Reshape", bw.inputs[1], bw.ints([0, -1, bw.rank(bw.x) - 2]))
        component = bw.builder.constant(np.array(bw.rank(bw.x) - 3 - axis, np.int64))
        number = bw.op("Add", bw.op("Gather", grid, component, axis=2), self.scalar(1))
        self.position = self.op("Add", self.op("Mul", number, self.scale), self.low)

    def taps(self) -> list[Tap]:
        if self.mode == "cubic":
            return self._cubic()
        position, scale = self._inside(self.position)
        if self.mode == "nearest":
            return [self._tap(self.op("Round", position), None, None)]
        first = self.op("Floor", position)
        share = self.op("Sub", position, first)
        rest = self.op("Sub", self.scalar(1), share)
        return [
            self._tap(first, rest, self.op("Neg", scale)),
            self._tap(self.op("Add", first, self.scalar(1)), share, scale),
        ]

    def _cubic(self) -> list[Tap]:
        first = self.op("Floor", self.position)
        share = self.op("Sub", self.position, first)
        found = []
        for offset in (-1, 0, 1, 2):
            weight, slope = self._keys(self.op("Sub", share, self.scalar(offset)), outer=offset in (-1, 2))
            found.append(
                self._tap(self.op("Add", first, self.scalar(offset)), weight, self.op("Mul", slope, self.scale))
            )
        return found

    def _keys(self, distance: str, *, outer: bool) -> tuple[str, str]:
        """Keys' cubic kernel at a distance of 1 to 2 elements or below 1, and its derivative (Keys 1981)."""
        a, d = _CUBIC, self.op("Abs", distance)
        powers = (a, -5 * a, 8 * a, -4 * a) if outer else (a + 2, -(a + 3), 0, 1)
        slope = self.op(
            "Mul", self._polynomial(d, [3 * powers[0], 2 * powers[1], powers[2]]), self.op("Sign", distance)
        )
        return self._polynomial(d, powers), slope

    def _polynomial(self, x: str, factors: Sequence[float]) -> str:
        value = self.scalar(factors[0])
        for factor in factors[1:]:
            value = self.op("Add", self.op("Mul", value, x), self.scalar(factor))
        return value

    def _inside(self, position: str) -> tuple[str, str]:
        """A position moved into the image as the padding mode says, and its derivative over the grid's number."""
        scale = self.op("Expand", self.scale, self.op("Shape", position))
        if self.padding == "zeros":
            return position, scale
        if self.padding == "reflection":
            position, sign = self._reflected(position)
            scale = self.op("Mul", scale, sign)
        held = self._held(position)
        return held, self.op("Where", self.op("Equal", held, position), scale, self.scalar(0))

    def _reflected(self, position: str) -> tuple[str, str]:
        """There and back between the bounds; and the direction, 1 or -1."""
        beyond = self.op("Sub", position, self.low)
        distance = self.op("Abs", beyond)
        turns = self.op("Floor", self.op("Div", distance, self.span))
        rest = self.op("Sub", distance, self.op("Mul", turns, self.span))
        half = self.op("Mul", turns, self.scalar(0.5))
        even = self.op("Equal", self.op("Floor", half), half)
        back = self.op("Where", even, rest, self.op("Sub", self.span, rest))
        sign = self.op("Mul", self.op("Sign", beyond), self.op("Where", even, self.scalar(1), self.scalar(-1)))
        return self.op("Add", back, self.low), sign

    def _held(self, position: str) -> str:
        return self.op("Max", self.op("Min", position, self.last), self.scalar(0))

    def _tap(self, at: str, weight: str | None, slope: str | None) -> Tap:
        """The tap at whole positions, which may lie outside of the image."""
        bw = self.bw
        if self.padding == "reflection":
            at = self._reflected(at)[0]
        index = self.op("Cast", self._held(at), to=TensorProto.INT64)
        if self.padding == "zeros":
            inside = self.op("Equal", self._held(at), at)
            weight = bw.masked(inside, weight) if weight else self.op("Cast", inside, to=bw.element(bw.x))
            slope = bw.masked(inside, slope) if slope else None
        return Tap(index, weight, slope)
