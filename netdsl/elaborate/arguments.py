"""Binding arguments to what an operator, an initialisation, a block or a part of a train block declares."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from netdsl.diagnostics import Diagnostic, Label, SourceError, Span, counted, did_you_mean
from netdsl.elaborate.context import Context, LimitReached
from netdsl.elaborate.habits import meant_argument
from netdsl.elaborate.values import Place, describe, shown
from netdsl.ir import Init, Size
from netdsl.ops import REQUIRED, Argument
from netdsl.ops.arguments import AXIS, MOST_COUNT, is_int
from netdsl.syntax import tree as t

#: a value and where it is written
Placed = tuple[Any, Span]


class Parameter(NamedTuple):
    """One thing that a signature declares: whether a call must give it, what it is, and where it is declared."""

    name: str
    needed: bool
    doc: str = ""
    span: Span | None = None


class Signature(NamedTuple):
    """What a call may give: of an operator, the arguments, of a block, the hyperparameters."""

    name: str
    noun: str
    parameters: tuple[Parameter, ...]
    text: str

    def misfits(
        self, context: Context, positional: Sequence[Placed], named: Mapping[str, Placed], span: Span, place: Place | None
    ) -> list[Diagnostic]:  # fmt: skip
        """What is wrong with a call whatever the values: arguments that are too many, unknown, given twice, missing."""
        names = [parameter.name for parameter in self.parameters]
        found: list[Diagnostic] = []

        def wrong(code: str, message: str, where: Span, *helps: str, also: tuple[Label, ...] = ()) -> None:
            notes = (self.text,) if not found else ()  # once for each call
            found.extend(context.error(code, message, where, place, also=also, notes=notes, helps=helps).diagnostics)

        if len(positional) > len(names):
            wrong("E0203", f"`{self.name}` takes {counted(len(names), self.noun)}, and {len(positional)} are given",
                  positional[len(names)][1], _without(positional[len(names)][1]))  # fmt: skip
        unknown = [name for name in named if name not in names]
        for name in unknown:
            wrong("E0203", f"`{self.name}` has no {self.noun} `{name}`", named[name][1], *meant_argument(name, names))
        for name in names[: len(positional)]:
            if name in named:
                wrong("E0203", f"`{name}` is given twice", named[name][1], "remove one")
        missing = [p for p in self.parameters[len(positional) :] if p.needed and p.name not in named]
        if missing and not unknown:  # an unknown one is likely a missing one, misspelt
            listed = " and ".join(f"`{p.name}`" + (f" ({p.doc})" if p.doc else "") for p in missing)
            plural = "s" if len(missing) > 1 else ""
            wrong("E0204", f"`{self.name}` needs its {self.noun}{plural} {listed}", span,
                  *(f"add `{p.name} = ...`" for p in missing),
                  also=tuple(Label(p.span, "declared here, without a default") for p in missing if p.span))  # fmt: skip
        return found


def fit(arguments: Sequence[Argument], positional: Sequence[Placed], named: Mapping[str, Placed]) -> bool:
    """Whether a call gives what is declared, whatever the values: quicker than what would be wrong with it."""
    count, used = len(positional), 0
    for index, argument in enumerate(arguments):
        if argument.name in named:
            if index < count:
                return False
            used += 1
        elif index >= count and argument.default is REQUIRED:
            return False
    return count <= len(arguments) and used == len(named)


def signature_of(name: str, arguments: Sequence[Argument]) -> Signature:
    """The signature of an operator and its like."""
    parameters = tuple(Parameter(a.name, a.default is REQUIRED, a.doc) for a in arguments)
    return Signature(name, "argument", parameters, signature(name, arguments))


def signature_of_block(function: t.Function) -> Signature:
    """The signature of a block or net."""
    parameters = tuple(Parameter(h.name, h.default is None, "", h.span) for h in function.hyperparameters)
    listed = ", ".join(" ".join(h.span.text.split()) for h in function.hyperparameters)
    return Signature(function.name, "hyperparameter", parameters, f"{function.name}({listed})")


def bind(
    context: Context, name: str, arguments: Sequence[Argument], positional: Sequence[Placed], named: Mapping[str, Placed],
    span: Span, place: Place | None,
) -> tuple[dict[str, Any], dict[str, Span]]:  # fmt: skip
    """The checked values by name, defaults included; and where those that were given are written.

    Raises SourceError with everything that is wrong with them.
    """
    wrong: list[Diagnostic] = []
    if not fit(arguments, positional, named):
        wrong = signature_of(name, arguments).misfits(context, positional, named, span, place)
    values: dict[str, Any] = {}
    spans: dict[str, Span] = {}
    for index, argument in enumerate(arguments):
        given = positional[index] if index < len(positional) else named.get(argument.name)
        if given is None:
            values[argument.name] = argument.default
            continue
        value, spans[argument.name] = given
        try:
            values[argument.name] = checked(context, argument, value, spans[argument.name], place)
        except LimitReached:
            raise
        except SourceError as error:
            wrong += error.diagnostics
    if wrong:
        raise SourceError(*wrong)
    return values, spans


def checked(context: Context, argument: Argument, value: Any, span: Span, place: Place | None) -> Any:
    """The value as the argument's kind takes it; a symbolic size is fixed."""
    if isinstance(value, (list, tuple, range)):
        context.step(span, place, _items(value))
    if argument.kind.accepts(value):
        return value
    if isinstance(value, Size):
        value = context.fix(value, f"`{argument.name}` is a number", span)
    elif isinstance(value, (list, tuple, range)):
        why = f"`{argument.name}` lists numbers"
        value = [context.fix(v, why, span) if isinstance(v, Size) else v for v in value]
    try:
        return argument.kind.check(value)
    except ValueError as expectation:
        wanted = str(expectation)
        if isinstance(value, int) and abs(value) >= MOST_COUNT:
            wanted += f", below {MOST_COUNT:,}"
        helps = _decimal_comma(span, "0")  # more than 0 is likely an argument by itself: `conv(64,0)`
        if isinstance(value, float) and "whole" in wanted:
            helps = ("`//` divides to a whole number",)
        elif isinstance(value, str):
            words = re.findall(r'"(\w+)"', wanted)
            helps = did_you_mean(value, words) or (("numbers stand without quotes",) if "number" in wanted else ())
            if value.casefold() == "valid" and "same" in words:
                helps = ("a valid convolution, or pool, has `pad = 0`",)
        elif is_int(value) and argument.kind.accepts([value]):
            helps = (f"it stands in brackets: `[{value}]`",)
        raise context.error("E0205", f"`{argument.name}` must be {wanted}, and is {describe(value)}", span, place,
                            notes=_wrong_items(argument, value), helps=helps) from None  # fmt: skip


