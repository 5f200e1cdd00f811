"""Losses and metrics that compare scores with class labels.

A class label stands for one of the C channels at each position: logits [C] go with a label [], [C, H, W] with [H, W].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.ops.arguments import COUNT, POSITIVE, WHOLE, Argument, Kind, is_number, optional
from netdsl.ops.loss import Loss, agree, as_float, mean, total
from netdsl.ops.operator import Rule, Site, elements, show
from netdsl.ops.registry import operator

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder

CLASS_WEIGHTS = Kind(
    "a list of numbers of at least 0, one for each class, not all 0",
    lambda v: isinstance(v, list) and all(is_number(w) and w >= 0 for w in v) and any(v),
)

_IGNORE = Argument("ignore", optional(WHOLE), None, "the label that does not count, as the target says")


class _ClassLoss(Loss):
    """Scores against class labels."""

    rules = (Rule("[C, ...], [...] -> []"),)

    def check_inputs(self, site: Site) -> None:
        logits, label = (value.type for value in site.inputs)
        if logits.dtype != "float32" or label.dtype != "int64":
            site.fail("E0320", f"`{self.name}` compares logits with class labels: {site.labels[0]} is {logits.dtype}, "
                      f"{site.labels[1]} {label.dtype}",
                      helps=("declare class labels with `target = class(...)`",))  # fmt: skip
        if not (logits.batched and label.batched):
            site.fail("E0308", f"`{self.name}` needs logits and labels with a batch axis")
        if not logits.shape or not agree(self, site, logits.shape[1:], label.shape):
            site.fail("E0316", f"{site.labels[0]} is {show(logits.shape)}, and its class labels would be "
                      f"{show(logits.shape[1:])}: {site.labels[1]} is {show(label.shape)}",
                      helps=("the first axis of the logits is the class; each position has one label",
                             f"declare such labels as `class(label, {show(logits.shape[1:])})`"))  # fmt: skip

    def classes(self, node: Node) -> int | None:
        return int(node.inputs[0].shape[0])


def _counts(b: Builder, label: str, ignore: int) -> str:
    """Which labels count: bool, of the label's shape."""
    return b.op("Not", [b.op("Equal", [label, b.ints(ignore)])])


def _mean_of_counted(b: Builder, values: str, label: str, ignore: int | None) -> str:
    """The mean of a number per label, over those that count; 0 where none does."""
    if ignore is None:
        return mean(b, values)
    counts = as_float(b, _counts(b, label, ignore))
    return b.op("Div", [total(b, b.op("Mul", [values, counts])), _at_least_one(b, counts)])


def _at_least_one(b: Builder, counts: str) -> str:
    """How many labels count, at least 1: a float32 scalar. A batch in which none does has a loss of 0, not 0 / 0."""
    return b.op("Max", [total(b, counts), b.floats(1.0)])


@operator
class CrossEntropy(_ClassLoss):
    """-w[label] log softmax(logits)[label], summed over the labels that count and divided by the sum of their weights w.

    Without weights it is the mean; with them PyTorch's weighted mean, in which a rare class of a large weight counts
    like a frequent one of a small weight.
    """

    name = "cross_entropy"
    summary = "softmax cross-entropy with class labels"
    example = "cross_entropy(logits, label)"
    cost = "four FLOPs per logit (maximum, subtraction, exponential, sum)"
    arguments = (_IGNORE, Argument("weights", optional(CLASS_WEIGHTS), None, "how much each class counts, a list"))

    def check_inputs(self, site: Site) -> None:
        super().check_inputs(site)
        weights = site.args.weights
        if weights is None:
            return
        classes = site.fix(site.inputs[0].shape[0], "`weights` has one number for each class")
        if len(weights) != classes:
            site.fail("E0316", f"`weights` has {len(weights)} numbers, and {site.labels[0]} has {classes} classes",
                      helps=("give one number for each class",), at="weights")  # fmt: skip

    def flops(self, node: Node) -> int:
        return 4 * elements(node.inputs[0].shape)

    def lower(self, node: Node, b: Builder) -> str:
        logits, label = (b.value(value) for value in node.inputs)
        ignore, weights = node.args.ignore, node.args.weights
        if ignore is None and weights is None:
            return b.op("SoftmaxCrossEntropyLoss", [logits, label], reduction="mean")
        ignored = {} if ignore is None else {"ignore_index": ignore}
        listed = [] if weights is None else [b.floats(weights)]
        # a batch in which no label counts has a loss of 0, where reduction "mean" would divide by 0
        loss = b.op("SoftmaxCrossEntropyLoss", [logits, label, *listed], reduction="sum", **ignored)
        counts = None if ignore is None else _counts(b, label, ignore)
        if weights is None:
            assert counts is not None
            return b.op("Div", [loss, _at_least_one(b, as_float(b, counts))])
        known = label if counts is None else b.op("Where", [counts, label, b.ints(0)])
        each = b.op("Gather", [listed[0], known])
        if counts is not None:
            each = b.op("Mul", [each, as_float(b, counts)])
        weight = total(b, each)
        nothing = b.op("Equal", [weight, b.floats(0.0)])
        return b.op("Div", [loss, b.op("Where", [nothing, b.floats(1.0), weight])])


