"""The syntax tree. Nodes are slotted, and all carry the span of text they were read from."""

from __future__ import annotations

from typing import Any

from netdsl.diagnostics import Source, Span
from netdsl.record import Record


class Node(Record, frozen=False):
    """A node takes its parts in the order of their declaration."""


class Name(Node):
    span: Span
    name: str


class Literal(Node):
    """A number, a string, true, false or none."""

    span: Span
    value: Any


class ListExpr(Node):
    span: Span
    items: list[Expr]


class TupleExpr(Node):
    span: Span
    items: list[Expr]


class Comprehension(Node):
    span: Span
    item: Expr
    names: list[Name]
    iterable: Expr
    condition: Expr | None


class Keyword(Node):
    span: Span
    name: str
    value: Expr


class Call(Node):
    span: Span
    function: Expr
    arguments: list[Expr]
    keywords: list[Keyword]


class Slice(Node):
    span: Span
    start: Expr | None
    stop: Expr | None
    step: Expr | None


class Index(Node):
    span: Span
    base: Expr
    items: list[Expr | Slice]


class Attribute(Node):
    span: Span
    base: Expr
    name: str


class Optional_(Node):
    """`node[l, s]?`"""

    span: Span
    base: Expr


class Pin(Node):
    """`layer @name`"""

    span: Span
    base: Expr
    name: str


class Chain(Node):
    """Operands joined by operators of one precedence, to be read from the left: `a + b - c`."""

    span: Span
    operands: list[Expr]
    operators: list[str]


class Power(Node):
    span: Span
    base: Expr
    exponent: Expr


class Unary(Node):
    """`-a` or `not a`."""

    span: Span
    operator: str
    operand: Expr


class Comparison(Node):
    """`a < b <= c`: every neighbouring pair holds."""

    span: Span
    operands: list[Expr]
    operators: list[str]


class Boolean(Node):
    """`a and b and c`, `a or b`."""

    span: Span
    operator: str
    operands: list[Expr]


class Conditional(Node):
    """`then if condition else otherwise`"""

    span: Span
    then: Expr
    condition: Expr
    otherwise: Expr


class Pipeline(Node):
    """`a -> b -> c`"""

    span: Span
    stages: list[Expr]


Expr = (
    Name | Literal | ListExpr | TupleExpr | Comprehension | Call | Index | Attribute | Optional_ | Pin | Chain | Power
    | Unary | Comparison | Boolean | Conditional | Pipeline
)  # fmt: skip


class FamilyEntry(Node):
    """An indexed name on the left of `=`: `node[l, s]`."""

    span: Span
    name: str
    keys: list[Expr | Slice]


class Assign(Node):
    span: Span
    targets: list[Name | FamilyEntry]
    value: Expr


class Share(Node):
    span: Span
    name: str
    value: Expr


class For(Node):
    span: Span
    names: list[Name]
    iterable: Expr
    body: list[Statement]


class If(Node):
    span: Span
    branches: list[tuple[Expr, list[Statement]]]
    otherwise: list[Statement]


class Expect(Node):
    span: Span
    condition: Expr


Statement = Assign | Share | For | If | Expect


class Hyperparameter(Node):
    span: Span
    name: str
    default: Expr | None


class Dimension(Node):
    """An expression, or a named size with its default."""

    span: Span
    name: str | None
    value: Expr


class Input(Node):
    span: Span
    name: str
    integer: bool
    dimensions: list[Dimension] | None


class Output(Node):
    span: Span
    name: str
    family: bool


class Function(Node):
    """A `net` or a `block`."""

    span: Span
    kind: str
    name: str
    name_span: Span
    hyperparameters: list[Hyperparameter]
    inputs: list[Input]
    outputs: list[Output]
    body: list[Statement]


class Train(Node):
    span: Span
    net: Name | None
    body: list[Statement]


class Imported(Node):
    """`name` or `name as alias`; the alias is the name where none is given."""

    span: Span
    name: str
    alias: str


class Import(Node):
    """`from std.x import a` (relative false, path `std.x`) or `from "x.net" import a`."""

    span: Span
    path: str
    path_span: Span
    relative: bool
    names: list[Imported]


class File(Node):
    source: Source
    version: int | None
    imports: list[Import]
    functions: list[Function]
    trains: list[Train]
    constants: list[Assign]
