"""Text to graph: the driver of the elaboration."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from netdsl.diagnostics import Diagnostic, Label, Source, SourceError, Span, did_you_mean
from netdsl.elaborate import fitting
from netdsl.elaborate.apply import Applier
from netdsl.elaborate.context import Context, LimitReached, Limits
from netdsl.elaborate.expressions import Expressions
from netdsl.elaborate.finish import fix_sizes, named_values, plain, split_training
from netdsl.elaborate.modules import Modules
from netdsl.elaborate.sources import read_source
from netdsl.elaborate.statements import Statements
from netdsl.elaborate.train_block import TrainBlock, header
from netdsl.elaborate.unapplied import unapplied
from netdsl.elaborate.values import POISON, Declaration, Place, Poisoned, Scope, describe, shown
from netdsl.ir import Graph, Node, Size, TensorType, Training, Value, extents
from netdsl.record import Record
from netdsl.syntax import parse, parse_expression
from netdsl.syntax import tree as t

_RECURSION = 20_000  # blocks within blocks, expressions within expressions: Python frames, not C's
Result = TypeVar("Result")


class Expectation(Record):
    """An `expect` line. `holds(facts)` raises SourceError where it fails: facts are what analysis knows."""

    holds: Callable[[Mapping[str, Any]], None]
    span: Span


class Elaboration(Record):
    """A graph, the conditions that its file sets on it, the file's tree, and what the author may want to know."""

    graph: Graph
    expectations: tuple[Expectation, ...]
    file: t.File
    notes: tuple[Diagnostic, ...] = ()
    #: the nodes that reach neither an output nor the loss, which the graph leaves out; their sizes are not fixed
    unused: tuple[Node, ...] = ()


def elaborate(
    source: Source, net: str | None = None, overrides: Mapping[str, Any] | None = None, *,
    limits: Limits | None = None,
) -> Elaboration:  # fmt: skip
    """Elaborate one net of a source.

    `net` picks one where the file has several; `overrides` are hyperparameters by name, as Python values or, where a
    value is a `Source`, as the text of an expression. Raises SourceError with every independent diagnostic.
    """
    return _net(parse(source), net, dict(overrides or {}), limits or Limits.from_environment())


def elaborate_all(source: Source, *, limits: Limits | None = None) -> list[Elaboration]:
    """Elaborate every net of a source; none where it holds only blocks, whose names are looked up all the same.

    Raises SourceError with every independent diagnostic of the file.
    """
    file, limits = parse(source), limits or Limits.from_environment()
    names: list[str | None] = [f.name for f in file.functions if f.kind == "net"]
    if not names and file.functions:
        _elaborated(file, Context(limits), _Driver.look_up)
        return []
    done: list[Elaboration] = []
    wrong: dict[tuple[str, ...], Diagnostic] = {}  # what the nets have in common is said once
    for name in names or [None]:  # an empty file has an error of its own
        try:
            done.append(_net(file, name, {}, limits))
        except SourceError as error:
            for d in error.diagnostics:
                wrong.setdefault((d.code, d.message, *(str(label.span) for label in d.labels)), d)
    if wrong:
        raise SourceError(*_in_order(wrong.values(), source))
    return done


def _in_order(diagnostics: Iterable[Diagnostic], main: Source) -> list[Diagnostic]:
    """Diagnostics as their places stand in the text, those of the file itself first."""

    def place(diagnostic: Diagnostic) -> tuple[bool, str, int]:
        if not diagnostic.labels:
            return False, "", -1
        span = diagnostic.labels[0].span
        return span.source is not main, span.source.path, span.start

    return sorted(diagnostics, key=place)


def _net(file: t.File, net: str | None, overrides: dict[str, Any], limits: Limits) -> Elaboration:
    """One net of a file. Errors over shapes say which sizes of its inputs would fit."""
    context = Context(limits)
    try:
        return _elaborated(file, context, lambda driver: driver.run(net, overrides))
    except SourceError as error:
        if not any(d.code in fitting.OF_SIZES for d in error.diagnostics):
            raise
        wrong = error.diagnostics
    most = limits.replace(steps=min(limits.steps, fitting.MOST_STEPS))
    raise SourceError(*fitting.advised(wrong, lambda *how: attempt(file, net, overrides, most, *how)))


