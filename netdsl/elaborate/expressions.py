"""Evaluating expressions: Python's arithmetic on numbers and lists, pipelines on tensors and layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from netdsl.diagnostics import SourceError, Span
from netdsl.elaborate import arithmetic
from netdsl.elaborate.apply import Applier, output_labels
from netdsl.elaborate.calls import Calls
from netdsl.elaborate.context import Context, LimitReached
from netdsl.elaborate.indexing import Indexing
from netdsl.elaborate.lookup import ATTRIBUTES, LEAST, is_packaged, meant, no_attribute, undefined
from netdsl.elaborate.names import lookup_global
from netdsl.elaborate.values import (
    POISON,
    BlockLayer,
    Composition,
    Family,
    OpLayer,
    Pinned,
    Poisoned,
    Repeat,
    Scope,
    describe,
    is_layer,
)  # fmt: skip
from netdsl.ir import Size, Value
from netdsl.syntax import tree as t


class Expressions:
    """`evaluate(expression, scope)` is the value; errors are raised as SourceError."""

    def __init__(self, context: Context, applier: Applier) -> None:
        self.context, self.applier = context, applier
        self.calls, indexing = Calls(context, applier, self), Indexing(context, self)
        self._beside: set[int] = set()  # expressions, which the tree keeps, evaluated only for their errors
        self._by_type: dict[type, Callable[[Any, Scope], Any]] = {
            t.Name: self._name, t.Literal: self._literal, t.ListExpr: self._list, t.TupleExpr: self._tuple,
            t.Comprehension: self._comprehension, t.Call: self.calls.call, t.Index: indexing.item,
            t.Attribute: self._attribute, t.Optional_: indexing.optional, t.Pin: self._pin, t.Chain: self._chain,
            t.Power: self._power, t.Unary: self._unary, t.Comparison: self._comparison, t.Boolean: self._boolean,
            t.Conditional: self._conditional, t.Pipeline: self._pipeline,
        }  # fmt: skip

    def evaluate(self, expression: t.Expr, scope: Scope) -> Any:
        context = self.context
        context.steps += 1
        if context.steps > context.limits.steps:
            context.step(expression.span, scope.place)
        return self._by_type[type(expression)](expression, scope)

    def several(self, expressions: Sequence[t.Expr], scope: Scope) -> list[Any]:
        """The values of expressions side by side. Where some are wrong, all that are wrong are told."""
        values: list[Any] = []
        for index, expression in enumerate(expressions):
            try:
                values.append(self.evaluate(expression, scope))
            except (SourceError, Poisoned) as error:
                raise self.with_errors(error, expressions[index + 1 :], scope) from None
        return values

    def with_errors(self, error: SourceError | Poisoned, others: Iterable[t.Expr], scope: Scope) -> Exception:
        """An error, and those of the expressions beside it, which do not depend on it; once, where a loop fails often."""
        if isinstance(error, LimitReached):
            return error
        found = list(error.diagnostics) if isinstance(error, SourceError) else []
        for expression in others:
            if id(expression) in self._beside:
                continue
            self._beside.add(id(expression))
            try:
                self.evaluate(expression, scope)
            except LimitReached as reached:
                return reached
            except SourceError as another:
                found += another.diagnostics
            except Poisoned:
                pass
        return SourceError(*found) if found else error

    # names and literals

    def _name(self, node: t.Name, scope: Scope) -> Any:
        value = self.bound(node, scope)
        return value.ordered() if isinstance(value, Family) else value

    def bound(self, node: t.Name, scope: Scope) -> Any:
        """What a name is bound to; of a family, the family itself."""
        name = node.name
        if name in scope.names:
            value = scope.names[name]
        elif name in scope.module.constants:
            value = scope.module.constants[name]
        elif name in scope.module.functions:
            return BlockLayer(*scope.module.functions[name], node.span)
        elif name in self.context.facts:
            value = self.context.facts[name]
        else:
            value = lookup_global(name, node.span)
            if value is None:
                raise undefined(self.context, node, scope)
        if value is POISON:
            raise Poisoned
        return value

    def _literal(self, node: t.Literal, scope: Scope) -> Any:
        return node.value

    def _list(self, node: t.ListExpr | t.TupleExpr, scope: Scope) -> list[Any]:
        return self.context.made(self.several(node.items, scope), node.span, scope.place)

    def _tuple(self, node: t.TupleExpr, scope: Scope) -> tuple[Any, ...]:
        return tuple(self._list(node, scope))

    def _comprehension(self, node: t.Comprehension, scope: Scope) -> list[Any]:
        inner = Scope(scope.function, scope.place, scope.module, dict(scope.names), scope.loops)
        items: list[Any] = []
        for index, value in enumerate(self.items(node.iterable, scope)):
            self.context.step(node.span, scope.place)
            inner.place = scope.place.again(index)
            self.context.statements.bind_names(node.names, value, inner, node.iterable.span)
            if node.condition is None or self.truth(node.condition, inner):
                items.append(self.evaluate(node.item, inner))
        return self.context.made(items, node.span, scope.place)

    def items(self, expression: t.Expr, scope: Scope) -> Any:
        """What `for` goes over."""
        value = self.evaluate(expression, scope)
        if isinstance(value, (list, tuple, range)):
            self.context.foresee(expression.span, scope.place, len(value))
            return value
        helps = (f"write `range({value})` to count",) if isinstance(value, int) else ()
        raise self.context.error("E0212", f"`for` goes over a list, and this is {describe(value)}", expression.span,
                                 scope.place, helps=helps)  # fmt: skip

    def truth(self, expression: t.Expr, scope: Scope) -> bool:
        """A condition's value."""
        return self.is_true(self.evaluate(expression, scope), expression.span, scope)

    def is_true(self, value: Any, span: Span, scope: Scope) -> bool:
        if isinstance(value, Size):
            return bool(self.context.fix(value, "a condition decides the graph", span))
        if value is None or isinstance(value, (bool, int, float, str, list, tuple, range)):
            return bool(value)
        helps = ("numbers decide about a graph, such as `x.channels`",
                 "`where(x > 0, a, b)` chooses element by element") if isinstance(value, Value) else ()  # fmt: skip
        raise self.context.error("E0212", f"a condition is true or false, and this is {describe(value)}", span,
                                 scope.place, helps=helps)  # fmt: skip

    # postfix

    def whole(self, expression: t.Expr, scope: Scope) -> int:
        """An index: a whole number."""
        value = self.evaluate(expression, scope)
        if isinstance(value, Size):
            return self.context.fix(value, "an index decides the graph", expression.span)
        if not isinstance(value, int) or isinstance(value, bool):
            helps = ("numbers stand without quotes",) if isinstance(value, str) else ()
            raise self.context.error("E0212", f"an index is a whole number, and this is {describe(value)}",
                                     expression.span, scope.place, helps=helps)  # fmt: skip
        return value

    def _attribute(self, node: t.Attribute, scope: Scope) -> Any:
        if is_packaged(node) and node.base.span.text not in scope.names:
            raise self.context.error("E0201", f"`{node.span.text}` is not defined", node.span, scope.place,
                                     helps=meant(node.name, scope, self.context))  # fmt: skip
        base = self.evaluate(node.base, scope)
        if not isinstance(base, Value) or node.name not in ATTRIBUTES:
            raise no_attribute(base, self.label(node.base, scope), node, scope, self.context)
        shape = base.shape
        if node.name == "shape":
            return list(shape)
        if node.name == "rank":
            return len(shape)
        position = {"channels": 0, "height": len(shape) - 2, "width": len(shape) - 1, "depth": len(shape) - 3}[
            node.name
        ]
        if len(shape) <= LEAST[node.name].count(","):
            raise self.context.error("E0213", f"{describe(base)} has no {node.name}", node.span, scope.place,
                                     notes=(f"a tensor with a {node.name} is {LEAST[node.name]}",))  # fmt: skip
        return shape[position]

    def _pin(self, node: t.Pin, scope: Scope) -> Any:
        layer = self.evaluate(node.base, scope)
        if not is_layer(layer):
            raise self.context.error("E0207", f"`@{node.name}` names the application of a layer, and this is "
                                     f"{describe(layer)}", node.span, scope.place)  # fmt: skip
        return Pinned(layer, node.name, bool(scope.loops) or scope.place.repeated, node.span)

    # operators

    def _chain(self, node: t.Chain, scope: Scope) -> Any:
        first, last = node.operands[0], 0
        try:
            left, label = self.evaluate(first, scope), ""
            for operator, operand in zip(node.operators, node.operands[1:], strict=True):
                last += 1
                right = self.evaluate(operand, scope)
                if operator == "*" and is_layer(right):
                    left = self._repeat(left, right, node, scope)
                elif isinstance(left, Value) or isinstance(right, Value):
                    labels = (label or self.label(first, scope), self.label(operand, scope))
                    label = f"what is left of `{operator}`"
                    left = self.calls.of_tensors(operator, left, right, labels, node, scope)
                else:
                    left = arithmetic.binary(self.context, operator, left, right, node, scope.place)
        except (SourceError, Poisoned) as error:
            raise self.with_errors(error, node.operands[last + 1 :], scope) from None
        return left

    def _repeat(self, count: Any, layer: Any, node: t.Chain, scope: Scope) -> Any:
        if isinstance(count, Size):
            count = self.context.fix(count, "a repetition decides the graph", node.span)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            helps = ("`//` divides to a whole number",) if isinstance(count, float) else ()
            raise self.context.error("E0212", f"a layer is repeated a whole number of times, and this is "
                                     f"{describe(count)}", node.span, scope.place, helps=helps)  # fmt: skip
        return Repeat(count, layer, node.span)

    def _power(self, node: t.Power, scope: Scope) -> Any:
        base, exponent = self.several((node.base, node.exponent), scope)
        if isinstance(base, Value) or isinstance(exponent, Value):
            labels = self.label(node.base, scope), self.label(node.exponent, scope)
            return self.calls.of_tensors("**", base, exponent, labels, node, scope)
        return arithmetic.binary(self.context, "**", base, exponent, node, scope.place)

    def _unary(self, node: t.Unary, scope: Scope) -> Any:
        value = self.evaluate(node.operand, scope)
        if isinstance(value, Value):
            name = "not" if node.operator == "not" else "neg"
            return self.calls.of_tensor(name, value, self.label(node.operand, scope), node, scope)
        if node.operator == "not":
            return not self.is_true(value, node.operand.span, scope)
        if isinstance(value, (int, float, Size)) and not isinstance(value, bool):
            return -value
        raise self.context.error("E0212", f"`-` takes a number or a tensor, and this is {describe(value)}", node.span,
                                 scope.place)  # fmt: skip

    def _comparison(self, node: t.Comparison, scope: Scope) -> bool | Value:
        """Whether every neighbouring pair compares so: element by element where tensors are among them."""
        held: Value | None = None
        left, right = self.several(node.operands[:2], scope)
        for index, operator in enumerate(node.operators):
            if index:
                left, right = right, self.evaluate(node.operands[index + 1], scope)
            if not arithmetic.compares_tensors(operator, left, right):
                if not arithmetic.compare(self.context, operator, left, right, node, scope.place):
                    return False
                continue
            labels = self.label(node.operands[index], scope), self.label(node.operands[index + 1], scope)
            pair = self.calls.of_tensors(operator, left, right, labels, node, scope)
            if held is not None:
                pair = self.calls.of_tensors("and", held, pair, ("the first pair", "the next pair"), node, scope)
            held = pair
        return True if held is None else held

    def _boolean(self, node: t.Boolean, scope: Scope) -> Any:
        """As in Python, the value of the operand that decided; bool tensors are combined element by element."""
        for index, operand in enumerate(node.operands[:-1]):
            value = self.evaluate(operand, scope)
            if isinstance(value, Value):
                return self._combined(value, node, index, scope)
            if self.is_true(value, operand.span, scope) == (node.operator == "or"):
                return value
        return self.evaluate(node.operands[-1], scope)

    def _combined(self, left: Value, node: t.Boolean, index: int, scope: Scope) -> Any:
        """A bool tensor, the operand of this index, with those behind it."""
        label = self.label(node.operands[index], scope)
        for operand in node.operands[index + 1 :]:
            labels = label, self.label(operand, scope)
            left = self.calls.of_tensors(node.operator, left, self.evaluate(operand, scope), labels, node, scope)
            label = f"what is left of `{node.operator}`"
        return left

    def _conditional(self, node: t.Conditional, scope: Scope) -> Any:
        return self.evaluate(node.then if self.truth(node.condition, scope) else node.otherwise, scope)

    # pipelines

    def _pipeline(self, node: t.Pipeline, scope: Scope) -> Any:
        last, labels = 0, None
        try:
            value = self.evaluate(node.stages[0], scope)
            for last, stage in enumerate(node.stages[1:], 1):
                layer = self.evaluate(stage, scope)
                if value is None:
                    continue  # a pipeline from none is none
                if not is_layer(layer):
                    self._not_a_layer(node, last, layer, scope)
                if is_layer(value):
                    span = Span(node.span.source, node.span.start, stage.span.end)
                    value = Composition((value, layer), span)
                else:
                    value, labels = self._applied(layer, value, labels, node, last, scope)
        except (SourceError, Poisoned) as error:
            raise self.with_errors(error, node.stages[last + 1 :], scope) from None
        return value

    def _applied(
        self, layer: Any, value: Any, labels: tuple[str, ...] | None, node: t.Pipeline, index: int, scope: Scope
    ) -> tuple[Any, tuple[str, ...]]:
        """What a stage makes of what reaches it, and how that is called."""
        inputs = value if isinstance(value, tuple) else (value,)
        for item in inputs:
            if not isinstance(item, Value):
                raise self.context.error("E0207", f"`->` carries tensors, and this is {describe(item)}",
                                         node.stages[index - 1].span, scope.place)  # fmt: skip
        if labels is None:
            labels = self._labels(node.stages[0], len(inputs), scope)
        stage, nodes = node.stages[index], self.context.nodes
        place = scope.place.in_loop() if scope.loops else scope.place
        before = len(nodes)
        result = self.applier.layer(layer, inputs, labels, stage.span, place)
        if isinstance(stage, t.Name) and _bound_plainly(stage.name, layer, scope):
            made = sum(len(node.parameters) for node in nodes[before:])
            self.context.applied(layer, stage.name, stage.span, scope.place, made)
        return result, output_labels(layer, len(result) if isinstance(result, tuple) else 1)

    def _not_a_layer(self, node: t.Pipeline, index: int, value: Any, scope: Scope) -> None:
        stage = node.stages[index]
        helps: tuple[str, ...] = ()
        if isinstance(value, Value):
            helps = ("to join two tensors use `a + b`, `concat(a, b)` or a layer of two: `(a, b) -> crop_like`",)
        raise self.context.error("E0207", f"a layer goes behind `->`, and this is {describe(value)}", stage.span,
                                 scope.place, helps=helps)  # fmt: skip

    # labels for messages

    def _labels(self, expression: t.Expr, count: int, scope: Scope) -> tuple[str, ...]:
        if isinstance(expression, t.TupleExpr) and len(expression.items) == count:
            return tuple(self.label(item, scope) for item in expression.items)
        return (self.label(expression, scope),) * count

    def label(self, expression: t.Expr, scope: Scope) -> str:
        """How a tensor reads in the file: `x`, `skip[3]`, or the end of the pipeline that made it."""
        if isinstance(expression, t.Pipeline):
            return f"the output of `{_head(expression.stages[-1])}`"
        if isinstance(expression, t.Index) and isinstance(expression.base, t.Name):
            keys = [str(self.evaluate(item, scope)) for item in expression.items if not isinstance(item, t.Slice)]
            if len(keys) == len(expression.items):
                return f"`{expression.base.name}[{', '.join(keys)}]`"
        text = " ".join(expression.span.text[:200].split())
        return f"`{text}`" if len(text) <= 40 else f"`{text[:37]}...`"


def _bound_plainly(name: str, layer: Any, scope: Scope) -> bool:
    """Whether the layer was bound by `=` here, rather than by `share` or as a hyperparameter."""
    if not isinstance(layer, (OpLayer, BlockLayer, Composition, Repeat)) or scope.names.get(name) is not layer:
        return False
    return scope.function is None or all(h.name != name for h in scope.function.hyperparameters)


def _head(expression: t.Expr) -> str:
    """The name that a layer expression starts with."""
    while isinstance(expression, (t.Call, t.Pin)):
        expression = expression.function if isinstance(expression, t.Call) else expression.base
    return " ".join(expression.span.text.split())[:40]
