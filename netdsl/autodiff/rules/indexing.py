"""Operators that pick elements by index; their gradients add up where an element was picked more than once."""

from __future__ import annotations

import numpy as np
from onnx import helper

from ..rule import Backward, Gradients, rule


def scatter_rows(
    bw: Backward, value: str, rows: str, axis: int, rank: int, length: str, *, distinct: bool = False
) -> str:
    """Adds slice i of `value` along `axis` to slice rows[i] of zeros with `length` (int64 [1]) slices.

    `rows` is an int64 vector [n]; negative entries count from the end. `distinct` says that no two are equal, so that
    they can be written, which is deterministic everywhere: CUDA adds atomically, in an order that varies.
    """
    order = [axis, *(a for a in range(rank) if a != axis)]
    front = bw.transpose(value, order)
    shape = bw.op("Concat", length, bw.op("Shape", front, start=1), axis=0)
    zeros = bw.op("Expand", bw.scalar(0), shape)
    added = bw.op(
        "ScatterND", zeros, bw.op("Unsqueeze", rows, bw.ints([1])), front, reduction="none" if distinct else "add"
    )
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
    """One element per line, as a loss takes the score of a label: by comparison with a count along the axis, which
    is fast and adds nothing atomically. Else scattered."""
    axis = bw.attribute("axis", 0) % bw.rank(bw.x)
    size = bw.dims(bw.x)[axis]
    if bw.dims(bw.y)[axis] == 1 and isinstance(size, int) and _same_elsewhere(bw, axis):
        return [_one_per_line(bw, axis, size), None]
    zeros = bw.zeros_like(bw.x)
    return [bw.op("ScatterElements", zeros, bw.inputs[1], bw.dy, axis=axis, reduction="add"), None]


def _same_elsewhere(bw: Backward, axis: int) -> bool:
    """Whether the indices cover the input fully along all other axes; they may be shorter."""
    pairs = zip(bw.dims(bw.x), bw.dims(bw.y), strict=True)
    return all(x is not None and x == y for a, (x, y) in enumerate(pairs) if a != axis)


def _one_per_line(bw: Backward, axis: int, size: int) -> str:
    rank, index = bw.rank(bw.x), bw.inputs[1]
    dtype = helper.tensor_dtype_to_np_dtype(bw.element(index))
    steps = np.arange(size, dtype=dtype).reshape([-1 if a == axis else 1 for a in range(rank)])
    zero, length = (bw.builder.constant(np.array(value, dtype)) for value in (0, size))
    from_start = bw.op("Where", bw.op("Less", index, zero), bw.op("Add", index, length), index)
    return bw.masked(bw.op("Equal", from_start, bw.builder.constant(steps)), bw.dy)


@rule("GatherND")
def gather_nd(bw: Backward) -> Gradients:
    places = _with_batch(bw, bw.inputs[1], bw.attribute("batch_dims", 0))
    return [bw.op("ScatterND", bw.zeros_like(bw.x), places, bw.dy, reduction="add"), None]


def _with_batch(bw: Backward, places: str, batch: int) -> str:
    """Indices into all axes, from those that leave out the first `batch` axes, which they share with the data."""
    if not batch:
        return places
    rank = bw.rank(bw.inputs[1])
    sizes = bw.op("Shape", places, start=0, end=batch)
    everywhere = bw.op("NonZero", bw.op("Expand", bw.builder.constant(np.ones([], bool)), sizes))
    own = bw.op("Concat", sizes, bw.ints([1] * (rank - 1 - batch) + [batch]), axis=0)
    counted = bw.op("Reshape", bw.op("Transpose", everywhere, perm=[1, 0]), own)
    whole = bw.op("Concat", bw.op("Shape", places, start=0, end=rank - 1), bw.ints([batch]), axis=0)
    return bw.op("Concat", bw.op("Expand", counted, whole), places, axis=-1)
