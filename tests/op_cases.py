"""One or more applications of every operator, each with what PyTorch (or a formula) says about it."""

from itertools import pairwise, product
from math import prod

import torch
import torch.nn.functional as F
from loss_cases import LOSSES
from norm_cases import NORMALISATIONS
from op_case import MAPS, Case, pads_of, same
from pool_cases import POOLS


def conv(rank, pads, **options):
    function = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[rank]
    return lambda p, x: function(F.pad(x, pads_of(pads)), p["weight"], p.get("bias"), **options)


def deconv(rank, crops, **options):
    function = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[rank]

    def run(p, x):
        y = F.pad(function(x, p["weight"], **options), [-c for c in pads_of(crops)])
        return y + p["bias"].reshape(-1, *[1] * rank) if "bias" in p else y

    return run


def connected(p, x):
    """A convolution whose output map m sees only the listed input maps."""
    table = [[0, 1], [2], [0, 1, 2]]
    maps = [F.conv2d(x[:, rows], p["weight"][m : m + 1, rows]) for m, rows in enumerate(table)]
    return torch.cat(maps, 1) + p["bias"].reshape(-1, 1, 1)


def local(kernel, pads, stride=1):
    """A convolution whose weights are those of each output position, one position after the other."""

    def run(p, x):
        x, rank = F.pad(x, pads_of(pads)), len(kernel)
        out = torch.zeros(x.shape[0], p["weight"].shape[-1], *p["weight"].shape[:rank])
        for place in product(*map(range, p["weight"].shape[:rank])):
            patch = x[(..., *(slice(o * stride, o * stride + k) for o, k in zip(place, kernel, strict=True)))]
            weight = p["weight"][place].movedim((-1, -2), (0, 1))  # [channels, C, kernel...]
            out[(..., *place)] = torch.tensordot(patch, weight, ([*range(1, rank + 2)], [*range(1, rank + 2)]))
        return out + p["bias"] if "bias" in p else out

    return run


def crop(x, like, *offsets):
    """From the offsets on, or at the centre."""
    for axis in range(2, x.ndim):
        start = offsets[axis - 2] if offsets else (x.shape[axis] - like.shape[axis]) // 2
        x = x.narrow(axis, start, like.shape[axis])
    return x


def vector(x, maps):
    return x.reshape(*x.shape, *[1] * (maps.ndim - x.ndim))


