"""Pooling, 1-D to 3-D."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from onnx import TensorProto

from ..errors import Unsupported
from ..rule import Backward, Gradients, rule
from ..tensor_types import Dim
from ..window import Window, space_shape, spread, window


def _window(bw: Backward) -> Window:
    return window(bw, bw.attribute("kernel_shape", []), bw.dims(bw.x)[2:])


@rule("MaxPool", kinks="equal elements of a window")
def max_pool(bw: Backward) -> Gradients:
    """dy goes back to the positions the forward pool reports (flat indices into x)."""
    indices = _indices(bw)
    shape = _window(bw)
    apart = all(stride >= span for stride, span in zip(shape.strides, shape.spans, strict=True))
    if apart and _has_unpool(bw):
        # Windows that do not overlap never meet, so that plain writes do.
        attributes = {"kernel_shape": shape.kernel, "strides": shape.strides, "pads": shape.pads}
        return [bw.op("MaxUnpool", bw.dy, indices, bw.shape(bw.x), **attributes)]
    return [_scattered(bw, indices, "none" if apart else "add")]


def _has_unpool(bw: Backward) -> bool:
    """MaxUnpool has a kernel on the CPU only, in float32, and refuses to end inside the last window."""
    return bw.target.provider == "cpu" and bw.element(bw.x) == TensorProto.FLOAT and not bw.attribute("ceil_mode", 0)


def _indices(bw: Backward) -> str:
    """Row-major flat positions of the maxima."""
    if not bw.attribute("storage_order", 0):
        return bw.output(1)
    attributes = bw.attributes() | {"storage_order": 0}
    return bw.op_n(2, "MaxPool", bw.x, **attributes)[1]


def _scattered(bw: Backward, indices: str, reduction: str) -> str:
    """dy at the indices; only windows that overlap need to add, on CUDA atomically, in an order that varies."""
    dims = bw.static_dims(bw.x)
    length = bw.ints([prod(dims)]) if dims is not None else bw.op("Reshape", bw.op("Size", bw.x), bw.ints([1]))
    flat = bw.op("Expand", bw.scalar(0), length)
    one_axis = bw.ints([-1])
    values, places = (bw.op("Reshape", tensor, one_axis) for tensor in (bw.dy, indices))
    return bw.reshape_like(bw.op("ScatterElements", flat, places, values, reduction=reduction), bw.x)


@rule("AveragePool", lacks="count_include_pad or ceil_mode with padding where sizes are symbolic")
def average_pool(bw: Backward) -> Gradients:
    """Every element of dy, over the number of elements averaged, spread over its window."""
    shape = _window(bw)
    return [_spread(bw, _share(bw, shape), shape)]


def _spread(bw: Backward, value: str, shape: Window) -> str:
    """`value`, one element per window, added to all inputs of its window."""
    x_dims, y_dims = bw.dims(bw.x), bw.dims(bw.y)
    if _tiles(shape, x_dims[2:], y_dims[2:]):
        scales = bw.builder.constant(np.array([1, 1, *shape.kernel], np.float32))
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return bw.op("Resize", value, "", scales, **how)
    planes = bw.op("Reshape", value, space_shape(bw, bw.y, [-1, 1], y_dims[2:]))
    ones = bw.constant(np.ones([1, 1, *shape.kernel]))
    return bw.reshape_like(spread(bw, planes, y_dims[2:], ones, shape, 1, bw.x, x_dims[2:]), bw.x)


def _tiles(shape: Window, x: Sequence[Dim], y: Sequence[Dim]) -> bool:
    """Whether every input lies in one window, so that spreading is repeating."""
    sizes = zip(x, y, shape.kernel, strict=True)
    exact = all(isinstance(n, int) and isinstance(steps, int) and n == steps * k for n, steps, k in sizes)
    return exact and shape.kernel == shape.strides and not any(shape.pads) and {*shape.dilations} == {1}


def _share(bw: Backward, shape: Window) -> str:
    """dy divided by each window's count."""
    counts = _counts(bw, shape)
    if counts is None:
        # The pool itself tells what it divides by: the mean of ones, padding included as zeros, is count / size.
        if bw.attribute("count_include_pad", 0) or bw.attribute("ceil_mode", 0):
            raise Unsupported("count_include_pad and ceil_mode need static sizes")
        ones = bw.op("Expand", bw.scalar(1), bw.op("Concat", bw.ints([1, 1]), bw.op("Shape", bw.x, start=2), axis=0))
        covered = bw.op("AveragePool", ones, **(bw.attributes() | {"count_include_pad": 1}))
        return bw.op("Div", bw.dy, bw.op("Mul", covered, bw.scalar(prod(shape.kernel))))
    if (counts == counts.flat[0]).all():
        return bw.op("Mul", bw.dy, bw.scalar(1 / counts.flat[0]))
    return bw.op("Mul", bw.dy, bw.constant(1 / counts))


