"""Normalisation over the batch, over neighbouring channels, and of each sample by itself."""

from __future__ import annotations

from math import prod

import numpy as np

from ..errors import Unsupported
from ..rule import Backward, Gradients, rule


@rule("BatchNormalization")
def batch_normalization(bw: Backward) -> Gradients:
    """x [N, C, *space]; scale, bias, mean and variance [C]."""
    return _training(bw) if bw.attribute("training_mode", 0) else _inference(bw)


def _channels_last_but_one(bw: Backward, value: str) -> str:
    """A vector [C] as [C, 1, ...], to meet [N, C, *space]."""
    trailing = bw.rank(bw.x) - 2
    return bw.op("Reshape", value, bw.ints([-1, *[1] * trailing])) if trailing else value


def _axes(bw: Backward) -> list[int]:
    """All but the channels."""
    return [0, *range(2, bw.rank(bw.x))]


def _sum(bw: Backward, value: str) -> str:
    return bw.reduce_sum(value, _axes(bw), keepdims=False)


def _inverse_deviation(bw: Backward, variance: str) -> str:
    epsilon = bw.scalar(bw.attribute("epsilon", 1e-5))
    return bw.op("Reciprocal", bw.op("Sqrt", bw.op("Add", variance, epsilon)))


def _count(bw: Backward) -> str:
    """Elements per channel, as a scalar of the node's type."""
    sizes = [bw.dims(bw.x)[axis] for axis in _axes(bw)]
    known = [size for size in sizes if isinstance(size, int)]
    if len(known) == len(sizes):
        return bw.scalar(prod(known))
    product = bw.op("ReduceProd", bw.op("Gather", bw.op("Shape", bw.x), bw.ints(_axes(bw))), keepdims=0)
    return bw.op("Cast", product, to=bw.element(bw.x))


def _statistics(bw: Backward) -> tuple[str, str]:
    """Mean and variance [C] of the batch.

    With momentum 0 they are the node's own second and third outputs. Otherwise those are mixed with the running
    statistics, from which they cannot be told apart exactly, so they are computed again.
    """
    if bw.attribute("momentum", 0.9) == 0:
        return bw.output(1), bw.output(2)
    axes = bw.ints(_axes(bw))
    mean = bw.op("ReduceMean", bw.x, axes, keepdims=0)
    centered = bw.op("Sub", bw.x, _channels_last_but_one(bw, mean))
    return mean, bw.op("ReduceMean", bw.op("Mul", centered, centered), axes, keepdims=0)


def _training(bw: Backward) -> Gradients:
    """With x̂ = (x − mean)·r, r = 1/√(variance + ε) and M elements per channel:

    dbias = Σ dy, dscale = Σ dy·x̂, dx = scale·r·(dy − dbias/M − x̂·dscale/M)
    (Ioffe and Szegedy 2015, arXiv:1502.03167, section 3).
    """
    mean, variance = _statistics(bw)
    r = _inverse_deviation(bw, variance)
    dbias = _sum(bw, bw.dy)
    dscale = _scale_gradient(bw, mean, r, dbias)
    dx = _training_input(bw, mean, variance, r, dscale, dbias) if bw.needs[0] else None
    return [dx, dscale if bw.needs[1] else None, dbias if bw.needs[2] else None, None, None]


def _training_input(bw: Backward, mean: str, variance: str, r: str, dscale: str, dbias: str) -> str:
    """scale·r·(dy − dbias/M) + slope·r·(x − mean), slope = −scale·dscale·r/M.

    Both terms are affine per channel, which BatchNormalization at inference does in one pass over the tensor.
    """
    # Not a constant: ONNX Runtime merges equal small ones, and training mode overwrites its running statistics.
    zeros = bw.op("Sub", mean, mean)
    epsilon = bw.attribute("epsilon", 1e-5)
    share = bw.op("Div", bw.inputs[1], _count(bw))
    slope = bw.op("Neg", bw.op("Mul", share, bw.op("Mul", dscale, r)))
    center = bw.op("Div", dbias, _count(bw))
    through_dy = bw.op("BatchNormalization", bw.dy, bw.inputs[1], zeros, center, variance, epsilon=epsilon)
    through_x = bw.op("BatchNormalization", bw.x, slope, zeros, mean, variance, epsilon=epsilon)
    return bw.op("Add", through_dy, through_x)


def _scale_gradient(bw: Backward, mean: str, r: str, dbias: str) -> str:
    """Σ dy·x̂ = r·(Σ dy·x − mean·Σ dy): one pass fewer than with x centered first.

    What cancels costs a relative rounding error of some 1e-7·|mean|/deviation.
    """
    raw = _sum(bw, bw.op("Mul", bw.dy, bw.x))
    return bw.op("Mul", r, bw.op("Sub", raw, bw.op("Mul", mean, dbias)))


