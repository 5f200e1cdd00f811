"""The figures of a graph, each computed when it is first asked for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property

from netdsl.analysis.receptive import Fields, fields_of, summary
from netdsl.ir import Graph, Node, Parameter, Value, needed
from netdsl.ops import elements
from netdsl.report.record import ReceptiveField

_BYTES = {"float32": 4, "int64": 8, "bool": 1}


class Facts:
    """What `expect` may ask, and what a report is made of. Counts are per sample, at the default sizes."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    @cached_property
    def parameters(self) -> list[Parameter]:
        return self.graph.parameters()

    @cached_property
    def params(self) -> int:
        """Weights, frozen ones included, a shared one once."""
        return sum(p.count for p in self.parameters if not p.buffer)

    @cached_property
    def trainable_params(self) -> int:
        return sum(p.count for p in self.parameters if p.trainable and not p.buffer)

    @cached_property
    def buffers(self) -> int:
        """Numbers in running statistics and fixed tensors."""
        return sum(p.count for p in self.parameters if p.buffer)

    @cached_property
    def macs_per_node(self) -> list[int]:
        return [node.op.macs(node) for node in self.graph.nodes]

    @cached_property
    def flops_per_node(self) -> list[int]:
        return [2 * m + n.op.flops(n) for n, m in zip(self.graph.nodes, self.macs_per_node, strict=True)]

    @cached_property
    def macs(self) -> int:
        return sum(self.macs_per_node)

    @cached_property
    def flops(self) -> int:
        return sum(self.flops_per_node)

    @cached_property
    def depth(self) -> int:
        """Operators that multiply and accumulate on the longest path from an input to an output."""
        reached: dict[Value, int] = {}
        for node, macs in zip(self.graph.nodes, self.macs_per_node, strict=True):
            before = max((reached.get(value, 0) for value in node.inputs), default=0)
            for value in node.outputs:
                reached[value] = before + (macs > 0)
        return max((reached.get(value, 0) for value in self.graph.outputs.values()), default=0)

    @cached_property
    def bytes_of(self) -> dict[Value, int]:
        """The size of every tensor."""
        tensors = (*self.graph.inputs, *(value for node in self.graph.nodes for value in node.outputs))
        return {value: _BYTES[value.type.dtype] * elements(value.shape) for value in tensors}

    @cached_property
    def activation_memory(self) -> int:
        """Bytes of the outputs of all operators."""
        return sum(self.bytes_of[value] for node in self.graph.nodes for value in node.outputs)

    @cached_property
    def peak_memory(self) -> int:
        """The most bytes alive at once when the nodes run in order: a tensor lives from the node that makes it to the
        last that reads it, an input from the start, an output to the end.
        """
        last: dict[Value, int] = {}
        for i, node in enumerate(self.graph.nodes):
            last.update(dict.fromkeys((*node.outputs, *node.inputs), i))
        last.update(dict.fromkeys(self.graph.outputs.values(), len(self.graph.nodes)))
        peak = alive = sum(self.bytes_of[value] for value in self.graph.inputs)
        for i, node in enumerate(self.graph.nodes):
            alive += sum(self.bytes_of[value] for value in node.outputs)
            peak = max(peak, alive)
            alive -= sum(self.bytes_of[value] for value in {*node.inputs, *node.outputs} if last[value] == i)
        return peak

    @cached_property
    def fields(self) -> dict[Value, Fields]:
        """For every tensor, the train block's included, what it sees of each network input."""
        return fields_of(self.graph.inputs, self.graph.all_nodes)

    @cached_property
    def _by_name(self) -> dict[str, Value]:
        return {value.name: value for value in self.fields}

    def receptive_fields(self, value: Value) -> dict[str, ReceptiveField | None]:
        """For each network input that the tensor depends on, its receptive field; None is the whole input."""
        return {source.name: summary(field) for source, field in self.fields.get(self._current(value), {}).items()}

    def receptive_field(self, value: Value) -> int | list[int] | None:
        """The extent in pixels: a number where the axes (and network inputs) agree, else the list per axis of the
        largest; None is the whole input, or no input at all.
        """
        fields = list(self.receptive_fields(value).values())
        sizes = [field.size for field in fields if field is not None]
        if not sizes or len(sizes) < len(fields) or len({len(size) for size in sizes}) > 1:
            return None
        largest = [max(axis) for axis in zip(*sizes, strict=True)]
        return largest[0] if len(set(largest)) == 1 else largest

    def params_of(self, part: str | Sequence[Value]) -> int | None:
        """The weights of a part of the net; None: there is no such part."""
        nodes = self._part(part)
        return None if nodes is None else sum(
            p.count for p in {p for node in nodes for p in node.parameters.values()} if not p.buffer
        )  # fmt: skip

    def macs_of(self, part: str | Sequence[Value]) -> int | None:
        """The multiply-accumulates of a part of the net; None: there is no such part."""
        nodes = self._part(part)
        return None if nodes is None else sum(node.op.macs(node) for node in nodes)

    def _part(self, part: str | Sequence[Value]) -> Collection[Node] | None:
        """Of a name: the layer, block or binding of that name, repetitions `name[i]` included. Of tensors: all that is
        needed to compute them, each node once.
        """
        if isinstance(part, str):
            heads = (f"{part}/", f"{part}[", f"{part}.")
            return [n for n in self.graph.nodes if n.name == part or n.name.startswith(heads)] or None
        values = {self._current(value) for value in part}
        return needed(self.graph.all_nodes, values) if values <= self.fields.keys() else None

    def _current(self, value: Value) -> Value:
        """The tensor itself, or where it is one from before sizes were fixed or a pass ran, that of its name."""
        return value if value in self.fields else self._by_name.get(value.name, value)
