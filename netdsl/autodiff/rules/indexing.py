"""Operators that pick elements by index; their gradients add up where an element was picked more than once."""

from __future__ import annotations

from ..errors import Unsupported
from ..rule import Backward, Gradients, rule


def scatter_rows(bw: Backward, value: str, rows: str, axis: int, rank: int, length: str) -> str:
    """Adds slice i of `value` along `axis` to slice rows[i] of zeros with `length` (int64 [1]) slices.

    `rows` is an int64 vector [n]; negative entries count from the end.
    """
    order = [axis, *(a for a in range(rank) if a != axis)]
    front = bw.transpose(value, order)
    shape = bw.op("Concat", length, bw.op("Shape", front, start=1), axis=0)
    zeros = bw.op("Expand", bw.scalar(0), shape)
    added = bw.op("ScatterND", zeros, bw.op("Unsqueeze", rows, bw.ints([1])), front, reduction="add")
    return bw.transpose(added, [order.index(a) for a in range(rank)])


@rule("Gather")
def gather(bw: Backward) -> Gradients:
    """y[..., i, ...] = x[..., rows[i], ...]; the axes of `rows` stand where `axis` was, and are flattened here."""
    rank = bw.rank(bw.x)
    axis = bw.attribute("axis", 0) % rank
    rows = bw.inputs[1]
    index_rank = bw.rank(rows)
    value = bw.dy
    if index_rank != 1:
        before, after = range(axis), range(axis + index_rank, bw.rank(bw.y))
        shape = bw.op("Shape", value)
        parts = [bw.op("Gather", shape, bw.ints(list(axes))) for axes in (before, after)]
        value = bw.op("Reshape", value, bw.op("Concat", parts[0], bw.ints([-1]), parts[1], axis=0))
        rows = bw.op("Reshape", rows, bw.ints([-1]))
    size = bw.dims(bw.x)[axis]
    length = bw.ints([size]) if isinstance(size, int) else bw.op("Shape", bw.x, start=axis, end=axis + 1)
    return [scatter_rows(bw, value, rows, axis, rank, length), None]


@rule("GatherElements")
def gather_elements(bw: Backward) -> Gradients:
    axis = bw.attribute("axis", 0)
    zeros = bw.zeros_like(bw.x)
    return [bw.op("ScatterElements", zeros, bw.inputs[1], bw.dy, axis=axis, reduction="add"), None]


@rule("GatherND")
def gather_nd(bw: Backward) -> Gradients:
    if bw.attribute("batch_dims", 0):
        raise Unsupported("batch_dims must be 0")
    return [bw.op("ScatterND", bw.zeros_like(bw.x), bw.inputs[1], bw.dy, reduction="add"), None]