@operator
class MulticlassHinge(_ClassLoss):
    """The sum over the other classes j of max(0, margin - scores[label] + scores[j]), divided by the number of classes,
    and averaged over the labels that count: the multi-class support vector machine of Weston & Watkins (ESANN 1999)
    as PyTorch's `multi_margin_loss` scales it.
    """

    name = "multiclass_hinge"
    summary = "multi-class hinge loss (Weston & Watkins 1999)"
    example = "multiclass_hinge(scores, label)"
    cost = "four FLOPs per score (subtract, add, maximum, sum)"
    arguments = (Argument("margin", POSITIVE, 1.0, "by how much the label's score is to exceed each other"), _IGNORE)

    def flops(self, node: Node) -> int:
        return 4 * elements(node.inputs[0].shape)

    def lower(self, node: Node, b: Builder) -> str:
        scores, label = (b.value(value) for value in node.inputs)
        ignore, margin, classes = node.args.ignore, node.args.margin, int(node.inputs[0].shape[0])
        # an ignored label need not be a class: class 0 stands in for it
        known = label if ignore is None else b.op("Where", [_counts(b, label, ignore), label, b.ints(0)])
        own = b.op("GatherElements", [scores, b.op("Unsqueeze", [known, b.ints([1])])], axis=1)
        over = b.op("Relu", [b.op("Add", [b.op("Sub", [scores, own]), b.floats(margin)])])
        # the label's own term is the margin, whatever the scores
        summed = b.op("Sub", [b.op("ReduceSum", [over, b.ints([1])], keepdims=0), b.floats(margin)])
        return b.op("Div", [_mean_of_counted(b, summed, label, ignore), b.floats(float(classes))])


@operator
class Accuracy(_ClassLoss):
    """The share of labels that are among the k greatest logits, of the labels that count."""

    name = "accuracy"
    differentiable = False
    summary = "share of labels that the greatest logits hit"
    example = "accuracy(logits, label)"
    cost = "one FLOP per logit"
    arguments = (_IGNORE, Argument("k", COUNT, 1, "how many of the greatest logits may hit (top-k accuracy)"))

    def check_inputs(self, site: Site) -> None:
        super().check_inputs(site)
        logits, k = site.inputs[0].shape, site.args.k
        if k > 1 and not site.at_least(logits[0], k, f"accuracy among the {k} greatest of {site.labels[0]}"):
            site.fail("E0316", f"`k = {k}` is more than the classes of {site.labels[0]}, which is {show(logits)}", at="k",
                      helps=("with as many as there are classes, every label is hit",))  # fmt: skip

    def flops(self, node: Node) -> int:
        return elements(node.inputs[0].shape)

    def lower(self, node: Node, b: Builder) -> str:
        logits, label = (b.value(value) for value in node.inputs)
        if node.args.k == 1:
            hit = as_float(b, b.op("Equal", [b.op("ArgMax", [logits], axis=1, keepdims=0), label]))
        else:
            _, best = b.ops("TopK", [logits, b.ints([node.args.k])], 2, axis=1)
            hits = as_float(b, b.op("Equal", [best, b.op("Unsqueeze", [label, b.ints([1])])]))
            hit = b.op("ReduceSum", [hits, b.ints([1])], keepdims=0)
        return _mean_of_counted(b, hit, label, node.args.ignore)
