"""Calls: binding a layer's arguments, functions of tensors, functions of numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from netdsl.diagnostics import Label, SourceError, Span
from netdsl.elaborate import arithmetic
from netdsl.elaborate.apply import Applier
from netdsl.elaborate.arguments import bind
from netdsl.elaborate.context import Context
from netdsl.elaborate.names import AXES
from netdsl.elaborate.values import (
    BlockLayer,
    Builtin,
    Count,
    Declaration,
    Fact,
    InitFunction,
    OpLayer,
    Poisoned,
    Recipe,
    Scope,
    describe,
    is_layer,
)  # fmt: skip
from netdsl.ir import Init, Size, Value
from netdsl.ops import OPERATORS
from netdsl.ops.functions import FUNCTIONS
from netdsl.syntax import tree as t

if TYPE_CHECKING:
    from netdsl.elaborate.expressions import Expressions

_NUMERIC: dict[str, Callable[[list[Any]], Any]] = {"max": max, "min": min, "sum": sum}
_BY_SYMBOL = {op.symbol: op for op in OPERATORS.values() if op.symbol}


class Calls:
    """Evaluates `f(...)` and arithmetic on tensors."""

    def __init__(self, context: Context, applier: Applier, expressions: Expressions) -> None:
        self.context, self.applier, self.expressions = context, applier, expressions
        #: builds optimizers, schedules and transforms while a train block is evaluated
        self.recipe: Callable[[Any, Any, Any, Span], Any] | None = None

    def call(self, node: t.Call, scope: Scope) -> Any:
        try:
            function = self.expressions.evaluate(node.function, scope)
        except (SourceError, Poisoned) as error:
            raise self.expressions.with_errors(error, _parts(node), scope) from None
        if isinstance(function, OpLayer) and function.op.style != "layer":
            return self._function(function, node, scope)
        positional, named = self._given(node, scope)
        placed = tuple((value, argument.span) for value, argument in zip(positional, node.arguments, strict=True))
        if isinstance(function, OpLayer) and function.bound is None:
            op = function.op
            self._no_tensors(function, positional, node, scope)
            values = bind(self.context, op.name, op.arguments, placed, named, node.span, scope.place)
            return OpLayer(op, node.span, values)
        if isinstance(function, BlockLayer) and function.bound is None:
            declared = Declaration(function.declaration, function.module)
            bound = self.applier.bind_hyperparameters(declared, placed, named, node.span, scope.place)
            return BlockLayer(*declared, node.span, bound)
        if isinstance(function, Builtin):
            return self._builtin(function.name, positional, named, node, scope)
        if isinstance(function, Recipe) and self.recipe is not None:
            return self.recipe(function, placed, named, node.span)
        if isinstance(function, (Fact, Count)):
            return self._fact(function.of if isinstance(function, Count) else function, positional, named, node, scope)
        if isinstance(function, InitFunction):
            return self._init(function, placed, named, node, scope)
        again = " (it has its arguments already)" if isinstance(function, (OpLayer, BlockLayer)) else ""
        text, given = node.function.span.text, node.arguments[0].span.text if node.arguments else ""
        helps: tuple[str, ...] = ()
        if positional and is_layer(function) and isinstance(positional[0], Value):
            helps = (f"a layer is applied by an arrow: `{given} -> {text}`",)
        elif positional and is_layer(positional[0]) and not isinstance(function, Value):
            helps = (f"a layer is repeated by `*`: `{text} * {given}`",)
        raise self.context.error("E0210", f"{describe(function)} cannot be called{again}", node.span, scope.place,
                                 helps=helps)  # fmt: skip

    def _given(self, node: t.Call, scope: Scope) -> tuple[list[Any], dict[str, tuple[Any, Span]]]:
        """The values of a call's arguments: by position, and by name with their places."""
        named: dict[str, tuple[Any, Span]] = {}
        for keyword in node.keywords:
            if keyword.name in named:
                raise self.context.error("E0203", f"`{keyword.name}` is given twice", keyword.span, scope.place,
                                         also=(Label(named[keyword.name][1], "the first is here"),),
                                         helps=("remove one",))  # fmt: skip
            named[keyword.name] = (_axis(keyword), keyword.span)
        values = self.expressions.several(_parts(node), scope)
        count = len(node.arguments)
        evaluated = [keyword for keyword in node.keywords if _axis(keyword) is None]
        named |= {k.name: (value, k.span) for k, value in zip(evaluated, values[count:], strict=True)}
        return values[:count], named

    def _no_tensors(self, function: OpLayer, positional: list[Any], node: t.Call, scope: Scope) -> None:
        if any(isinstance(value, Value) for value in positional):
            name = function.op.name
            tensors_ = [a.span.text for a, v in zip(node.arguments, positional, strict=True) if isinstance(v, Value)]
            others = [a.span.text for a, v in zip(node.arguments, positional, strict=True) if not isinstance(v, Value)]
            others += [keyword.span.text for keyword in node.keywords]
            layer = f"{name}({', '.join(others)})" if others else name
            hint = f"write `{tensors_[0] if len(tensors_) == 1 else '(a, b)'} -> {layer}`"
            raise self.context.error("E0207", f"`{name}` is a layer: tensors reach it through `->`", node.span,
                                     scope.place, helps=(hint,))  # fmt: skip

    # functions of tensors

    def _function(self, function: OpLayer, node: t.Call, scope: Scope) -> Any:
        op = function.op
        values: list[Any] = []
        labels: list[str] = []
        spans: list[Span] = []
        positional, named = self._given(node, scope)
        for value, argument in zip(positional, node.arguments, strict=True):
            # only a function of any number of tensors takes a list for several; elsewhere it is an argument
            if op.arity[1] is None and isinstance(value, (list, tuple, range)):
                text = self.expressions.label(argument, scope)
                self.context.foresee(argument.span, scope.place, len(value))
                values += value
                labels += [f"item {i} of {text}" for i in range(len(value))]
                spans += [argument.span] * len(value)
            else:
                values.append(value)
                labels.append(self.expressions.label(argument, scope))
                spans.append(argument.span)
        kept = [entry for entry in zip(values, labels, spans, strict=True) if entry[0] is not None]
        if op.name in _NUMERIC and kept and all(isinstance(v, (int, float, Size)) for v, _, _ in kept):
            numbers = [self.context.fix(v, f"`{op.name}` compares numbers", node.span) if isinstance(v, Size) else v
                       for v, _, _ in kept]  # fmt: skip
            return _NUMERIC[op.name](numbers)
        if op.arity[1] is None and not kept:
            raise self.context.error("E0208", f"`{op.name}` of nothing at all", node.span, scope.place,
                                     notes=("every argument is none, or there is none",))  # fmt: skip
        # what follows the tensors are the operator's own arguments
        count = len(kept) if op.arity[1] is None else min(op.arity[1], len(kept))
        tensors_, rest = kept[:count], kept[count:]
        for value, label, span in tensors_:
            if not isinstance(value, Value):
                raise self.context.error("E0212", f"`{op.name}` takes tensors, and {label} is {describe(value)}", span,
                                         scope.place, helps=self._unapplied(value, label))  # fmt: skip
        placed = [(value, span) for value, _, span in rest]
        bound = bind(self.context, op.name, op.arguments, placed, named, node.span, scope.place)
        return self.applier.operator(op, bound, tuple(v for v, _, _ in tensors_), tuple(label for _, label, _ in tensors_),
                                     node.span, scope.place)  # fmt: skip

    def _unapplied(self, value: Any, label: str) -> tuple[str, ...]:
        return (f"a layer becomes a tensor when it is applied: `x -> {label.strip('`')}`",) if is_layer(value) else ()

    def tensor_arithmetic(
        self, symbol: str, left: Any, right: Any, labels: tuple[str, str], node: t.Chain, scope: Scope
    ) -> Any:
        """`left symbol right` where at least one is a tensor."""
        if left is None or right is None:
            raise self.context.error("E0212", f"`{symbol}` with none", node.span, scope.place,
                                     helps=("`sum(a, b)` leaves out what is none",))  # fmt: skip
        op = _BY_SYMBOL.get(symbol)
        numbers = {}
        tensors_ = []
        for side, value, label in (("left", left, labels[0]), ("right", right, labels[1])):
            if isinstance(value, Value):
                tensors_.append((value, label))
            elif isinstance(value, (int, float, Size)) and not isinstance(value, bool):
                number = (
                    self.context.fix(value, "a number scales or shifts", node.span)
                    if isinstance(value, Size)
                    else value
                )
                numbers[side] = (number, node.span)
            else:
                op = None
        if op is None:
            layer = next((label for value, label in zip((left, right), labels, strict=True) if is_layer(value)), None)
            helps = (f"apply the layer first: `x -> {layer.strip('`')}`",) if layer else ()
            raise self.context.error("E0212", f"`{symbol}` cannot take {describe(left)} and {describe(right)}",
                                     node.span, scope.place, helps=helps)  # fmt: skip
        bound = bind(self.context, symbol, op.arguments, (), numbers, node.span, scope.place)
        return self.applier.operator(op, bound, tuple(v for v, _ in tensors_), tuple(label for _, label in tensors_),
                                     node.span, scope.place)  # fmt: skip

    def negated(self, value: Value, label: str, node: t.Unary, scope: Scope) -> Any:
        return self.applier.operator(OPERATORS["neg"], ({}, {}), (value,), (label,), node.span, scope.place)

    # functions of numbers

    def _init(self, function: InitFunction, positional: Any, named: Any, node: t.Call, scope: Scope) -> Init:
        values, _ = bind(self.context, function.name, function.arguments, positional, named, node.span, scope.place)
        return Init(function.name, tuple(values.values()))

    def _fact(self, fact: Fact, values: list[Any], named: Any, node: t.Call, scope: Scope) -> Any:
        if named or len(values) != 1 or not fact.accepts(values[0]):
            given = ", ".join(describe(v) for v in values) or "nothing"
            raise self.context.error("E0212", f"`{fact.name}` takes {fact.wants}, and is given {given}", node.span,
                                     scope.place)  # fmt: skip
        result = fact.compute(values[0])
        if result is None:
            text = " ".join(node.span.text.split())
            raise self.context.error("E0402", f"`{text}` has no value", node.span, scope.place,
                                     notes=(f"`{fact.name}` takes {fact.wants}",))  # fmt: skip
        return result

    def _builtin(self, name: str, values: list[Any], named: Any, node: t.Call, scope: Scope) -> Any:
        if named:
            raise self.context.error("E0203", f"`{name}` takes no named arguments", node.span, scope.place)
        if name != "len":
            values = [self.context.fix(v, f"`{name}` decides the graph", node.span) if isinstance(v, Size) else v
                      for v in values]  # fmt: skip
        if not _TAKES[name](values):
            given = ", ".join(describe(v) for v in values) or "nothing"
            raise self.context.error("E0212", f"`{name}` takes {FUNCTIONS[name].wants}, and is given {given}", node.span,
                                     scope.place)  # fmt: skip
        if name in ("reversed", "enumerate", "zip"):
            self.context.foresee(node.span, scope.place, sum(len(v) for v in values))
        result = _BUILTIN[name](*values)
        return self.context.made(result, node.span, scope.place) if isinstance(result, list) else result


