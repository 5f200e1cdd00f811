"""Normalisations and affine maps per channel; see op_cases."""


import torch.nn.functional as F
from op_case import MAPS, Case, affine


def per_channel(p, x):
    shape = (-1, *[1] * (x.ndim - 2))
    return x * p["scale"].reshape(shape) + p["bias"].reshape(shape)


def batch_norm(p, x):
    return F.batch_norm(x, p["running_mean"], p["running_var"], p["scale"], p["bias"], eps=1e-3)


def _group_norm(groups):
    return lambda p, x: F.group_norm(x, groups, p["scale"], p["bias"], 1e-2)


def _layer_norm(p, x):
    return F.layer_norm(x.movedim(1, -1), (x.shape[1],), p["scale"], p["bias"], 1e-2).movedim(-1, 1)


def _statistics(channels):
    return {**affine(channels), "running_mean": (channels,), "running_var": (channels,)}


STATISTICS = frozenset({"running_mean", "running_var"})

BY_CHANNEL = [
    Case("bn", (MAPS,), batch_norm, {"eps": 1e-3}, _statistics(3), STATISTICS, flops=2 * 270),
    Case("bn", ((7,),), batch_norm, {"eps": 1e-3}, _statistics(7), STATISTICS, flops=14),
    Case("bn", ((2, 3, 4, 5),), batch_norm, {"eps": 1e-3}, _statistics(2), STATISTICS, flops=240),
    Case("lrn", ((9, 5, 6),), lambda _, x: F.local_response_norm(x, 5, 1e-2, 0.75, 2.0), {"alpha": 1e-2, "k": 2},
         flops=9 * 270),
    Case("lrn", ((7,),), lambda _, x: F.local_response_norm(x[:, :, None], 3, 2.0, 0.5).flatten(1),
         {"size": 3, "alpha": 2, "beta": 0.5}, flops=49),
    Case("lrn", ((3, 2, 4, 5),), lambda _, x: F.local_response_norm(x, 7, 1.0), {"size": 7, "alpha": 1},
         flops=11 * 120),
    Case("scale_shift", (MAPS,), per_channel, {}, affine(3), flops=2 * 270),
    Case("scale_shift", ((7,),), per_channel, {}, affine(7), flops=14),
]  # fmt: skip

BY_SAMPLE = [
    Case("instance_norm", (MAPS,), lambda p, x: F.instance_norm(x, None, None, p["scale"], p["bias"], True, 0.1, 1e-2),
         {"eps": 1e-2}, affine(3), flops=7 * 270),
    Case("instance_norm", ((2, 7),), lambda p, x: F.instance_norm(x, None, None, p["scale"], p["bias"]), {}, affine(2),
         flops=7 * 14),
    Case("group_norm", ((6, 4, 5),), _group_norm(3), {"groups": 3, "eps": 1e-2}, affine(6), flops=7 * 120),
    Case("group_norm", ((6,),), _group_norm(2), {"groups": 2, "eps": 1e-2}, affine(6), flops=42),
    Case("group_norm", ((4, 2, 3, 5),), _group_norm(1), {"groups": 1, "eps": 1e-2}, affine(4), flops=7 * 120),
    Case("layer_norm", ((7,),), _layer_norm, {"eps": 1e-2}, affine(7), flops=49),
    Case("layer_norm", (MAPS,), _layer_norm, {"eps": 1e-2}, affine(3), flops=7 * 270),
    Case("layer_norm", ((4, 9),), _layer_norm, {"eps": 1e-2}, affine(4), flops=7 * 36),
    Case("l2_norm", (MAPS,), lambda _, x: F.normalize(x, dim=1), {}, flops=3 * 270),
    Case("l2_norm", ((7,),), lambda _, x: F.normalize(x, eps=3.0), {"eps": 3}, flops=21),
]  # fmt: skip

NORMALISATIONS = [*BY_CHANNEL, *BY_SAMPLE]
