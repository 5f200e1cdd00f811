"""A convolution's sizes, as both its gradients look at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from .rule import Backward
from .tensor_types import Dim
from .window import Window


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution from x [N, C, *in] to y [N, K, *out] with weight [K, C/group, *kernel]."""

    window: Window
    group: int
    weight: tuple[int, ...]
    x: tuple[Dim, ...]
    y: tuple[Dim, ...]

    @property
    def taps(self) -> int:
        return prod(self.window.kernel)

    @property
    def is_dense(self) -> bool:
        """Whether the one position of the window covers the whole image."""
        covers = self.x[2:] == self.window.kernel and set(self.y[2:]) == {1}
        return covers and self.group == 1 and not any(self.window.pads)

    @property
    def is_depthwise(self) -> bool:
        """One channel in and one out per group."""
        return self.group > 1 and self.weight[:2] == (self.group, 1)

    @property
    def shrinks(self) -> bool:
        """Whether x has so many more positions than y that work per position of y is to be preferred."""
        return self.has_static_space and prod(self.x_space) > 1.5 * prod(self.y_space)

    @property
    def adjoint(self) -> Layer | None:
        """The convolution from y to x with the `flipped` weight; None if that is no convolution, or too wide a pad."""
        shape = self.window
        pads = [span - 1 - pad for span, pad in zip(shape.spans * 2, shape.pads, strict=True)]
        if not shape.is_unit_stride or min(pads) < 0:
            return None
        turned = replace(shape, before=tuple(pads[: shape.rank]), after=tuple(pads[shape.rank :]))
        weight = (self.weight[1] * self.group, self.weight[0] // self.group, *shape.kernel)
        return Layer(turned, self.group, weight, x=self.y, y=self.x)

    @property
    def x_space(self) -> list[int]:
        """Spatial sizes of x, those that are known."""
        return _ints(self.x[2:])

    @property
    def y_space(self) -> list[int]:
        """Spatial sizes of y, those that are known."""
        return _ints(self.y[2:])

    @property
    def has_static_space(self) -> bool:
        """Whether all spatial sizes are known."""
        return all(isinstance(size, int) for size in (*self.x[2:], *self.y[2:]))


def flipped(bw: Backward, layer: Layer, w: str) -> str:
    """w [K, C/g, *k] as [C, K/g, *k], reversed along every spatial axis: the weight of the adjoint convolution."""
    group, taps = layer.group, layer.taps
    outputs, inputs = layer.weight[0] // group, layer.weight[1]
    matrices = bw.op("Reshape", w, bw.ints([group, outputs, inputs, taps]))
    swapped = bw.op("Transpose", matrices, perm=[0, 2, 1, 3])
    if taps > 1:
        swapped = bw.op("Gather", swapped, bw.ints(range(taps - 1, -1, -1)), axis=3)
    return bw.op("Reshape", swapped, bw.ints([group * inputs, outputs, *layer.window.kernel]))


def _ints(sizes: Sequence[Dim]) -> list[int]:
    return [size for size in sizes if isinstance(size, int)]
