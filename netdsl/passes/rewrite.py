"""Making a graph anew node by node, where tensors get other sizes: operators are applied again to what they get now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from netdsl.diagnostics import Diagnostic, Label, NetError
from netdsl.ir import Constraint, Graph, Node, Parameter, Shape, TensorType, Training, Value, verify
from netdsl.ops import Args, Misfit, Operator, Site
from netdsl.passes.conversion import named_values

#: makes a node anew; none where nothing is left of it
Convert = Callable[[Node], Node | None]


class Rewrite:
    """The new values by the old ones, and what the new sizes must meet."""

    def __init__(self, graph: Graph, option: str) -> None:
        """`option` is what asks for it, for messages: `--atrous`."""
        self.graph, self.option = graph, option
        self.values: dict[Value, Value] = {}
        self.constraints: list[Constraint] = []

    def __getitem__(self, value: Value) -> Value:
        """What stands for an old value: itself where nothing changed it."""
        return self.values.get(value, value)

    def apply(
        self, node: Node, *, op: Operator | None = None, args: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Parameter] | None = None,
    ) -> Node:  # fmt: skip
        """The node on its new inputs, with its own parameters unless others are given; the same object where nothing is
        new. Raises NetError: the operator does not take such inputs, or has parameters that depend on their size.
        """
        op, inputs = op or node.op, tuple(self[value] for value in node.inputs)
        parameters = node.parameters if parameters is None else parameters
        site = Site(Args(node.args if args is None else args), inputs, tuple(f"`{value.name}`" for value in inputs))
        try:
            op.resolve(site)
            types = op.infer(site)
            shapes = {role: spec.shape for role, spec in op.parameters(site).items()}
        except Misfit as misfit:
            raise NetError(Diagnostic(misfit.code, misfit.message, (Label(node.span),), (*misfit.notes, self._note()),
                                      misfit.helps, node.chain)) from None  # fmt: skip
        if site.fixes or shapes != {role: parameter.shape for role, parameter in parameters.items()}:
            raise self.refused(node, "it has weights that depend on the size of the maps")
        self.constraints += [Constraint(a, b, why, node.span) for a, b, why in site.joins]
        self.constraints += [Constraint(a, b, why, node.span, ">=") for a, b, why in site.bounds]
        if op is node.op and inputs == node.inputs and site.args == node.args and parameters is node.parameters:
            return node
        outputs = tuple(Value(old.name, type_) for old, type_ in zip(node.outputs, types, strict=True))
        self.values.update(zip(node.outputs, outputs, strict=True))
        return node.replace(op=op, args=site.args, inputs=inputs, outputs=outputs, parameters=parameters)

    def refused(self, node: Node, why: str, *helps: str) -> NetError:
        """The error (E1101) of an operator that the pass cannot convert, at its place in the file."""
        before = node.inputs[0].name if node.inputs else None
        ways = (*helps, *([f"end the net before it: `--chop {before}`"] if before else []))
        return NetError(Diagnostic("E1101", f"`{self.option}` cannot convert `{node.op.name}`: {why}", (Label(node.span),),
                                   (f"it is the layer `{node.name}`",), ways, node.chain))  # fmt: skip

    def _note(self) -> str:
        return f"these are the sizes that `{self.option}` gives"

    def fit_target(self, target: Value, compared: Value) -> None:
        """Give a target of the train block the positions of the (old) value that it is compared with: a label `[]` of
        scores `[C]` becomes `[h, w]` where they have become `[C, h, w]`.
        """
        places, old = len(compared.shape) - 1, target.shape
        if len(old) >= places:
            shape: Shape = (*old[: len(old) - places], *self[compared].shape[1:])
            if shape != old:
                self.values[target] = Value(target.name, TensorType(shape, target.type.dtype, target.type.batched))

    def trained(
        self, convert: Convert, require: Callable[[tuple[Node, ...]], None] = lambda nodes: None
    ) -> tuple[Training | None, tuple[str, ...]]:
        """The train block of the new net; or, where it does not fit, none, and a remark that says why. `require` raises
        NetError where the block's nodes ask for too much.
        """
        training, before = self.graph.training, len(self.constraints)
        if training is None:
            return None, ()
        try:
            nodes = converted(training.nodes, convert)
            require(nodes)
        except NetError as error:
            del self.constraints[before:]
            reason = error.diagnostics[0].message
            return None, (f"the train block does not fit, and is left out: {reason}",)
        images = {self[value].shape[1:] for value in self.graph.inputs}
        moved = any(self[target.value] is not target.value and self[target.value].shape[-2:] not in images
                    for target in training.targets)  # fmt: skip
        remarks = ("`augment` is left out: labels have other positions than the images",) if moved and training.augment else ()
        return training.replace(
            nodes=nodes, loss=self[training.loss],
            metrics={name: self[value] for name, value in training.metrics.items()},
            targets=tuple(target._replace(value=self[target.value]) for target in training.targets),
            augment=() if moved else training.augment,
        ), remarks  # fmt: skip

    def rebuilt(self, nodes: tuple[Node, ...], training: Training | None, **changes: Any) -> Graph:
        """The new graph: what it is called, its outputs and names stay."""
        graph = self.graph.replace(
            prepared=self.graph.prepare, inputs=tuple(self[value] for value in self.graph.inputs), nodes=nodes, training=training,
            outputs={name: self[value] for name, value in self.graph.outputs.items()},
            named={name: self[value] for name, value in self.graph.named.items()},
            constraints=tuple(dict.fromkeys(self.constraints)), **changes,
        )  # fmt: skip
        verify(graph)
        return named_values(graph)


def converted(nodes: Iterable[Node], convert: Convert) -> tuple[Node, ...]:
    """What is left of the nodes."""
    return tuple(made for node in nodes if (made := convert(node)) is not None)