CONVOLUTIONS = [
    Case("conv", (MAPS,), conv(2, [same(3)] * 2), {"channels": 4, "kernel": 3},
         {"weight": (4, 3, 3, 3), "bias": (4,)}, macs=9 * 10 * 4 * 27, flops=9 * 10 * 4),
    Case("conv", (MAPS,), conv(2, [same(4, 2), same(3)], stride=(2, 3), dilation=(2, 1)),
         {"channels": 4, "kernel": [4, 3], "stride": [2, 3], "dilation": [2, 1], "bias": False},
         {"weight": (4, 3, 4, 3)}, macs=5 * 4 * 4 * 36, flops=0),
    Case("conv", ((4, 12),), conv(1, [(1, 1)], groups=2), {"channels": 6, "kernel": 3, "pad": 1, "groups": 2},
         {"weight": (6, 2, 3), "bias": (6,)}, macs=12 * 6 * 6, flops=72),
    Case("conv", ((2, 5, 6, 7),), conv(3, [(0, 0)] * 3), {"channels": 3, "kernel": 2, "pad": 0},
         {"weight": (3, 2, 2, 2, 2), "bias": (3,)}, macs=4 * 5 * 6 * 3 * 16, flops=360),
    Case("conv", ((3, 11),), conv(1, [(4, 0)], dilation=2, stride=3),
         {"channels": 4, "kernel": 3, "dilation": 2, "stride": 3, "pad": "causal"}, {"weight": (4, 3, 3), "bias": (4,)},
         macs=4 * 4 * 9, flops=16),
    Case("conv", (MAPS,), connected, {"channels": 3, "kernel": 3, "pad": 0, "connect": [[0, 1], [2], [0, 1, 2]]},
         {"weight": (3, 3, 3, 3), "bias": (3,)}, macs=7 * 8 * 6 * 9, flops=7 * 8 * 3),
    Case("conv", (MAPS,), conv(2, [(0, 2), (1, 1)]), {"channels": 2, "kernel": 3, "pad": [[0, 2], 1], "bias": False},
         {"weight": (2, 3, 3, 3)}, macs=90 * 2 * 27, flops=0),
    Case("deconv", (MAPS,), deconv(2, [(0, 0)] * 2, stride=2), {"channels": 4, "kernel": 2, "stride": 2},
         {"weight": (3, 4, 2, 2), "bias": (4,)}, macs=90 * 3 * 4 * 4, flops=18 * 20 * 4),
    Case("deconv", ((4, 7),), deconv(1, [(1, 2)], stride=2, groups=2),
         {"channels": 6, "kernel": 5, "stride": 2, "groups": 2, "bias": False}, {"weight": (4, 3, 5)},
         macs=7 * 60, flops=0),
    Case("deconv", ((2, 7),), deconv(1, [(0, -1)], stride=3), {"channels": 2, "kernel": 2, "stride": 3},
         {"weight": (2, 2, 2), "bias": (2,)}, macs=7 * 8, flops=42),
    Case("deconv", ((2, 7),), deconv(1, [(1, 0)], stride=3, dilation=2),
         {"channels": 2, "kernel": 2, "stride": 3, "dilation": 2, "pad": 1, "output_pad": 1},
         {"weight": (2, 2, 2), "bias": (2,)}, macs=7 * 8, flops=2 * 20),
    Case("deconv", ((3, 5, 7),), deconv(2, [(0, -2), (1, 1)], stride=(4, 3)),
         {"channels": 4, "kernel": [2, 5], "stride": [4, 3]}, {"weight": (3, 4, 2, 5), "bias": (4,)},
         macs=35 * 120, flops=20 * 21 * 4),
    Case("deconv", ((4, 5, 7),), deconv(2, [(0, -2), (2, 2)], stride=3),
         {"channels": 6, "kernel": 5, "stride": 3, "pad": [0, 2], "output_pad": [2, 0]},
         {"weight": (4, 6, 5, 5), "bias": (6,)}, macs=35 * 600, flops=19 * 19 * 6),
]  # fmt: skip

def weight_normed(function, dim=0, groups=1):
    """With PyTorch's normalised weights in place of the weights: over all axes but `dim`, group by group."""

    def run(p, x):
        shape = [-1 if axis == dim else 1 for axis in range(p["weight"].ndim)]
        parts = zip(p["weight"].chunk(groups), p["gain"].chunk(groups), strict=True)
        weight = torch.cat([torch._weight_norm(v, g.reshape(shape), dim) for v, g in parts])
        return function({**p, "weight": weight}, x)

    return run


_GAIN = {"weight_norm": True}

WEIGHT_NORMS = [
    Case("conv", (MAPS,), weight_normed(conv(2, [same(3)] * 2)), {"channels": 4, "kernel": 3, **_GAIN},
         {"weight": (4, 3, 3, 3), "bias": (4,), "gain": (4,)}, macs=9 * 10 * 4 * 27, flops=9 * 10 * 4),
    Case("conv", ((4, 12),), weight_normed(conv(1, [(1, 1)], groups=2)),
         {"channels": 6, "kernel": 3, "pad": 1, "groups": 2, "bias": False, **_GAIN},
         {"weight": (6, 2, 3), "gain": (6,)}, macs=12 * 6 * 6, flops=0),
    Case("deconv", (MAPS,), weight_normed(deconv(2, [(0, 0)] * 2, stride=2), 1),
         {"channels": 4, "kernel": 2, "stride": 2, **_GAIN}, {"weight": (3, 4, 2, 2), "bias": (4,), "gain": (4,)},
         macs=90 * 3 * 4 * 4, flops=18 * 20 * 4),
    Case("deconv", ((4, 7),), weight_normed(deconv(1, [(1, 2)], stride=2, groups=2), 1, 2),
         {"channels": 6, "kernel": 5, "stride": 2, "groups": 2, "bias": False, **_GAIN},
         {"weight": (4, 3, 5), "gain": (6,)}, macs=7 * 60, flops=0),
    Case("dense", ((12,),), weight_normed(lambda p, x: F.linear(x, p["weight"], p["bias"])),
         {"units": 5, "drop_connect": 0.5, **_GAIN}, {"weight": (5, 12), "bias": (5,), "gain": (5,)}, macs=60, flops=5),
]  # fmt: skip

