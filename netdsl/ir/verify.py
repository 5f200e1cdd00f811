"""The verifier: what holds of every graph, whoever made it. Tests run it after elaboration and after every pass."""

from __future__ import annotations

from netdsl.ir.graph import Graph, Node, Value


def verify(graph: Graph) -> None:
    """Raise AssertionError, naming the node, where the graph is not well formed.

    Nodes are in topological order; every value has one producer; node names and parameter names are unique; the
    outputs, the loss and the metrics are produced; every shape is positive at the default sizes.
    """
    known: set[Value] = set(graph.inputs)
    names: set[str] = set()
    _verify_nodes(graph.nodes, known, names)
    for name, value in graph.outputs.items():
        assert value in known, f"output {name} is not produced"
    training_nodes: tuple[Node, ...] = ()
    if graph.training is not None:
        training_nodes = graph.training.nodes
        known |= {target.value for target in graph.training.targets}
        _verify_nodes(training_nodes, known, names)
        for value in (graph.training.loss, *graph.training.metrics.values()):
            assert value in known, f"{value.name} is not produced"
    owners: dict[str, object] = {}
    for node in (*graph.nodes, *training_nodes):
        for parameter in node.parameters.values():
            assert owners.setdefault(parameter.name, parameter) is parameter, f"two parameters {parameter.name}"


def _verify_nodes(nodes: tuple[Node, ...], known: set[Value], names: set[str]) -> None:
    for node in nodes:
        assert node.name not in names, f"two nodes {node.name}"
        names.add(node.name)
        for value in node.inputs:
            assert value in known, f"{node.name} reads {value.name} before it is produced"
        for value in node.outputs:
            assert value not in known, f"{value.name} is produced twice"
            assert all(int(dim) > 0 for dim in value.shape), f"{node.name} produces the shape {value.shape}"
            known.add(value)
