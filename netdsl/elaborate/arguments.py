"""Binding arguments to what an operator, an initialisation or a part of a train block declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from netdsl.diagnostics import Span, did_you_mean
from netdsl.elaborate.context import Context
from netdsl.elaborate.values import Place, describe
from netdsl.ir import Init, Size
from netdsl.ops import REQUIRED, Argument
from netdsl.ops.arguments import MOST_COUNT

#: a value and where it is written
Placed = tuple[Any, Span]


def bind(
    context: Context, name: str, arguments: Sequence[Argument], positional: Sequence[Placed], named: Mapping[str, Placed],
    span: Span, place: Place | None,
) -> tuple[dict[str, Any], dict[str, Span]]:  # fmt: skip
    """The checked values by name, defaults included; and where those that were given are written."""
    known = [argument.name for argument in arguments]

    def fail(code: str, message: str, where: Span, *helps: str) -> NoReturn:
        raise context.error(code, message, where, place, notes=(signature(name, arguments),), helps=helps)

    if len(positional) > len(known):
        fail("E0203", f"`{name}` takes {_count(len(known))}, and {len(positional)} are given", positional[len(known)][1])
    for given, (_, where) in named.items():
        if given not in known:
            fail("E0203", f"`{name}` has no argument `{given}`", where, *did_you_mean(given, known))
    values: dict[str, Any] = {}
    spans: dict[str, Span] = {}
    for index, argument in enumerate(arguments):
        if index < len(positional):
            if argument.name in named:
                fail("E0203", f"`{argument.name}` is given twice", named[argument.name][1])
            value, where = positional[index]
        elif argument.name in named:
            value, where = named[argument.name]
        elif argument.default is REQUIRED:
            doc = f" ({argument.doc})" if argument.doc else ""
            fail("E0204", f"`{name}` needs its argument `{argument.name}`{doc}", span)
        else:
            values[argument.name] = argument.default
            continue
        spans[argument.name] = where
        values[argument.name] = checked(context, argument, value, where, place)
    return values, spans


def checked(context: Context, argument: Argument, value: Any, span: Span, place: Place | None) -> Any:
    """The value as the argument's kind takes it; a symbolic size is fixed."""
    if argument.kind.accepts(value):
        return value
    if isinstance(value, Size):
        value = context.fix(value, f"`{argument.name}` is a number", span)
    elif isinstance(value, (list, tuple, range)):
        context.foresee(span, place, len(value))
        why = f"`{argument.name}` lists numbers"
        value = [context.fix(v, why, span) if isinstance(v, Size) else v for v in value]
    try:
        return argument.kind.check(value)
    except ValueError as expectation:
        wanted = str(expectation)
        if isinstance(value, int) and abs(value) >= MOST_COUNT:
            wanted += f", below {MOST_COUNT:,}"
        helps = ("`//` divides to a whole number",) if isinstance(value, float) and "whole" in wanted else ()
        raise context.error("E0205", f"`{argument.name}` must be {wanted}, and is {describe(value)}", span, place,
                            helps=helps) from None  # fmt: skip


def _count(number: int) -> str:
    return "no arguments" if number == 0 else "one argument" if number == 1 else f"{number} arguments"


def signature(name: str, arguments: Sequence[Argument]) -> str:
    """`conv(channels, kernel, stride = 1, ...)`."""
    parts = [a.name if a.default is REQUIRED else f"{a.name} = {literal(a.default)}" for a in arguments]
    return f"{name}({', '.join(parts)})"


def literal(value: Any) -> str:
    """A default as it is written in a file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "none"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Init):
        return value.kind + (f"({', '.join(map(literal, value.arguments))})" if value.arguments else "")
    return str(value)
