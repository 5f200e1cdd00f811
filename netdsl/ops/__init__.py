"""The operators, one declaration each; importing this package fills `OPERATORS`."""

from netdsl.ops import (  # noqa: F401 (each fills in its family)
    activation,
    adaptive_pooling,
    arithmetic,
    binary_losses,
    class_losses,
    comparison,
    convolution,
    dense,
    embedding,
    feature_pooling,
    filter_pooling,
    indexing,
    local,
    local_response,
    matrix,
    normalization,
    pooling,
    reduction,
    resizing,
    sample_norms,
    shape,
    sources,
    unpooling,
    value_losses,
)
from netdsl.ops.arguments import REQUIRED, Argument
from netdsl.ops.initializers import INITIALIZERS, Initializer
from netdsl.ops.loss import Loss
from netdsl.ops.operator import Args, Misfit, Operator, ParamSpec, Rule, Site, elements, show, show_size
from netdsl.ops.reach import UNSEEN, Reach, Unseen
from netdsl.ops.registry import OPERATORS

__all__ = [
    "INITIALIZERS", "OPERATORS", "REQUIRED", "UNSEEN", "Args", "Argument", "Initializer", "Loss", "Misfit", "Operator",
    "ParamSpec", "Reach", "Rule", "Site", "Unseen", "elements", "show", "show_size",
]  # fmt: skip
