"""The graph IR: frozen values, nodes and parameters; symbolic sizes; the verifier."""

from netdsl.ir.graph import (
    Constraint,
    Graph,
    Init,
    Node,
    Optimizer,
    Parameter,
    Schedule,
    Shape,
    Target,
    TensorType,
    Training,
    Value,
    extents,
    needed,
    parameters_of,
)
from netdsl.ir.size import Dim, Floor, Size, Symbol, grows, substituted, value_at
from netdsl.ir.verify import verify

__all__ = [
    "Constraint", "Dim", "Floor", "Graph", "Init", "Node", "Optimizer", "Parameter", "Schedule", "Shape", "Size",
    "Symbol", "Target", "TensorType", "Training", "Value", "extents", "grows", "needed", "parameters_of", "substituted", "value_at",
    "verify",
]  # fmt: skip
