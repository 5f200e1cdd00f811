"""Unpooling by other windows than those whose maxima were located."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.diagnostics import Label
from netdsl.ir import Node
from netdsl.lint.net import Net
from netdsl.lint.rule import Finding, of_net

#: what hands places on as they are
_PASSING = ("identity", "crop_like", "slice")


@of_net("W0209", "unpool-of-other-windows", "an `unpool` with another kernel or stride than the pool that its places come from")
def unpools_of_other_windows(net: Net) -> Iterator[Finding]:
    told = set()
    for node in net.of("unpool"):
        pool, place = _located(net, node), net.place(node)
        if pool is None or place is None or (place, node.span) in told:
            continue
        differing = [name for name in ("kernel", "stride") if pool.args[name] != node.args[name]]
        if differing:
            told.add((place, node.span))
            yield _told(node, pool, differing[0], Label(place))


def _located(net: Net, unpool: Node) -> Node | None:
    """The pool whose second output, as it is or in part, tells where to put the values."""
    value = unpool.inputs[1]
    while (node := net.producers.get(value)) is not None and node.op.name in _PASSING:
        value = node.inputs[0]
    return node if node is not None and node.op.name == "max_pool" else None


def _told(node: Node, pool: Node, name: str, place: Label) -> Finding:
    have, want = (" x ".join(map(str, n.args[name])) for n in (node, pool))
    fact = {
        "kernel": "a place is counted within its window, row by row: in a window of another width it is another cell, or none",
        "stride": "values come back at other distances than they were taken",
    }[name]
    return Finding(
        f"`unpool` has {name} {have}, and its places come from a `max_pool` with {name} {want}",
        (place, Label(pool.span, "located here")), (fact,),
        ("give `unpool` the kernel, stride and pad of the pool",), node.chain,
    )  # fmt: skip
