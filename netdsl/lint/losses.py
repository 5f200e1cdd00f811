"""Losses that take logits, and are given what is none any more."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, log

from netdsl.diagnostics import Label
from netdsl.ir import Node
from netdsl.lint.net import Net
from netdsl.lint.rule import Finding, of_net
from netdsl.ops import Loss

_PASSING = ("identity", "flatten", "reshape", "dropout")


@of_net("W0208", "activation-before-loss", "a softmax before `cross_entropy`, which takes logits; and the like")
def activations_before_loss(net: Net) -> Iterator[Finding]:
    for loss in (node for node in net.nodes if isinstance(node.op, Loss) and node.op.activation is not None):
        node = net.producers.get(loss.inputs[0])
        while node is not None and node.op.name in _PASSING:
            node = net.producers.get(node.inputs[0])
        place = net.place(node) if node is not None and node.op.name in ("softmax", "sigmoid") else None
        if node is not None and place is not None:
            yield _told(node, loss, place == node.span, Label(place), int(loss.inputs[0].shape[0]))


def _told(node: Node, loss: Node, here: bool, place: Label, classes: int) -> Finding:
    assert isinstance(loss.op, Loss)
    name = loss.op.name
    labels = (place, Label(loss.span, f"computes a {loss.op.activation} by itself"))
    if name == "cross_entropy":
        least = log(1 + (classes - 1) / exp(1))
        fact = f"out of numbers from 0 to 1, the loss of {classes} classes cannot come below {least:.2f}"
    elif name == "dice":
        fact = f"a sigmoid makes {0.5:.2f} to {1 / (1 + exp(-1)):.2f} of numbers from 0 to 1: nothing is ever told to be absent"
    else:
        fact = f"out of numbers from 0 to 1, the loss cannot come below {log(2):.2f} for a 0 or {log(1 + exp(-1)):.2f} for a 1"
    return Finding(
        f"`{name}` takes logits, and is given the output of a `{node.op.name}`",
        labels if here else (*labels, Label(node.span, "by this layer")), (fact,),
        (f"give the loss what goes into the `{node.op.name}`; an output of its own may have the `{node.op.name}`",),
        node.chain,
    )  # fmt: skip
