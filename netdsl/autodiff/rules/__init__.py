"""The gradient rules, one file per family of operators. Importing this package fills the table."""

from __future__ import annotations

from . import (  # noqa: F401
    activation,
    convolution,
    elementwise,
    indexing,
    loss,
    matmul,
    normalization,
    pooling,
    reduction,
    resize,
    shape,
    softmax,
)
