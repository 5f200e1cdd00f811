"""The syntax tree. Nodes are slotted, and all carry the span of text they were read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Union

from netdsl.diagnostics import Source, Span


@dataclass(slots=True)
class Name:
    span: Span
    name: str


@dataclass(slots=True)
class Literal:
    """A number, a string, true, false or none."""

    span: Span
    value: Any


@dataclass(slots=True)
class ListExpr:
    span: Span
    items: list[Expr]


@dataclass(slots=True)
class TupleExpr:
    span: Span
    items: list[Expr]


@dataclass(slots=True)
class Comprehension:
    span: Span
    item: Expr
    names: list[Name]
    iterable: Expr
    condition: Expr | None


@dataclass(slots=True)
class Keyword:
    span: Span
    name: str
    value: Expr


@dataclass(slots=True)
class Call:
    span: Span
    function: Expr
    arguments: list[Expr]
    keywords: list[Keyword]


@dataclass(slots=True)
class Slice:
    span: Span
    start: Expr | None
    stop: Expr | None
    step: Expr | None


@dataclass(slots=True)
class Index:
    span: Span
    base: Expr
    items: list[Expr | Slice]


@dataclass(slots=True)
class Attribute:
    span: Span
    base: Expr
    name: str


@dataclass(slots=True)
class Optional_:
    """`node[l, s]?`"""

    span: Span
    base: Expr


@dataclass(slots=True)
class Pin:
    """`layer @name`"""

    span: Span
    base: Expr
    name: str


@dataclass(slots=True)
class Chain:
    """Operands joined by operators of one precedence, to be read from the left: `a + b - c`."""

    span: Span
    operands: list[Expr]
    operators: list[str]


@dataclass(slots=True)
class Power:
    span: Span
    base: Expr
    exponent: Expr


@dataclass(slots=True)
class Unary:
    """`-a` or `not a`."""

    span: Span
    operator: str
    operand: Expr


@dataclass(slots=True)
class Comparison:
    """`a < b <= c`: every neighbouring pair holds."""

    span: Span
    operands: list[Expr]
    operators: list[str]


@dataclass(slots=True)
class Boolean:
    """`a and b and c`, `a or b`."""

    span: Span
    operator: str
    operands: list[Expr]


@dataclass(slots=True)
class Conditional:
    """`then if condition else otherwise`"""

    span: Span
    then: Expr
    condition: Expr
    otherwise: Expr


@dataclass(slots=True)
class Pipeline:
    """`a -> b -> c`"""

    span: Span
    stages: list[Expr]


Expr = Union[
    Name, Literal, ListExpr, TupleExpr, Comprehension, Call, Index, Attribute, Optional_, Pin, Chain, Power, Unary,
    Comparison, Boolean, Conditional, Pipeline,
]  # fmt: skip


@dataclass(slots=True)
class FamilyEntry:
    """An indexed name on the left of `=`: `node[l, s]`."""

    span: Span
    name: str
    keys: list[Expr | Slice]


@dataclass(slots=True)
class Assign:
    span: Span
    targets: list[Name | FamilyEntry]
    value: Expr


@dataclass(slots=True)
class Share:
    span: Span
    name: str
    value: Expr


@dataclass(slots=True)
class For:
    span: Span
    names: list[Name]
    iterable: Expr
    body: list[Statement]


@dataclass(slots=True)
class If:
    span: Span
    branches: list[tuple[Expr, list[Statement]]]
    otherwise: list[Statement]


@dataclass(slots=True)
class Expect:
    span: Span
    condition: Expr


Statement = Union[Assign, Share, For, If, Expect]


@dataclass(slots=True)
class Hyperparameter:
    span: Span
    name: str
    default: Expr | None


@dataclass(slots=True)
class Dimension:
    """An expression, or a named size with its default."""

    span: Span
    name: str | None
    value: Expr


@dataclass(slots=True)
class Input:
    span: Span
    name: str
    integer: bool
    dimensions: list[Dimension] | None


@dataclass(slots=True)
class Output:
    span: Span
    name: str
    family: bool


@dataclass(slots=True)
class Function:
    """A `net` or a `block`."""

    span: Span
    kind: str
    name: str
    name_span: Span
    hyperparameters: list[Hyperparameter]
    inputs: list[Input]
    outputs: list[Output]
    body: list[Statement]


@dataclass(slots=True)
class Train:
    span: Span
    net: Name | None
    body: list[Statement]


@dataclass(slots=True)
class File:
    source: Source
    functions: list[Function]
    trains: list[Train]
    constants: list[Assign]
