"""The gradient rules, one file per family of operators. Importing this package fills the table."""

from __future__ import annotations

from . import (  # noqa: F401
    activation,
    convolution,
    einsum,
    elementwise,
    grid_sample,
    indexing,
    loss,
    matmul,
    normalization,
    pooling,
    reduction,
    resize,
    scatter,
    sequence,
    shape,
    softmax,
    trigonometry,
)
