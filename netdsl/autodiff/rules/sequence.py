"""Operators along one axis in its order: running sums, reversal, counting."""

from __future__ import annotations

from ..rule import Backward, Gradients, rule


@rule("CumSum")
def cumulative_sum(bw: Backward) -> Gradients:
    reverse = 1 - bw.attribute("reverse", 0)
    return [bw.op("CumSum", bw.dy, bw.inputs[1], exclusive=bw.attribute("exclusive", 0), reverse=reverse), None]


@rule("ReverseSequence")
def reverse_sequence(bw: Backward) -> Gradients:
    """Its own inverse, and orthogonal."""
    return [bw.op("ReverseSequence", bw.dy, bw.inputs[1], **bw.attributes()), None]


@rule("Trilu")
def triangle(bw: Backward) -> Gradients:
    return [bw.op("Trilu", bw.dy, *bw.inputs[1:], upper=bw.attribute("upper", 1)), *[None] * (len(bw.inputs) - 1)]


@rule("Range", fixed=("limit",))
def count(bw: Backward) -> Gradients:
    """y[i] = start + i·delta; the limit decides on the length alone."""
    start = bw.reduce_sum(bw.dy, [0], keepdims=False) if bw.needs[0] else None
    delta = None
    if bw.needs[2]:
        steps = bw.op("Div", bw.op("Sub", bw.y, bw.x), bw.inputs[2])
        delta = bw.reduce_sum(bw.op("Mul", bw.dy, steps), [0], keepdims=False)
    return [start, None, delta]
