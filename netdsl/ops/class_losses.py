"""Losses and metrics that compare scores with class labels.

A class label stands for one of the C channels at each position: logits [C] go with a label [], [C, H, W] with [H, W].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from netdsl.ops.arguments import COUNT, FLAG, POSITIVE, WHOLE, Argument, Kind, is_number, optional
from netdsl.ops.loss import Loss, agree, mean, total
from netdsl.ops.operator import Rule, Site, elements, show
from netdsl.ops.registry import operator

if TYPE_CHECKING:
    from netdsl.ir.graph import Node, Value
    from netdsl.ops.builder import Builder

CLASS_WEIGHTS = Kind(
    "a list of numbers of at least 0, one for each class, not all 0",
    lambda v: isinstance(v, list) and all(is_number(w) and w >= 0 for w in v) and any(v),
)

_IGNORE = Argument("ignore", optional(WHOLE), None, "the label that does not count, as the target says")


class _ClassLoss(Loss):
    """Scores against class labels."""

    rules: ClassVar[tuple[Rule, ...]] = (Rule("[C, ...], [...] -> []"),)

    def check_inputs(self, site: Site) -> None:
        logits, label = (value.type for value in site.inputs[:2])
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

    def saved(self, node: Node) -> tuple[Value, ...]:
        return node.inputs[1:]


def _counts(b: Builder, label: str, ignore: int) -> str:
    """Which labels count: bool, of the label's shape."""
    return b.op("Not", [b.op("Equal", [label, b.ints(ignore)])])


def _known(b: Builder, label: str, counts: str) -> str:
    """Labels that are classes: one that does not count need not be, and class 0 stands in for it."""
    return b.op("Where", [counts, label, b.ints(0)])


def _mean_of_counted(b: Builder, values: str, label: str, ignore: int | None) -> str:
    """The mean of a number per label, over those that count; 0 where none does."""
    if ignore is None:
        return mean(b, values)
    counts = b.cast(_counts(b, label, ignore), "float32")
    return b.op("Div", [total(b, b.op("Mul", [values, counts])), _at_least_one(b, counts)])


def _at_least_one(b: Builder, counts: str) -> str:
    """How many labels count, at least 1: a float32 scalar. A batch in which none does has a loss of 0, not 0 / 0."""
    return b.op("Max", [total(b, counts), b.floats(1.0)])


