"""What passes share: their result, and what is left of a graph once something was taken out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from netdsl.elaborate.finish import split_training
from netdsl.ir import Graph, Size, Value, parameters_of


class Conversion(NamedTuple):
    """A new graph, its parameters by name, and what was done, a sentence each."""

    graph: Graph
    parameters: dict[str, np.ndarray]
    remarks: tuple[str, ...] = ()

    def then(self, run: Callable[..., Conversion], *options: Any) -> Conversion:
        """What a further pass makes of it."""
        made = run(self.graph, self.parameters, *options)
        return made._replace(remarks=(*self.remarks, *made.remarks))


def kept(graph: Graph, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The values of the net's parameters, and of the train block's where they are given."""
    return {p.name: values[p.name] for p in parameters_of(graph.all_nodes) if p.name in values}


def pruned(graph: Graph) -> Graph:
    """The graph without what neither an output nor the train block needs; what only the latter needs is moved there."""
    graph, _ = split_training(graph, graph.all_nodes)
    read = {*graph.outputs.values(), *(value for node in graph.all_nodes for value in node.inputs)}
    if graph.training is not None:
        read.update([graph.training.loss, *graph.training.metrics.values()])
    return named_values(graph.replace(inputs=_inputs(graph, read)))


def _inputs(graph: Graph, read: set[Value]) -> tuple[Value, ...]:
    """The inputs that are read, and for each size that only others have, the first that tells it."""
    wanted = {name for node in graph.all_nodes for name in _symbols([*node.args.values(), *(v.shape for v in node.outputs)])}
    told = {name for value in graph.inputs if value in read for name in _symbols(value.shape)}
    kept = []
    for value in graph.inputs:
        new = _symbols(value.shape) & wanted - told
        if value in read or new:
            kept.append(value)
            told |= new
    return tuple(kept)


def _symbols(items: Any) -> set[str]:
    """The names of all symbolic sizes in lists within lists."""
    if isinstance(items, Size):
        return set(items.symbols())
    return {name for item in items for name in _symbols(item)} if isinstance(items, (list, tuple)) else set()


def named_values(graph: Graph) -> Graph:
    """The graph without the names of its body for values that are gone."""
    known = {*graph.inputs, *(value for node in graph.all_nodes for value in node.outputs)}
    if graph.training is not None:
        known.update(target.value for target in graph.training.targets)
    return graph.replace(named={name: value for name, value in graph.named.items() if value in known})


def listed(names: Iterable[str], most: int = 4) -> str:
    """Names for a sentence: the first ones, and how many more there are."""
    shown = [f"`{name}`" for name in names]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")
