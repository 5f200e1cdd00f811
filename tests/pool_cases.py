"""Pools over windows, channels and bins, and the way back; see op_cases."""

from math import log, prod

import torch
import torch.nn.functional as F
from op_case import MAPS, Case, pads_of, same


def max_pool(pads, kernel, stride, **options):
    function = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[len(pads)]
    return lambda _, x: function(F.pad(x, pads_of(pads), value=float("-inf")), kernel, stride, **options)


def located(kernel, stride, pad, ceil=False):
    """A pool, and where in its window each maximum stands; PyTorch counts within the map."""

    def run(_, x):
        function = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[x.ndim - 2]
        pooled, flat = function(x, kernel, stride, pad, ceil_mode=ceil, return_indices=True)
        where = torch.zeros_like(flat)
        for axis in range(2, x.ndim):
            place = flat // prod(x.shape[axis + 1 :]) % x.shape[axis]
            starts = torch.arange(flat.shape[axis]) * stride - pad
            where = where * kernel + place - starts.reshape(-1, *[1] * (x.ndim - 1 - axis))
        return pooled, where

    return run


def unpool(kernel, stride, pad=0):
    """Every value is added where it belongs, if that is a cell of the output."""

    def run(_, x, where, like=None):
        rank = x.ndim - 2
        sizes = [(n - 1) * stride + kernel - 2 * pad for n in x.shape[2:]] if like is None else like.shape[2:]
        flat, inside = torch.zeros_like(where), (where >= 0) & (where < kernel**rank)
        for i, size in enumerate(sizes):
            starts = torch.arange(x.shape[2 + i]) * stride - pad
            tap = where // kernel ** (rank - 1 - i) % kernel
            place = tap + starts.reshape(-1, *[1] * (rank - 1 - i))
            inside = inside & (place >= 0) & (place < size)
            flat = flat * size + place
        zeros = x.new_zeros(*x.shape[:2], prod(sizes))
        values = torch.where(inside, x, 0).flatten(2)
        return zeros.scatter_add(2, torch.where(inside, flat, 0).flatten(2), values).unflatten(2, sizes)

    return run


def avg_same(kernel, stride):
    """Means over the cells inside the input: sums of the padded input over sums of padded ones."""

    def run(_, x):
        pads = pads_of([same(kernel)] * 2)
        total, count = (F.avg_pool2d(F.pad(t, pads), kernel, stride) for t in (x, torch.ones_like(x)))
        return total / count

    return run


