"""Resize."""

from __future__ import annotations

from math import prod

import numpy as np

from ..errors import Unsupported
from ..rule import Backward, Gradients, rule

# Pairs of coordinate_transformation_mode and nearest_mode that repeat each element k times at an integer scale k.
_REPEATING = {
    ("asymmetric", "floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
}


@rule("Resize", fixed=("roi", "scales"), lacks="roi, scales or axes computed at run time, keep_aspect_ratio_policy")
def resize(bw: Backward) -> Gradients:
    """Repeated elements: the sum over the copies. Else every mode is linear and separable: y is x times a matrix along
    each axis, so dx is dy times its transpose."""
    rest = [None] * (len(bw.inputs) - 1)
    copies = _copies(bw)
    if copies is not None:
        mean = bw.op("AveragePool", bw.dy, kernel_shape=copies, strides=copies)
        return [bw.op("Mul", mean, bw.scalar(prod(copies))), *rest]
    if bw.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Unsupported("keep_aspect_ratio_policy has no gradient")
    value = bw.dy
    for axis, (size, output) in enumerate(zip(bw.dims(bw.x), bw.dims(bw.y), strict=True)):
        scale = _scale(bw, axis)
        if scale == 1 or (scale is None and size == output and size is not None):
            continue
        if axis in _resized(bw):
            value = _along(bw, value, _matrix(bw, axis, scale), axis)
    return [value, *rest]


def _copies(bw: Backward) -> list[int] | None:
    """How often every element is repeated along each spatial axis, if that is all the node does."""
    transformation = bw.attribute("coordinate_transformation_mode", "half_pixel")
    rounding = bw.attribute("nearest_mode", "round_prefer_floor")
    repeats = (transformation, rounding) in _REPEATING and bw.attribute("mode", "nearest") == "nearest"
    scales = [_scale(bw, axis) for axis in range(bw.rank(bw.x))]
    if not repeats or len(scales) < 3 or scales[:2] != [1, 1]:
        return None
    copies = [int(scale) for scale in scales if scale is not None and scale >= 1 and scale == int(scale)]
    return copies[2:] if len(copies) == len(scales) else None


def _resized(bw: Backward) -> list[int]:
    """The axes that the node lists, which are all unless it says so."""
    rank = bw.rank(bw.x)
    return [axis % rank for axis in bw.attribute("axes", list(range(rank)))]


def _scale(bw: Backward, axis: int) -> float | None:
    """The scale given for an axis, or None where the node states sizes."""
    scales = _constant(bw, 2, "scales")
    if scales is None:
        return None
    axes = _resized(bw)
    return float(scales[axes.index(axis)]) if axis in axes else 1.0


def _constant(bw: Backward, index: int, name: str) -> np.ndarray | None:
    """The numbers of an input, None where it is absent or empty."""
    if not bw.has(index):
        return None
    value = bw.constant_value(bw.inputs[index])
    if value is None:
        raise Unsupported(f"the {name} must be constants")
    return value if len(value) else None


def _matrix(bw: Backward, axis: int, scale: float | None) -> str:
    """[size, output]: the weight of every input in every output along one axis, which are the outputs of the same
    node for the rows of an identity matrix. With constant sizes ONNX Runtime computes it once."""
    attributes = {name: value for name, value in bw.attributes().items() if name not in ("axes", "extrapolation_value")}
    image = bw.op("Unsqueeze", _identity(bw, axis), bw.ints([0, 1]))
    roi = _roi(bw, axis)
    if scale is None:
        sizes = bw.op("Concat", bw.ints([1, 1]), _size(bw, bw.x, axis), _size(bw, bw.y, axis), axis=0)
        resized = bw.op("Resize", image, roi, "", sizes, **attributes)
    else:
        scales = bw.builder.constant(np.array([1, 1, 1, scale], np.float32))
        resized = bw.op("Resize", image, roi, scales, **attributes)
    return bw.op("Squeeze", resized, bw.ints([0, 1]))


def _roi(bw: Backward, axis: int) -> str:
    """The region of interest along one axis, for an image whose last axis it is."""
    if bw.attribute("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize":
        return ""
    roi, axes = _constant(bw, 1, "roi"), _resized(bw)
    if roi is None:
        raise Unsupported("there is no roi")
    place = axes.index(axis)
    start, end = roi[place], roi[place + len(axes)]
    return bw.builder.constant(np.array([0, 0, 0, start, 1, 1, 1, end], roi.dtype))


def _identity(bw: Backward, axis: int) -> str:
    size = bw.dims(bw.x)[axis]
    if isinstance(size, int):
        return bw.constant(np.eye(size))
    zero, one = (bw.builder.constant(np.array(i, np.int64)) for i in (0, 1))
    counted = bw.op("Range", zero, bw.op("Squeeze", _size(bw, bw.x, axis), bw.ints([0])), one)
    equal = bw.op("Equal", counted, bw.op("Unsqueeze", counted, bw.ints([1])))
    return bw.op("Cast", equal, to=bw.element(bw.x))


def _size(bw: Backward, name: str, axis: int) -> str:
    size = bw.dims(name)[axis]
    return bw.ints([size]) if isinstance(size, int) else bw.op("Shape", name, start=axis, end=axis + 1)


def _along(bw: Backward, value: str, matrix: str, axis: int) -> str:
    """Multiplies every line of `value` along `axis` by the transpose of `matrix` [size, output]."""
    rank = bw.rank(bw.x)
    if axis == rank - 2:
        return bw.op("MatMul", matrix, value)
    order = [*(a for a in range(rank) if a != axis), axis]
    turned = bw.op("MatMul", bw.transpose(value, order), bw.transpose(matrix, [1, 0]))
    return bw.transpose(turned, [order.index(a) for a in range(rank)])
