"""Per-axis arguments and window arithmetic, shared by convolutions and pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from netdsl.ir.graph import Shape
from netdsl.ir.size import Dim, Size
from netdsl.ops.axes import axis_word
from netdsl.ops.operator import Site, show

if TYPE_CHECKING:
    from netdsl.ops.builder import Builder

Pads = tuple[tuple[int, int], ...]

#: past any end, as ONNX's Slice has it
_END = 2**63 - 1


def spatial_rank(site: Site, what: str, vector: str = "a vector goes to `dense`") -> int:
    """The number of spatial axes of the one input (1 to 3), or an error; `vector` is the way out for a vector."""
    shape = site.inputs[0].shape
    if not 2 <= len(shape) <= 4:
        hint = vector if len(shape) == 1 else "it has 1 to 3 spatial axes behind the channels"
        site.fail("E0301", f"`{what}` needs [C, W], [C, H, W] or [C, D, H, W], and {site.labels[0]} is {show(shape)}",
                  helps=(hint,))  # fmt: skip
    return len(shape) - 1


def per_axis(site: Site, name: str, rank: int) -> tuple[Any, ...]:
    """The argument as one value per spatial axis."""
    value = site.args[name]
    if not isinstance(value, (list, tuple)):
        return (value,) * rank
    if len(value) != rank:
        site.fail("E0302", f"`{name}` lists {len(value)} values, and {site.labels[0]} has {rank} spatial "
                  f"{'axis' if rank == 1 else 'axes'}", helps=(f"give one number for all axes, or a list of {rank}",),
                  at=name)  # fmt: skip
    return tuple(value)


def half_pads(total: int) -> tuple[int, int]:
    """A padding of `total` cells, the smaller half first."""
    return total // 2, total - total // 2


def paddings(site: Site, name: str, rank: int) -> Pads:
    """The argument as one pair (before, after) per spatial axis."""
    return tuple(tuple(p) if isinstance(p, list) else (p, p) for p in per_axis(site, name, rank))


def window_pads(site: Site, spans: Sequence[int]) -> Pads:
    """The argument `pad` of windows that reach so many cells beyond their first, per spatial axis."""
    return tuple(map(half_pads, spans)) if site.args.pad == "same" else paddings(site, "pad", len(spans))


def window_output(size: Dim, kernel: int, stride: int, pads: tuple[int, int], dilation: int = 1) -> Dim:
    """(W - F + 2P) / S + 1, rounded down, with F = dilation * (kernel - 1) + 1."""
    return (size + (pads[0] + pads[1] - dilation * (kernel - 1) - 1)) // stride + 1


def require_positive(site: Site, out: Shape, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> None:
    """Reject a window that is larger than its padded input."""
    for axis, (size, k, d) in enumerate(zip(out[1:], kernel, dilation, strict=True)):
        if not site.exists(size):
            reach, shape = d * (k - 1) + 1, site.inputs[0].shape
            word = axis_word(1 + axis, len(shape))
            site.fail("E0303", f"a window of {reach} does not fit: {site.labels[0]} is {show(shape)}, its {word} "
                      f"{int(shape[1 + axis])}",
                      helps=("use a smaller kernel, a padding, or a larger input",), at="kernel")  # fmt: skip


def onnx_pads(pads: Pads) -> list[int]:
    """Pads in ONNX order: all begins, then all ends."""
    return [begin for begin, _ in pads] + [end for _, end in pads]


def pad_tensor(b: Builder, x: str, pads: Pads, value: float) -> str:
    """Emit cells of `value` around the spatial axes of a batched tensor; no padding is negative."""
    begins, ends = zip(*((0, 0), (0, 0), *pads), strict=True)
    return b.op("Pad", [x, b.ints([*begins, *ends]), b.floats(value)], mode="constant")


def cut_tensor(b: Builder, x: str, cuts: Pads) -> str:
    """Emit a crop of the spatial axes of a batched tensor; no cut is negative."""
    starts = [begin for begin, _ in cuts]
    ends = [-end if end else _END for _, end in cuts]
    return b.op("Slice", [x, b.ints(starts), b.ints(ends), b.ints(list(range(2, 2 + len(cuts))))])


def repeat_cells(b: Builder, x: str, factors: Sequence[int]) -> str:
    """Emit each cell so many times along the spatial axes of a batched tensor."""
    scales = b.floats([1.0, 1.0, *map(float, factors)])
    return b.op("Resize", [x, "", scales], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")


def pad_or_cut(b: Builder, x: str, pads: Pads, value: float) -> str:
    """Emit cells of `value` around the spatial axes of a batched tensor, then cut what is negative."""
    grown = tuple((max(before, 0), max(after, 0)) for before, after in pads)
    if any(map(any, grown)):
        x = pad_tensor(b, x, grown, value)
    cuts = tuple((max(-before, 0), max(-after, 0)) for before, after in pads)
    return cut_tensor(b, x, cuts) if any(map(any, cuts)) else x


def reshape_tensor(b: Builder, x: str, shape: Shape, batched: bool = True) -> str:
    """Emit a tensor under another shape. 0 keeps the batch; one computed size can be left to ONNX as -1."""
    if sum(isinstance(dim, Size) for dim in shape) <= 1:
        sizes = [-1 if isinstance(dim, Size) else dim for dim in shape]
        return b.op("Reshape", [x, b.ints([0, *sizes] if batched else sizes)])
    return b.op("Reshape", [x, b.dims(shape, batch=batched)])
