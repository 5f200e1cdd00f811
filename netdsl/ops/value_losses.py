"""Losses of regression, and of distances between embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.ops.arguments import POSITIVE, Argument
from netdsl.ops.loss import SHARES, Averaged, Loss, ValueLoss, agree, check_one_shape, mean
from netdsl.ops.operator import Rule, Site, elements, show
from netdsl.ops.registry import operator

if TYPE_CHECKING:
    from netdsl.ir.graph import Node, Value
    from netdsl.ops.builder import Builder


@operator
class BatchMean(Averaged):
    """The mean of all elements, over batch, channels and positions: for losses and metrics that are written with functions.

    FlowNet's endpoint error (Dosovitskiy et al. 2015): `batch_mean(sqrt(sum((flow - target) ** 2, axis = channel)))`.
    """

    name = "batch_mean"
    batched = False
    summary = "mean of any tensor, for losses of one's own"
    example = "batch_mean(abs(prediction - target))"
    saves = ()
    rules = (Rule("[...] -> []"),)
    cost = "one FLOP per element"

    def flops(self, node: Node) -> int:
        return elements(node.inputs[0].shape)

    def lower(self, node: Node, b: Builder) -> str:
        return mean(b, b.value(node.inputs[0]))


@operator
class MeanSquaredError(ValueLoss):
    """(prediction - target)^2, averaged over all elements."""

    name = "mean_squared_error"
    summary = "mean of the squared differences"
    example = "mean_squared_error(prediction, target)"
    saves, saves_steps = (), 1
    cost = "three FLOPs per element"

    def flops(self, node: Node) -> int:
        return 3 * elements(node.inputs[0].shape)

    def lower(self, node: Node, b: Builder) -> str:
        gap = b.op("Sub", [b.value(value) for value in node.inputs])
        return mean(b, b.op("Mul", [gap, gap]))


@operator
class MeanAbsoluteError(ValueLoss):
    """|prediction - target|, averaged over all elements."""

    name = "mean_absolute_error"
    summary = "mean of the absolute differences"
    example = "mean_absolute_error(prediction, target)"
    saves, saves_steps = (), 1
    cost = "three FLOPs per element"

    def flops(self, node: Node) -> int:
        return 3 * elements(node.inputs[0].shape)

    def lower(self, node: Node, b: Builder) -> str:
        return mean(b, b.op("Abs", [b.op("Sub", [b.value(value) for value in node.inputs])]))


@operator
class SmoothL1(ValueLoss):
    """d^2 / (2 beta) where the difference d is below beta, |d| - beta / 2 elsewhere, averaged over all elements.

    Girshick, "Fast R-CNN", ICCV 2015, equation 3, where beta is 1: squared near 0, and indifferent to outliers.
    """

    name = "smooth_l1"
    summary = "squared near 0, absolute elsewhere (Girshick 2015)"
    example = "smooth_l1(prediction, target)"
    saves, saves_steps = (), 5
    cost = "seven FLOPs per element"
    arguments = (Argument("beta", POSITIVE, 1.0, "the difference up to which the loss is a square"),)

    def flops(self, node: Node) -> int:
        return 7 * elements(node.inputs[0].shape)

    def lower(self, node: Node, b: Builder) -> str:
        beta = node.args.beta
        gap = b.op("Abs", [b.op("Sub", [b.value(value) for value in node.inputs])])
        # with m = min(d, beta) both cases are m (d - m / 2) / beta
        near = b.op("Min", [gap, b.floats(beta)])
        rest = b.op("Sub", [gap, b.op("Mul", [near, b.floats(0.5)])])
        return mean(b, b.op("Mul", [b.op("Mul", [near, b.floats(1 / beta)]), rest]))


@operator
class Contrastive(Loss):
    """d^2 / 2 for two embeddings that are the same, max(0, margin - d)^2 / 2 for others, d being their Euclidean
    distance over the channels; averaged over the pairs. At d = 0 the gradient is 0.

    Hadsell, Chopra, LeCun, "Dimensionality reduction by learning an invariant mapping" (DrLIM), CVPR 2006, equation 4,
    with same = 1 - Y: there Y is 0 for a pair of similar points.
    """

    name = "contrastive"
    summary = "same pairs near, others a margin apart (DrLIM, Hadsell et al. 2006)"
    example = "contrastive(a, b, same)"
    saves_steps = 1
    arity = (3, 3)
    target = 2
    rules = (Rule("[C, ...], [C, ...], [...] -> []"),)
    cost = "three FLOPs per channel for the distance, and eight per pair"
    targets = SHARES
    arguments = (Argument("margin", POSITIVE, 1.0, "how far apart other pairs are to be"),)

    def check_inputs(self, site: Site) -> None:
        a, b, same = (value.type for value in site.inputs)
        if (a.dtype, b.dtype) != ("float32", "float32") or same.dtype == "bool":
            site.fail("E0320", f"`{self.name}` compares two embeddings: {site.labels[0]} is {a.dtype}, {site.labels[1]} "
                      f"{b.dtype}, and {site.labels[2]}, 1 for the same and 0 for others, {same.dtype}")  # fmt: skip
        if not (a.batched and b.batched and same.batched):
            site.fail("E0308", f"`{self.name}` needs tensors with a batch axis")
        check_one_shape(self, site)
        if not a.shape or not agree(self, site, a.shape[1:], same.shape):
            shape = f", {show(a.shape[1:])}" if a.shape[1:] else ""
            site.fail("E0316", f"`{self.name}` of vectors {show(a.shape)} takes one number for each pair, "
                      f"{show(a.shape[1:])}: {site.labels[2]} is {show(same.shape)}",
                      helps=(f"declare it as `class(same{shape})`: 1 for the same, 0 for others",))  # fmt: skip

    def flops(self, node: Node) -> int:
        return 3 * elements(node.inputs[0].shape) + 8 * elements(node.inputs[2].shape)

    def saved(self, node: Node) -> tuple[Value, ...]:
        return tuple(value for value in node.inputs[2:] if value.type.dtype == "float32")

    def lower(self, node: Node, b: Builder) -> str:
        left, right, same = (b.value(value) for value in node.inputs)
        near = same if node.inputs[2].type.dtype == "float32" else b.cast(same, "float32")
        distance = b.op("ReduceL2", [b.op("Sub", [left, right]), b.ints([1])], keepdims=0)
        lacking = b.op("Relu", [b.op("Sub", [b.floats(node.args.margin), distance])])
        others = b.op("Mul", [b.op("Sub", [b.floats(1.0), near]), b.op("Mul", [lacking, lacking])])
        both = b.op("Add", [b.op("Mul", [near, b.op("Mul", [distance, distance])]), others])
        return b.op("Mul", [mean(b, both), b.floats(0.5)])
