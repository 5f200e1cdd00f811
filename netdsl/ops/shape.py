"""Operators that move elements and compute none."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from netdsl.ir.graph import Shape
from netdsl.ir.size import Dim, Size
from netdsl.ops.arguments import AXIS, CROPS, NATURAL, NUMBER, SHAPE, Argument, optional
from netdsl.ops.axes import axis_index, difference, reconcile
from netdsl.ops.operator import Locality, Operator, Rule, Site, elements, show
from netdsl.ops.reach import UNSEEN, Reach, Unseen
from netdsl.ops.registry import operator
from netdsl.ops.spatial import pad_or_cut, per_axis, reshape_tensor, spatial_rank

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder


class Move(Operator):
    """What the operators that move elements share."""

    cost = "none"
    dtypes = frozenset({"float32", "int64", "bool"})
    saves = ()

    def flops(self, node: Node) -> int:
        return 0


def _linear(site: Site, dims: tuple[Dim, ...], why: str) -> tuple[Dim, ...]:
    """The dimensions such that their product is a size: where several are symbolic they are fixed."""
    if sum(isinstance(dim, Size) for dim in dims) > 1:
        return tuple(site.fix(dim, why) for dim in dims)
    return dims


def _product(dims: tuple[Dim, ...]) -> Dim:
    """The product; one factor at most is symbolic."""
    count = prod(dim for dim in dims if isinstance(dim, int))
    return next((dim * count for dim in dims if isinstance(dim, Size)), count)


@operator
class Flatten(Move):
    """All elements of a sample as one vector, the last axis running fastest."""

    name = "flatten"
    summary = "[C, H, W] to the vector [C * H * W]"
    example = "image[3, 32, 32] -> flatten"
    is_view, passes_gradient = True, 1
    rules = (Rule("[C, H, W] -> [C * H * W]"),)

    def shape(self, site: Site) -> Shape:
        return (_product(_linear(site, site.inputs[0].shape, "the element count is a product of sizes")),)

    def reach(self, node: Node) -> None:
        return None

    def lower(self, node: Node, b: Builder) -> str:
        return b.op("Flatten", [b.value(node.inputs[0])], axis=1)


@operator
class Reshape(Move):
    """The same elements in the same order under another shape; the size given as -1 follows from the others."""

    name = "reshape"
    summary = "the same elements under another shape"
    example = "reshape(vector[64], [4, 4, -1])"
    rules = (Rule("[...] -> shape", "-1 not in shape"),)
    style = "function"
    is_view, passes_gradient = True, 1
    batched = False
    arguments = (Argument("shape", SHAPE, doc="the new shape without batch; one size may be -1"),)

    def shape(self, site: Site) -> Shape:
        have, want = list(site.inputs[0].shape), list(site.args.shape)
        # symbolic sizes that stand on both sides need no arithmetic
        for dim in [dim for dim in have if isinstance(dim, Size)]:
            if dim in want:
                have.remove(dim)
                want.remove(dim)
        if not all(site.exists(dim) for dim in want if dim != -1):
            self._reject(site)
        why = "a reshape's element count is a product of sizes"
        have = list(_linear(site, tuple(have), why))
        given = _linear(site, tuple(dim for dim in want if dim != -1), why)
        count = _product(tuple(have))
        if -1 not in want:
            if not site.same(count, _product(given), "a reshape keeps the number of elements"):
                self._reject(site)
            return tuple(site.args.shape)
        rest = site.fix(_product(given), why)
        kept = "a reshape keeps the number of elements"
        if rest < 1 or not site.exists(count // rest) or not site.same(count // rest * rest, count, kept):
            self._reject(site)
        return tuple(count // rest if dim == -1 else dim for dim in site.args.shape)

    def _reject(self, site: Site) -> None:
        shape, count = site.inputs[0].shape, elements(site.inputs[0].shape)
        given = elements(tuple(dim for dim in site.args.shape if dim != -1))
        why = f"{given} do not divide them" if -1 in site.args.shape else f"{show(tuple(site.args.shape))} has {given}"
        site.fail("E0315", f"cannot reshape {site.labels[0]}: {show(shape)} has {count} elements, and {why}",
                  helps=("one size may be -1: it is what is left of the elements",), at="shape")  # fmt: skip

    def reach(self, node: Node) -> None:
        return None

    def lower(self, node: Node, b: Builder) -> str:
        return reshape_tensor(b, b.value(node.inputs[0]), node.output.shape, node.output.type.batched)


@operator
class Pad(Move):
    """Cells of a value around each map; a negative number crops. Padding comes before cropping."""

    name = "pad"
    summary = "cells around each map, or with negative numbers a crop"
    example = "image[3, 32, 32] -> pad(2)"
    locality = "window"
    rules = (Rule("[C, n...] -> [C, n + before + after...]"),)
    dtypes = frozenset({"float32"})
    arguments = (
        Argument("cells", CROPS, doc="cells on each side; or per axis a number or a pair [before, after]"),
        Argument("value", NUMBER, 0, "what the cells hold"),
    )

    def resolve(self, site: Site) -> None:
        cells = per_axis(site, "cells", spatial_rank(site, self.name))
        site.args["pads"] = tuple(tuple(c) if isinstance(c, list) else (c, c) for c in cells)

    def shape(self, site: Site) -> Shape:
        channels, *sizes = site.inputs[0].shape
        out = (channels, *(size + sum(pads) for size, pads in zip(sizes, site.args.pads, strict=True)))
        if not all(map(site.exists, out)):
            site.fail("E0303", f"the crop leaves nothing of {site.labels[0]}, which is {show(site.inputs[0].shape)}",
                      helps=("a negative number crops that many cells on each side: use a smaller one",), at="cells")  # fmt: skip
        return out

    def reach(self, node: Node) -> tuple[Reach, ...]:
        return tuple(Reach(1, -before, -before) for before, _ in node.args.pads)

    def lower(self, node: Node, b: Builder) -> str:
        x, pads = b.value(node.inputs[0]), node.args.pads
        if not any(map(any, pads)):
            return b.op("Identity", [x])
        return pad_or_cut(b, x, pads, float(node.args.value))


@operator
class CropLike(Move):
    """The first tensor cut to the second's spatial size: as much on each side (one cell more at the end where the
    difference is odd), as the skips of the original U-Net (Ronneberger et al. 2015), or from an offset on, as in FCN
    (Long et al. 2015), whose paddings fix what each cell lies over."""

    name = "crop_like"
    summary = "the first of two tensors, cropped to the second's spatial size"
    example = "(image[3, 32, 32], small[8, 28, 28]) -> crop_like"
    rules = (Rule("[C, n...], [K, m...] -> [C, m...]"),)
    arity = (2, 2)
    locality = "window"
    keeps_zeros = True
    arguments = (
        Argument("offset", optional(NATURAL), None, "cells cut before those that are kept; none: half of what is too much"),
    )

    def resolve(self, site: Site) -> None:
        skip, like = (value.shape for value in site.inputs)
        if len(skip) != len(like) or len(skip) < 2:
            site.fail("E0301", f"`crop_like` needs two tensors with the same number of spatial axes: {site.labels[0]} "
                      f"is {show(skip)} and {site.labels[1]} {show(like)}")  # fmt: skip
        given = per_axis(site, "offset", len(skip) - 1)
        for axis, (have, want, offset) in enumerate(zip(skip[1:], like[1:], given, strict=True), start=1):
            if not site.at_least(have, want + (offset or 0), f"crops {site.labels[0]} to {site.labels[1]}"):
                self._reject(site, axis, have, want, offset)
        site.args["offsets"] = tuple(
            (have - want) // 2 if offset is None else offset
            for have, want, offset in zip(skip[1:], like[1:], given, strict=True)
        )

    def _reject(self, site: Site, axis: int, have: Dim, want: Dim, offset: int | None) -> None:
        words = difference(len(site.inputs[0].shape), axis, have, want)
        room = int(have) - int(want)
        if room >= 0:
            site.fail("E0314", f"cannot crop {site.labels[0]} to {site.labels[1]} from {offset} on: {words} by {room}",
                      helps=(f"use an offset of at most {room}, or none to crop at the centre",), at="offset")  # fmt: skip
        site.fail("E0314", f"cannot crop {site.labels[0]} to {site.labels[1]}: it is smaller, {words}",
                  helps=("`crop_like` cuts the first tensor to the second's size; `pad` enlarges it",))  # fmt: skip

    def shape(self, site: Site) -> Shape:
        return (site.inputs[0].shape[0], *site.inputs[1].shape[1:])

    def locality_of(self, node: Node) -> Locality | None:
        return None if any(isinstance(offset, Size) for offset in node.args.offsets) else self.locality

    def reaches(self, node: Node) -> tuple[tuple[Reach, ...] | Unseen | None, ...]:
        return tuple(Reach(1, int(offset), int(offset)) for offset in node.args.offsets), UNSEEN

    def lower(self, node: Node, b: Builder) -> str:
        x, offsets, sizes = b.value(node.inputs[0]), node.args.offsets, node.output.shape[1:]
        if node.inputs[0].shape == node.output.shape:
            return b.op("Identity", [x])
        ends = tuple(offset + size for offset, size in zip(offsets, sizes, strict=True))
        axes = b.ints(list(range(2, 2 + len(sizes))))
        return b.op("Slice", [x, b.dims(offsets, batch=False), b.dims(ends, batch=False), axes])


@operator
class Concat(Move):
    """The inputs one after another along an axis; along all others they agree."""

    name = "concat"
    summary = "tensors one after another along an axis"
    example = "concat(image[3, 32, 32], mask[1, 32, 32])"
    rules = (
        Rule("[A, ...], [B, ...] -> [A + B, ...]", 'axis == "channel"'),
        Rule("[C, A, W], [C, B, W] -> [C, A + B, W]", 'axis == "height"'),
    )
    style = "function"
    batched = False
    arity = (1, None)
    arguments = (Argument("axis", AXIS, "channel", "along which they stand one after another"),)

    def resolve(self, site: Site) -> None:
        ranks = [len(value.shape) for value in site.inputs]
        for i, rank in enumerate(ranks):
            if rank != ranks[0]:
                self._reject(site, i, f"they have {ranks[0]} and {rank} axes", ())
            if site.inputs[i].type.dtype != site.inputs[0].type.dtype:
                kinds = f"{site.inputs[0].type.dtype} and {site.inputs[i].type.dtype}"
                self._reject(site, i, f"they hold {kinds}", ())
        site.args["axis"] = axis_index(site, site.args.axis, ranks[0])

    def shape(self, site: Site) -> Shape:
        shapes, along = [value.shape for value in site.inputs], site.args.axis
        out = list(shapes[0])
        for i, shape in enumerate(shapes[1:], start=1):
            for axis, (a, b) in enumerate(zip(shapes[0], shape, strict=True)):
                if axis == along:
                    out[axis] = out[axis] + b
                elif not site.same(a, b, f"concatenates {site.labels[0]} and {site.labels[i]}"):
                    ways = reconcile(site, 0, i, axis)
                    self._reject(site, i, difference(len(shape), axis, a, b), ways)
                elif isinstance(b, int):
                    out[axis] = b
        return tuple(out)

    def _reject(self, site: Site, i: int, why: str, helps: tuple[str, ...]) -> None:
        a, b = site.labels[0], site.labels[i]
        shapes = f"{a} is {show(site.inputs[0].shape)}, {b} is {show(site.inputs[i].shape)}"
        site.fail("E0312", f"cannot concatenate {a} and {b}: {why}", notes=(shapes,), helps=helps)

    def locality_of(self, node: Node) -> Locality | None:
        return "position" if node.args.axis == 0 else None

    def reaches(self, node: Node) -> tuple[tuple[Reach, ...] | Unseen | None, ...]:
        found, along, begin = [], node.args.axis, 0
        for value in node.inputs:
            axes = range(1, len(value.shape))
            found.append(tuple(Reach(1, -begin, -begin) if axis == along else Reach() for axis in axes))
            begin += int(value.shape[along])
        return tuple(found)

    def lower(self, node: Node, b: Builder) -> str:
        batched, names = node.output.type.batched, []
        for value in node.inputs:
            name = b.value(value)
            if batched and not value.type.batched:
                name = b.op("Expand", [name, b.dims(value.shape)])
            names.append(name)
        return b.op("Concat", names, axis=batched + node.args.axis)


@operator
class ZerosLike(Move):
    """Zeros of the input's shape: channels to fill up with, or maps that `+` stretches another tensor over."""

    name = "zeros_like"
    summary = "zeros of a tensor's shape"
    example = "zeros_like(image[3, 32, 32])"
    locality = "element"
    style = "function"
    batched = False
    dtypes = frozenset({"float32", "int64"})

    def reaches(self, node: Node) -> tuple[Unseen]:
        return (UNSEEN,)

    def lower(self, node: Node, b: Builder) -> str:
        zero = b.floats(0.0) if node.output.type.dtype == "float32" else b.ints(0)
        return b.op("Expand", [zero, b.op("Shape", [b.value(node.inputs[0])])])
