"""Pools over neighbouring channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.ir.graph import Shape
from netdsl.ops.arguments import COUNT, Argument, choice, optional
from netdsl.ops.operator import Operator, Rule, Site, elements, float_bytes, require_channels
from netdsl.ops.registry import operator
from netdsl.ops.spatial import reshape_tensor

if TYPE_CHECKING:
    from netdsl.ir.graph import Node, Value
    from netdsl.ops.builder import Builder

_REDUCTIONS = {"max": "ReduceMax", "avg": "ReduceMean", "l2": "ReduceSumSquare"}


class _FeaturePool(Operator):
    """What they share: windows of `kernel` channels, `stride` apart, and what `mode` makes of each."""

    cost = "one FLOP per channel of a window and output element"
    locality = "position"

    def shape(self, site: Site) -> Shape:
        a, (channels, *sizes) = site.args, site.inputs[0].shape
        return ((int(channels) - a.kernel) // a.stride + 1, *sizes)

    def flops(self, node: Node) -> int:
        return int(node.args.kernel) * elements(node.output.shape)

    def saved(self, node: Node) -> tuple[Value, ...]:
        """Of maxima what is compared, of lengths what is squared; slices of the input are tensors of their own."""
        a = node.args
        if a.mode == "avg":
            return ()
        sliced = self._sliced(node) if a.mode == "max" or a.kernel == a.stride else 0
        return (node.output,) if sliced else (*node.inputs, node.output)

    def saved_besides(self, node: Node) -> int:
        return self._sliced(node) * float_bytes(node.output) if node.args.mode != "avg" else 0

    @staticmethod
    def _sliced(node: Node) -> int:
        """How many tensors in the output's shape are cut out of the input and kept."""
        a = node.args
        if a.kernel == a.stride:
            return 0 if int(node.output.shape[0]) * a.kernel == int(node.inputs[0].shape[0]) else int(a.kernel)
        return int(a.kernel) if a.mode == "max" else 0

    def lower(self, node: Node, b: Builder) -> str:
        a, x = node.args, b.value(node.inputs[0])
        pooled = self._side_by_side(node, b, x) if a.kernel == a.stride else self._overlapping(node, b, x)
        return b.op("Sqrt", [pooled]) if a.mode == "l2" else pooled

    @staticmethod
    def _side_by_side(node: Node, b: Builder, x: str) -> str:
        a, (windows, *sizes) = node.args, node.output.shape
        if windows * a.kernel < node.inputs[0].shape[0]:
            x = b.op("Slice", [x, b.ints([0]), b.ints([int(windows) * a.kernel]), b.ints([1])])
        split = reshape_tensor(b, x, (windows, a.kernel, *sizes))
        return b.op(_REDUCTIONS[a.mode], [split, b.ints([2])], keepdims=0)

    @staticmethod
    def _overlapping(node: Node, b: Builder, x: str) -> str:
        """The first channels of all windows, the second ones, ..."""
        a, reach = node.args, (int(node.output.shape[0]) - 1) * node.args.stride + 1
        if a.mode == "l2":
            x = b.op("Mul", [x, x])
        parts = [
            b.op("Slice", [x, b.ints([i]), b.ints([i + reach]), b.ints([1]), b.ints([a.stride])]) for i in range(a.kernel)
        ]
        if a.mode == "max":
            return b.op("Max", parts)
        total = b.op("Sum", parts)  # ONNX Runtime's CUDA provider has no Mean
        return total if a.mode == "l2" else b.op("Mul", [total, b.floats(1 / a.kernel)])


@operator
class FeaturePool(_FeaturePool):
    """The greatest, the mean or the length (the root of the sum of squares) of each window of neighbouring channels, at
    every position by itself: invariance to what the channels differ in (Kavukcuoglu et al. 2009, Learning invariant
    features through topographic filter maps; Le et al. 2012)."""

    name = "feature_pool"
    summary = "pool over neighbouring channels"
    example = "image[64, 28, 28] -> feature_pool(4)"
    rules = (Rule("[C, ...] -> [(C - kernel) // stride + 1, ...]"),)
    arguments = (
        Argument("kernel", COUNT, doc="how many channels a window has"),
        Argument("stride", optional(COUNT), None, "channels from one window to the next; none: the kernel"),
        Argument("mode", choice("max", "avg", "l2"), "max", 'the greatest; "avg": the mean; "l2": the root of the sum of squares'),
    )

    def resolve(self, site: Site) -> None:
        require_channels(site, self.name)
        a, channels = site.args, site.fix(site.inputs[0].shape[0], "channels are pooled")
        if a.stride is None:
            a["stride"] = a.kernel
        if a.kernel > channels:
            site.fail("E0303", f"a window of {a.kernel} channels does not fit: {site.labels[0]} has {channels}",
                      helps=("use a smaller kernel, or more channels before it",), at="kernel")  # fmt: skip


@operator
class Maxout(_FeaturePool):
    """The greatest of each group of adjacent channels: behind `conv(pieces * m, ...)` or `dense(pieces * m)`, m units
    that each learn a convex function of `pieces` linear pieces (Goodfellow et al. 2013, Maxout networks)."""

    name = "maxout"
    summary = "maximum of each group of adjacent channels"
    example = "image[64, 28, 28] -> maxout(2)"
    rules = (Rule("[C, ...] -> [C // pieces, ...]"),)
    arguments = (Argument("pieces", COUNT, 2, "channels in a group; it divides the channels"),)

    def resolve(self, site: Site) -> None:
        require_channels(site, self.name)
        a, channels = site.args, site.fix(site.inputs[0].shape[0], "channels are pooled")
        if channels % a.pieces:
            site.fail("E0304", f"`pieces = {a.pieces}` does not divide the channels: {site.labels[0]} has {channels} "
                      "channels", helps=(f"use a divisor of {channels}, or make a multiple of {a.pieces} before it",),
                      at="pieces")  # fmt: skip
        a.update(kernel=a.pieces, stride=a.pieces, mode="max")