def attempt(
    file: t.File, net: str | None, overrides: dict[str, Any], limits: Limits, sizes: Mapping[str, int], lenient: bool
) -> fitting.Attempt:
    """Elaborate a net with other sizes of its inputs; or leniently, to find which would fit. Raises nothing."""
    context = Context(limits, sizes=dict(sizes), lenient=lenient)
    try:
        _elaborated(file, context, lambda driver: driver.run(net, overrides))
    except SourceError as error:
        return fitting.Attempt(context, error.diagnostics)
    return fitting.Attempt(context, [])


def _elaborated(file: t.File, context: Context, run: Callable[[_Driver], Result]) -> Result:
    context.apply = Applier(context)
    context.expressions = Expressions(context, context.apply)
    context.statements = Statements(context)
    with _deep_recursion():
        try:
            return run(_Driver(context, file))
        except LimitReached as error:
            context.keep(error)
            raise SourceError(*context.diagnostics) from None
        except RecursionError:
            raise context.too_deep(Span(file.source, 0, 0), None) from None


def load(path: str | os.PathLike[str], net: str | None = None, **hyperparameters: Any) -> Graph:
    """The graph of a file's net."""
    return elaborate(read_source(path), net, hyperparameters).graph


def load_text(text: str, net: str | None = None, **hyperparameters: Any) -> Graph:
    """The graph of a net given as text."""
    return elaborate(Source("<text>", text), net, hyperparameters).graph


@contextmanager
def _deep_recursion() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _RECURSION))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


