"""A graph to its report."""

from __future__ import annotations

from netdsl.analysis.facts import Facts
from netdsl.analysis.receptive import Field, summary
from netdsl.analysis.sizes import statements
from netdsl.ir import Graph, Parameter, Size, Value
from netdsl.report.record import Layer, ReceptiveField, Report, Tensor, Totals, TrainingOnly


def analyze(graph: Graph) -> Report:
    """All figures of the graph, per layer and in total. Linear in the number of nodes."""
    facts = Facts(graph)
    totals = Totals(
        facts.params, facts.trainable_params, facts.buffers, facts.macs, facts.flops, facts.activation_memory,
        facts.peak_memory, facts.depth,
    )  # fmt: skip
    return Report(
        graph.name, graph.path, graph.hyperparameters,
        tuple(_tensor(value, value.name) for value in graph.inputs),
        tuple(_tensor(value, name) for name, value in graph.outputs.items()),
        totals, _layers(graph, facts), statements(graph), _training_only(graph),
    )  # fmt: skip


def _layers(graph: Graph, facts: Facts) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    owner: dict[Parameter, str] = {}
    summaries: dict[Field | None, ReceptiveField | None] = {}
    for node, macs, flops in zip(graph.nodes, facts.macs_per_node, facts.flops_per_node, strict=True):
        shared = next((owner[p] for p in node.parameters.values() if p in owner), None)
        params = sum(p.count for p in node.parameters.values() if p not in owner and not p.buffer)
        owner.update((p, node.name) for p in node.parameters.values() if p not in owner)
        fields = {}
        for source, field in facts.fields[node.output].items():
            if field not in summaries:
                summaries[field] = summary(field)
            fields[source.name] = summaries[field]
        file = node.span.source.path
        layers.append(
            Layer(
                node.name, node.op.name, node.block, _tensor(node.output, node.output.name), params, macs, flops,
                node.span.line, fields, None if file == graph.path else file, shared,
                *(tuple(_tensor(v, v.name) for v in values) if len(values) > 1 else ()
                  for values in (node.inputs, node.outputs)),
            )
        )  # fmt: skip
    return tuple(layers)


def _tensor(value: Value, name: str) -> Tensor:
    shape = value.shape
    written = tuple(str(dim) if isinstance(dim, Size) else dim for dim in shape)
    return Tensor(name, tuple(map(int, shape)), value.type.dtype, None if written == shape else written)


def _training_only(graph: Graph) -> TrainingOnly | None:
    if graph.training is None:
        return None
    nodes = graph.training.nodes
    own = {p for node in nodes for p in node.parameters.values() if not p.buffer} - set(graph.parameters())
    macs = sum(node.op.macs(node) for node in nodes)
    flops = 2 * macs + sum(node.op.flops(node) for node in nodes)
    return TrainingOnly(sum(p.count for p in own), macs, flops)
