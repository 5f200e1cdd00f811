"""The weight gradient of a convolution: which of its forms to use, and the forms.

dw[k, c, t] = Σ over n and output positions p of dy[n, k, p] · x[n, c, s·p + d·t − pad], for every tap t.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from .rule import Backward
from .tensor_types import Dim
from .window import Window, space_shape


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution from x [N, C, *in] to y [N, K, *out] with weight [K, C/group, *kernel]."""

    window: Window
    group: int
    weight: tuple[int, ...]
    x: tuple[Dim, ...]
    y: tuple[Dim, ...]
    #: The tensor that has the shape `x`.
    like: str

    @property
    def taps(self) -> int:
        return prod(self.window.kernel)

    @property
    def channels(self) -> int:
        """C."""
        return self.weight[1] * self.group


def weight_gradient(bw: Backward, layer: Layer, x: str, dy: str) -> str:
    """dw, in the shape of the weight."""
    if layer.window.is_pointwise:
        return _product(bw, layer, _strided(bw, layer, x), dy)
    return _product(bw, layer, _columns(bw, layer, x), dy)


def _strided(bw: Backward, layer: Layer, x: str) -> str:
    """The elements of x that a pointwise convolution reads."""
    strides = layer.window.strides
    if layer.window.is_unit_stride:
        return x
    rank = layer.window.rank
    far = np.iinfo(np.int64).max
    return bw.op(
        "Slice", x, bw.ints([0] * rank), bw.ints([far] * rank), bw.ints(range(2, rank + 2)), bw.ints(strides)
    )


def _columns(bw: Backward, layer: Layer, x: str) -> str:
    """im2col: [N·C, taps, *out], every tap by a convolution with a one-hot kernel over one channel."""
    shape = layer.window
    one_hot = np.eye(layer.taps).reshape(layer.taps, 1, *shape.kernel)
    planes = bw.op("Reshape", x, space_shape(bw, x, [-1, 1], layer.x[2:]))
    return bw.op(
        "Conv", planes, bw.constant(one_hot), strides=shape.strides, dilations=shape.dilations, pads=shape.pads
    )


def _product(bw: Backward, layer: Layer, columns: str, dy: str) -> str:
    """Σ over n of dy [N, g, K/g, P] times columns [N, g, C/g·taps, P] transposed."""
    group = layer.group
    outputs, inputs = layer.weight[0] // group, layer.weight[1] * layer.taps
    batch = layer.x[0] if isinstance(layer.x[0], int) else -1
    positions = [size for size in layer.y[2:] if isinstance(size, int)]
    p = prod(positions) if batch == -1 and len(positions) == layer.window.rank else -1
    lead = [batch, group] if group > 1 else [batch]
    if batch == p == -1:
        n = bw.op("Shape", dy, start=0, end=1)
        groups = [group] if group > 1 else []
        a = bw.op("Reshape", dy, bw.op("Concat", n, bw.ints([*groups, outputs, -1]), axis=0))
        b = bw.op("Reshape", columns, bw.op("Concat", n, bw.ints([*groups, inputs, -1]), axis=0))
    else:
        a = bw.op("Reshape", dy, bw.ints([*lead, outputs, p]))
        b = bw.op("Reshape", columns, bw.ints([*lead, inputs, p]))
    rank = len(lead) + 2
    each = bw.op("MatMul", a, bw.transpose(b, [*range(rank - 2), rank - 1, rank - 2]))
    return bw.op("Reshape", bw.reduce_sum(each, [0], keepdims=False), bw.ints(layer.weight))
