"""The layer or value that a name on the command line means."""

from __future__ import annotations

from netdsl.diagnostics import Diagnostic, NetError, did_you_mean
from netdsl.ir import Graph, Node, Value


def layer_named(graph: Graph, name: str) -> Node:
    """The layer that makes `value_named`. Raises NetError (E1102) where there is none."""
    value = value_named(graph, name)
    for node in graph.all_nodes:
        if value in node.outputs:
            return node
    raise NetError(Diagnostic("E1102", f"`{name}` is an input of `{graph.name}`, and no layer", path=graph.path,
                              helps=(_where(graph),)))  # fmt: skip


def value_named(graph: Graph, name: str) -> Value:
    """What a layer of that name makes; else what the net's body calls so, as last bound (`node[1, 2]` for an entry of a
    family); else what the last layer of a block of that name makes. Raises NetError (E1102) where there is none.
    """
    nodes = graph.all_nodes
    # a layer with a folded normalisation makes what is called as that
    made = {value.name: value for node in nodes for value in node.outputs} | {node.name: node.output for node in nodes}
    if name in made:
        return made[name]
    known = {*graph.inputs, *made.values()}
    named = {_plain(key): value for key, value in graph.named.items()}
    found = named.get(_plain(name))
    if found in known:
        return found
    inside = [node for node in nodes if node.name.startswith(f"{name}/")]
    if inside:
        return inside[-1].output
    helps = (*did_you_mean(name, [*made, *(key for key, value in graph.named.items() if value in known)]), _where(graph))
    if found is not None:
        helps = (f"neither an output nor the loss needs `{name}`, so that it is no part of the net: make it an output",)
    raise NetError(Diagnostic("E1102", f"`{graph.name}` has no layer `{name}`", helps=helps, path=graph.path))


def _plain(name: str) -> str:
    return name.replace(" ", "")


def _where(graph: Graph) -> str:
    return f"`netdsl analyze {graph.path}:{graph.name}` prints the names of the layers"
