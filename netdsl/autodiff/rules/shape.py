"""Operators that move elements without looking at them."""

from __future__ import annotations

import numpy as np

from ..errors import Unsupported
from ..rule import Backward, Gradients, rule
from .indexing import scatter_rows


@rule("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def reshape(bw: Backward) -> Gradients:
    return [bw.reshape_like(bw.dy, bw.x)]


@rule("Transpose")
def transpose(bw: Backward) -> Gradients:
    rank = bw.rank(bw.x)
    permutation = bw.attribute("perm", list(reversed(range(rank))))
    return [bw.transpose(bw.dy, [int(axis) for axis in np.argsort(permutation)])]


@rule("Expand")
def expand(bw: Backward) -> Gradients:
    return [bw.unbroadcast(bw.dy, 0), None]


@rule("Tile", lacks="repeats computed at run time, symbolic sizes")
def tile(bw: Backward) -> Gradients:
    """Summed over the repeats: each axis is split into (repeat, size)."""
    dims = bw.static_dims(bw.x)
    repeats = bw.constant_value(bw.inputs[1])
    if dims is None or repeats is None:
        raise Unsupported("needs static sizes and constant repeats")
    split = [size for pair in zip(repeats.tolist(), dims, strict=True) for size in pair]
    tiles = bw.op("Reshape", bw.dy, bw.ints(split))
    return [bw.reduce_sum(tiles, list(range(0, len(split), 2)), keepdims=False), None]


@rule("DepthToSpace")
def depth_to_space(bw: Backward) -> Gradients:
    """SpaceToDepth gives channels in the order (row, column, channel) of mode DCR; CRD counts the channel first."""
    block = bw.attribute("blocksize", 1)
    dx = bw.op("SpaceToDepth", bw.dy, blocksize=block)
    if bw.attribute("mode", "DCR") == "CRD":
        channels = bw.dims(bw.y)[1]
        if not isinstance(channels, int):
            raise Unsupported("the number of channels is not static")
        parts = bw.op("Reshape", dx, bw.ints([0, block * block, channels, -1]))
        dx = bw.reshape_like(bw.op("Transpose", parts, perm=[0, 2, 1, 3]), bw.x)
    return [dx]


@rule("SpaceToDepth")
def space_to_depth(bw: Backward) -> Gradients:
    return [bw.op("DepthToSpace", bw.dy, **bw.attributes())]


@rule("Concat")
def concat(bw: Backward) -> Gradients:
    axis = bw.attribute("axis", 0) % bw.rank(bw.y)
    sizes = [bw.dims(name)[axis] for name in bw.inputs]
    if all(isinstance(size, int) for size in sizes):
        lengths = bw.ints([size for size in sizes if isinstance(size, int)])
    else:
        lengths = bw.op("Concat", *[bw.op("Shape", x, start=axis, end=axis + 1) for x in bw.inputs], axis=0)
    return bw.op_n(len(bw.inputs), "Split", bw.dy, lengths, axis=axis)


@rule("Split", every_output=True)
def split(bw: Backward) -> Gradients:
    parts = [dy or bw.zeros_like(y) for dy, y in zip(bw.output_gradients, bw.outputs, strict=True)]
    return [bw.op("Concat", *parts, axis=bw.attribute("axis", 0))]


@rule("Slice", lacks="axes computed at run time")
def slice_(bw: Backward) -> Gradients:
    """Padding with zeros where the slice is a block known now, else scattering."""
    dx = _slice_by_pad(bw) or _slice_by_scatter(bw)
    return [dx, *[None] * (len(bw.inputs) - 1)]


def _slice_by_pad(bw: Backward) -> str | None:
    """dx for constant bounds and unit steps along axes of static size."""
    dims = bw.dims(bw.x)
    starts, ends = (bw.constant_value(name) for name in bw.inputs[1:3])
    if starts is None or ends is None:
        return None
    axes = bw.constant_ints(3, "axes") if bw.has(3) else list(range(len(starts)))
    steps = bw.constant_ints(4, "steps") if bw.has(4) else [1] * len(starts)
    before, after = [0] * len(dims), [0] * len(dims)
    for start, end, axis, step in zip(starts.tolist(), ends.tolist(), axes or (), steps or (), strict=True):
        size = dims[axis]
        if step != 1 or not isinstance(size, int):
            return None
        first, last, _ = slice(start, end).indices(size)
        before[axis], after[axis] = first, size - max(first, last)
    return bw.op("Pad", bw.dy, bw.ints([*before, *after]))


def _slice_by_scatter(bw: Backward) -> str:
    """dx for any bounds: the same slice of the row numbers says where the rows of dy belong, one axis at a time.

    Axis by axis the array grows back from the output's sizes to the input's.
    """
    rank = bw.rank(bw.x)
    shape = bw.op("Shape", bw.x)
    starts, ends = bw.inputs[1:3]
    count = bw.static_dims(starts)
    axes = bw.constant_ints(3, "axes") if bw.has(3) else None if count is None else list(range(count[0]))
    if axes is None:
        raise Unsupported("the number of sliced axes is unknown")
    value = bw.dy
    for position, axis in enumerate(axis % rank for axis in axes):
        at = bw.ints([position])
        steps = [bw.op("Gather", bw.inputs[4], at)] if bw.has(4) else []
        one = [bw.op("Gather", bound, at) for bound in (starts, ends)]
        length = bw.op("Gather", shape, bw.builder.constant(np.array(axis, np.int64)))
        zero, unit = (bw.builder.constant(np.array(i, np.int64)) for i in (0, 1))
        rows = bw.op("Slice", bw.op("Range", zero, length, unit), *one, bw.ints([0]), *steps)
        value = scatter_rows(bw, value, rows, axis, rank, bw.op("Unsqueeze", length, bw.ints([0])), distinct=True)
    return value


@rule("Pad", fixed=("constant_value",), lacks="reflect, edge and wrap with negative pads, pads computed at run time or "
      "symbolic sizes")  # fmt: skip
def pad(bw: Backward) -> Gradients:
    mode = bw.attribute("mode", "constant")
    pads = bw.constant_value(bw.inputs[1])
    rest = [None] * (len(bw.inputs) - 1)
    if pads is None:
        if mode != "constant":
            raise Unsupported(f"mode {mode} needs constant pads")
        return [bw.op("Pad", bw.dy, bw.op("Neg", bw.inputs[1]), *(["", bw.inputs[3]] if bw.has(3) else [])), *rest]
    before, after = _pads_per_axis(bw, [int(p) for p in pads])
    if mode == "constant":
        return [_cropped(bw, before, after), *rest]
    return [_pad_by_scatter(bw, mode, before, after), *rest]


def _pads_per_axis(bw: Backward, pads: list[int]) -> tuple[list[int], list[int]]:
    """Padding before and after every axis, also those the node does not list."""
    rank = bw.rank(bw.x)
    axes = [axis % rank for axis in bw.constant_ints(3, "axes") or range(rank)]
    before, after = [0] * rank, [0] * rank
    for position, axis in enumerate(axes):
        before[axis], after[axis] = pads[position], pads[position + len(axes)]
    return before, after


def _cropped(bw: Backward, before: list[int], after: list[int]) -> str:
    """dy without what was padded, and with zeros where negative pads had cut."""
    dx = bw.dy
    axes = [axis for axis, pair in enumerate(zip(before, after, strict=True)) if max(pair) > 0]
    if axes:
        starts = [max(before[axis], 0) for axis in axes]
        ends = [-after[axis] if after[axis] > 0 else np.iinfo(np.int64).max for axis in axes]
        dx = bw.op("Slice", dx, bw.ints(starts), bw.ints(ends), bw.ints(axes))
    if min(*before, *after) < 0:
        dx = bw.op("Pad", dx, bw.ints([max(-p, 0) for p in (*before, *after)]))
    return dx


def _pad_by_scatter(bw: Backward, mode: str, before: list[int], after: list[int]) -> str:
    """Modes reflect, edge and wrap repeat elements: their gradients add up where they came from."""
    value = bw.dy
    for axis, (first, last) in enumerate(zip(before, after, strict=True)):
        size = bw.dims(bw.x)[axis]
        if first == last == 0:
            continue
        if not isinstance(size, int) or min(first, last) < 0:
            raise Unsupported(f"mode {mode} needs static sizes and pads that are not negative")
        rows = np.pad(np.arange(size), (first, last), mode=mode)  # type: ignore[call-overload]
        value = scatter_rows(bw, value, bw.ints(rows.tolist()), axis, bw.rank(bw.x), bw.ints([size]))
    return value
