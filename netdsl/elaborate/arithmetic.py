"""Arithmetic and comparison of numbers, sizes, strings and lists, as Python has them, with bounded results."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from netdsl.diagnostics import Span
from netdsl.elaborate.context import Context
from netdsl.elaborate.values import BlockLayer, OpLayer, Place, describe, is_layer, shown
from netdsl.ir import Size, Value
from netdsl.syntax import tree as t

_MOST_BITS = 4096
_SMALLER = ("no size of a network comes near it: use smaller numbers",)
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "**": operator.pow,
}  # fmt: skip
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def binary(context: Context, symbol: str, left: Any, right: Any, node: t.Chain | t.Power, place: Place) -> Any:
    """`left symbol right` where neither is a tensor."""
    span = node.span
    if isinstance(left, Size) or isinstance(right, Size):
        return _sizes(context, symbol, left, right, span, place)
    if is_number(left) and is_number(right):
        return _numbers(context, symbol, left, right, span, place)
    if symbol == "+" and isinstance(left, list) and isinstance(right, list):
        context.foresee(span, place, len(left) + len(right))
        return context.made(left + right, span, place)
    if symbol == "*" and isinstance(left, list) and isinstance(right, int):
        context.foresee(span, place, len(left) * max(0, right))
        return context.made(left * right, span, place)
    helps: tuple[str, ...] = ()
    if is_layer(left) or is_layer(right):
        helps = ("layers are joined by `->`",) if symbol != "*" else ("write the number first: `3 * layer`",)
    elif isinstance(left, str) or isinstance(right, str):
        helps = ("strings are compared, and nothing else: numbers stand without quotes",)
    raise context.error("E0212", f"`{symbol}` cannot take {describe(left)} and {describe(right)}", span, place,
                        helps=helps)  # fmt: skip


def _numbers(context: Context, symbol: str, left: Any, right: Any, span: Span, place: Place) -> Any:
    if symbol in ("/", "//", "%") and right == 0:
        raise context.error("E0212", f"{shown(left)} is divided by zero", span, place,
                            notes=(f"what stands right of `{symbol}` is 0",),
                            helps=("where that can be, choose another value: `n // d if d != 0 else 1`",))  # fmt: skip
    whole = isinstance(left, int) and isinstance(right, int)
    if symbol == "**" and whole and left.bit_length() * abs(right) > _MOST_BITS:
        raise context.error("E0212", f"the power has more than {_MOST_BITS:,} bits", span, place, helps=_SMALLER)
    try:
        result = _OPERATORS[symbol](left, right)
    except ZeroDivisionError:
        raise context.error("E0212", "zero has no negative power", span, place, helps=_SMALLER) from None
    except OverflowError:
        raise context.error("E0212", "the result is too large", span, place, helps=_SMALLER) from None
    if isinstance(result, complex):
        raise context.error("E0212", f"this is the root of a negative number, {shown(left)}", span, place,
                            helps=("`abs` takes the sign away",))  # fmt: skip
    if isinstance(result, int) and result.bit_length() > _MOST_BITS:
        raise context.error("E0212", "the result is too large", span, place, helps=_SMALLER)
    return result


def _sizes(context: Context, symbol: str, left: Any, right: Any, span: Span, place: Place) -> Any:
    """Arithmetic with a symbolic size. What a size cannot express fixes it."""
    for value in (left, right):
        if not isinstance(value, Size) and not is_number(value):
            raise context.error("E0212", f"`{symbol}` cannot take {describe(left)} and {describe(right)}", span, place)
    linear = symbol in ("+", "-") or (symbol == "*" and not (isinstance(left, Size) and isinstance(right, Size)))
    divides = symbol in ("//", "%") and isinstance(right, int) and right > 0
    if (linear or divides) and not isinstance(left, float) and not isinstance(right, float):
        return context.simple(_OPERATORS[symbol](left, right), span)
    fixed = [context.fix(v, f"`{symbol}` needs a number", span) if isinstance(v, Size) else v for v in (left, right)]
    return _numbers(context, symbol, fixed[0], fixed[1], span, place)


def compares_tensors(symbol: str, left: Any, right: Any) -> bool:
    """Whether a comparison is one of tensors, element by element; that with none is not."""
    found = isinstance(left, Value) or isinstance(right, Value)
    return found and symbol in _COMPARISONS and left is not None and right is not None


def compare(context: Context, symbol: str, left: Any, right: Any, node: t.Comparison, place: Place) -> bool:
    """`left symbol right`. `~` is: within 1 % of the right side."""
    span = node.span
    if isinstance(left, Size) or isinstance(right, Size):
        left, right = (context.fix(v, "a comparison decides the graph", span) if isinstance(v, Size) else v
                       for v in (left, right))  # fmt: skip
    if symbol == "in":
        if not isinstance(right, (list, tuple, range)):
            raise context.error("E0212", f"`in` looks into a list, and this is {describe(right)}", span, place)
        return _contains(right, left) if isinstance(right, range) else bool(left in _plain(context, right, span))
    if symbol in ("==", "!="):
        if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
            left, right = _plain(context, left, span), _plain(context, right, span)
        return bool(_COMPARISONS[symbol](_identity(left), _identity(right)))
    if not (is_number(left) and is_number(right)):
        helps: tuple[str, ...] = ()
        if isinstance(left, str) or isinstance(right, str):
            helps = ("numbers stand without quotes",)
        raise context.error("E0212", f"`{symbol}` compares numbers: these are {describe(left)} and {describe(right)}",
                            span, place, helps=helps)  # fmt: skip
    if symbol == "~":
        return bool(abs(left - right) <= 0.01 * abs(right))
    return _COMPARISONS[symbol](left, right)


def _plain(context: Context, values: Any, span: Span) -> list[Any]:
    """A list whose sizes are numbers: `x.shape == [64, 8, 8]` asks at the defaults, and so fixes them."""

    def plain(value: Any) -> Any:
        if isinstance(value, Size):
            return context.fix(value, "a comparison decides the graph", span)
        return _plain(context, value, span) if isinstance(value, (list, tuple)) else _identity(value)

    return [plain(value) for value in values]


def _identity(value: Any) -> Any:
    """What a value is compared by: a block or operator without arguments is what its name stands for."""
    if isinstance(value, BlockLayer) and value.bound is None:
        return value.declaration
    return value.op if isinstance(value, OpLayer) and value.bound is None else value


def _contains(numbers: range, value: Any) -> bool:
    """`value in numbers`, which Python answers by counting through the range where the value is not an int."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return isinstance(value, int) and value in numbers