def _axis(keyword: t.Keyword) -> str | None:
    """The name of an axis, which stands for itself."""
    value = keyword.value
    return value.name if keyword.name == "axis" and isinstance(value, t.Name) and value.name in AXES else None


def _parts(node: t.Call) -> list[t.Expr]:
    """The expressions that a call gives."""
    return [*node.arguments, *(keyword.value for keyword in node.keywords if _axis(keyword) is None)]


def _whole(values: list[Any]) -> bool:
    return all(isinstance(v, int) and not isinstance(v, bool) for v in values)


def _lists(values: list[Any]) -> bool:
    return all(isinstance(v, (list, tuple, range)) for v in values)


def _finite(value: Any) -> bool:
    return arithmetic.is_number(value) and abs(value) < float("inf")


_TAKES: dict[str, Callable[[list[Any]], bool]] = {
    "len": lambda v: len(v) == 1 and _lists(v),
    "range": lambda v: 1 <= len(v) <= 3 and _whole(v) and v[2:] != [0] and all(abs(x) < 2**62 for x in v),
    "reversed": lambda v: len(v) == 1 and _lists(v),
    "enumerate": lambda v: len(v) == 1 and _lists(v),
    "zip": lambda v: len(v) >= 1 and _lists(v),
    "round": lambda v: 1 <= len(v) <= 2 and _finite(v[0]) and _whole(v[1:]) and all(abs(x) < 100 for x in v[1:]),
    "int": lambda v: len(v) == 1 and _finite(v[0]),
    "abs": lambda v: len(v) == 1 and arithmetic.is_number(v[0]),
}
_BUILTIN: dict[str, Any] = {
    "len": len, "range": range, "reversed": lambda v: list(reversed(v)), "enumerate": lambda v: list(enumerate(v)),
    "zip": lambda *v: list(zip(*v, strict=False)), "round": round, "int": int, "abs": abs,
}  # fmt: skip