class _Driver:
    def __init__(self, context: Context, file: t.File) -> None:
        self.context, self.file = context, file
        self.module = Modules(context).main(file)

    def look_up(self) -> None:
        """Report what is wrong with the file's functions whether they are applied or not."""
        for error in unapplied(self.file, self.module, self.context):
            self.context.report(error)
        self._raise_reported()

    def run(self, net: str | None, overrides: dict[str, Any]) -> Elaboration:
        context = self.context
        declaration = self._pick(net)
        scope = Scope(declaration, Place(""), self.module)
        hyperparameters, inputs, outputs = self._signature(declaration, overrides, scope), [], None
        for port in declaration.inputs:
            with self._reporting():
                inputs.append(self._input(port, scope))
            scope.names |= {d.name: scope.names.get(d.name, POISON) for d in port.dimensions or [] if d.name}
        scope.names |= dict.fromkeys((port.name for port in declaration.inputs), POISON) | {v.name: v for v in inputs}
        with self._reporting():
            outputs = context.statements.function(declaration, scope)
        training = self._train(declaration, scope)
        self.look_up()
        graph, unused = self._graph(declaration, scope, hyperparameters, inputs, outputs, training)
        expectations = tuple(self._expectation(e, s) for e, s in context.statements.expectations.values())
        return Elaboration(graph, expectations, self.file, tuple(context.notes), unused)

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Report an error and go on, with what is to be poisoned."""
        try:
            yield
        except LimitReached:
            raise
        except SourceError as error:
            self.context.report(error)
        except Poisoned:
            pass

    def _raise_reported(self) -> None:
        if self.context.diagnostics:
            raise SourceError(*_in_order(self.context.diagnostics, self.file.source))

    # declarations

    def _pick(self, net: str | None) -> t.Function:
        nets = [f for f in self.file.functions if f.kind == "net"]
        names = [f.name for f in nets]
        path = self.file.source.path
        if not nets:
            self._raise_reported()
            empty = not (self.file.functions or self.file.constants or self.file.trains)
            message = "the file is empty" if empty else "the file has no net"
            raise SourceError(Diagnostic("E0103", message, path=path, helps=(
                "a net is: net NAME : image[3, 32, 32] -> logits { logits = image -> flatten -> dense(10) }",)))  # fmt: skip
        if net is None and len(set(names)) > 1:
            raise SourceError(Diagnostic("E0106", f"the file has {len(nets)} nets: which one?", path=path,
                                         helps=tuple(f"write `{path}:{name}`" for name in names)))  # fmt: skip
        if net is not None and net not in names:
            raise SourceError(Diagnostic("E0107", f"the file has no net `{net}`", path=path,
                                         notes=("it has " + ", ".join(names),), helps=did_you_mean(net, names)))  # fmt: skip
        return nets[0] if net is None else next(f for f in nets if f.name == net)

    def _signature(self, declaration: t.Function, overrides: dict[str, Any], scope: Scope) -> dict[str, Any]:
        """The hyperparameters' values, bound in the scope; poisoned where something is wrong with them."""
        found: dict[str, Any] = {}
        with self._reporting():
            found = self._hyperparameters(declaration, overrides)
        scope.names |= dict.fromkeys((h.name for h in declaration.hyperparameters), POISON) | found
        return found

    def _hyperparameters(self, declaration: t.Function, overrides: dict[str, Any]) -> dict[str, Any]:
        context = self.context
        own = [h.name for h in declaration.hyperparameters]
        sizes = [d.name for port in declaration.inputs for d in port.dimensions or () if d.name is not None]
        known = list(dict.fromkeys(own + sizes))
        for name in overrides:
            if name not in known:
                listed = ", ".join(known) or "none"
                raise SourceError(Diagnostic("E0203", f"`{declaration.name}` has no hyperparameter `{name}`",
                                             path=self.file.source.path, notes=(f"it has {listed}",),
                                             helps=did_you_mean(name, known)))  # fmt: skip
        for hyperparameter in declaration.hyperparameters:
            if hyperparameter.default is None and hyperparameter.name not in overrides:
                name = hyperparameter.name
                raise context.error("E0204", f"`{declaration.name}` needs its hyperparameter `{name}`",
                                    hyperparameter.span, helps=(f"give it a default: `{name} = ...`",
                                                                f"or set it: `--set {name}=...`"))  # fmt: skip
        values = {name: self._override(value) for name, value in overrides.items()}
        context.sizes = {name: value for name, value in values.items() if name not in own} | context.sizes
        named = {name: (value, declaration.name_span) for name, value in values.items() if name in own}
        declared = Declaration(declaration, self.module)
        return context.apply.bind_hyperparameters(declared, (), named, declaration.name_span, None)

    def _override(self, value: Any) -> Any:
        if isinstance(value, Source):
            return self.context.expressions.evaluate(parse_expression(value), Scope(None, Place(""), self.module))
        return list(value) if isinstance(value, tuple) else value

    def _input(self, port: t.Input, scope: Scope) -> Value:
        context = self.context
        if port.dimensions is None:
            raise context.error("E0321", f"the net's input `{port.name}` needs its shape", port.span,
                                helps=(f"write `{port.name}[3, 32, 32]`: channels first, without the batch",))  # fmt: skip
        shape: list[int | Size] = []
        for axis, dimension in enumerate(port.dimensions):
            with self._reporting():
                shape.append(self._size(port, axis, dimension, scope))
        if len(shape) < len(port.dimensions):
            raise Poisoned
        return Value(port.name, TensorType(tuple(shape), "int64" if port.integer else "float32"))

    def _size(self, port: t.Input, axis: int, dimension: t.Dimension, scope: Scope) -> int | Size:
        context = self.context
        name = dimension.value.name if isinstance(dimension.value, t.Name) else None
        try:
            value = context.expressions.evaluate(dimension.value, scope)
        except SourceError as error:
            if name is None or isinstance(error, LimitReached):
                raise
            raise context.error("E0201", f"`{name}` is not defined", dimension.span,
                                helps=(f"a size with a name has a default: `{name} = 32`",)) from None  # fmt: skip
        if dimension.name is not None:
            value = self._named(dimension, value, scope)
        elif isinstance(value, int) and not isinstance(value, bool):
            value = fitting.literal(context, port.name, axis, len(port.dimensions or ()), value)
        if isinstance(value, bool) or not isinstance(value, (int, Size)) or int(value) < 1:
            number = int(value) if isinstance(value, Size) else value
            raise context.error("E0321", f"a size is a whole number of at least 1, and this is {describe(number)}",
                                dimension.span, helps=("write the size, or a name with its default: `H = 32`",))  # fmt: skip
        return value

    def _named(self, dimension: t.Dimension, value: Any, scope: Scope) -> Any:
        """A symbolic size: `H = 32`."""
        context, name = self.context, dimension.name or ""
        value = context.sizes.get(name, value)
        if isinstance(value, bool) or not isinstance(value, int):
            return value
        if name in context.symbols and context.symbols[name] != value:
            raise context.error(
                "E0321", f"`{name}` has two defaults: {context.symbols[name]} and {value}", dimension.span
            )
        context.symbols[name] = value
        size = context.symbol(name)
        scope.names[name] = size
        return size

    # the graph

    def _train(self, declaration: t.Function, scope: Scope) -> Training | None:
        context = self.context
        nets = [f for f in self.file.functions if f.kind == "net"]
        mine = []
        for block in self.file.trains:
            if block.net is not None and block.net.name not in [f.name for f in nets]:
                context.report(context.error("E0107", f"the file has no net `{block.net.name}`", block.net.span,
                                             helps=did_you_mean(block.net.name, [f.name for f in nets])))  # fmt: skip
            elif block.net is None and len(nets) > 1:
                context.report(context.error("E0106", "the file has several nets: `train NAME { }` says which",
                                             header(block)))  # fmt: skip
            elif block.net is None or block.net.name == declaration.name:
                mine.append(block)
        if len(mine) > 1:
            context.report(context.error("E0105", f"two train blocks for `{declaration.name}`",
                                         header(mine[1]), also=(Label(header(mine[0]), "the first is here"),),
                                         helps=("remove one",)))  # fmt: skip
        return TrainBlock(context, mine[0], scope).elaborate() if mine else None

    def _graph(
        self, declaration: t.Function, scope: Scope, hyperparameters: dict[str, Any], inputs: list[Value], outputs: Any,
        training: Training | None,
    ) -> tuple[Graph, tuple[Node, ...]]:  # fmt: skip
        """The graph, and the nodes that it leaves out: their sizes count too, for the file holds them to the rules."""
        context = self.context
        values = outputs if isinstance(outputs, tuple) else (outputs,)
        named_outputs: dict[str, Value] = {}
        for port, value in zip(declaration.outputs, values, strict=True):
            own = {f"{port.name}_{i}": v for i, v in enumerate(value)} if port.family else {port.name: value}
            for name in named_outputs.keys() & own.keys():
                raise context.error("E0105", f"two outputs are called `{name}` in the ONNX model", port.span,
                                    helps=("rename one: a family's outputs are numbered from `_0`",))  # fmt: skip
            named_outputs |= own
        graph = Graph(
            name=declaration.name, path=self.file.source.path,
            hyperparameters={name: plain(value) for name, value in hyperparameters.items()}, inputs=tuple(inputs),
            outputs=named_outputs, nodes=(), span=declaration.name_span, symbols=context.symbols,
            named=named_values(scope) | context.pins, training=training,
        )  # fmt: skip
        graph, unused = split_training(graph, context.nodes)
        return fix_sizes(graph, [*context.constraints, *extents(unused)], context.fixed), unused

    def _expectation(self, statement: t.Expect, scope: Scope) -> Expectation:
        context = self.context

        def holds(facts: Mapping[str, Any]) -> None:
            context.facts = facts
            condition = statement.condition
            with _deep_recursion():
                try:
                    met = context.expressions.truth(condition, scope)
                    sides = () if met else self._sides(statement, scope)
                except RecursionError:
                    raise context.too_deep(condition.span, scope.place) from None
            if not met:
                way_out = f"`netdsl analyze {self.file.source.path}` shows the figures layer by layer: mend the net, or this"
                raise context.error("E0401", f"expected {_shortened(condition)}", condition.span, scope.place,
                                    notes=sides, helps=(way_out,))  # fmt: skip

        return Expectation(holds, statement.span)

    def _sides(self, statement: t.Expect, scope: Scope) -> tuple[str, ...]:
        """Both sides of every comparison in a failed expectation, as numbers."""
        stack: list[t.Expr] = [statement.condition]
        notes = []
        while stack:
            node = stack.pop()
            if isinstance(node, t.Boolean):
                stack += reversed(node.operands)
            elif isinstance(node, t.Unary):
                stack.append(node.operand)
            elif isinstance(node, t.Comparison):
                for operand in node.operands:
                    if not isinstance(operand, (t.Literal, t.ListExpr)):
                        with suppress(SourceError):  # behind an `and` that was false, it may have no value
                            value = self.context.expressions.evaluate(operand, scope)
                            notes.append(f"{_shortened(operand)} is {shown(value)}")
        return tuple(dict.fromkeys(notes))


def _shortened(expression: t.Expr) -> str:
    text = " ".join(expression.span.text.split())
    return text if len(text) <= 80 else text[:77] + "..."
