"""What a statement reads in any case: so that all undefined names in one that failed are told at once."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.syntax import tree as t


def names_read(statement: t.Statement) -> Iterator[t.Name]:
    """The names that a statement reads however its conditions turn out.

    Not those behind `if`, `and`, `or` or a chained comparison, and none within a comprehension, which binds its own.
    """
    stack = _roots(statement)
    while stack:
        node = stack.pop()
        if isinstance(node, t.Name):
            yield node
        else:
            stack += reversed(_parts(node))


def _roots(statement: t.Statement) -> list[t.Expr]:
    if isinstance(statement, (t.Assign, t.Share)):
        return [statement.value]
    if isinstance(statement, t.For):
        return [statement.iterable]
    return [statement.branches[0][0]] if isinstance(statement, t.If) else []


def _parts(node: t.Expr) -> list[t.Expr]:
    match node:
        case t.Conditional():
            return [node.condition]
        case t.Boolean():
            return node.operands[:1]
        case t.Comparison():
            return node.operands[:2]
        case t.Comprehension():
            return [node.iterable]
        case t.Call():
            # the axis may be a word of its own
            return [node.function, *node.arguments, *(k.value for k in node.keywords if k.name != "axis")]
        case t.Index():
            return [node.base, *(item for item in node.items if not isinstance(item, t.Slice))]
        case t.Attribute() | t.Pin():
            return [node.base]
        case t.Chain():
            return node.operands
        case t.Power():
            return [node.base, node.exponent]
        case t.Unary():
            return [node.operand]
        case t.Pipeline():
            return node.stages
        case t.ListExpr() | t.TupleExpr():
            return node.items
    return []