LOCALS = [
    Case("locally_connected", (MAPS,), local((3, 2), [(0, 0)] * 2), {"channels": 4, "kernel": [3, 2]},
         {"weight": (7, 9, 3, 2, 3, 4), "bias": (4, 7, 9)}, macs=63 * 18 * 4, flops=63 * 4),
    Case("locally_connected", (MAPS,), local((3, 3), [(1, 1)] * 2, 2),
         {"channels": 2, "kernel": 3, "stride": 2, "pad": "same", "bias": False}, {"weight": (5, 5, 3, 3, 3, 2)},
         macs=25 * 27 * 2, flops=0),
    Case("locally_connected", ((3, 8),), local((4,), [(2, 2)], 3), {"channels": 2, "kernel": 4, "stride": 3, "pad": 2},
         {"weight": (3, 4, 3, 2), "bias": (2, 3)}, macs=3 * 12 * 2, flops=6),
    Case("locally_connected", ((2, 3, 4, 5),), local((2, 2, 2), [(0, 0)] * 3), {"channels": 3, "kernel": 2},
         {"weight": (2, 3, 4, 2, 2, 2, 2, 3), "bias": (3, 2, 3, 4)}, macs=24 * 48, flops=72),
]  # fmt: skip

VECTORS = [
    Case("dense", ((12,),), lambda p, x: F.linear(x, p["weight"], p["bias"]), {"units": 5},
         {"weight": (5, 12), "bias": (5,)}, macs=60, flops=5),
    Case("dense", ((12,),), lambda p, x: F.linear(x, p["weight"]), {"units": 5, "bias": False}, {"weight": (5, 12)},
         macs=60, flops=0),
    Case("rbf", ((12,),), lambda p, x: torch.cdist(x, p["codes"]) ** 2, {"classes": 5}, {"codes": (5, 12)},
         frozenset({"codes"}), flops=3 * 60),
]  # fmt: skip

ACTIVATIONS = [
    Case("relu", (MAPS,), lambda _, x: F.relu(x)),
    Case("relu6", (MAPS,), lambda _, x: F.relu6(4 * x / 4)),
    Case("leaky_relu", (MAPS,), lambda _, x: F.leaky_relu(x, 0.2), {"slope": 0.2}),
    Case("leaky_relu", ((5,),), lambda _, x: F.leaky_relu(x)),
    Case("sigmoid", (MAPS,), lambda _, x: torch.sigmoid(x)),
    Case("tanh", (MAPS,), lambda _, x: torch.tanh(x)),
    Case("scaled_tanh", (MAPS,), lambda _, x: 1.7159 * torch.tanh(2 * x / 3)),
    Case("gelu", (MAPS,), lambda _, x: F.gelu(x)),
    Case("gelu", (MAPS,), lambda _, x: F.gelu(x, approximate="tanh"), {"approximate": "tanh"}),
    Case("softmax", (MAPS,), lambda _, x: F.softmax(x, 1)),
    Case("softmax", ((5,),), lambda _, x: F.softmax(x, 1)),
    Case("softmax", (MAPS,), lambda _, x: F.softmax(x, 3), {"axis": "width"}),
    Case("softmax", ((3, 8),), lambda _, x: F.softmax(x, 0), dtypes=("unbatched",)),
    Case("log_softmax", (MAPS,), lambda _, x: F.log_softmax(x, 1)),
    Case("log_softmax", ((2, 3, 4, 5),), lambda _, x: F.log_softmax(x, 2), {"axis": 1}),
    Case("identity", (MAPS,), lambda _, x: x, flops=0),
    Case("dropout", (MAPS,), lambda _, x: x, {"rate": 0.3}, flops=0),
]

