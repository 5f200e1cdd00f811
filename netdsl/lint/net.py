"""A net as the lints look at it: what reads which value, and where in the checked file a layer comes from."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from netdsl.diagnostics import Span
from netdsl.elaborate import Elaboration
from netdsl.ir import Node, Value
from netdsl.lint.silence import Silences
from netdsl.lint.survey import Survey

#: where a layer comes from: the place in the checked file, and the layer's own, which may be in another file
Origin = tuple[Span, Span]


class Net:
    """The graph of one elaboration, with its training nodes, and the file that is checked."""

    def __init__(self, elaboration: Elaboration, survey: Survey, silences: Silences) -> None:
        self.graph, self.unused = elaboration.graph, elaboration.unused
        self.survey, self.silences = survey, silences
        self.source = survey.file.source
        self.nodes = self.graph.all_nodes
        self._by_operator: dict[str, list[Node]] = {}
        for node in self.nodes:
            self._by_operator.setdefault(node.op.name, []).append(node)

    def of(self, *operators: str) -> list[Node]:
        """The nodes of some operators."""
        return [node for name in operators for node in self._by_operator.get(name, ())]

    @cached_property
    def windows(self) -> list[Node]:
        """The nodes that compute from windows of their input: convolutions and pools."""
        return [node for node in self.nodes if node.op.windowed]

    def own(self, *operators: str) -> list[Node]:
        """The nodes of some operators whose layers stand in the checked file."""
        return [node for node in self.of(*operators) if node.span.source is self.source]

    @cached_property
    def readers(self) -> dict[Value, list[Node]]:
        found: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for value in node.inputs:
                found.setdefault(value, []).append(node)
        return found

    @cached_property
    def producers(self) -> dict[Value, Node]:
        return {value: node for node in self.nodes for value in node.outputs}

    @cached_property
    def wide_convolutions(self) -> dict[Origin, list[Node]]:
        """The convolutions that read more than a cell, by the text they come from."""
        return self.by_origin(node for node in self.of("conv") if max(node.args.kernel) > 1)

    def place(self, node: Node) -> Span | None:
        """Where the checked file is to be changed for this node: its layer; or, where that stands in another file, the
        layer that led there.
        """
        if node.span.source is self.source:
            return node.span
        return next((frame.span for frame in reversed(node.chain) if frame.span.source is self.source), None)

    def by_origin(self, nodes: Iterable[Node]) -> dict[Origin, list[Node]]:
        """Nodes grouped by the text they come from, in order: a layer in a loop or a block makes many of them."""
        groups: dict[Origin, list[Node]] = {}
        for node in nodes:
            place = self.place(node)
            if place is not None:
                groups.setdefault((place, node.span), []).append(node)
        return groups
