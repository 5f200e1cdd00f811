"""The `train` block of a net that is to be trained."""

from __future__ import annotations

from netdsl.diagnostics import Diagnostic, Label, TrainingError
from netdsl.ir import Graph, Training


def training_of(graph: Graph) -> Training:
    """The net's `train` block. Raises TrainingError (E0803) if there is none."""
    if graph.training is None:
        message = f"the net `{graph.name}` has no `train` block"
        way_out = f"add `train {graph.name} {{ ... }}` with target, loss, optimizer, batch and epochs"
        raise TrainingError(Diagnostic("E0803", message, (Label(graph.span, "this net"),), helps=(way_out,)))
    return graph.training


def nothing_to_train(graph: Graph) -> TrainingError:
    """The error (E0805) for a net whose loss depends on nothing that is learned."""
    message = f"there is nothing to train in `{graph.name}`: the loss depends on no trainable parameter"
    return TrainingError(Diagnostic("E0805", message, (Label(training_of(graph).span, "trained here"),)))