MOVES = [
    Case("flatten", (MAPS,), lambda _, x: x.flatten(1), flops=0),
    Case("flatten", ((5,),), lambda _, x: x, flops=0),
    Case("reshape", (MAPS,), lambda _, x: x.reshape(-1, 5, 6, 9), {"shape": [5, 6, 9]}, flops=0),
    Case("reshape", (MAPS,), lambda _, x: x.reshape(-1, 2, 135), {"shape": [2, -1]}, flops=0),
    Case("pad", (MAPS,), lambda _, x: F.pad(x, (2, 2, 2, 2)), {"cells": 2}, flops=0),
    Case("pad", (MAPS,), lambda _, x: F.pad(x, (3, -2, -1, -1), value=0.5),
         {"cells": [-1, [3, -2]], "value": 0.5}, flops=0),
    Case("pad", ((3, 2),), lambda _, x: F.pad(x, (5, 0))[..., : x.shape[-1] - 1], {"cells": [[5, -6]]}, flops=0),
    Case("pad", (MAPS,), lambda _, x: x, {"cells": 0}, flops=0),
    Case("crop_like", ((3, 9, 10), (5, 6, 6)), lambda _, x, like: crop(x, like), flops=0),
    Case("crop_like", ((3, 9), (5, 9)), lambda _, x, like: x, flops=0),
    Case("crop_like", ((3, 9, 10), (5, 6, 6)), lambda _, x, like: crop(x, like, 3, 3), {"offset": 3}, flops=0),
    Case("crop_like", ((3, 9, 10), (5, 6, 6)), lambda _, x, like: crop(x, like, 0, 1), {"offset": [0, 1]}, flops=0),
    Case("upsample", (MAPS,), lambda _, x: F.interpolate(x, scale_factor=2), {"factor": 2}, flops=0),
    Case("upsample", ((3, 8),), lambda _, x: F.interpolate(x, scale_factor=3), {"factor": 3}, flops=0),
    Case("upsample", ((2, 3, 4, 5),), lambda _, x: F.interpolate(x, scale_factor=(1, 2, 3)),
         {"factor": [1, 2, 3]}, flops=0),
    Case("upsample", (MAPS,), lambda _, x: F.interpolate(x, scale_factor=(2, 3), mode="bilinear"),
         {"factor": [2, 3], "mode": "bilinear"}, flops=7 * 270 * 6),
    Case("upsample", (MAPS,), lambda _, x: F.interpolate(x, scale_factor=4, mode="bilinear"),
         {"factor": 4, "mode": "linear"}, flops=7 * 270 * 16),
    Case("upsample", ((3, 8),), lambda _, x: F.interpolate(x, scale_factor=3, mode="linear"),
         {"factor": 3, "mode": "linear"}, flops=3 * 72),
    Case("upsample", ((2, 5, 6, 7),), lambda _, x: F.interpolate(x, scale_factor=2, mode="trilinear"),
         {"factor": 2, "mode": "linear"}, flops=15 * 420 * 8),
    Case("concat", (MAPS, (2, 9, 10), (1, 9, 10)), lambda _, *xs: torch.cat(xs, 1), flops=0),
    Case("concat", ((3, 4, 5), (3, 2, 5)), lambda _, *xs: torch.cat(xs, 2), {"axis": "height"}, flops=0),
    Case("concat", ((3, 4, 5), (3, 4, 2)), lambda _, *xs: torch.cat(xs, 3), {"axis": 2}, flops=0),
    Case("concat", ((3,), (4,)), lambda _, *xs: torch.cat(xs, 1), flops=0),
    Case("concat", (MAPS, (2, 9, 10)), lambda _, x, p: torch.cat([x, p.expand(len(x), -1, -1, -1)], 1), flops=0,
         dtypes=("float32", "unbatched")),
    Case("concat", ((3,), (4,)), lambda _, *xs: torch.cat(xs, 0), flops=0, dtypes=("unbatched", "unbatched")),
    Case("reshape", ((4, 6),), lambda _, x: x.reshape(2, 12), {"shape": [2, 12]}, flops=0, dtypes=("unbatched",)),
    Case("zeros_like", (MAPS,), lambda _, x: 0 * x, flops=0),
    Case("zeros_like", ((5,),), lambda _, x: 0 * x, flops=0),
]  # fmt: skip

