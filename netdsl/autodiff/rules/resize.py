"""Resize: nearest and linear, one matrix per axis."""

from __future__ import annotations

from math import floor, prod

import numpy as np

from ..errors import Unsupported
from ..rule import Backward, Gradients, rule

# Pairs of coordinate_transformation_mode and nearest_mode that repeat each element k times at an integer scale k.
_REPEATING = {
    ("asymmetric", "floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
}


@rule("Resize")
def resize(bw: Backward) -> Gradients:
    """Repeated elements: the sum over the copies. Else both modes are linear and separable: y is x times a matrix
    along each axis, so dx is dy times its transpose."""
    copies = _copies(bw)
    if copies is not None:
        mean = bw.op("AveragePool", bw.dy, kernel_shape=copies, strides=copies)
        return [bw.op("Mul", mean, bw.scalar(prod(copies))), *[None] * (len(bw.inputs) - 1)]
    sizes, outputs = bw.dims(bw.x), bw.dims(bw.y)
    value = bw.dy
    for axis, (size, output) in enumerate(zip(sizes, outputs, strict=True)):
        scale = _scale(bw, axis)
        if scale == 1 or (scale is None and size == output):
            continue
        if not isinstance(size, int) or not isinstance(output, int):
            raise Unsupported("resized axes need static sizes")
        matrix = _matrix(bw, size, output, scale)
        value = _along(bw, value, matrix, axis)
    return [value, *[None] * (len(bw.inputs) - 1)]


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


def _scale(bw: Backward, axis: int) -> float | None:
    """The scale given for an axis, or None where the node states sizes."""
    if not bw.has(2):
        return None
    scales = bw.constant_value(bw.inputs[2])
    if scales is None:
        raise Unsupported("the scales must be constants")
    if not len(scales):
        return None
    axes = [a % bw.rank(bw.x) for a in bw.attribute("axes", list(range(bw.rank(bw.x))))]
    return float(scales[axes.index(axis)]) if axis in axes else 1.0


def _matrix(bw: Backward, size: int, output: int, scale: float | None) -> np.ndarray:
    """[output, size]: the weights of the inputs in every output along one axis (ONNX Resize, opset 18)."""
    mode = bw.attribute("mode", "nearest")
    if bw.attribute("antialias", 0) or mode not in ("nearest", "linear"):
        raise Unsupported(f"mode {mode}{' with antialias' if bw.attribute('antialias', 0) else ''} has no gradient")
    matrix = np.zeros([output, size])
    for row in range(output):
        at = _coordinate(bw, row, size, output, scale or output / size)
        if mode == "nearest":
            matrix[row, min(max(_nearest(bw, at), 0), size - 1)] = 1
        else:
            low = floor(at)
            for column, weight in ((low, low + 1 - at), (low + 1, at - low)):
                matrix[row, min(max(column, 0), size - 1)] += weight
    return matrix


def _coordinate(bw: Backward, row: int, size: int, output: int, scale: float) -> float:
    """Where an output element lies among the inputs."""
    transformation = bw.attribute("coordinate_transformation_mode", "half_pixel")
    if transformation == "half_pixel" or (transformation == "pytorch_half_pixel" and output > 1):
        return (row + 0.5) / scale - 0.5
    if transformation == "half_pixel_symmetric":
        return size / 2 * (1 - output / (scale * size)) + (row + 0.5) / scale - 0.5
    if transformation == "asymmetric":
        return row / scale
    if transformation == "align_corners":
        return row * (size - 1) / (output - 1) if output > 1 else 0.0
    if transformation == "pytorch_half_pixel":
        return 0.0
    raise Unsupported(f"coordinate_transformation_mode {transformation} has no gradient")


def _nearest(bw: Backward, at: float) -> int:
    rounding = bw.attribute("nearest_mode", "round_prefer_floor")
    if rounding == "floor":
        return floor(at)
    if rounding == "ceil":
        return -floor(-at)
    if rounding == "round_prefer_ceil":
        return floor(at + 0.5)
    return -floor(-(at - 0.5))


def _along(bw: Backward, value: str, matrix: np.ndarray, axis: int) -> str:
    """Multiplies every line of `value` along `axis` by `matrix` [output, size]."""
    rank = bw.rank(bw.x)
    if axis == rank - 1:
        return bw.op("MatMul", value, bw.constant(matrix))
    if axis == rank - 2:
        return bw.op("MatMul", bw.constant(matrix.T), value)
    order = [*(a for a in range(rank) if a != axis), axis]
    turned = bw.op("MatMul", bw.transpose(value, order), bw.constant(matrix))
    return bw.transpose(turned, [order.index(a) for a in range(rank)])
