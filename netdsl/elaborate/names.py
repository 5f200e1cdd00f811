"""The names that every file knows: operators, functions on numbers, initialisations."""

from __future__ import annotations

from functools import cache
from typing import Any

from netdsl.diagnostics import Span
from netdsl.elaborate.values import Builtin, InitFunction, OpLayer
from netdsl.ir import Init
from netdsl.ops import INITIALIZERS, OPERATORS
from netdsl.ops.functions import FUNCTIONS

#: names of axes, which only the argument `axis` reads
AXES = ("channel", "depth", "height", "width")


@cache
def reserved() -> frozenset[str]:
    """The names that a file cannot bind."""
    return frozenset(OPERATORS) | frozenset(FUNCTIONS)


@cache
def globals_() -> tuple[str, ...]:
    """All names known without being bound, for did-you-mean."""
    usable = [name for name, op in OPERATORS.items() if getattr(op, "symbol", None) is None]
    return (*usable, *FUNCTIONS, *INITIALIZERS)


def lookup_global(name: str, span: Span) -> Any:
    """What a name that the file does not bind means, or None."""
    operator = OPERATORS.get(name)
    if operator is not None and getattr(operator, "symbol", None) is None:
        return OpLayer(operator, span)
    if name in FUNCTIONS:
        return Builtin(name)
    initializer = INITIALIZERS.get(name)
    if initializer is not None:
        return InitFunction(name, initializer.arguments) if initializer.arguments else Init(name)
    return None
