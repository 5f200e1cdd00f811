"""Biases that a normalisation takes away again."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.diagnostics import Label
from netdsl.ir import Node, Parameter
from netdsl.lint.net import Net
from netdsl.lint.rule import Finding, of_net
from netdsl.lint.words import listed

_CODE = "W0203"


@of_net(_CODE, "bias-before-bn", "biases that the `bn` or `instance_norm` behind them cancels; one warning for all of a net's")
def biases_before_bn(net: Net) -> Iterator[Finding]:
    """One warning for all: where one convolution has such a bias, the others have it too."""
    idle: dict[Parameter, Node] = {}
    kept: set[Parameter] = set()
    for node in net.own("conv", "deconv", "dense"):
        bias = node.parameters.get("bias")
        if bias is None:
            continue
        if _cancelled(net, node, bias) and not net.silences.covers(_CODE, [node.span]):
            idle.setdefault(bias, node)
        else:
            kept.add(bias)  # a shared one counts somewhere
    found = {bias: node for bias, node in idle.items() if bias not in kept}
    if found:
        yield _told(net, found, net.readers[next(iter(found.values())).output][0].op.name)


def _cancelled(net: Net, node: Node, bias: Parameter) -> bool:
    """Whether only normalisations by each channel's own mean read what the bias is added to. A frozen `bn` has a mean
    of old."""
    if not bias.trainable or node.output in net.graph.outputs.values():
        return False
    readers = net.readers.get(node.output, [])
    return bool(readers) and all(
        reader.op.name == "instance_norm" or (reader.op.name == "bn" and reader.args.trainable) for reader in readers
    )


def _told(net: Net, found: dict[Parameter, Node], norm: str) -> Finding:
    nodes, count = list(found.values()), sum(bias.count for bias in found)
    what = f"`{nodes[0].op.name}` has a bias" if len(found) == 1 else f"{len(found)} layers have a bias"
    lines = sorted({node.span.line for node in nodes})
    shown = [str(line) for line in lines[:12]] + (["more"] if len(lines) > 12 else [])
    where = f"they stand on line{'s' if len(lines) > 1 else ''} {listed(shown, 'and')}; "
    return Finding(
        f"{what} that the `{norm}` behind {'it' if len(found) == 1 else 'them'} cancels: {count:,} parameters",
        (Label(nodes[0].span, "the first of them" if len(found) > 1 else ""), Label(net.graph.span)),
        (f"{where if len(found) > 1 else ''}`{norm}` subtracts the mean of each channel, and with it whatever was added to all "
         "of the channel",),
        ("write `bias = false`: the net computes the same",),
    )  # fmt: skip