def _inference(bw: Backward) -> Gradients:
    """y = (x − mean)·scale·r + bias, all five of them variables."""
    _, scale, _, mean, variance = bw.inputs
    r = _inverse_deviation(bw, variance)
    a = bw.op("Mul", scale, r)
    dx = bw.op("Mul", bw.dy, _channels_last_but_one(bw, a)) if bw.needs[0] else None
    dbias = _sum(bw, bw.dy)
    dscale = None
    if bw.needs[1] or bw.needs[4]:
        dscale = _scale_gradient(bw, mean, r, dbias)
    dmean = bw.op("Neg", bw.op("Mul", dbias, a)) if bw.needs[3] else None
    dvariance = None
    if bw.needs[4] and dscale:
        halved = bw.op("Mul", bw.op("Mul", a, r), bw.scalar(-0.5))
        dvariance = bw.op("Mul", dscale, halved)
    return [dx, dscale if bw.needs[1] else None, dbias if bw.needs[2] else None, dmean, dvariance]


@rule("LRN")
def lrn(bw: Backward) -> Gradients:
    """y = x·s^−β with s = k + α·mean of x² over a window of n channels, zeros beyond the ends counted:

    dx = dy·s^−β − 2αβ/n·x·Σ dy·x·s^(−β−1), the sum over the channels in whose window x is.
    """
    size, alpha, beta = bw.attribute("size", 1), bw.attribute("alpha", 1e-4), bw.attribute("beta", 0.75)
    mean = _channel_mean(bw, bw.op("Mul", bw.x, bw.x), (size - 1) // 2, size // 2)
    s = bw.op("Add", bw.op("Mul", mean, bw.scalar(alpha)), bw.scalar(bw.attribute("bias", 1.0)))
    direct = bw.op("Mul", bw.dy, bw.op("Pow", s, bw.scalar(-beta)))
    share = _channel_mean(bw, bw.op("Div", bw.op("Mul", direct, bw.x), s), size // 2, (size - 1) // 2)
    return [bw.op("Sub", direct, bw.op("Mul", bw.op("Mul", share, bw.x), bw.scalar(2 * alpha * beta)))]


def _channel_mean(bw: Backward, value: str, before: int, after: int) -> str:
    """The mean over the channels from so many before to so many after each: sums of what is shifted are faster than a
    pool along that axis."""
    beyond, pads = before + after, [0] * 2 * bw.rank(bw.x)
    pads[1], pads[bw.rank(bw.x) + 1] = before, after
    padded = bw.op("Pad", value, bw.ints(pads)) if beyond else value
    ends = [i - beyond if i < beyond else np.iinfo(np.int64).max for i in range(beyond + 1)]
    parts = [bw.op("Slice", padded, bw.ints([i]), bw.ints([end]), bw.ints([1])) for i, end in enumerate(ends)]
    return bw.op("Mul", bw.op("Sum", *parts), bw.scalar(1 / len(parts)))


@rule("LpNormalization", kinks="a line of zeros, with p = 1 also x = 0")
def lp_normalization(bw: Backward) -> Gradients:
    """y = x/n, n the p-norm along an axis: dx = (dy − s·Σ dy·y)/n, s = sign x (p = 1) or y (p = 2)."""
    axis, p = bw.ints([bw.attribute("axis", -1)]), bw.attribute("p", 2)
    norm = bw.op(f"ReduceL{p}", bw.x, axis)
    length = bw.op("Where", bw.op("Equal", norm, bw.scalar(0)), bw.scalar(1), norm)
    slope = bw.op("Sign", bw.x) if p == 1 else bw.y
    along = bw.op("Mul", slope, bw.op("ReduceSum", bw.op("Mul", bw.dy, bw.y), axis))
    return [bw.op("Div", bw.op("Sub", bw.dy, along), length)]


@rule("InstanceNormalization")
def instance_normalization(bw: Backward) -> Gradients:
    """y = scale·x̂ + bias with x̂ = (x − mean)·r, r = 1/√(variance + ε), per sample and channel over the positions."""
    axes = list(range(2, bw.rank(bw.x)))
    normal, r = _normalized(bw, axes)
    dx = None
    if bw.needs[0]:
        scaled = bw.op("Mul", bw.dy, _channels_last_but_one(bw, bw.inputs[1]))
        dx = _through_statistics(bw, scaled, normal, r, axes)
    dscale = _sum(bw, bw.op("Mul", bw.dy, normal)) if bw.needs[1] else None
    return [dx, dscale, _sum(bw, bw.dy) if bw.needs[2] else None]


@rule("LayerNormalization")
def layer_normalization(bw: Backward) -> Gradients:
    """y = scale·x̂ + bias over the axes from `axis` on; scale and bias stretch over those before."""
    axes = list(range(bw.attribute("axis", -1) % bw.rank(bw.x), bw.rank(bw.x)))
    normal, r = _normalized(bw, axes)
    dx = _through_statistics(bw, bw.op("Mul", bw.dy, bw.inputs[1]), normal, r, axes) if bw.needs[0] else None
    dscale = bw.unbroadcast(bw.op("Mul", bw.dy, normal), 1) if bw.needs[1] else None
    found = [dx, dscale]
    return [*found, bw.unbroadcast(bw.dy, 2) if bw.needs[2] else None] if bw.has(2) else found


@rule("RMSNormalization")
def rms_normalization(bw: Backward) -> Gradients:
    """y = scale·x·r with r = 1/√(mean of x² + ε) over the axes from `axis` on: dx = r·(d − x·r·mean(d·x·r)), d = scale·dy
    (Zhang and Sennrich 2019, arXiv:1910.07467)."""
    axes = bw.ints(range(bw.attribute("axis", -1) % bw.rank(bw.x), bw.rank(bw.x)))
    r = _inverse_deviation(bw, bw.op("ReduceMean", bw.op("Mul", bw.x, bw.x), axes))
    normal = bw.op("Mul", bw.x, r)
    dscale = bw.unbroadcast(bw.op("Mul", bw.dy, normal), 1) if bw.needs[1] else None
    if not bw.needs[0]:
        return [None, dscale]
    scaled = bw.op("Mul", bw.dy, bw.inputs[1])
    slope = bw.op("ReduceMean", bw.op("Mul", scaled, normal), axes)
    return [bw.op("Mul", r, bw.op("Sub", scaled, bw.op("Mul", normal, slope))), dscale]


@rule("GroupNormalization")
def group_normalization(bw: Backward) -> Gradients:
    """y = scale·x̂ + bias over the positions and channels of each group (Wu and He 2018, arXiv:1803.08494, section 3.1);
    scale and bias per channel, before opset 21 per group."""
    groups, scales = bw.attribute("num_groups", 1), bw.dims(bw.inputs[1])[0]
    if not isinstance(scales, int):
        raise Unsupported("the number of channels is not static")
    # [N, what has a scale of its own, elements], and the same by groups
    own, grouped = bw.ints([0, scales, -1]), bw.ints([0, groups, -1])
    normal, r = _normalized(bw, [2], bw.op("Reshape", bw.x, grouped))
    dy = bw.op("Reshape", bw.dy, own)
    dx = None
    if bw.needs[0]:
        scaled = bw.op("Mul", dy, bw.op("Unsqueeze", bw.inputs[1], bw.ints([1])))
        by_group = bw.op("Reshape", scaled, grouped)
        dx = bw.reshape_like(_through_statistics(bw, by_group, normal, r, [2]), bw.x)
    dscale = None
    if bw.needs[1]:
        dscale = bw.reduce_sum(bw.op("Mul", dy, bw.op("Reshape", normal, own)), [0, 2], keepdims=False)
    return [dx, dscale, bw.reduce_sum(dy, [0, 2], keepdims=False) if bw.needs[2] else None]


def _normalized(bw: Backward, axes: list[int], x: str | None = None) -> tuple[str, str]:
    """x̂ and r over the axes, computed again: not every kernel gives them."""
    x = x or bw.x
    centred = bw.op("Sub", x, bw.op("ReduceMean", x, bw.ints(axes)))
    r = _inverse_deviation(bw, bw.op("ReduceMean", bw.op("Mul", centred, centred), bw.ints(axes)))
    return bw.op("Mul", centred, r), r


def _through_statistics(bw: Backward, dy: str, normal: str, r: str, axes: list[int]) -> str:
    """r·(dy − mean dy − x̂·mean(dy·x̂)), the means over the axes, for dy with the scale in it (Ba et al. 2016,
    arXiv:1607.06450; as for batch normalization)."""
    mean = bw.op("ReduceMean", dy, bw.ints(axes))
    slope = bw.op("ReduceMean", bw.op("Mul", dy, normal), bw.ints(axes))
    return bw.op("Mul", r, bw.op("Sub", bw.op("Sub", dy, mean), bw.op("Mul", normal, slope)))
