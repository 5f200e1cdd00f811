"""Operators by subject, in the order in which `netdsl ops` lists them; the tests hold that none is left out."""

from __future__ import annotations

from collections.abc import Mapping

LAYERS: Mapping[str, tuple[str, ...]] = {
    "layers with weights": ("conv", "deconv", "locally_connected", "dense", "embedding", "scale_shift", "rbf"),
    "layers: activations": (
        "relu", "leaky_relu", "relu6", "sigmoid", "tanh", "scaled_tanh", "gelu", "maxout", "softmax", "log_softmax",
    ),
    "layers: pooling": (
        "max_pool", "avg_pool", "lp_pool", "gaussian_pool", "feature_pool", "global_max_pool", "global_avg_pool",
        "adaptive_max_pool", "adaptive_avg_pool", "unpool",
    ),
    "layers: normalisation": ("bn", "instance_norm", "group_norm", "layer_norm", "lrn", "l2_norm"),
    "layers: shapes and sizes": ("flatten", "pad", "crop_like", "upsample", "resize", "resize_like"),
    "layers: others": ("dropout", "identity"),
}  # fmt: skip
FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "functions of tensors: arithmetic": ("add", "sub", "mul", "div", "power", "neg", "exp", "log", "sqrt", "abs"),
    "functions of tensors: reductions": ("sum", "mean", "max", "min"),
    "functions of tensors: conditions": (
        "less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "and", "or", "not", "where",
    ),
    "functions of tensors: parts, shapes, matrices": (
        "concat", "split", "slice", "gather", "reshape", "transpose", "matmul", "zeros_like",
    ),
    "functions of tensors: without a batch axis": ("param", "constant", "coordinates"),
}  # fmt: skip
LOSSES: Mapping[str, tuple[str, ...]] = {
    "losses: class labels": ("cross_entropy", "multiclass_hinge"),
    "losses: values": ("mean_squared_error", "mean_absolute_error", "smooth_l1"),
    "losses: binary targets": ("binary_cross_entropy", "dice", "hinge", "perceptron"),
    "losses and metrics: others": ("contrastive", "batch_mean", "accuracy"),
}