ARITHMETIC = [
    Case("sum", (MAPS, MAPS, MAPS), lambda _, a, b, c: a + b + c, flops=2 * 270),
    Case("sum", (MAPS,), lambda _, a: a, flops=0),
    Case("mean", (MAPS, (3,), (3, 1, 10)), lambda _, a, b, c: (a + vector(b, a) + c) / 3, flops=3 * 270),
    Case("max", (MAPS, (3, 9, 1), MAPS), lambda _, a, b, c: torch.maximum(torch.maximum(a, b), c), flops=2 * 270),
    Case("min", (MAPS, MAPS), lambda _, a, b: torch.minimum(a, b)),
    Case("max", (MAPS,), lambda _, a: a.clamp_min(0.25), {"number": 0.25}),
    Case("sum", (MAPS, (3,)), lambda _, a, b: a + vector(b, a) + 2, {"number": 2}, flops=2 * 270),
    Case("add", (MAPS, MAPS), lambda _, a, b: a + b),
    Case("add", (MAPS,), lambda _, a: a + 0.5, {"right": 0.5}),
    Case("sub", (MAPS, (1, 9, 10)), lambda _, a, b: a - b),
    Case("add", (MAPS, (3, 9, 10)), lambda _, a, b: a + b, dtypes=("float32", "unbatched")),
    Case("mul", ((3,), MAPS), lambda _, a, b: vector(a[None], b) * b, dtypes=("unbatched", "float32")),
    Case("mul", (MAPS, ()), lambda _, a, b: a * b, dtypes=("float32", "unbatched")),
    Case("sub", ((4,), (1,)), lambda _, a, b: a - b, dtypes=("float32", "unbatched")),
    Case("sum", ((3,), (3, 4), ()), lambda _, a, b, c: a[:, None] + b + c, dtypes=("unbatched",) * 3, flops=24),
    Case("sub", (MAPS,), lambda _, a: 1 - a, {"left": 1}),
    Case("mul", ((3,), MAPS), lambda _, a, b: vector(a, b) * b),
    Case("mul", ((1, 9, 1), (3, 1, 10)), lambda _, a, b: a * b),
    Case("div", (MAPS,), lambda _, a: a / 255, {"right": 255}),
    Case("div", (MAPS, MAPS), lambda _, a, b: a / b),
    Case("neg", (MAPS,), lambda _, a: -a),
    Case("power", (MAPS,), lambda _, a: a**2, {"right": 2}),
    Case("power", (MAPS,), lambda _, a: a**3, {"right": 3}),
    Case("power", (MAPS,), lambda _, a: 2.5**a, {"left": 2.5}),
    Case("power", (MAPS, (1, 9, 10)), lambda _, a, b: a**b, dtypes=("positive", "float32")),
    Case("exp", (MAPS,), lambda _, a: a.exp()),
    Case("log", (MAPS,), lambda _, a: a.log(), dtypes=("positive",)),
    Case("sqrt", (MAPS,), lambda _, a: a.sqrt(), dtypes=("positive",)),
    Case("abs", (MAPS,), lambda _, a: a.abs()),
]

