"""Convolutions and transposed convolutions, 1-D to 3-D, with groups, strides, dilations and any padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from ..errors import Unsupported
from ..layer import Layer, flipped
from ..rule import Backward, Gradients, rule
from ..tensor_types import Dim
from ..weight_gradient import weight_gradient
from ..window import Window, space_shape, spread, window

_WIDE = 16


@rule("Conv", lacks="a weight of symbolic shape, auto_pad with a stride where sizes are symbolic")
def convolution(bw: Backward) -> Gradients:
    """x [N, C, *in], w [K, C/g, *k], y [N, K, *out]."""
    x, w = bw.inputs[:2]
    layer = _layer(bw)
    if layer.is_dense:
        return _dense(bw, layer)
    dx = _input_gradient(bw, layer, w) if bw.needs[0] else None
    dw = weight_gradient(bw, layer, x, bw.dy) if bw.needs[1] else None
    return [dx, dw, _bias_gradient(bw)]


def _dense(bw: Backward, layer: Layer) -> Gradients:
    """A window as large as the image makes a dense layer: y [N, K] = x [N, C·taps] times w [K, C·taps] transposed."""
    x, w = (bw.op("Flatten", name) for name in bw.inputs[:2])
    dy = bw.op("Flatten", bw.dy)
    dx = bw.reshape_like(bw.op("Gemm", dy, w), bw.x) if bw.needs[0] else None
    dw = bw.op("Reshape", bw.op("Gemm", dy, x, transA=1), bw.ints(layer.weight)) if bw.needs[1] else None
    return [dx, dw, _bias_gradient(bw)]


@rule("ConvTranspose", lacks="a weight of symbolic shape, output_shape and auto_pad where sizes are symbolic")
def transposed_convolution(bw: Backward) -> Gradients:
    """x [N, C, *in], w [C, K/g, *k], y [N, K, *out]: the adjoint of the convolution with the same weight that
    takes y to x, so that convolution is its input gradient, and in its weight gradient x and dy change places."""
    x, w = bw.inputs[:2]
    layer, dy = _reached(bw, _transposed_layer(bw), bw.dy)
    dx = bw.op("Conv", dy, w, **_attributes(layer)) if bw.needs[0] else None
    dw = weight_gradient(bw, layer, dy, x) if bw.needs[1] else None
    return [dx, dw, _bias_gradient(bw)]


@rule("Col2Im", lacks="image_shape and block_shape computed at run time")
def columns_to_image(bw: Backward) -> Gradients:
    """x [N, C·taps, positions], y [N, C, *image]: every tap of dy by a convolution with a one-hot kernel."""
    block = bw.constant_ints(2, "block_shape") or []
    shape = window(bw, block, bw.dims(bw.y)[2:])
    one_hot = np.eye(prod(block)).reshape(prod(block), 1, *block)
    planes = bw.op("Reshape", bw.dy, space_shape(bw, bw.dy, [-1, 1], bw.dims(bw.y)[2:]))
    taps = bw.op(
        "Conv", planes, bw.constant(one_hot), strides=shape.strides, dilations=shape.dilations, pads=shape.pads
    )
    return [bw.reshape_like(taps, bw.x), None, None]


def _reached(bw: Backward, layer: Layer, dy: str) -> tuple[Layer, str]:
    """The convolution from y, and dy, without what the transposed one leaves at zero behind its last window."""
    beyond = [max(-a, 0) for a in layer.window.after]
    axes = [axis for axis, n in enumerate(beyond) if n]
    if not axes:
        return layer, dy
    dy = bw.op(
        "Slice", dy, bw.ints([0] * len(axes)), bw.ints([-beyond[a] for a in axes]), bw.ints([a + 2 for a in axes])
    )
    space = [n - cut if isinstance(n, int) else None if cut else n for n, cut in zip(layer.x[2:], beyond, strict=True)]
    whole = replace(layer.window, after=tuple(max(a, 0) for a in layer.window.after))
    return replace(layer, window=whole, x=(*layer.x[:2], *space)), dy


def _bias_gradient(bw: Backward) -> str | None:
    if not bw.has(2) or not bw.needs[2]:
        return None
    return bw.reduce_sum(bw.dy, [0, *range(2, bw.rank(bw.y))], keepdims=False)


def _layer(bw: Backward) -> Layer:
    x, y, weight = bw.dims(bw.x), bw.dims(bw.y), _weight_dims(bw)
    return Layer(window(bw, weight[2:], x[2:]), bw.attribute("group", 1), weight, x, y)


def _weight_dims(bw: Backward) -> tuple[int, ...]:
    weight = bw.static_dims(bw.inputs[1])
    if weight is None:
        raise Unsupported("the shape of the weight is not static")
    return weight


def _transposed_layer(bw: Backward) -> Layer:
    """The convolution from y to x whose adjoint the node is."""
    weight, x_dims, y_dims = _weight_dims(bw), bw.dims(bw.x), bw.dims(bw.y)
    if bw.attribute("auto_pad", "NOTSET") in ("NOTSET", "VALID") and not bw.attribute("output_shape", []):
        plain = window(bw, weight[2:], y_dims[2:])
    else:
        plain = _resolved(bw, weight[2:], x_dims[2:], y_dims[2:])
    extra = bw.attribute("output_padding", [0] * plain.rank)
    # The convolution drops a remainder below its stride by itself; a longer one is taken off its padding.
    after = [a - e if e >= s else a for a, e, s in zip(plain.after, extra, plain.strides, strict=True)]
    return Layer(replace(plain, after=tuple(after)), bw.attribute("group", 1), weight, y_dims, x_dims)


def _resolved(bw: Backward, kernel: Sequence[int], x_space: Sequence[Dim], y_space: Sequence[Dim]) -> Window:
    """The window of a ConvTranspose that names its output sizes, not its padding."""
    rank = len(kernel)
    strides, dilations = bw.attribute("strides", [1] * rank), bw.attribute("dilations", [1] * rank)
    extra = bw.attribute("output_padding", [0] * rank)
    before, after = [], []
    for axis, (size, out) in enumerate(zip(x_space, y_space, strict=True)):
        if not isinstance(size, int) or not isinstance(out, int):
            raise Unsupported("output_shape and auto_pad need static sizes")
        cut = strides[axis] * (size - 1) + extra[axis] + (kernel[axis] - 1) * dilations[axis] + 1 - out
        total, lacking = max(cut, 0), max(-cut, 0)  # what an output_shape lacks is added at the end, as zeros
        large, small = total - total // 2, total // 2
        upper = bw.attribute("auto_pad", "NOTSET") == "SAME_UPPER"
        before.append(small if upper else large)
        after.append((large if upper else small) - lacking)
    return Window(tuple(kernel), tuple(strides), tuple(dilations), tuple(before), tuple(after))


def _attributes(layer: Layer) -> dict[str, object]:
    shape = layer.window
    return {
        "kernel_shape": shape.kernel,
        "strides": shape.strides,
        "dilations": shape.dilations,
        "pads": shape.pads,
        "group": layer.group,
    }


def _input_gradient(bw: Backward, layer: Layer, w: str) -> str:
    adjoint = layer.adjoint
    if adjoint is not None and _flips(bw, layer):
        return bw.op("Conv", bw.dy, flipped(bw, layer, w), **_attributes(adjoint))
    return spread(bw, bw.dy, layer.y[2:], w, layer.window, layer.group, bw.x, layer.x[2:])


def _flips(bw: Backward, layer: Layer) -> bool:
    """Whether the input gradient is better taken by the adjoint Conv than by ConvTranspose.

    The two multiply as much if x has about as many positions as y. On the CPU, Conv gathers K·taps rows before its
    product and ConvTranspose scatters C·taps rows after it, on one thread; Conv needs enough channels C to fill the
    product's rows (measured on AVX2, float32). cuDNN has kernels made for ConvTranspose.
    """
    if bw.target.provider != "cpu" or layer.shrinks:
        return False
    return layer.is_depthwise or layer.weight[1] >= max(layer.weight[0] // layer.group, _WIDE)
