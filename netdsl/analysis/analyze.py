"""A graph to its report."""

from __future__ import annotations

from netdsl.analysis.facts import Facts
from netdsl.analysis.receptive import Field, summary
from netdsl.analysis.sizes import statements
from netdsl.analysis.training_memory import training_memory
from netdsl.ir import Graph, Parameter, Size, Value
from netdsl.report.record import Layer, ReceptiveField, Report, Tensor, Totals, TrainingMemory, TrainingOnly


def analyze(graph: Graph, known: Facts | None = None, *, batch: int | None = None) -> Report:
    """All figures of the graph, per layer and in total. Linear in the number of nodes. `known`: facts to reuse.

    With a `batch`, also the memory of a training step of so many samples. Raises TrainingError if the net has no `train` block
    (E0803) or nothing to train (E0805).
    """
    facts, tensor = known or Facts(graph), _Tensors()
    totals = Totals(
        facts.params, facts.trainable_params, facts.buffers, facts.macs, facts.flops, facts.activation_memory,
        facts.peak_memory, facts.depth,
    )  # fmt: skip
    return Report(
        graph.name, graph.path, graph.hyperparameters,
        tuple(map(tensor, graph.inputs)),
        tuple(tensor(value)._replace(name=name) for name, value in graph.outputs.items()),
        totals, _layers(graph, facts, tensor), statements(graph), _training_only(graph),
        None if batch is None else TrainingMemory(batch, training_memory(graph, batch)),
    )  # fmt: skip


class _Tensors:
    """Values as records. Layers pass shapes on, and evaluating symbolic sizes costs most: each shape is done once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[tuple[int, ...], tuple[int | str, ...] | None]] = {}

    def __call__(self, value: Value) -> Tensor:
        shape = value.shape
        known = self._known.get(id(shape))  # the graph keeps its shapes alive
        if known is None:
            written = tuple(str(dim) if isinstance(dim, Size) else dim for dim in shape)
            known = tuple(map(int, shape)), None if written == shape else written
            self._known[id(shape)] = known
        return Tensor(value.name, known[0], value.type.dtype, known[1])


def _layers(graph: Graph, facts: Facts, tensor: _Tensors) -> tuple[Layer, ...]:
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
                node.name, node.op.name, node.block, tensor(node.output), params, macs, flops,
                node.span.line, fields, None if file == graph.path else file, shared,
                *(tuple(map(tensor, values)) if len(values) > 1 else () for values in (node.inputs, node.outputs)),
            )
        )  # fmt: skip
    return tuple(layers)


def _training_only(graph: Graph) -> TrainingOnly | None:
    if graph.training is None:
        return None
    nodes = graph.training.nodes
    own = {p for node in nodes for p in node.parameters.values() if not p.buffer} - set(graph.parameters())
    macs = sum(node.op.macs(node) for node in nodes)
    flops = 2 * macs + sum(node.op.flops(node) for node in nodes)
    return TrainingOnly(sum(p.count for p in own), macs, flops)
