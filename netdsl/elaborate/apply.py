"""Applying layers to tensors: where nodes and parameters come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netdsl.diagnostics import Frame, Label, SourceError, Span
from netdsl.elaborate.arguments import Placed, bind, signature_of_block
from netdsl.elaborate.context import Context
from netdsl.elaborate.values import (
    BlockLayer,
    Composition,
    Declaration,
    Layer,
    OpLayer,
    Pinned,
    Place,
    Poisoned,
    Repeat,
    Scope,
    Shared,
    Sharing,
    describe,
)  # fmt: skip
from netdsl.ir import Constraint, Node, Parameter, Size, TensorType, Value
from netdsl.ops import Args, Misfit, Operator, ParamSpec, Site, show
from netdsl.syntax import tree as t

#: what one more input or output of an operator costs elaboration and analysis
_STEPS_PER_TENSOR = 10
_COUNT_WORDS = {0: "none", 1: "one tensor", 2: "two tensors", 3: "three tensors"}


def tensors(count: int) -> str:
    return _COUNT_WORDS.get(count, f"{count} tensors")


class Applier:
    """Applies layers. A result is one Value, or a tuple where a layer has several outputs."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def layer(
        self, layer: Layer, inputs: tuple[Value, ...], labels: tuple[str, ...], span: Span, place: Place,
        name: str | None = None,
    ) -> Any:  # fmt: skip
        """Apply any layer. `labels` say how the inputs read in the file; `name` is a pinned name."""
        self.context.step(span, place, 10)
        if isinstance(layer, OpLayer):
            return self._operator_layer(layer, inputs, labels, place, name)
        if isinstance(layer, BlockLayer):
            return self.block(layer, inputs, labels, span, place, name)
        if isinstance(layer, Composition):
            return self._composition(layer, inputs, labels, span, place if name is None else place.under(name))
        if isinstance(layer, Repeat):
            return self._repeat(layer, inputs, labels, span, place if name is None else place.under(name))
        if isinstance(layer, Pinned):
            return self._pinned(layer, inputs, labels, span, place)
        return self._shared(layer, inputs, labels, span, place if name is None else place.under(name))

    def _composition(
        self, layer: Composition, inputs: tuple[Value, ...], labels: tuple[str, ...], span: Span, place: Place
    ) -> Any:
        # compositions of compositions are unrolled here: a loop may have made a long chain of them
        pending: list[Layer] = [layer]
        while pending:
            stage = pending.pop()
            if isinstance(stage, Composition):
                pending += reversed(stage.stages)
                continue
            result = self.layer(stage, inputs, labels, span, place)
            inputs = result if isinstance(result, tuple) else (result,)
            labels = output_labels(stage, len(inputs))
        return result

    def _repeat(
        self, layer: Repeat, inputs: tuple[Value, ...], labels: tuple[str, ...], span: Span, place: Place
    ) -> Any:
        context = self.context
        result: Any = inputs if len(inputs) > 1 else inputs[0]
        context.foresee(span, place, layer.count)
        before = len(context.nodes)
        for index in range(layer.count):
            result = self.layer(layer.layer, inputs, labels, span, place.again(index))
            inputs = result if isinstance(result, tuple) else (result,)
            labels = output_labels(layer.layer, len(inputs))
            if index == 0:
                self._foresee_nodes((len(context.nodes) - before) * (layer.count - 1), span, place)
        return result

    def _pinned(
        self, layer: Pinned, inputs: tuple[Value, ...], labels: tuple[str, ...], span: Span, place: Place
    ) -> Any:
        context = self.context
        if layer.repeated or place.repeated:
            name = context.indexed(place.path, layer.name)
        else:
            name = context.unique(place.path, layer.name)
        path = place.within(name)
        if name != layer.name and "[" not in name:
            first = context.pinned.get(place.within(layer.name))
            raise context.error(
                "E0215", f"two applications are named `@{layer.name}`" if first else
                f"`@{layer.name}` is the name that an application without `@` has got already", layer.span, place,
                also=(Label(first, "the first is here"),) if first else (), helps=("give each its own name",),
            )  # fmt: skip
        context.pinned[path] = layer.span
        result = self.layer(layer.layer, inputs, labels, span, place, name)
        if isinstance(result, Value):
            context.pins[path] = result
        return result

    def _shared(
        self, layer: Shared, inputs: tuple[Value, ...], labels: tuple[str, ...], span: Span, place: Place
    ) -> Any:
        sharing = Sharing(layer, first=not layer.uses)
        layer.uses.append(span)
        # the layer's own `@name`, which a checkpoint is to find again, goes before the name it is bound to
        pin = layer.layer if isinstance(layer.layer, Pinned) else None
        name = self.context.unique(place.path, pin.name if pin else layer.name)
        inner = place.replace(shared=(*place.shared, sharing))
        try:
            if pin:
                result = self.layer(pin.layer, inputs, labels, span, inner, name)
            else:
                result = self.layer(layer.layer, inputs, labels, span, inner.under(name))
        except (SourceError, Poisoned):
            if sharing.first:  # the next use is the first then, and does not stumble over half of the parameters
                layer.uses.clear()
                layer.parameters.clear()
            raise
        left = layer.parameters[sharing.cursor :]
        if not sharing.first and left:
            raise self._unshareable(layer, left[0], None, span, place)
        return result

    # blocks

    def block(
        self, layer: BlockLayer, inputs: tuple[Value, ...], labels: tuple[str, ...], span: Span, place: Place,
        name: str | None = None,
    ) -> Any:  # fmt: skip
        """Expand a block (or a net) at this place."""
        context, declaration = self.context, layer.declaration
        if id(declaration) in context.broken:
            raise Poisoned
        context.step(span, place, 40)
        self._check_count(declaration.name, labels, len(declaration.inputs), len(declaration.inputs), span, place)
        bound = layer.bound
        if bound is None:
            bound = self.bind_hyperparameters(Declaration(declaration, layer.module), (), {}, layer.span, place)
        if len(place.chain) >= context.limits.blocks:
            chained = Place(place.path, (*place.chain, Frame(declaration.name, span)))
            raise context.limit(f"blocks are nested more than {context.limits.blocks} deep: does `{declaration.name}` "
                                "apply itself without end?", span, chained, "NETDSL_MAX_BLOCKS",
                                "a block that applies itself ends at an `if`: `if depth == 0 { y = x } else { ... }`")  # fmt: skip
        inner = place.under(name or context.name(place, declaration.name))
        inner = Place(inner.path, (*place.chain, Frame(declaration.name, span)), place.shared)
        scope = Scope(declaration, inner, layer.module, dict(bound))
        scope.names |= {port.name: value for port, value in zip(declaration.inputs, inputs, strict=True)}
        for port, value, label in zip(declaration.inputs, inputs, labels, strict=True):
            if port.dimensions is not None:
                self._bind_sizes(declaration, port, value, label, scope, span, place)
        return context.statements.function(declaration, scope)

    def _bind_sizes(
        self, declaration: t.Function, port: t.Input, value: Value, label: str, scope: Scope, span: Span, place: Place
    ) -> None:
        """Hold an input against the shape in the signature. A named size takes what it is given."""
        context, dimensions = self.context, port.dimensions or []
        wanted: list[Any] = []
        for dimension, size in zip(dimensions, value.shape, strict=False):
            if dimension.name is None:
                wanted.append(context.expressions.evaluate(dimension.value, scope))
            else:
                wanted.append(scope.names.setdefault(dimension.name, size))
        dtype = "int64" if port.integer else "float32"
        fits = len(dimensions) == len(value.shape) and all(
            isinstance(want, (int, Size))
            and (int(want) == int(have) or (context.lenient and isinstance(want - have, Size)))
            for want, have in zip(wanted, value.shape, strict=True)
        )
        if not fits or value.type.dtype != dtype:
            raise context.error(
                "E0308", f"`{declaration.name}` takes {dtype} {port.span.text}, and {label} is {value.type.dtype} "
                f"{show(value.shape)}", span, place, also=(Label(port.span, "declared here"),))  # fmt: skip
        why = f"`{declaration.name}` takes {port.span.text}"
        context.constraints += [Constraint(have, want, why, span) for have, want in zip(value.shape, wanted, strict=True)
                                if have != want]  # fmt: skip

    def bind_hyperparameters(
        self, declared: Declaration, positional: Sequence[Placed], named: Mapping[str, Placed], span: Span, place: Place | None,
    ) -> dict[str, Any]:  # fmt: skip
        """The hyperparameters' values by name; defaults may use those before them."""
        context, declaration = self.context, declared.function
        if id(declaration) in context.broken:
            raise Poisoned
        wrong = signature_of_block(declaration).misfits(context, positional, named, span, place)
        if wrong:
            raise SourceError(*wrong)
        scope = Scope(None, place or Place(""), declared.module)
        for index, hyperparameter in enumerate(declaration.hyperparameters):
            given = positional[index] if index < len(positional) else named.get(hyperparameter.name)
            if given is not None:
                value, where = given
                if _has_tensor(value):
                    raise context.error("E0205", f"`{hyperparameter.name}` is a hyperparameter, and is {describe(value)}",
                                        where, place, helps=("tensors reach a block through `->`",))  # fmt: skip
            elif hyperparameter.default is not None:
                value = context.expressions.evaluate(hyperparameter.default, scope)
            scope.names[hyperparameter.name] = value
        return scope.names

    # operators

    def _operator_layer(
        self, layer: OpLayer, inputs: tuple[Value, ...], labels: tuple[str, ...], place: Place, name: str | None
    ) -> Any:
        op = layer.op
        if op.style != "layer":
            raise self.context.error("E0207", f"`{op.name}` is a function of tensors, not a layer", layer.span, place,
                                     helps=(f"write `{op.called}`, with the tensors in parentheses",))  # fmt: skip
        bound = layer.bound or bind(self.context, op.name, op.arguments, (), {}, layer.span, place)
        return self.operator(op, bound, inputs, labels, layer.span, place, name)

    def operator(
        self,
        op: Operator,
        bound: tuple[Mapping[str, Any], Mapping[str, Span]],
        inputs: tuple[Value, ...],
        labels: tuple[str, ...],
        span: Span,
        place: Place,
        name: str | None = None,
    ) -> Any:
        """Apply an operator with its bound arguments: infer, make parameters, emit the node."""
        context = self.context
        context.step(span, place, _STEPS_PER_TENSOR * max(0, len(inputs) - 1))
        least, most = op.arity
        self._check_count(op.name, labels, least, most, span, place, op)
        values, spans = bound
        args = Args(values)
        if op.style == "loss" and args.get("ignore", 0) is None:
            args["ignore"] = next((context.ignored[value] for value in inputs if value in context.ignored), None)
        site = Site(args, inputs, labels, lenient=context.lenient)
        try:
            op.resolve(site)
            types = op.infer(site)
            specs = op.parameters(site)
            op.check_parameters(site, specs)
        except Misfit as misfit:
            where = spans.get(misfit.argument or "", span)
            raise context.error(misfit.code, misfit.message, where, place, notes=misfit.notes,
                                helps=misfit.helps) from None  # fmt: skip
        for size, why in site.fixes:
            context.fix(size, why, span)
        context.constraints += [Constraint(a, b, why, span) for a, b, why in site.joins]
        context.constraints += [Constraint(a, b, why, span, ">=") for a, b, why in site.bounds]
        known = inputs[0].shape if inputs else None
        types = tuple(type_ if type_.shape is known else self._simple(type_, span) for type_ in types)
        self._foresee_nodes(1, span, place)
        context.step(span, place, _STEPS_PER_TENSOR * (len(types) - 1))
        path = place.within(name or context.name(place, op.name))
        parameters = {role: self._parameter(path, role, spec, span, place) for role, spec in specs.items()}
        outputs = tuple(Value(path if i == 0 else f"{path}:{i}", type_) for i, type_ in enumerate(types))
        context.nodes.append(Node(path, op, args, inputs, outputs, parameters, span, place.chain))
        return outputs if len(outputs) > 1 or op.tupled else outputs[0]

    def _simple(self, type_: TensorType, span: Span) -> TensorType:
        """The type with sizes whose formulas are short."""
        shape = tuple(self.context.simple(dim, span) if isinstance(dim, Size) else dim for dim in type_.shape)
        return type_ if shape == type_.shape else TensorType(shape, type_.dtype, type_.batched)

    def _foresee_nodes(self, count: int, span: Span, place: Place) -> None:
        """Stop where the limit would be passed by so many more nodes."""
        context = self.context
        if len(context.nodes) + count > context.limits.nodes:
            raise context.limit(f"the net has more than {context.limits.nodes:,} operators", span, place,
                                "NETDSL_MAX_NODES")  # fmt: skip

    def _check_count(
        self, name: str, labels: tuple[str, ...], least: int, most: int | None, span: Span, place: Place,
        op: Operator | None = None,
    ) -> None:  # fmt: skip
        given = len(labels)
        if given < least or (most is not None and given > most):
            wanted = tensors(least) if least == most else f"at least {tensors(least)}" if most is None else (
                f"{least} to {most} tensors")  # fmt: skip
            helps: tuple[str, ...] = ("several tensors go in as a tuple: `(a, b) -> ...`",) if least > 1 else ()
            if most == 1:
                helps = ("join several tensors first, such as by `concat(a, b)` or `a + b`",)
                if given > 1 and len(set(labels)) == 1 and labels[0].startswith("`"):
                    helps = (f"{labels[0]} holds them all: take one, such as `{labels[0].strip('`')}[0]`", *helps)
            if op is not None and op.style != "layer":
                helps = (f"write `{op.example}`",)
            raise self.context.error("E0208", f"`{name}` takes {wanted}, and receives {tensors(given)}", span, place,
                                     helps=helps)  # fmt: skip

    def _parameter(self, path: str, role: str, spec: ParamSpec, span: Span, place: Place) -> Parameter:
        """A new parameter; or, within a shared layer that was used before, the one made then."""
        for depth in range(len(place.shared) - 1, -1, -1):
            sharing = place.shared[depth]
            if not sharing.first:
                parameter = sharing.next()
                if parameter is None or parameter.shape != spec.shape:
                    raise self._unshareable(sharing.layer, parameter, f"{role} {show(spec.shape)}", span, place)
                for outer in place.shared[:depth]:
                    outer.skip(parameter)
                for inner in place.shared[depth + 1 :]:
                    inner.layer.parameters.append(parameter)
                return parameter
        parameter = Parameter(f"{path}.{role}", spec.shape, spec.init, spec.fan_in, spec.fan_out, span, spec.trainable,
                              spec.buffer, spec.mask)  # fmt: skip
        for sharing in place.shared:
            sharing.layer.parameters.append(parameter)
        return parameter

    def _unshareable(
        self, layer: Shared, parameter: Parameter | None, needed: str | None, span: Span, place: Place
    ) -> SourceError:
        """The error of a use that needs other parameters than the first use made. `span` is the layer that does."""
        had = "no more" if parameter is None else f"{parameter.name.rpartition('.')[2]} {show(parameter.shape)}"
        return self.context.error(
            "E0307", f"`{layer.name}` is shared, and its uses need different parameters", layer.uses[-1], place,
            label=f"this use needs {needed or 'none such'}",
            also=(Label(layer.uses[0], f"the first use made {had}"), *([Label(span, "in this layer")] if needed else [])),
            helps=("give both uses the same number of channels, or bind the layer without `share`",),
        )  # fmt: skip


def _has_tensor(value: Any) -> bool:
    return isinstance(value, Value) or (isinstance(value, (list, tuple)) and any(map(_has_tensor, value)))


def output_labels(layer: Layer, count: int) -> tuple[str, ...]:
    """How the outputs of a layer are called in messages."""
    inner = layer
    while not isinstance(inner, (OpLayer, BlockLayer)):
        if isinstance(inner, Composition):
            inner = inner.stages[-1]
        else:
            inner = inner.layer
    name = inner.op.name if isinstance(inner, OpLayer) else inner.declaration.name
    text = f"the output of `{name}`"
    return (text,) * count
