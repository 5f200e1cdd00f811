"""Convolutions and transposed convolutions, 1-D to 3-D, with groups, strides, dilations and any padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import Unsupported
from ..rule import Backward, Gradients, rule
from ..tensor_types import Dim
from ..weight_gradient import Layer, weight_gradient
from ..window import Window, spread, window

_WIDE = 16


@rule("Conv")
def convolution(bw: Backward) -> Gradients:
    """x [N, C, *in], w [K, C/g, *k], y [N, K, *out]."""
    x, w = bw.inputs[:2]
    layer = _layer(bw, x, bw.dims(x), bw.dims(bw.y))
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


@rule("ConvTranspose")
def transposed_convolution(bw: Backward) -> Gradients:
    """x [N, C, *in], w [C, K/g, *k], y [N, K, *out]: the adjoint of the convolution with the same weight that
    takes y to x, so that convolution is its input gradient, and in its weight gradient x and dy change places."""
    x, w = bw.inputs[:2]
    dy = bw.dy
    layer = _transposed_layer(bw)
    if any(layer.window.after[axis] < 0 for axis in range(layer.window.rank)):
        raise Unsupported("output_padding beyond the padding and the stride")
    dx = bw.op("Conv", dy, w, **_attributes(layer)) if bw.needs[0] else None
    dw = weight_gradient(bw, layer, dy, x) if bw.needs[1] else None
    return [dx, dw, _bias_gradient(bw)]


def _bias_gradient(bw: Backward) -> str | None:
    if not bw.has(2) or not bw.needs[2]:
        return None
    return bw.reduce_sum(bw.dy, [0, *range(2, bw.rank(bw.y))], keepdims=False)


def _layer(bw: Backward, x: str, x_dims: Sequence[Dim], y_dims: Sequence[Dim]) -> Layer:
    weight = bw.static_dims(bw.inputs[1])
    if weight is None:
        raise Unsupported("the shape of the weight is not static")
    shape = window(bw, weight[2:], x_dims[2:])
    return Layer(shape, bw.attribute("group", 1), weight, tuple(x_dims), tuple(y_dims), like=x)


def _transposed_layer(bw: Backward) -> Layer:
    """The convolution from y to x whose adjoint the node is."""
    weight = bw.static_dims(bw.inputs[1])
    if weight is None:
        raise Unsupported("the shape of the weight is not static")
    x_dims, y_dims = bw.dims(bw.x), bw.dims(bw.y)
    plain = window(bw, weight[2:], [None] * (len(weight) - 2)) if _padding_is_given(bw) else None
    if plain is None:
        plain = _resolved(bw, weight[2:], x_dims[2:], y_dims[2:])
    extra = bw.attribute("output_padding", [0] * plain.rank)
    # The convolution drops a remainder below its stride by itself; a longer one is taken off its padding.
    after = [a - e if e >= s else a for a, e, s in zip(plain.after, extra, plain.strides, strict=True)]
    return Layer(
        replace(plain, after=tuple(after)), bw.attribute("group", 1), weight, tuple(y_dims), tuple(x_dims), like=bw.y
    )


def _padding_is_given(bw: Backward) -> bool:
    return bw.attribute("auto_pad", "NOTSET") in ("NOTSET", "VALID") and not bw.attribute("output_shape", [])


def _resolved(bw: Backward, kernel: Sequence[int], x_space: Sequence[Dim], y_space: Sequence[Dim]) -> Window:
    """The window of a ConvTranspose that names its output sizes, not its padding."""
    rank = len(kernel)
    strides, dilations = bw.attribute("strides", [1] * rank), bw.attribute("dilations", [1] * rank)
    extra = bw.attribute("output_padding", [0] * rank)
    before, after = [], []
    for axis, (size, out) in enumerate(zip(x_space, y_space, strict=True)):
        if not isinstance(size, int) or not isinstance(out, int):
            raise Unsupported("output_shape and auto_pad need static sizes")
        total = strides[axis] * (size - 1) + extra[axis] + (kernel[axis] - 1) * dilations[axis] + 1 - out
        large, small = total - total // 2, total // 2
        upper = bw.attribute("auto_pad", "NOTSET") == "SAME_UPPER"
        before.append(small if upper else large)
        after.append(large if upper else small)
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
    if _flips(bw, layer):
        spans = layer.window.spans * 2
        edges = [span - 1 - pad for span, pad in zip(spans, layer.window.pads, strict=True)]
        attributes = {"dilations": layer.window.dilations, "pads": edges, "group": layer.group}
        return bw.op("Conv", bw.dy, _flipped(bw, layer, w), **attributes)
    return spread(bw, bw.dy, layer.y[2:], w, layer.window, layer.group, layer.like, layer.x[2:])


def _flips(bw: Backward, layer: Layer) -> bool:
    """Whether the input gradient is to be a Conv with the weights turned around, not a ConvTranspose.

    The two multiply as much if x has about as many positions as y. On the CPU, Conv gathers K·taps rows before its
    product and ConvTranspose scatters C·taps rows after it, on one thread; Conv needs enough channels C to fill the
    product's rows (measured on AVX2, float32). cuDNN has kernels made for ConvTranspose.
    """
    shape = layer.window
    if bw.target.provider != "cpu" or not shape.is_unit_stride or layer.shrinks:
        return False
    if any(pad > span - 1 for span, pad in zip(shape.spans * 2, shape.pads, strict=True)):
        return False
    return layer.is_depthwise or layer.weight[1] >= max(layer.weight[0] // layer.group, _WIDE)


def _flipped(bw: Backward, layer: Layer, w: str) -> str:
    """w [K, C/g, *k] as [C, K/g, *k], reversed along every spatial axis."""
    group, taps = layer.group, layer.taps
    outputs, inputs = layer.weight[0] // group, layer.weight[1]
    matrices = bw.op("Reshape", w, bw.ints([group, outputs, inputs, taps]))
    swapped = bw.op("Transpose", matrices, perm=[0, 2, 1, 3])
    if taps > 1:
        swapped = bw.op("Gather", swapped, bw.ints(range(taps - 1, -1, -1)), axis=3)
    return bw.op("Reshape", swapped, bw.ints([group * inputs, outputs, *layer.window.kernel]))
