"""Graph to ONNX: nodes, sizes, random numbers, initial values, the finished model."""

from netdsl.lower.compile import IR_VERSION, OPSET, compile_model, fit_weights, metadata
from netdsl.lower.initial import initial_parameters, initial_value
from netdsl.lower.lowering import Lowered, Provider, lower_graph
from netdsl.lower.write import write_model

__all__ = [
    "IR_VERSION", "OPSET", "Lowered", "Provider", "compile_model", "fit_weights", "initial_parameters", "initial_value",
    "lower_graph", "metadata", "write_model",
]  # fmt: skip
