"""From the nodes of a training step back to the layers of the file."""

from __future__ import annotations

from netdsl.autodiff import GradientError
from netdsl.diagnostics import Diagnostic, Label, TrainingError
from netdsl.ir import Graph, Node


class Origins:
    """Which node of the net an ONNX node was made from."""

    def __init__(self, graph: Graph) -> None:
        self._nodes = {node.name: node for node in graph.all_nodes}

    def of(self, name: str) -> Node | None:
        """By the ONNX node's name: `layer`, `layer:Operator`; of the way back `grad/layer/Operator`, `grad/layer:.../...`."""
        layer = name.removeprefix("grad/").rpartition("/")[0] if is_backward(name) else name
        return self._nodes.get(layer) or self._nodes.get(layer.rpartition(":")[0])


def is_backward(name: str) -> bool:
    """Whether the ONNX node of this name belongs to the way back."""
    return name.startswith("grad/")


def without_gradient(graph: Graph, error: GradientError) -> TrainingError:
    """One diagnostic for every operator of the file through which no gradient flows."""
    origins, found = Origins(graph), dict[Node, Diagnostic]()
    for problem in error.problems:
        node = origins.of(problem.node.name)
        if node is None:
            raise error  # an operator that no line of the file asked for: the lowering's fault, not the user's
        message = f"`{node.op.name}` has no gradient, so the net cannot be trained through it"
        notes = (f"ONNX operator {problem.node.op_type}: {problem.reason}",)
        label = Label(node.span, "the loss depends on this")
        found.setdefault(node, Diagnostic("E0801", message, (label,), notes, chain=node.chain))
    if not found:
        raise error
    return TrainingError(*found.values())