def avg_dilated(pads, kernel, stride, dilation, *, counted):
    """Means over dilated windows: unfolded, summed, over the number of cells that count."""

    def windows(x):
        return F.unfold(x.flatten(0, 1)[:, None], kernel, dilation, 0, stride).sum(1)

    def run(_, x):
        wide = F.pad(x, pads_of(pads))
        count = F.pad(torch.ones_like(x), pads_of(pads), value=float(counted))
        out = [(n - dilation * (kernel - 1) - 1) // stride + 1 for n in wide.shape[2:]]
        return (windows(wide) / windows(count)).reshape(*x.shape[:2], *out)

    return run


def _features(kernel, stride, mode):
    def run(_, x):
        windows = x.unfold(1, kernel, stride)
        return {"max": windows.amax(-1), "avg": windows.mean(-1), "l2": windows.norm(dim=-1)}[mode]

    return run


def _lp(p, kernel, stride, pads, dilation=1):
    """Sums over the windows of the padded input, as a convolution with ones."""

    def run(_, x):
        rank, channels = x.ndim - 2, x.shape[1]
        ones = torch.ones(channels, 1, *[kernel] * rank)
        function = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[rank]
        sums = function(F.pad(x.abs() ** p, pads_of(pads)), ones, stride=stride, dilation=dilation, groups=channels)
        return sums ** (1 / p)

    return run


def _gaussian(kernel, stride, pad, sigma):
    def run(_, x):
        along = torch.exp(-0.5 * ((torch.arange(kernel) - (kernel - 1) / 2) / sigma) ** 2)
        weights = along[:, None] * along
        channels = x.shape[1]
        weights = (weights / weights.sum()).expand(channels, 1, kernel, kernel)
        return F.conv2d(x, weights, stride=stride, padding=pad, groups=channels)

    return run


_PLACES = {"dtypes": ("float32", "int64"), "below": 9}
_PLACES_LIKE = {"dtypes": ("float32", "int64", "float32"), "below": 9}

WINDOWS = [
    Case("max_pool", (MAPS,), max_pool([(0, 0)] * 2, 2, 2), {"kernel": 2}, flops=4 * 5 * 3 * 4),
    Case("max_pool", (MAPS,), max_pool([(1, 1)] * 2, 3, 2), {"kernel": 3, "stride": 2, "pad": 1}, flops=5 * 5 * 3 * 9),
    Case("max_pool", (MAPS,), max_pool([(0, 0)] * 2, 2, 2, ceil_mode=True), {"kernel": 2, "ceil": True},
         flops=5 * 5 * 3 * 4),
    Case("max_pool", (MAPS,), lambda _, x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
         {"kernel": 3, "stride": 2, "pad": 1, "ceil": True}, flops=5 * 6 * 3 * 9),
    Case("max_pool", (MAPS,), max_pool([same(3, 3), same(2, 3)], (3, 2), 1, dilation=3),
         {"kernel": [3, 2], "stride": 1, "pad": "same", "dilation": 3}, flops=270 * 6),
    Case("max_pool", (MAPS,), max_pool([(0, 2), (1, 1)], 3, 2), {"kernel": 3, "stride": 2, "pad": [[0, 2], 1]},
         flops=5 * 5 * 3 * 9),
    Case("max_pool", ((3, 11),), max_pool([(0, 0)], 3, 1, dilation=2), {"kernel": 3, "stride": 1, "dilation": 2},
         flops=7 * 3 * 3),
    Case("max_pool", ((2, 5, 6, 7),), max_pool([(0, 0)] * 3, 2, 2), {"kernel": 2}, flops=2 * 2 * 3 * 3 * 8),
    Case("max_pool", (MAPS,), located(2, 2, 0), {"kernel": 2, "indices": True}, flops=4 * 5 * 3 * 4),
    Case("max_pool", (MAPS,), located(3, 2, 1, True),
         {"kernel": 3, "stride": 2, "pad": 1, "ceil": True, "indices": True}, flops=5 * 6 * 3 * 9),
    Case("max_pool", ((3, 11),), located(3, 1, 1), {"kernel": 3, "stride": 1, "pad": 1, "indices": True},
         flops=11 * 3 * 3),
    Case("max_pool", ((2, 5, 6, 7),), located(2, 2, 0, True), {"kernel": 2, "ceil": True, "indices": True},
         flops=3 * 3 * 4 * 2 * 8),
    Case("unpool", (MAPS, MAPS), unpool(2, 2), {"kernel": 2}, flops=0, **_PLACES),
    Case("unpool", ((3, 4, 7), (3, 4, 7)), unpool(3, 2, 1), {"kernel": 3, "stride": 2, "pad": 1},
         flops=3 * 7 * 13 * 3, **_PLACES),
    Case("unpool", ((3, 5), (3, 5)), unpool(2, 3), {"kernel": 2, "stride": 3}, flops=0, **_PLACES),
    Case("unpool", ((2, 2, 3, 4), (2, 2, 3, 4)), unpool(2, 2), {"kernel": 2}, flops=0, **_PLACES),
    Case("unpool", ((3, 5, 6), (3, 5, 6), (1, 9, 13)), unpool(2, 2), {"kernel": 2}, flops=0, **_PLACES_LIKE),
    Case("unpool", ((3, 5, 6), (3, 5, 6), (4, 11, 14)), unpool(3, 2), {"kernel": 3, "stride": 2},
         flops=3 * 3 * 11 * 14, **_PLACES_LIKE),
    Case("avg_pool", (MAPS,), lambda _, x: F.avg_pool2d(x, 2), {"kernel": 2}, flops=4 * 5 * 3 * 4),
    Case("avg_pool", (MAPS,), lambda _, x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
         {"kernel": 3, "stride": 2, "pad": 1}, flops=5 * 5 * 3 * 9),
    Case("avg_pool", (MAPS,), lambda _, x: F.avg_pool2d(x, 3, 2, 1),
         {"kernel": 3, "stride": 2, "pad": 1, "count_pad": True},
         flops=5 * 5 * 3 * 9),
    Case("avg_pool", (MAPS,), lambda _, x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
         {"kernel": 3, "stride": 2, "pad": 1, "ceil": True, "count_pad": True}, flops=5 * 6 * 3 * 9),
    Case("avg_pool", (MAPS,), lambda _, x: F.avg_pool2d(x, (3, 2), 2, ceil_mode=True, count_include_pad=False),
         {"kernel": [3, 2], "stride": 2, "ceil": True}, flops=4 * 5 * 3 * 6),
    Case("avg_pool", (MAPS,), avg_same(4, 2), {"kernel": 4, "stride": 2, "pad": "same"}, flops=5 * 5 * 3 * 16),
    Case("avg_pool", (MAPS,), avg_dilated([(0, 0)] * 2, 2, 1, 3, counted=False), {"kernel": 2, "stride": 1, "dilation": 3},
         flops=6 * 7 * 3 * 4),
    Case("avg_pool", (MAPS,), avg_dilated([(4, 4)] * 2, 3, 2, 2, counted=False),
         {"kernel": 3, "stride": 2, "pad": 4, "dilation": 2}, flops=7 * 7 * 3 * 9),
    Case("avg_pool", (MAPS,), avg_dilated([(2, 3), (0, 4)], 3, 1, 2, counted=True),
         {"kernel": 3, "stride": 1, "pad": [[2, 3], [0, 4]], "dilation": 2, "count_pad": True}, flops=10 * 10 * 3 * 9),
    Case("avg_pool", ((3, 11),), lambda _, x: F.avg_pool1d(x, 3, 2), {"kernel": 3, "stride": 2}, flops=5 * 9),
    Case("avg_pool", ((2, 5, 6, 7),), lambda _, x: F.avg_pool3d(x, 2), {"kernel": 2}, flops=36 * 8),
    Case("global_avg_pool", (MAPS,), lambda _, x: x.mean((2, 3)), flops=270),
    Case("global_avg_pool", ((3, 8),), lambda _, x: x.mean(2), flops=24),
    Case("global_max_pool", (MAPS,), lambda _, x: x.amax((2, 3)), flops=270),
    Case("global_max_pool", ((2, 5, 6, 7),), lambda _, x: x.amax((2, 3, 4)), flops=420),
]  # fmt: skip

FEATURES = [
    Case("maxout", ((6, 4, 5),), lambda _, x: x.unflatten(1, (3, 2)).amax(2), {}, flops=120),
    Case("maxout", ((6,),), lambda _, x: x.unflatten(1, (2, 3)).amax(2), {"pieces": 3}, flops=6),
    Case("feature_pool", ((7, 4, 5),), _features(3, 3, "max"), {"kernel": 3}, flops=2 * 20 * 3),
    Case("feature_pool", ((7, 4, 5),), _features(3, 2, "avg"), {"kernel": 3, "stride": 2, "mode": "avg"},
         flops=3 * 20 * 3),
    Case("feature_pool", ((6, 2, 3, 4),), _features(3, 1, "l2"), {"kernel": 3, "stride": 1, "mode": "l2"},
         flops=4 * 24 * 3),
    Case("feature_pool", ((9,),), _features(2, 2, "l2"), {"kernel": 2, "mode": "l2"}, flops=8),
    Case("feature_pool", ((9, 5),), _features(4, 3, "max"), {"kernel": 4, "stride": 3}, flops=2 * 5 * 4),
]  # fmt: skip

FILTERS = [
    Case("lp_pool", (MAPS,), _lp(2, 2, 2, [(0, 0)] * 2), {"kernel": 2}, flops=60 * 4 + 270 + 60),
    Case("lp_pool", (MAPS,), lambda _, x: F.avg_pool2d(x.abs() ** 3, 3, 2, 1, True, divisor_override=1) ** (1 / 3),
         {"kernel": 3, "stride": 2, "pad": 1, "ceil": True, "p": 3}, flops=90 * 9 + 270 + 90),
    Case("lp_pool", ((2, 9),), _lp(1, 3, 3, [(0, 0)]), {"kernel": 3, "p": 1}, flops=6 * 3 + 18 + 6),
    Case("lp_pool", ((2, 5, 6, 7),), _lp(2.5, 2, 1, [(0, 0)] * 3), {"kernel": 2, "stride": 1, "p": 2.5},
         flops=2 * 120 * 8 + 420 + 240),
    Case("lp_pool", (MAPS,), _lp(2, 3, 1, [(2, 2)] * 2, 2), {"kernel": 3, "stride": 1, "pad": "same", "dilation": 2},
         flops=270 * 9 + 270 + 270),
    Case("gaussian_pool", (MAPS,), _gaussian(5, 2, 2, 1.25), {"kernel": 5, "stride": 2, "pad": 2},
         flops=2 * 25 * 3 * 25),
    Case("gaussian_pool", (MAPS,), _gaussian(2, 2, 0, 0.7), {"kernel": 2, "sigma": 0.7}, flops=2 * 60 * 4),
    Case("gaussian_pool", ((3, 11),), lambda _, x: (0.5 * x[..., :-2] + x[..., 1:-1] + 0.5 * x[..., 2:]) / 2,
         {"kernel": 3, "stride": 1, "sigma": (2 * log(2)) ** -0.5}, flops=2 * 27 * 3),
]  # fmt: skip

_BINS = (3 + 3 + 3 + 3) * (4 + 4 + 4)  # over 9 and 10 cells

ADAPTIVE = [
    Case("adaptive_max_pool", (MAPS,), lambda _, x: F.adaptive_max_pool2d(x, (4, 3)), {"size": [4, 3]}, flops=3 * _BINS),
    Case("adaptive_max_pool", ((3, 9, 12),), lambda _, x: F.adaptive_max_pool2d(x, 3), {"size": 3}, flops=324),
    Case("adaptive_max_pool", (MAPS,), lambda _, x: F.adaptive_max_pool2d(x, 1), {"size": 1}, flops=270),
    Case("adaptive_max_pool", ((3, 5),), lambda _, x: F.adaptive_max_pool1d(x, 7), {"size": 7}, flops=3 * 11),
    Case("adaptive_max_pool", ((2, 5, 6, 7),), lambda _, x: F.adaptive_max_pool3d(x, (2, 3, 4)), {"size": [2, 3, 4]},
         flops=2 * 6 * 6 * 10),
    Case("adaptive_avg_pool", (MAPS,), lambda _, x: F.adaptive_avg_pool2d(x, (4, 3)), {"size": [4, 3]}, flops=3 * _BINS),
    Case("adaptive_avg_pool", ((3, 9, 12),), lambda _, x: F.adaptive_avg_pool2d(x, 3), {"size": 3}, flops=324),
    Case("adaptive_avg_pool", ((3, 5),), lambda _, x: F.adaptive_avg_pool1d(x, 7), {"size": 7}, flops=3 * 11),
    Case("adaptive_avg_pool", ((2, 5, 6, 7),), lambda _, x: F.adaptive_avg_pool3d(x, (2, 3, 4)), {"size": [2, 3, 4]},
         flops=2 * 6 * 6 * 10),
]  # fmt: skip

POOLS = [*WINDOWS, *FEATURES, *FILTERS, *ADAPTIVE]
