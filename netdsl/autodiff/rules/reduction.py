"""Reductions over given axes."""

from __future__ import annotations

from math import prod

from ..rule import Backward, Gradients, rule

_AXES = "axes computed at run time"


def _axes(bw: Backward) -> list[int]:
    """The reduced axes, none negative; an absent or empty list is all of them, unless noop_with_empty_axes."""
    axes = bw.constant_ints(1, "axes")
    rank = bw.rank(bw.x)
    if not axes:
        return [] if bw.attribute("noop_with_empty_axes", 0) else list(range(rank))
    return sorted(axis % rank for axis in axes)


def _keeping_axes(bw: Backward, value: str, axes: list[int]) -> str:
    """A tensor of the output's shape with the reduced axes back in place, of size 1."""
    if bw.attribute("keepdims", 1) or not axes:
        return value
    return bw.op("Unsqueeze", value, bw.ints(axes))


def _expanded(bw: Backward, value: str) -> str:
    return bw.op("Expand", value, bw.shape(bw.x))


@rule("ReduceSum", lacks=_AXES)
def reduce_sum(bw: Backward) -> Gradients:
    return [_expanded(bw, _keeping_axes(bw, bw.dy, _axes(bw)))]


@rule("ReduceMean", lacks=_AXES)
def reduce_mean(bw: Backward) -> Gradients:
    axes = _axes(bw)
    dims = bw.dims(bw.x)
    sizes = [dims[axis] for axis in axes]
    known = [size for size in sizes if isinstance(size, int)]
    if len(known) == len(sizes):
        share = bw.op("Mul", bw.dy, bw.scalar(1 / max(prod(known), 1)))
    else:
        count = bw.op("ReduceProd", bw.op("Gather", bw.op("Shape", bw.x), bw.ints(axes)), keepdims=0)
        share = bw.op("Div", bw.dy, bw.op("Cast", count, to=bw.element(bw.x)))
    return [_expanded(bw, _keeping_axes(bw, share, axes))]


@rule("ReduceMax", "ReduceMin", kinks="equal elements", lacks=_AXES)
def reduce_extremum(bw: Backward) -> Gradients:
    """To the elements that attain it, in equal shares (as torch.amax)."""
    axes = _axes(bw)
    attains = bw.op("Cast", bw.op("Equal", bw.x, _keeping_axes(bw, bw.y, axes)), to=bw.element(bw.x))
    share = bw.op("Div", _keeping_axes(bw, bw.dy, axes), bw.reduce_sum(attains, axes))
    return [bw.op("Mul", attains, share)]


@rule("ReduceProd", lacks=_AXES)
def reduce_product(bw: Backward) -> Gradients:
    """The product of the others: y/x, or where one element is zero, to that one alone."""
    axes = _axes(bw)
    zero = bw.op("Equal", bw.x, bw.scalar(0))
    filled = bw.op("Where", zero, bw.scalar(1), bw.x)
    product = bw.op("ReduceProd", filled, bw.ints(axes), keepdims=1) if axes else filled
    zeros = bw.reduce_sum(bw.op("Cast", zero, to=bw.element(bw.x)), axes)
    # An element sees a zero among the others if there is one more than itself.
    others = bw.op("Sub", zeros, bw.op("Cast", zero, to=bw.element(bw.x)))
    rest = bw.op("Where", bw.op("Equal", others, bw.scalar(0)), bw.op("Div", product, filled), bw.scalar(0))
    return [bw.op("Mul", _keeping_axes(bw, bw.dy, axes), rest)]


@rule("ReduceLogSum", lacks=_AXES)
def reduce_log_sum(bw: Backward) -> Gradients:
    axes = _axes(bw)
    share = bw.op("Div", _keeping_axes(bw, bw.dy, axes), bw.op("Exp", _keeping_axes(bw, bw.y, axes)))
    return [_expanded(bw, share)]


@rule("ReduceSumSquare", lacks=_AXES)
def reduce_sum_square(bw: Backward) -> Gradients:
    twice = bw.op("Mul", _keeping_axes(bw, bw.dy, _axes(bw)), bw.scalar(2))
    return [bw.op("Mul", bw.x, twice)]


@rule("ReduceL2", kinks="a vector of zeros", lacks=_AXES)
def reduce_l2(bw: Backward) -> Gradients:
    """x/‖x‖·dy, and 0 at the origin."""
    axes = _axes(bw)
    norm = _keeping_axes(bw, bw.y, axes)
    origin = bw.op("Equal", norm, bw.scalar(0))
    share = bw.op("Div", _keeping_axes(bw, bw.dy, axes), bw.op("Where", origin, bw.scalar(1), norm))
    return [bw.op("Mul", bw.x, share)]


@rule("ReduceL1", kinks="x = 0", lacks=_AXES)
def reduce_l1(bw: Backward) -> Gradients:
    return [bw.op("Mul", bw.op("Sign", bw.x), _keeping_axes(bw, bw.dy, _axes(bw)))]


@rule("ReduceLogSumExp", lacks=_AXES)
def reduce_log_sum_exp(bw: Backward) -> Gradients:
    axes = _axes(bw)
    weights = bw.op("Exp", bw.op("Sub", bw.x, _keeping_axes(bw, bw.y, axes)))
    return [bw.op("Mul", weights, _keeping_axes(bw, bw.dy, axes))]
