"""Softmax and its logarithm."""

from __future__ import annotations

from ..rule import Backward, Gradients, rule


def _axis(bw: Backward) -> list[int]:
    return [bw.attribute("axis", -1)]


@rule("Softmax")
def softmax(bw: Backward) -> Gradients:
    """y·(dy − Σ dy·y)."""
    total = bw.reduce_sum(bw.op("Mul", bw.dy, bw.y), _axis(bw))
    return [bw.op("Mul", bw.y, bw.op("Sub", bw.dy, total))]


@rule("LogSoftmax")
def log_softmax(bw: Backward) -> Gradients:
    """dy − e^y·Σ dy."""
    total = bw.reduce_sum(bw.dy, _axis(bw))
    return [bw.op("Sub", bw.dy, bw.op("Mul", bw.op("Exp", bw.y), total))]