@operator
class CrossEntropy(_ClassLoss):
    """-w log softmax(logits)[label], summed over the labels that count and divided by the sum of their weights w.

    Without weights it is the mean. The weight of a label is that of its class (PyTorch's weighted mean); with `balance`
    it is divided by how many labels of the class the batch has, so that rare classes count like frequent ones (Shen et
    al., "Object skeleton extraction in natural images by fusing scale-associated deep side outputs", CVPR 2016); and a
    third tensor has a weight for each position (Ronneberger et al., "U-Net", MICCAI 2015, equation 1).
    """

    name = "cross_entropy"
    summary = "softmax cross-entropy with class labels"
    example = "cross_entropy(logits, label)"
    saves_steps = 1
    arity = (2, 3)
    activation = "softmax"
    rules = (*_ClassLoss.rules, Rule("[C, ...], [...], [...] -> []"))
    cost = "four FLOPs per logit (maximum, subtraction, exponential, sum)"
    arguments = (
        _IGNORE, Argument("weights", optional(CLASS_WEIGHTS), None, "how much each class counts, a list"),
        Argument("balance", FLAG, False, "whether all classes count alike, however many labels each has in the batch"),
    )  # fmt: skip

    def check_inputs(self, site: Site) -> None:
        super().check_inputs(site)
        for label, value in zip(site.labels[2:], site.inputs[2:], strict=True):
            if value.type.dtype != "float32" or not value.type.batched:
                site.fail("E0320", f"`{self.name}` multiplies by weights in float32, one for each position, and {label} is "
                          f"{value.type.dtype}", helps=("declare them with `target = value(...)`",))  # fmt: skip
            if not agree(self, site, site.inputs[1].shape, value.shape):
                site.fail("E0316", f"each label has a weight: {site.labels[1]} is {show(site.inputs[1].shape)}, {label} "
                          f"{show(value.shape)}")  # fmt: skip
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
        logits, label, *_ = (b.value(value) for value in node.inputs)
        ignore = node.args.ignore
        each = self._weight_of_each(node, b)
        if each is None:
            if ignore is None:
                return b.op("SoftmaxCrossEntropyLoss", [logits, label], reduction="mean")
            # a batch in which no label counts has a loss of 0, where reduction "mean" would divide by 0
            loss = b.op("SoftmaxCrossEntropyLoss", [logits, label], reduction="sum", ignore_index=ignore)
            return b.op("Div", [loss, _at_least_one(b, b.cast(_counts(b, label, ignore), "float32"))])
        ignored = {} if ignore is None else {"ignore_index": ignore}
        losses = b.op("SoftmaxCrossEntropyLoss", [logits, label], reduction="none", **ignored)
        weight = total(b, each)
        nothing = b.op("Equal", [weight, b.floats(0.0)])
        weighted = total(b, b.op("Mul", [losses, each]))
        return b.op("Div", [weighted, b.op("Where", [nothing, b.floats(1.0), weight])])

    def _weight_of_each(self, node: Node, b: Builder) -> str | None:
        """The weight of each label, 0 for those that do not count; None where all those that do count alike."""
        a, (_, label, *factors) = node.args, [b.value(value) for value in node.inputs]
        if a.weights is None and not a.balance and not factors:
            return None
        counts = None if a.ignore is None else _counts(b, label, a.ignore)
        known = label if counts is None else _known(b, label, counts)
        if counts is not None:
            factors.append(b.cast(counts, "float32"))
        if a.weights is not None:
            factors.append(b.op("Gather", [b.floats(a.weights), known]))
        if a.balance:
            present = b.op("OneHot", [known, b.ints(int(node.inputs[0].shape[0])), b.floats([0.0, 1.0])])
            if counts is not None:
                present = b.op("Mul", [present, b.op("Unsqueeze", [b.cast(counts, "float32"), b.ints([-1])])])
            axes = b.ints(list(range(1 + len(node.inputs[1].shape))))
            often = b.op("Max", [b.op("ReduceSum", [present, axes], keepdims=0), b.floats(1.0)])
            factors.append(b.op("Gather", [b.op("Reciprocal", [often]), known]))
        product = factors[0]
        for factor in factors[1:]:
            product = b.op("Mul", [product, factor])
        return product


@operator
class MulticlassHinge(_ClassLoss):
    """The sum over the other classes j of max(0, margin - scores[label] + scores[j]), divided by the number of classes,
    and averaged over the labels that count: the multi-class support vector machine of Weston & Watkins (ESANN 1999)
    as PyTorch's `multi_margin_loss` scales it.
    """

    name = "multiclass_hinge"
    summary = "multi-class hinge loss (Weston & Watkins 1999)"
    example = "multiclass_hinge(scores, label)"
    saves_steps = 1
    cost = "four FLOPs per score (subtract, add, maximum, sum)"
    arguments = (Argument("margin", POSITIVE, 1.0, "by how much the label's score is to exceed each other"), _IGNORE)

    def flops(self, node: Node) -> int:
        return 4 * elements(node.inputs[0].shape)

    def saved(self, node: Node) -> tuple[Value, ...]:
        return node.inputs[1:] if node.args.ignore is None else ()

    def lower(self, node: Node, b: Builder) -> str:
        scores, label = (b.value(value) for value in node.inputs)
        ignore, margin, classes = node.args.ignore, node.args.margin, int(node.inputs[0].shape[0])
        known = label if ignore is None else _known(b, label, _counts(b, label, ignore))
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
            hit = b.cast(b.op("Equal", [b.op("ArgMax", [logits], axis=1, keepdims=0), label]), "float32")
        else:
            _, best = b.ops("TopK", [logits, b.ints([node.args.k])], 2, axis=1)
            hits = b.cast(b.op("Equal", [best, b.op("Unsqueeze", [label, b.ints([1])])]), "float32")
            hit = b.op("ReduceSum", [hits, b.ints([1])], keepdims=0)
        return _mean_of_counted(b, hit, label, node.args.ignore)