REDUCTIONS = [
    Case("sum", (MAPS,), lambda _, a: a.sum(1, keepdim=True), {"axis": "channel"}, flops=270),
    Case("mean", (MAPS,), lambda _, a: a.mean((2, 3), keepdim=True), {"axis": ["height", "width"]}, flops=270),
    Case("max", (MAPS,), lambda _, a: a.amax(3, keepdim=True), {"axis": 2}, flops=270),
    Case("min", (MAPS,), lambda _, a: a.amin((1, 2), keepdim=True), {"axis": [1, "channel"]}, flops=270),
    Case("mean", ((2, 3, 4, 5),), lambda _, a: a.mean((2, 4), keepdim=True), {"axis": ["depth", "width"]}, flops=120),
    Case("sum", ((5,),), lambda _, a: a.sum(1, keepdim=True), {"axis": 0}, flops=5),
    Case("max", ((3, 8),), lambda _, a: a.amax(2, keepdim=True), {"axis": "width"}, flops=24),
]

COMPARISONS = [
    Case("less", (MAPS, MAPS), lambda _, a, b: a < b),
    Case("less_equal", (MAPS,), lambda _, a: a <= 0.5, {"right": 0.5}),
    Case("greater", (MAPS, (3,)), lambda _, a, b: a > vector(b, a)),
    Case("greater_equal", (MAPS,), lambda _, a: a <= 1, {"left": 1}),
    Case("equal", ((3, 4), (3, 4)), lambda _, a, b: a == b, dtypes=("int64", "int64")),
    Case("not_equal", ((3, 4),), lambda _, a: a != 1, {"right": 1}, dtypes=("int64",)),
    Case("equal", (MAPS, MAPS), lambda _, a, b: a == b),
    Case("and", (MAPS, (3, 1, 10)), lambda _, a, b: a & b, dtypes=("bool", "bool")),
    Case("or", (MAPS, MAPS), lambda _, a, b: a | b, dtypes=("bool", "bool")),
    Case("not", (MAPS,), lambda _, a: ~a, dtypes=("bool",)),
    Case("where", (MAPS, MAPS, (3, 1, 10)), lambda _, c, a, b: torch.where(c, a, b),
         dtypes=("bool", "float32", "float32")),
    Case("where", (MAPS, (3,)), lambda _, c, a: torch.where(c, vector(a, c), 2.5), {"otherwise": 2.5},
         dtypes=("bool", "float32")),
    Case("where", (MAPS, (3, 9, 10)), lambda _, c, b: torch.where(c, 2, b), {"chosen": 2}, dtypes=("bool", "int64")),
    Case("where", (MAPS,), lambda _, c: torch.where(c, 1.0, -1.0), {"chosen": 1, "otherwise": -1}, dtypes=("bool",)),
]  # fmt: skip

