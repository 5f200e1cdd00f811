"""The names that every file knows: operators, functions on numbers, initialisations."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeGuard

from netdsl.diagnostics import Span
from netdsl.elaborate.values import Builtin, InitFunction, OpLayer
from netdsl.ir import Init
from netdsl.ops import INITIALIZERS, OPERATORS
from netdsl.ops.functions import FUNCTIONS
from netdsl.syntax import tree as t

#: names of axes, which only the argument `axis` reads
AXES = ("channel", "depth", "height", "width")


def is_axis(node: t.Node) -> TypeGuard[t.Name]:
    """Whether this is the name of an axis."""
    return isinstance(node, t.Name) and node.name in AXES


def axis_parts(node: t.Expr) -> list[t.Expr]:
    """The expressions in what is given for `axis`, one or a list, besides the names of axes."""
    return [item for item in (node.items if isinstance(node, t.ListExpr) else [node]) if not is_axis(item)]


@cache
def reserved() -> frozenset[str]:
    """The names that a file cannot bind."""
    return frozenset(name for name, op in OPERATORS.items() if op.reserved) | frozenset(FUNCTIONS)


@cache
def signs() -> dict[str, str]:
    """The operators that have a sign and no name in a file, and how they are written."""
    return {name: op.written for name, op in OPERATORS.items() if op.symbol is not None}


@cache
def globals_() -> tuple[str, ...]:
    """All names known without being bound, for did-you-mean."""
    return (*(name for name in OPERATORS if name not in signs()), *FUNCTIONS, *INITIALIZERS, "true", "false", "none")


def lookup_global(name: str, span: Span) -> Any:
    """What a name that the file does not bind means, or None."""
    operator = OPERATORS.get(name)
    if operator is not None and name not in signs():
        return OpLayer(operator, span)
    if name in FUNCTIONS:
        return Builtin(name)
    initializer = INITIALIZERS.get(name)
    if initializer is not None:
        return InitFunction(name, initializer.arguments) if initializer.arguments else Init(name)
    return None
