"""Losses and metrics: functions of the train block that average over batch and positions to one number.

A class label stands for one of the C channels at each position: logits [C] go with a label [], [C, H, W] with [H, W].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.ir.graph import TensorType
from netdsl.ops.arguments import WHOLE, Argument, optional
from netdsl.ops.operator import Operator, Rule, Site, elements, show
from netdsl.ops.registry import operator

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder

_IGNORE = Argument("ignore", optional(WHOLE), None, "the label that does not count, as the target says")


class _Loss(Operator):
    """What losses share: one number out of two tensors."""

    style = "loss"
    arity = (2, 2)

    def infer(self, site: Site) -> tuple[TensorType, ...]:
        self.check_inputs(site)
        return (TensorType((), "float32", batched=False),)

    def reach(self, node: Node) -> None:
        return None


class _ClassLoss(_Loss):
    """Logits against class labels."""

    rules = (Rule("[C, ...], [...] -> []"),)
    arguments = (_IGNORE,)

    def check_inputs(self, site: Site) -> None:
        logits, label = (value.type for value in site.inputs)
        if logits.dtype != "float32" or label.dtype != "int64":
            site.fail("E0320", f"`{self.name}` compares logits with class labels: {site.labels[0]} is {logits.dtype}, "
                      f"{site.labels[1]} {label.dtype}",
                      helps=("declare class labels with `target = class(...)`",))  # fmt: skip
        if not (logits.batched and label.batched):
            site.fail("E0308", f"`{self.name}` needs logits and labels with a batch axis")
        fits = len(logits.shape) == len(label.shape) + 1 and all(
            site.same(a, b, f"{self.name} of {site.labels[0]} and {site.labels[1]}")
            for a, b in zip(logits.shape[1:], label.shape, strict=True)
        )
        if not fits:
            site.fail("E0316", f"{site.labels[0]} is {show(logits.shape)}, and its class labels would be "
                      f"{show(logits.shape[1:])}: {site.labels[1]} is {show(label.shape)}",
                      helps=("the first axis of the logits is the class; each position has one label",
                             f"declare such labels as `class(label, {show(logits.shape[1:])})`"))  # fmt: skip


class _ValueLoss(_Loss):
    """Two float tensors of one shape."""

    rules = (Rule("[...], [...] -> []"),)

    def check_inputs(self, site: Site) -> None:
        super().check_inputs(site)
        a, b = (value.shape for value in site.inputs)
        why = f"{self.name} of {site.labels[0]} and {site.labels[1]}"
        if len(a) != len(b) or not all(site.same(x, y, why) for x, y in zip(a, b, strict=True)):
            site.fail("E0316", f"`{self.name}` compares tensors of one shape: {site.labels[0]} is {show(a)}, "
                      f"{site.labels[1]} {show(b)}")  # fmt: skip


def _mean(b: Builder, x: str) -> str:
    """The mean of all elements, a scalar."""
    return b.op("ReduceMean", [x], keepdims=0)


def _counts(b: Builder, label: str, ignore: int) -> str:
    """Which labels count: bool, of the label's shape."""
    return b.op("Not", [b.op("Equal", [label, b.ints(ignore)])])


def _counted(b: Builder, counts: str) -> str:
    """How many labels count, at least 1: a float32 scalar."""
    return b.op("Max", [b.op("ReduceSum", [b.op("Cast", [counts], to=1)], keepdims=0), b.floats(1.0)])


@operator
class CrossEntropy(_ClassLoss):
    """-log softmax(logits)[label], averaged over the labels that count."""

    name = "cross_entropy"
    summary = "softmax cross-entropy with class labels"
    example = "cross_entropy(logits, label)"
    cost = "four FLOPs per logit (maximum, subtraction, exponential, sum)"

    def flops(self, node: Node) -> int:
        return 4 * elements(node.inputs[0].shape)

    def lower(self, node: Node, b: Builder) -> str:
        logits, label = (b.value(value) for value in node.inputs)
        ignore = node.args.ignore
        if ignore is None:
            return b.op("SoftmaxCrossEntropyLoss", [logits, label], reduction="mean")
        # a batch in which no label counts has a loss of 0, where "mean" would divide by 0
        total = b.op("SoftmaxCrossEntropyLoss", [logits, label], reduction="sum", ignore_index=ignore)
        return b.op("Div", [total, _counted(b, _counts(b, label, ignore))])


@operator
class MeanSquaredError(_ValueLoss):
    """(prediction - target)^2, averaged over all elements."""

    name = "mean_squared_error"
    summary = "mean of the squared differences"
    example = "mean_squared_error(prediction, target)"
    cost = "three FLOPs per element"

    def flops(self, node: Node) -> int:
        return 3 * elements(node.inputs[0].shape)

    def lower(self, node: Node, b: Builder) -> str:
        gap = b.op("Sub", [b.value(value) for value in node.inputs])
        return _mean(b, b.op("Mul", [gap, gap]))


@operator
class BinaryCrossEntropy(_ValueLoss):
    """-t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)) = log(1 + exp(x)) - t x, averaged over all elements.

    It takes logits: no sigmoid before it.
    """

    name = "binary_cross_entropy"
    summary = "cross-entropy of logits with targets from 0 to 1"
    example = "binary_cross_entropy(logits, target)"
    cost = "six FLOPs per element"

    def flops(self, node: Node) -> int:
        return 6 * elements(node.inputs[0].shape)

    def lower(self, node: Node, b: Builder) -> str:
        logits, target = (b.value(value) for value in node.inputs)
        return _mean(b, b.op("Sub", [b.op("Softplus", [logits]), b.op("Mul", [logits, target])]))


@operator
class Accuracy(_ClassLoss):
    """The share of labels that the greatest logit hits, of the labels that count."""

    name = "accuracy"
    differentiable = False
    summary = "share of labels that the greatest logit hits"
    example = "accuracy(logits, label)"
    cost = "one FLOP per logit"

    def flops(self, node: Node) -> int:
        return elements(node.inputs[0].shape)

    def lower(self, node: Node, b: Builder) -> str:
        logits, label = (b.value(value) for value in node.inputs)
        hit = b.op("Equal", [b.op("ArgMax", [logits], axis=1, keepdims=0), label])
        if node.args.ignore is None:
            return _mean(b, b.op("Cast", [hit], to=1))
        counts = _counts(b, label, node.args.ignore)
        hits = b.op("ReduceSum", [b.op("Cast", [b.op("And", [hit, counts])], to=1)], keepdims=0)
        return b.op("Div", [hits, _counted(b, counts)])
