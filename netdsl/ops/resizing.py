"""Maps made larger or smaller: by whole factors, to a given size, to the size of another tensor.

Linear interpolation has half-pixel centres and looks at the two nearest cells along each axis, also where maps become
smaller (PyTorch's `interpolate` with align_corners = false). The nearest cell of output i of m is floor(i * n / m) of n.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.ir.graph import Shape
from netdsl.ir.size import Dim
from netdsl.ops.arguments import COUNTS, Argument, Kind, choice, is_size
from netdsl.ops.operator import Operator, Rule, Site, elements, show
from netdsl.ops.reach import UNSEEN, Reach, Unseen, linear, nearest
from netdsl.ops.registry import operator
from netdsl.ops.spatial import per_axis, repeat_cells, spatial_rank

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder

_MODE = Argument("mode", choice("nearest", "linear", "bilinear"), "bilinear",
                 '"linear" interpolates along all axes; "bilinear" is its name for two')  # fmt: skip
_COST = 'none for "nearest"; else 3, 7 or 15 FLOPs per output element (a weighted sum of 2, 4 or 8 neighbours)'


_SIZES = Kind("a size of at least 1, or a list of one per axis", lambda v: is_size(v) or (
    isinstance(v, list) and 1 <= len(v) <= 3 and all(map(is_size, v))))  # fmt: skip


def _check_mode(site: Site, rank: int) -> None:
    if site.args.mode == "bilinear" and rank != 2:
        site.fail("E0301", f"`bilinear` is for two spatial axes, and {site.labels[0]} has {rank}",
                  helps=('use mode = "linear"',), at="mode")  # fmt: skip


def _flops(node: Node) -> int:
    neighbours = 2 ** (len(node.output.shape) - 1)
    return 0 if node.args.mode == "nearest" else (2 * neighbours - 1) * elements(node.output.shape)


@operator
class Upsample(Operator):
    """Each map enlarged by whole factors: its cells repeated, or interpolated linearly with half-pixel centres."""

    name = "upsample"
    summary = "maps enlarged by a whole factor"
    example = "image[3, 32, 32] -> upsample(2)"
    locality = "window"
    saves = ()
    rules = (Rule("[C, n...] -> [C, n * factor...]"),)
    keeps_zeros = True
    cost = _COST
    arguments = (Argument("factor", COUNTS, doc="how many times as large"), _MODE._replace(default="nearest"))

    def resolve(self, site: Site) -> None:
        rank = spatial_rank(site, self.name)
        _check_mode(site, rank)
        site.args["factor"] = per_axis(site, "factor", rank)

    def shape(self, site: Site) -> Shape:
        channels, *sizes = site.inputs[0].shape
        return (channels, *(size * f for size, f in zip(sizes, site.args.factor, strict=True)))

    def flops(self, node: Node) -> int:
        return _flops(node)

    def reach(self, node: Node) -> tuple[Reach, ...]:
        along = nearest if node.args.mode == "nearest" else linear
        return tuple(along(1, factor) for factor in node.args.factor)

    def lower(self, node: Node, b: Builder) -> str:
        if node.args.mode == "nearest":
            return repeat_cells(b, b.value(node.inputs[0]), node.args.factor)
        scales = b.floats([1.0, 1.0, *map(float, node.args.factor)])
        return b.op("Resize", [b.value(node.inputs[0]), "", scales], mode="linear",
                    coordinate_transformation_mode="half_pixel")  # fmt: skip


class _Resize(Operator):
    """Maps of another size, which `sizes` tells."""

    keeps_zeros = True
    cost = _COST
    saves = ()

    def flops(self, node: Node) -> int:
        return 0 if node.inputs[0].shape[1:] == node.output.shape[1:] else _flops(node)

    def reach(self, node: Node) -> tuple[Reach, ...]:
        along = nearest if node.args.mode == "nearest" else linear
        pairs = zip(node.inputs[0].shape[1:], node.output.shape[1:], strict=True)
        return tuple(along(int(have), int(want)) for have, want in pairs)

    def lower(self, node: Node, b: Builder) -> str:
        x, have, want = b.value(node.inputs[0]), node.inputs[0].shape[1:], node.output.shape[1:]
        if have == want:
            return b.op("Identity", [x])
        if node.args.mode != "nearest":
            return b.op("Resize", [x, "", "", b.dims(node.output.shape)], mode="linear",
                        coordinate_transformation_mode="half_pixel")  # fmt: skip
        factors = tuple(m // n if isinstance(n, int) and isinstance(m, int) and m % n == 0 else 0
                        for n, m in zip(have, want, strict=True))  # fmt: skip
        return repeat_cells(b, x, factors) if all(factors) else _nearest(b, x, have, want)


def _nearest(b: Builder, x: str, have: tuple[Dim, ...], want: tuple[Dim, ...]) -> str:
    """By whole numbers: ONNX Runtime's Resize multiplies by a rounded scale, and takes cell 6 for 14 / 2 = 7."""
    for axis, (n, m) in enumerate(zip(have, want, strict=True), start=2):
        if n == m:
            continue
        if isinstance(n, int) and isinstance(m, int):
            cells = b.ints([i * n // m for i in range(m)])
        else:
            sizes = [b.dims((size,), batch=False) for size in (n, m)]
            count = b.op("Squeeze", [sizes[1]])
            places = b.op("Range", [b.ints(0), count, b.ints(1)])
            cells = b.op("Div", [b.op("Mul", [places, sizes[0]]), sizes[1]])
        x = b.op("Gather", [x, cells], axis=axis)
    return x


@operator
class Resize(_Resize):
    """Each map at another size, larger or smaller by any factor."""

    name = "resize"
    summary = "maps at a given size"
    example = "image[3, 32, 32] -> resize([48, 20])"
    rules = (Rule("[C, n...] -> [C, size...]"),)
    arguments = (Argument("size", _SIZES, doc="the spatial size: one for all axes, or a list"), _MODE)

    def resolve(self, site: Site) -> None:
        rank = spatial_rank(site, self.name)
        _check_mode(site, rank)
        site.args["size"] = per_axis(site, "size", rank)
        for size in site.args.size:
            if not site.exists(size):
                site.fail("E0303", f"`resize` to {show(site.args.size)} leaves nothing of {site.labels[0]}", at="size")

    def shape(self, site: Site) -> Shape:
        return (site.inputs[0].shape[0], *site.args.size)


@operator
class ResizeLike(_Resize):
    """Each map of the first tensor at the spatial size of the second, larger or smaller by any factor."""

    name = "resize_like"
    summary = "maps at the spatial size of another tensor"
    example = "(image[3, 32, 32], large[8, 48, 48]) -> resize_like"
    rules = (Rule("[C, n...], [K, m...] -> [C, m...]"),)
    arity = (2, 2)
    arguments = (_MODE,)

    def resolve(self, site: Site) -> None:
        rank = spatial_rank(site, self.name)
        _check_mode(site, rank)
        like = site.inputs[1].shape
        if len(like) != 1 + rank:
            site.fail("E0301", f"`resize_like` needs two tensors with the same number of spatial axes: {site.labels[0]} "
                      f"is {show(site.inputs[0].shape)} and {site.labels[1]} {show(like)}")  # fmt: skip

    def check_inputs(self, site: Site) -> None:
        super().check_inputs(Site(site.args, site.inputs[:1], site.labels[:1]))

    def shape(self, site: Site) -> Shape:
        return (site.inputs[0].shape[0], *site.inputs[1].shape[1:])

    def reaches(self, node: Node) -> tuple[tuple[Reach, ...] | Unseen | None, ...]:
        return self.reach(node), UNSEEN
