"""What the tensors of an ONNX graph are computed from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from onnx import NodeProto


def upstream(nodes: Sequence[NodeProto], tensors: Iterable[str]) -> tuple[list[NodeProto], set[str]]:
    """The nodes that one of the tensors is computed from, and the names of all that these read, of the tensors too.

    `nodes` are in topological order, and so are those that are returned.
    """
    kept, found = [], set(tensors)
    for node in reversed(nodes):
        if not found.isdisjoint(node.output):
            kept.append(node)
            found.update(name for name in read_by(node) if name)
    return kept[::-1], found


def read_by(node: NodeProto) -> list[str]:
    """The tensors that a node reads: its inputs, and those that its subgraphs take from around them."""
    read = list(node.input)
    within = [graph for a in node.attribute for graph in ([a.g] if a.HasField("g") else a.graphs)]
    while within:
        graph = within.pop()
        read += [value.name for value in graph.output]
        for inner in graph.node:
            read += inner.input
            within += [g for a in inner.attribute for g in ([a.g] if a.HasField("g") else a.graphs)]
    return read