MATRICES = [
    Case("matmul", ((4, 5), (5, 3)), lambda _, a, b: a @ b, macs=4 * 5 * 3, flops=0),
    Case("matmul", ((2, 4, 5), (2, 5, 3)), lambda _, a, b: a @ b, macs=2 * 4 * 5 * 3, flops=0),
    Case("matmul", ((4, 5), (5, 3)), lambda _, a, b: a @ b, macs=60, flops=0, dtypes=("unbatched", "float32")),
    Case("matmul", ((4, 5), (5, 3)), lambda _, a, b: a @ b, macs=60, flops=0, dtypes=("float32", "unbatched")),
    Case("matmul", ((2, 4, 5), (2, 5, 3)), lambda _, a, b: a @ b, macs=120, flops=0, dtypes=("unbatched", "float32")),
    Case("matmul", ((4, 5), (5,)), lambda _, a, b: (a @ b[..., None])[..., 0], macs=20, flops=0),
    Case("matmul", ((4, 5), (5,)), lambda _, a, b: b @ a.T, macs=20, flops=0, dtypes=("unbatched", "float32")),
    Case("matmul", ((4, 5), (5,)), lambda _, a, b: a @ b, macs=20, flops=0, dtypes=("float32", "unbatched")),
    Case("matmul", ((5,), (5, 3)), lambda _, a, b: (a[:, None] @ b)[:, 0], macs=15, flops=0),
    Case("matmul", ((5,), (5, 3)), lambda _, a, b: a @ b, macs=15, flops=0, dtypes=("float32", "unbatched")),
    Case("matmul", ((5,), (5, 3)), lambda _, a, b: a @ b, macs=15, flops=0, dtypes=("unbatched", "float32")),
    Case("matmul", ((5,), (5,)), lambda _, a, b: (a * b).sum(1), macs=5, flops=0),
    Case("transpose", ((4, 5),), lambda _, x: x.mT, flops=0, dtypes=("unbatched",)),
    Case("transpose", ((4, 5),), lambda _, x: x.mT, flops=0),
    Case("transpose", (MAPS,), lambda _, x: x.mT, flops=0),
]


def picked(axis):
    """Each sample picks its own places."""
    return lambda _, x, places: torch.stack([one.index_select(axis - 1, k) for one, k in zip(x, places, strict=True)])


INDEXING = [
    Case("slice", (MAPS,), lambda _, x: x[:, 1:], {"start": 1}, flops=0),
    Case("slice", (MAPS,), lambda _, x: x[:, :, 2:-3], {"start": 2, "end": -3, "axis": "height"}, flops=0),
    Case("slice", (MAPS,), lambda _, x: x[..., -4:], {"start": -4, "axis": 2}, flops=0),
    Case("slice", ((5,),), lambda _, x: x[:, :3], {"start": None, "end": 3}, flops=0),
    Case("slice", ((5, 4),), lambda _, x: x[:3], {"start": 0, "end": 3}, flops=0, dtypes=("unbatched",)),
    Case("slice", ((5, 4),), lambda _, x: x[:, 1:3], {"start": 1, "end": 3}, flops=0, dtypes=("int64",)),
    Case("split", ((4, 5, 6),), lambda _, x: x.chunk(2, 1), {"parts": 2}, flops=0),
    Case("split", ((4, 5, 6),), lambda _, x: x.split([1, 3], 1), {"parts": [1, 3]}, flops=0),
    Case("split", ((3, 2, 6),), lambda _, x: x.chunk(1, 3), {"parts": 1, "axis": "width"}, flops=0),
    Case("split", ((4, 6),), lambda _, x: x.split(2), {"parts": 2}, flops=0, dtypes=("unbatched",)),
    Case("gather", (MAPS,), lambda _, x: x[:, [2, 0, 0, -1]], {"places": [2, 0, 0, -1]}, flops=0),
    Case("gather", (MAPS,), lambda _, x: x[:, :, [1, 3, 5]], {"places": [1, 3, 5], "axis": "height"}, flops=0),
    Case("gather", (MAPS,), lambda _, x: x[..., [3, 2, 1, 0]], {"places": [3, 2, 1, 0], "axis": "width"}, flops=0),
    Case("gather", (MAPS, (2,)), picked(1), flops=0, dtypes=("float32", "int64")),
    Case("gather", (MAPS, (4,)), picked(3), {"axis": "width"}, flops=0, dtypes=("float32", "int64")),
    Case("gather", ((5,), (7,)), picked(1), flops=0, dtypes=("float32", "int64")),
    Case("gather", ((5, 4), (7,)), lambda _, table, places: table[places], flops=0, dtypes=("unbatched", "int64")),
    Case("gather", ((4, 5), (7,)), lambda _, table, places: table[:, places].movedim(1, 0), {"axis": 1}, flops=0,
         dtypes=("unbatched", "int64")),
]  # fmt: skip

