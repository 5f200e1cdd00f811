"""From what was emitted to the graph: what is used, and what sizes stay symbolic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netdsl.elaborate.arguments import literal
from netdsl.elaborate.values import LAYERS, Family, Scope
from netdsl.ir import Constraint, Dim, Graph, Init, Node, Size, Target, TensorType, Value, needed, substituted


def split_training(graph: Graph, nodes: Sequence[Node]) -> tuple[Graph, tuple[Node, ...]]:
    """Give the graph the nodes its outputs need, and its training those that only loss and metrics need. Also the rest,
    which nothing needs.
    """
    used = needed(nodes, graph.outputs.values())
    graph = graph.replace(nodes=tuple(n for n in nodes if n in used))
    if graph.training is not None:
        wanted = needed(nodes, [graph.training.loss, *graph.training.metrics.values()]) - used
        graph = graph.replace(training=graph.training.replace(nodes=tuple(n for n in nodes if n in wanted)))
        used |= wanted
    return graph, tuple(n for n in nodes if n not in used)


def fix_sizes(graph: Graph, constraints: list[Constraint], fixes: Mapping[str, Constraint]) -> Graph:
    """Replace the symbols that something in the file decided on by their defaults, everywhere."""
    gone = {name: fix.right for name, fix in fixes.items()}
    still = []
    for constraint in constraints:
        left, right = substituted(constraint.left, gone), substituted(constraint.right, gone)
        if not isinstance(left - right, int):  # else it holds, as it does at the defaults
            still.append(constraint._replace(left=left, right=right))
    graph = graph.replace(constraints=(*fixes.values(), *dict.fromkeys(still)),
                    symbols={n: d for n, d in graph.symbols.items() if n not in gone})  # fmt: skip
    return _substituted(graph, gone) if gone else graph


def _substituted(graph: Graph, gone: Mapping[str, Dim]) -> Graph:
    made: dict[Value, Value] = {}

    def value(old: Value) -> Value:
        if old not in made:
            shape = tuple(substituted(dim, gone) for dim in old.shape)
            made[old] = Value(old.name, TensorType(shape, old.type.dtype, old.type.batched))
        return made[old]

    def argument(item: Any) -> Any:
        if isinstance(item, Size):
            return substituted(item, gone)
        return type(item)(argument(part) for part in item) if isinstance(item, (list, tuple)) else item

    def node(old: Node) -> Node:
        args = type(old.args)({key: argument(item) for key, item in old.args.items()})
        return old.replace(args=args, inputs=tuple(map(value, old.inputs)), outputs=tuple(map(value, old.outputs)))

    training = graph.training
    if training is not None:
        training = training.replace(nodes=tuple(map(node, training.nodes)), loss=value(training.loss),
            targets=tuple(Target(value(x.value), x.kind, x.ignore) for x in training.targets),
            metrics={name: value(v) for name, v in training.metrics.items()},
        )  # fmt: skip
    return graph.replace(inputs=tuple(map(value, graph.inputs)), nodes=tuple(map(node, graph.nodes)),
        outputs={name: value(v) for name, v in graph.outputs.items()},
        named={name: value(v) for name, v in graph.named.items()}, training=training,
    )  # fmt: skip


def plain(value: Any) -> Any:
    """A hyperparameter as JSON has it; layers as they are written."""
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, LAYERS):
        return " ".join(value.span.text.split())
    return literal(value) if isinstance(value, (Init, range)) else value


def named_values(scope: Scope) -> dict[str, Value]:
    """The names of a net's body as last bound, families by entry."""
    found: dict[str, Value] = {}
    for name, value in scope.names.items():
        if isinstance(value, Value):
            found[name] = value
        elif isinstance(value, Family):
            for key, entry in value.entries.items():
                if isinstance(entry, Value):
                    found[f"{name}[{', '.join(map(str, key))}]"] = entry
    return found
