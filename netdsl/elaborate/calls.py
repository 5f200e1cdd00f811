"""Calls: binding a layer's arguments, functions of tensors, functions of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from netdsl.diagnostics import Label, SourceError, Span
from netdsl.elaborate import arithmetic
from netdsl.elaborate.apply import Applier
from netdsl.elaborate.arguments import Placed, bind
from netdsl.elaborate.context import Context
from netdsl.elaborate.names import axis_parts, is_axis
from netdsl.elaborate.values import (
    POISON,
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
    shown,
)  # fmt: skip
from netdsl.ir import Init, Size, Value
from netdsl.ops import INITIALIZERS, OPERATORS, Argument, Operator
from netdsl.ops.functions import FUNCTIONS
from netdsl.syntax import tree as t
from netdsl.syntax.walk import walk

if TYPE_CHECKING:
    from netdsl.elaborate.expressions import Expressions

#: functions of tensors that are Python's where all they are given are numbers
_NUMERIC: dict[str, Callable[..., Any]] = {
    "max": lambda *v: max(v), "min": lambda *v: min(v), "sum": lambda *v: sum(v), "abs": abs, "exp": math.exp,
    "log": math.log, "sqrt": math.sqrt,
}  # fmt: skip
_ONE_NUMBER = frozenset(["abs", "exp", "log", "sqrt"])
_BY_SYMBOL = {op.symbol: op for op in OPERATORS.values() if op.symbol and op.arity != (1, 1)}


class _Given(NamedTuple):
    """What a function is given: a value, how it reads in the file, and where it stands."""

    value: Any
    label: str
    span: Span


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
            try:
                values = bind(self.context, op.name, op.arguments, placed, named, node.span, scope.place)
            except SourceError:
                _blame(op.arguments, positional, named, node, scope)
                raise
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
        elif text in OPERATORS:
            helps = (f"the function `{text}` is hidden by what is bound here: choose another name for that",)
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
            named[keyword.name] = (None, keyword.span)
        values = self.expressions.several(_parts(node), scope)
        count = len(node.arguments)
        rest = iter(values[count:])
        named |= {keyword.name: (_value(keyword, rest), keyword.span) for keyword in node.keywords}
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
        positional, named = self._given(node, scope)
        if op.arity[1] is None:
            given = self._spread(positional, node, scope)
            if not given:
                # whether an empty list is one of numbers, whose sum is 0, or of tensors cannot be told
                helps = ("numbers that may be none at all: `sum([0] + list)`",) if op.name == "sum" else ()
                raise self.context.error("E0208", f"`{op.name}` of nothing at all", node.span, scope.place,
                                         notes=("every argument is none, or there is none",), helps=helps)  # fmt: skip
            if op.numbers and any(isinstance(g.value, Value) for g in given):
                given, number = self._folded(op, given, node, scope)
                named = {**named, **number}
        else:
            given = [_Given(value, self.expressions.label(argument, scope), argument.span)
                     for value, argument in zip(positional, node.arguments, strict=True)]  # fmt: skip
        if op.name in INITIALIZERS:
            init = InitFunction(op.name, INITIALIZERS[op.name].arguments)
            if any(_is_scalar(value) for value in positional) or any(a.name in named for a in init.arguments):
                return self._init(init, _placed(given), named, node, scope)
        if op.name in _NUMERIC and not named and all(isinstance(g.value, (int, float, Size)) for g in given):
            return self._of_numbers(op.name, [g.value for g in given], node, scope)
        # what follows the tensors are the operator's own arguments
        count = len(given) if op.arity[1] is None else min(op.arity[1], len(given))
        rest = _placed(given[count:])
        return self._operator(op, given[:count], rest, named, node.span, scope)

    def _spread(self, positional: list[Any], node: t.Call, scope: Scope) -> list[_Given]:
        """What a function of any number of tensors is given: a list stands for several, and none for nothing."""
        given: list[_Given] = []
        for value, argument in zip(positional, node.arguments, strict=True):
            label = self.expressions.label(argument, scope)
            if isinstance(value, (list, tuple, range)):
                self.context.foresee(argument.span, scope.place, len(value))
                given += [_Given(item, f"item {i} of {label}", argument.span) for i, item in enumerate(value)]
            else:
                given.append(_Given(value, label, argument.span))
        return [g for g in given if g.value is not None]

    def _folded(
        self, op: Operator, given: list[_Given], node: t.Call, scope: Scope
    ) -> tuple[list[_Given], dict[str, Placed]]:
        """The tensors among the operands, and what the numbers among them come to, as the argument that holds it."""
        numbers = [g for g in given if _is_scalar(g.value)]
        (name,) = op.numbers
        if not numbers or name is None:
            return given, {}
        value = self._of_numbers(op.name, [g.value for g in numbers], node, scope)
        return [g for g in given if not _is_scalar(g.value)], {name: (value, numbers[0].span)}

    def _operator(
        self, op: Operator, operands: Sequence[_Given], rest: Sequence[Placed], named: Mapping[str, Placed], span: Span,
        scope: Scope,
    ) -> Any:  # fmt: skip
        """Apply a function to its operands; a number among them becomes the argument that stands for it."""
        tensors_: list[_Given] = []
        numbers: dict[str, Placed] = {}
        for index, given in enumerate(operands):
            place = op.numbers[index] if op.arity[1] is not None and index < len(op.numbers) else None
            if isinstance(given.value, Value):
                tensors_.append(given)
            elif place is not None and (_is_scalar(given.value) or (op.symbol is None and isinstance(given.value, list))):
                numbers[place] = (given.value, given.span)
            else:
                raise self._no_operand(op, given, operands, span, scope)
        for name in named.keys() & numbers.keys():
            raise self.context.error("E0203", f"`{name}` is given twice", named[name][1], scope.place, helps=("remove one",))
        # an operand's argument is never meant by its position
        arguments = sorted(op.arguments, key=lambda a: a.name in op.numbers) if rest and op.numbers else op.arguments
        bound = bind(self.context, op.symbol or op.name, arguments, rest, {**named, **numbers}, span, scope.place)
        inputs, labels = tuple(g.value for g in tensors_), tuple(g.label for g in tensors_)
        return self.applier.operator(op, bound, inputs, labels, span, scope.place)

    def _no_operand(
        self, op: Operator, given: _Given, operands: Sequence[_Given], span: Span, scope: Scope
    ) -> SourceError:
        """The error of an operand that is no tensor, nor a number where one may stand."""
        applied = f"`x -> {given.label.strip('`')}`" if is_layer(given.value) else ""
        if op.symbol is not None:
            both = " and ".join(describe(operand.value) for operand in operands)
            helps = (f"apply the layer first: {applied}",) if applied else ()
            return self.context.error("E0212", f"`{op.symbol}` cannot take {both}", span, scope.place, helps=helps)
        wanted = "takes tensors or numbers" if any(op.numbers) else "takes tensors"
        message = f"`{op.name}` {wanted}, and {given.label} is {describe(given.value)}"
        helps = (f"a layer becomes a tensor when it is applied: {applied}",) if applied else ()
        return self.context.error("E0212", message, given.span, scope.place, helps=helps)

    def of_tensors(
        self, symbol: str, left: Any, right: Any, labels: tuple[str, str], node: t.Expr, scope: Scope
    ) -> Any:
        """`left symbol right` where at least one is a tensor."""
        if left is None or right is None:
            raise self.context.error("E0212", f"`{symbol}` with none", node.span, scope.place,
                                     helps=("`sum(a, b)` leaves out what is none",))  # fmt: skip
        op = _BY_SYMBOL.get(symbol)
        if op is None:
            raise self.context.error("E0212", f"`{symbol}` cannot take {describe(left)} and {describe(right)}",
                                     node.span, scope.place)  # fmt: skip
        operands = (_Given(left, labels[0], node.span), _Given(right, labels[1], node.span))
        return self._operator(op, operands, (), {}, node.span, scope)

    def of_tensor(self, name: str, value: Value, label: str, node: t.Unary, scope: Scope) -> Any:
        """`-value` or `not value`."""
        return self.applier.operator(OPERATORS[name], ({}, {}), (value,), (label,), node.span, scope.place)

    # functions of numbers

    def _of_numbers(self, name: str, values: list[Any], node: t.Call, scope: Scope) -> Any:
        """A function of tensors that is given numbers alone."""
        why = f"`{name}` computes with numbers"
        numbers = [self.context.fix(v, why, node.span) if isinstance(v, Size) else v for v in values]
        if name in _ONE_NUMBER and len(numbers) != 1:
            given = ", ".join(map(describe, numbers)) or "nothing"
            raise self.context.error("E0212", f"`{name}` takes {FUNCTIONS[name].wants}, and is given {given}", node.span,
                                     scope.place)  # fmt: skip
        try:
            return _NUMERIC[name](*numbers)
        except (ValueError, OverflowError):
            raise self.context.error("E0212", f"`{name}` of {shown(numbers[0])} is no number", node.span, scope.place,
                                     notes=(f"`{name}` takes {FUNCTIONS[name].wants}",)) from None  # fmt: skip

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


def _blame(
    arguments: Sequence[Argument], positional: list[Any], named: Mapping[str, Placed], node: t.Call, scope: Scope
) -> None:
    """Poison the names that made arguments wrong, which have been told of: `width = 0` is one error, wherever it is read."""
    written = dict(zip((a.name for a in arguments), node.arguments)) | {k.name: k.value for k in node.keywords}
    values = dict(zip((a.name for a in arguments), positional)) | {name: value for name, (value, _) in named.items()}
    for argument in arguments:
        if argument.name in values and not argument.kind.accepts(values[argument.name]):
            read = {part.name for part in walk(written[argument.name]) if isinstance(part, t.Name)} & scope.names.keys()
            for name in read:
                plain = scope.names[name] is None or isinstance(scope.names[name], (int, float, str, list))
                if plain and not argument.kind.accepts(scope.names[name]):
                    scope.names[name] = POISON


def _placed(given: Sequence[_Given]) -> list[Placed]:
    return [(g.value, g.span) for g in given]


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (int, float, Size)) and not isinstance(value, bool)


def _parts(node: t.Call) -> list[t.Expr]:
    """The expressions that a call gives, without the names of axes, which stand for themselves."""
    parts = list(node.arguments)
    for keyword in node.keywords:
        parts += axis_parts(keyword.value) if keyword.name == "axis" else [keyword.value]
    return parts


def _value(keyword: t.Keyword, evaluated: Iterator[Any]) -> Any:
    """The value of a keyword whose `_parts` are evaluated."""
    if keyword.name == "axis" and isinstance(keyword.value, t.ListExpr):
        return [item.name if is_axis(item) else next(evaluated) for item in keyword.value.items]
    return keyword.value.name if keyword.name == "axis" and is_axis(keyword.value) else next(evaluated)


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
}
_BUILTIN: dict[str, Any] = {
    "len": len, "range": range, "reversed": lambda v: list(reversed(v)), "enumerate": lambda v: list(enumerate(v)),
    "zip": lambda *v: list(zip(*v, strict=False)), "round": round, "int": int,
}  # fmt: skip