SOURCES = [
    Case("param", (), lambda p: p["value"] + 0, {"shape": [3, 1, 2]}, {"value": (3, 1, 2)}, flops=0),
    Case("param", (), lambda p: p["value"] + 0, {"shape": []}, {"value": ()}, flops=0),
    Case("constant", (), lambda _: torch.tensor([[1.0, 2], [3, 4.5]]), {"numbers": [[1, 2], [3, 4.5]]}, flops=0),
    Case("coordinates", (MAPS,), lambda _, x: torch.stack(torch.meshgrid(
        *(torch.arange(float(size)) for size in x.shape[2:]), indexing="ij")), flops=0),
    Case("coordinates", ((3, 8),), lambda _, x: torch.arange(float(x.shape[2]))[None], flops=0),
    Case("coordinates", ((2, 3, 4, 5),), lambda _, x: torch.stack(torch.meshgrid(
        *(torch.arange(float(size)) for size in x.shape[2:]), indexing="ij")), flops=0),
]  # fmt: skip



def resized(size, mode):
    return lambda _, x, *like: F.interpolate(x, like[0].shape[2:] if like else size, mode=mode)


RESIZING = [
    Case("resize", (MAPS,), resized((13, 7), "bilinear"), {"size": [13, 7]}, flops=7 * 3 * 91),
    Case("resize", (MAPS,), resized((5, 5), "bilinear"), {"size": 5, "mode": "linear"}, flops=7 * 75),
    Case("resize", (MAPS,), resized((13, 7), "nearest"), {"size": [13, 7], "mode": "nearest"}, flops=0),
    Case("resize", (MAPS,), resized((18, 30), "nearest"), {"size": [18, 30], "mode": "nearest"}, flops=0),
    Case("resize", ((3, 8),), resized(3, "linear"), {"size": 3, "mode": "linear"}, flops=27),
    Case("resize", ((2, 5, 6, 7),), resized((4, 6, 8), "trilinear"), {"size": [4, 6, 8], "mode": "linear"}, flops=15 * 384),
    Case("resize_like", (MAPS, (2, 6, 11)), resized(None, "bilinear"), flops=7 * 198),
    Case("resize_like", (MAPS, (2, 6, 11)), resized(None, "nearest"), {"mode": "nearest"}, flops=0),
    Case("resize_like", (MAPS, MAPS), lambda _, x, like: x, flops=0),
    Case("resize_like", ((2, 5, 6, 7), (1, 6, 6, 4)), resized(None, "trilinear"), {"mode": "linear"}, flops=15 * 288),
]  # fmt: skip

EMBEDDINGS = [
    Case("embedding", ((7,),), lambda p, x: F.embedding(x, p["weight"]).movedim(-1, 1), {"channels": 4, "vocabulary": 3},
         {"weight": (3, 4)}, flops=0, dtypes=("int64",)),
    Case("embedding", ((),), lambda p, x: F.embedding(x, p["weight"]), {"channels": 4, "vocabulary": 3},
         {"weight": (3, 4)}, flops=0, dtypes=("int64",)),
    Case("embedding", ((3, 4),), lambda p, x: F.embedding(x, p["weight"]).movedim(-1, 1),
         {"channels": 2, "vocabulary": 3}, {"weight": (3, 2)}, flops=0, dtypes=("int64",)),
]  # fmt: skip


CASES = [
    *CONVOLUTIONS, *WEIGHT_NORMS, *LOCALS, *POOLS, *VECTORS, *NORMALISATIONS, *ACTIVATIONS, *MOVES, *ARITHMETIC,
    *REDUCTIONS, *COMPARISONS, *INDEXING, *SOURCES, *RESIZING, *EMBEDDINGS, *MATRICES, *LOSSES,
]  # fmt: skip


def count(shapes):
    return sum(prod(shape) for shape in shapes.values())


assert all(a != b for a, b in pairwise(CASES))
