"""What passes share: their result, and what is left of a graph once something was taken out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from netdsl.ir import Graph, Node, Value, needed, parameters_of


class Conversion(NamedTuple):
    """A new graph, its parameters by name, and what was done, a sentence each."""

    graph: Graph
    parameters: dict[str, np.ndarray]
    remarks: tuple[str, ...] = ()

    def then(self, run: Callable[..., Conversion], *options: Any) -> Conversion:
        """What a further pass makes of it."""
        made = run(self.graph, self.parameters, *options)
        return made._replace(remarks=(*self.remarks, *made.remarks))


def all_nodes(graph: Graph) -> tuple[Node, ...]:
    """The net's nodes, then the train block's."""
    return graph.nodes + (graph.training.nodes if graph.training is not None else ())


def kept(graph: Graph, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The values of the net's parameters, and of the train block's where they are given."""
    return {p.name: values[p.name] for p in parameters_of(all_nodes(graph)) if p.name in values}


def pruned(graph: Graph) -> Graph:
    """The graph without what neither an output nor the train block needs; what only the latter needs is moved there."""
    training = graph.training
    everything = all_nodes(graph)
    used = needed(everything, graph.outputs.values())
    graph = graph.replace(nodes=tuple(node for node in everything if node in used))
    read: set[Value] = set(graph.outputs.values())
    if training is not None:
        wanted = needed(everything, [training.loss, *training.metrics.values()]) - used
        training = training.replace(nodes=tuple(node for node in everything if node in wanted))
        graph = graph.replace(training=training)
        read.update([training.loss, *training.metrics.values()], (v for node in training.nodes for v in node.inputs))
    read.update(value for node in graph.nodes for value in node.inputs)
    return named_values(graph.replace(inputs=tuple(value for value in graph.inputs if value in read)))


def named_values(graph: Graph) -> Graph:
    """The graph without the names of its body for values that are gone."""
    known = {*graph.inputs, *(value for node in all_nodes(graph) for value in node.outputs)}
    if graph.training is not None:
        known.update(target.value for target in graph.training.targets)
    return graph.replace(named={name: value for name, value in graph.named.items() if value in known})


def listed(names: Iterable[str], most: int = 4) -> str:
    """Names for a sentence: the first ones, and how many more there are."""
    shown = [f"`{name}`" for name in names]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")