def _items(values: list[Any] | tuple[Any, ...] | range) -> int:
    """How many items there are, with those of all lists within."""
    if isinstance(values, range):
        return len(values)
    return len(values) + sum(_items(value) for value in values if isinstance(value, (list, tuple)))


def _without(span: Span) -> str:
    """The way out where an argument is one too many."""
    return next(iter(_decimal_comma(span)), f"remove `{' '.join(span.text.split())[:40]}`")


def _decimal_comma(span: Span, whole: str = r"\d+") -> tuple[str, ...]:
    """Help where an argument may be what follows a decimal comma, `0,5`; else none. `whole`: what may stand before it."""
    before = re.search(rf"\b({whole}),$", span.source.text[max(0, span.start - 20) : span.start])
    if before and span.text.isdecimal():
        return (f"decimals stand behind a point: `{before[1]}.{span.text}`",)
    return ()


def _wrong_items(argument: Argument, value: Any) -> tuple[str, ...]:
    """Which item of a list is not as the argument wants it: the first that would be wrong on its own."""
    for index, item in enumerate(value if isinstance(value, list) and "list" in argument.kind.wants else ()):
        if not argument.kind.accepts([item]):
            return (f"item {index} of it, counted from 0, is {shown(item)}",)
    return ()


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
        return value if AXIS.accepts(value) else f'"{value}"'
    if isinstance(value, Init):
        return value.kind + (f"({', '.join(map(literal, value.arguments))})" if value.arguments else "")
    return str(value)
