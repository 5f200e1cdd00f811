"""The layer or value that a name on the command line means."""

from __future__ import annotations

from netdsl.diagnostics import Diagnostic, NetError, did_you_mean
from netdsl.ir import Graph, Node, Value
from netdsl.passes.conversion import all_nodes


def layer_named(graph: Graph, name: str) -> Node:
    """The layer of that name, as `netdsl analyze` prints it. Raises NetError (E1102) where there is none."""
    for node in all_nodes(graph):
        if node.name == name:
            return node
    raise NetError(_unknown(graph, name, [node.name for node in all_nodes(graph)]))


def value_named(graph: Graph, name: str) -> Value:
    """What a layer of that name makes; else what the net's body calls so, as last bound (`node[1, 2]` for an entry of a
    family); else what the last layer of a block of that name makes. Raises NetError (E1102) where there is none.
    """
    nodes = all_nodes(graph)
    for node in nodes:
        for value in node.outputs:
            if value.name == name:
                return value
    known = {*graph.inputs, *(value for node in nodes for value in node.outputs)}
    named = {_plain(key): value for key, value in graph.named.items() if value in known}
    if _plain(name) in named:
        return named[_plain(name)]
    inside = [node for node in nodes if node.name.startswith(f"{name}/")]
    if inside:
        return inside[-1].output
    raise NetError(_unknown(graph, name, [*(node.name for node in nodes), *named]))


def _plain(name: str) -> str:
    return name.replace(" ", "")


def _unknown(graph: Graph, name: str, known: list[str]) -> Diagnostic:
    helps = (*did_you_mean(name, known), f"`netdsl analyze {graph.path}:{graph.name}` prints the names of the layers")
    if _plain(name) in map(_plain, graph.named):
        helps = (f"neither an output nor the loss needs `{name}`, so that it is no part of the net: make it an output",)
    return Diagnostic("E1102", f"`{graph.name}` has no layer `{name}`", helps=helps, path=graph.path)
