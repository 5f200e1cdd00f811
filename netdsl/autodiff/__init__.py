"""Reverse-mode automatic differentiation of ONNX graphs, written in standard ONNX operators.

    gradients = extend_with_gradients(graph, of="loss", with_respect_to=["w", "b"])   # in place, {"w": ..., ...}
    model = gradient(model, of="loss", with_respect_to=["w"])                         # outputs "grad/w"

One rule per operator, in `rules/`; `rules()` lists them. The weight gradient of a convolution, which has many
forms, is chosen in `weight_gradient.py`.
"""

from __future__ import annotations

from .differentiate import extend_with_gradients, gradient, missing_rules, problems
from .errors import GradientError, Problem
from .rule import rules
from .target import Target

__all__ = [
    "GradientError",
    "Problem",
    "Target",
    "extend_with_gradients",
    "gradient",
    "missing_rules",
    "problems",
    "rules",
]
