"""Losses of two classes, and of overlap: one score for each yes or no."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.ops.arguments import FLAG, POSITIVE, Argument
from netdsl.ops.loss import SHARES, SIGNS, ValueLoss, mean
from netdsl.ops.operator import Rule, Site, elements, float_bytes, show
from netdsl.ops.registry import operator

if TYPE_CHECKING:
    from netdsl.ir.graph import Node, Value
    from netdsl.ops.builder import Builder


@operator
class BinaryCrossEntropy(ValueLoss):
    """-t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)) = log(1 + exp(x)) - t x, averaged over all elements.

    It takes logits: no sigmoid before it. With `balance` the first term has the factor p and the second 1 - p, where p is
    the share of the targets that are 0 in the batch: as many edges as background, however few edges there are (Xie & Tu,
    "Holistically-nested edge detection", ICCV 2015, equation 2, summed there over one image at a time).
    """

    name = "binary_cross_entropy"
    summary = "cross-entropy of logits with targets from 0 to 1"
    example = "binary_cross_entropy(logits, target)"
    cost = "six FLOPs per element"
    activation = "sigmoid"
    targets = SHARES
    arguments = (Argument("balance", FLAG, False, "whether both classes count alike, however many of each there are"),)

    def flops(self, node: Node) -> int:
        return 6 * elements(node.inputs[0].shape)

    def saved_besides(self, node: Node) -> int:
        return 3 * float_bytes(node.inputs[0]) if node.args.balance else 0

    def lower(self, node: Node, b: Builder) -> str:
        logits, target = (b.value(value) for value in node.inputs)
        unless, wanted = b.op("Softplus", [logits]), b.op("Mul", [logits, target])
        if node.args.balance:
            # p t (log(1 + exp(x)) - x) + (1 - p) (1 - t) log(1 + exp(x)), where 1 - p is the mean of the targets
            ones = mean(b, target)
            zeros = b.op("Sub", [b.floats(1.0), ones])
            weight = b.op("Add", [b.op("Mul", [target, b.op("Sub", [zeros, ones])]), ones])
            unless, wanted = b.op("Mul", [unless, weight]), b.op("Mul", [wanted, zeros])
        return mean(b, b.op("Sub", [unless, wanted]))


@operator
class Hinge(ValueLoss):
    """max(0, 1 - t y) for targets t of -1 and +1, averaged over all elements: the loss of a support vector machine
    (Cortes & Vapnik, "Support-vector networks", Machine Learning 20, 1995).
    """

    name = "hinge"
    summary = "hinge loss of scores with targets -1 and +1"
    example = "hinge(scores, target)"
    saves_steps = 1
    cost = "three FLOPs per element"
    targets = SIGNS

    def flops(self, node: Node) -> int:
        return 3 * elements(node.inputs[0].shape)

    def lower(self, node: Node, b: Builder) -> str:
        agreement = b.op("Mul", [b.value(value) for value in node.inputs])
        return mean(b, b.op("Relu", [b.op("Sub", [b.floats(1.0), agreement])]))


@operator
class Perceptron(ValueLoss):
    """max(0, -t y) for targets t of -1 and +1, averaged over all elements: the perceptron criterion (Rosenblatt 1958).

    Its gradient is -t also at y = 0, as in Rosenblatt's rule: so weights of 0 learn too.
    """

    name = "perceptron"
    summary = "perceptron criterion of scores with targets -1 and +1"
    example = "perceptron(scores, target)"
    saves_steps = 1
    cost = "three FLOPs per element"
    targets = SIGNS

    def flops(self, node: Node) -> int:
        return 3 * elements(node.inputs[0].shape)

    def lower(self, node: Node, b: Builder) -> str:
        error = b.op("Neg", [b.op("Mul", [b.value(value) for value in node.inputs])])
        # unlike a Relu's, the gradient of Clip includes the bound
        return mean(b, b.op("Clip", [error, b.floats(0.0)]))


@operator
class Dice(ValueLoss):
    """1 - 2 sum(p t) / (sum(p^2) + sum(t^2)) with p = sigmoid(logits), each sum over the positions of a sample's channel,
    averaged over channels and batch.

    Milletari, Navab, Ahmadi, "V-Net", 3DV 2016, section 3, which has the squares below the line; others leave them
    out. `eps` stands above and below the line, so that what is empty and found to be has a loss of 0.
    """

    name = "dice"
    summary = "1 - Dice coefficient of logits and a mask (Milletari et al. 2016)"
    example = "dice(logits, target)"
    saves_steps = 1
    cost = "nine FLOPs per element"
    rules = (Rule("[C, n...], [C, n...] -> []"),)
    activation = "sigmoid"
    targets = SHARES
    arguments = (Argument("eps", POSITIVE, 1e-5, "added above and below the line"),)

    def check_inputs(self, site: Site) -> None:
        if len(site.inputs[0].shape) < 2:
            site.fail("E0301", f"`{self.name}` sums over positions, and {site.labels[0]} has none: it is "
                      f"{show(site.inputs[0].shape)}", helps=("`binary_cross_entropy` compares vectors",))  # fmt: skip
        super().check_inputs(site)

    def flops(self, node: Node) -> int:
        return 9 * elements(node.inputs[0].shape)

    def saved(self, node: Node) -> tuple[Value, ...]:
        return node.inputs[1:]

    def lower(self, node: Node, b: Builder) -> str:
        logits, target = (b.value(value) for value in node.inputs)
        axes, eps = b.ints(list(range(2, 1 + len(node.inputs[0].shape)))), b.floats(node.args.eps)
        p = b.op("Sigmoid", [logits])
        both = b.op("ReduceSum", [b.op("Mul", [p, target]), axes], keepdims=0)
        squares = b.op("Add", [b.op("Mul", [p, p]), b.op("Mul", [target, target])])
        sizes = b.op("ReduceSum", [squares, axes], keepdims=0)
        overlap = b.op("Div", [b.op("Add", [b.op("Add", [both, both]), eps]), b.op("Add", [sizes, eps])])
        return b.op("Sub", [b.floats(1.0), mean(b, overlap)])