def _counts(bw: Backward, shape: Window) -> np.ndarray | None:
    """Number of elements each window averages, [*out], an outer product over the axes; None if sizes are symbolic."""
    x, y = bw.dims(bw.x)[2:], bw.dims(bw.y)[2:]
    if not any(shape.pads) and not bw.attribute("ceil_mode", 0):
        return np.full([1], float(prod(shape.kernel)))
    counts = np.ones([])
    for axis, (size, steps) in enumerate(zip(x, y, strict=True)):
        if not isinstance(size, int) or not isinstance(steps, int):
            return None
        taps = np.arange(shape.kernel[axis]) * shape.dilations[axis] - shape.before[axis]
        position = np.arange(steps)[:, None] * shape.strides[axis] + taps
        if bw.attribute("count_include_pad", 0):
            inside = position < size + shape.after[axis]
        else:
            inside = (position >= 0) & (position < size)
        counts = np.multiply.outer(counts, inside.sum(1))
    return counts


@rule("LpPool", kinks="x = 0, with p = 1")
def lp_pool(bw: Backward) -> Gradients:
    """y = (Σ |x|^p)^(1/p) over the window."""
    return [bw.op("Mul", _spread(bw, _lp_share(bw), _window(bw)), _lp_power(bw))]


@rule("GlobalLpPool", kinks="x = 0, with p = 1")
def global_lp_pool(bw: Backward) -> Gradients:
    return [bw.op("Mul", _lp_share(bw), _lp_power(bw))]


def _lp_share(bw: Backward) -> str:
    """dy·y^(1−p), and 0 where all of the window is 0."""
    p, zero = bw.attribute("p", 2), bw.op("Equal", bw.y, bw.scalar(0))
    root = bw.op("Where", zero, bw.scalar(1), bw.y)
    power = root if p == 2 else bw.op("Pow", root, bw.scalar(p - 1))
    return bw.op("Div", bw.op("Where", zero, bw.scalar(0), bw.dy), power)


def _lp_power(bw: Backward) -> str:
    """The slope of |x|^p / p: sign(x)·|x|^(p−1)."""
    p = bw.attribute("p", 2)
    if p == 2:
        return bw.x
    return bw.op("Mul", bw.op("Sign", bw.x), bw.op("Pow", bw.op("Abs", bw.x), bw.scalar(p - 1)))


@rule("MaxUnpool")
def max_unpool(bw: Backward) -> Gradients:
    """dy at the indices, which are flat positions in y (as ONNX Runtime takes them, also where an output_shape is given)."""
    one_axis = bw.ints([-1])
    flat, places = (bw.op("Reshape", value, one_axis) for value in (bw.dy, bw.inputs[1]))
    dx = bw.reshape_like(bw.op("Gather", flat, places), bw.x)
    return [dx, *[None] * (len(bw.inputs) - 1)]


@rule("GlobalAveragePool")
def global_average_pool(bw: Backward) -> Gradients:
    space = bw.dims(bw.x)[2:]
    known = [size for size in space if isinstance(size, int)]
    if len(known) == len(space):
        share = bw.op("Mul", bw.dy, bw.scalar(1 / prod(known)))
    else:
        count = bw.op("ReduceProd", bw.op("Shape", bw.x, start=2), keepdims=0)
        share = bw.op("Div", bw.dy, bw.op("Cast", count, to=bw.element(bw.x)))
    return [bw.op("Expand", share, bw.shape(bw.x))]


@rule("GlobalMaxPool", kinks="equal elements of a channel")
def global_max_pool(bw: Backward) -> Gradients:
    """To the first maximum of every channel."""
    flat = bw.op("Flatten", bw.x, axis=2)
    first = bw.op("ArgMax", flat, axis=1)
    dy = bw.op("Flatten", bw.dy, axis=2)
    zeros = bw.op("Expand", bw.scalar(0), bw.op("Shape", flat))
    return [bw.reshape_like(bw.op("ScatterElements", zeros, first, dy, axis=1), bw.x)]
