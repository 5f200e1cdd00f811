"""Operators that write elements at given places, and those that select some."""

from __future__ import annotations

import numpy as np

from ..errors import Unsupported
from ..rule import Backward, Gradients, rule
from .indexing import scatter_rows

_REDUCTIONS = "reduction mul, max and min"


def _added(bw: Backward) -> bool:
    """Whether updates are added, rather than written."""
    reduction = bw.attribute("reduction", "none")
    if reduction not in ("none", "add"):
        raise Unsupported(f"reduction {reduction} has no gradient")
    return reduction == "add"


@rule("ScatterElements", lacks=_REDUCTIONS)
def scatter_elements(bw: Backward) -> Gradients:
    """To the updates what is at their places; to the data the rest, or all where updates are added."""
    places, axis = bw.inputs[1], bw.attribute("axis", 0)
    data = bw.dy
    if not _added(bw) and bw.needs[0]:
        data = bw.op("ScatterElements", bw.dy, places, bw.zeros_like(bw.inputs[2]), axis=axis)
    updates = bw.op("GatherElements", bw.dy, places, axis=axis) if bw.needs[2] else None
    return [data, None, updates]


@rule("ScatterND", lacks=_REDUCTIONS)
def scatter_nd(bw: Backward) -> Gradients:
    places = bw.inputs[1]
    data = bw.dy
    if not _added(bw) and bw.needs[0]:
        data = bw.op("ScatterND", bw.dy, places, bw.zeros_like(bw.inputs[2]))
    updates = bw.op("GatherND", bw.dy, places) if bw.needs[2] else None
    return [data, None, updates]


@rule("TopK", kinks="equal elements")
def top_k(bw: Backward) -> Gradients:
    axis = bw.attribute("axis", -1)
    return [bw.op("ScatterElements", bw.zeros_like(bw.x), bw.output(1), bw.dy, axis=axis), None]


@rule("Compress")
def compress(bw: Backward) -> Gradients:
    """The chosen slices along an axis, or elements of the flat tensor."""
    rows = bw.op("Reshape", bw.op("NonZero", bw.inputs[1]), bw.ints([-1]))
    axis = bw.attribute("axis", None)
    if axis is None:
        length = bw.op("Reshape", bw.op("Size", bw.x), bw.ints([1]))
        return [bw.reshape_like(scatter_rows(bw, bw.dy, rows, 0, 1, length, distinct=True), bw.x), None]
    axis %= bw.rank(bw.x)
    length = bw.op("Shape", bw.x, start=axis, end=axis + 1)
    return [scatter_rows(bw, bw.dy, rows, axis, bw.rank(bw.x), length, distinct=True), None]


@rule("OneHot", fixed=("indices", "depth"))
def one_hot(bw: Backward) -> Gradients:
    """values = [off, on]: the sums of dy where it is off and where it is on."""
    values = bw.inputs[2]
    on = bw.op("OneHot", *bw.inputs[:2], bw.builder.constant(np.array([0, 1], bw.dtype)), axis=bw.attribute("axis", -1))
    total = bw.op("ReduceSum", bw.dy, keepdims=0)
    at_on = bw.op("ReduceSum", bw.op("Mul", bw.dy, on), keepdims=0)
    both = [bw.op("Reshape", value, bw.ints([1])) for value in (bw.op("Sub", total, at_on), at_on)]
    return [None, None, bw.reshape_like(bw.op("Concat", *both, axis=0), values)]
