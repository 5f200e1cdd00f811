"""From reductions to the syntax tree: one method per grammar rule, called while parsing."""

from __future__ import annotations

from itertools import pairwise
from math import isinf
from typing import Any

from netdsl.diagnostics import Diagnostic, Label, Source, SourceError, Span
from netdsl.syntax import tree as t
from netdsl.syntax.lalr import Token

_SUFFIX = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_LONGEST_NUMBER = 100
_MARKS = frozenset(
    [
        "_NEWLINE",
        "COMMA",
        "LPAR",
        "RPAR",
        "LSQB",
        "RSQB",
        "LBRACE",
        "RBRACE",
        "ARROW",
        "EQUAL",
        "COLON",
        "DOT",
        "AT",
        "QUESTION",
        "FOR",
        "IN",
        "IF",
        "ELSE",
        "NET",
        "BLOCK",
        "TRAIN",
        "SHARE",
        "EXPECT",
        "OR",
        "AND",
        "NOT",
    ]
)


class TreeBuilder:
    """Builds the tree of its `source`. Children hold every token, so that spans come from the first and the last."""

    source: Source

    def _span(self, children: list[Any]) -> Span:
        first, last = children[0], children[-1]
        start = first.start_pos if type(first) is Token else first.span.start
        end = last.end_pos if type(last) is Token else last.span.end
        return Span(self.source, start, end)

    def _token(self, token: Token) -> Span:
        return Span(self.source, token.start_pos, token.end_pos)

    # declarations

    def start(self, children: list[Any]) -> t.File:
        def of(kind: type) -> list[Any]:
            return [c for c in children if type(c) is kind]

        version = next((c.number for c in children if type(c) is _Version), None)
        return t.File(self.source, version, of(t.Import), of(t.Function), of(t.Train), of(t.Assign))

    def expression_only(self, children: list[Any]) -> Any:
        return _nodes(children)[0]

    def version(self, children: list[Any]) -> _Version:
        # that it is a version was seen before parsing, but where a wrong line before it is left out this is the first
        number = str(children[1])
        return _Version(int(number) if number.isdecimal() and len(number) < 10 else 0)

    def import_(self, children: list[Any]) -> t.Import:
        origin = children[1]
        relative = type(origin) is Token
        path, span = (str(origin)[1:-1], self._token(origin)) if relative else (origin.path, origin.span)
        names = [c for c in children if type(c) is t.Imported]
        return t.Import(self._span(children), path, span, relative, names)

    def module(self, children: list[Any]) -> _Module:
        return _Module(self._span(children), ".".join(map(str, children[::2])))

    def imported(self, children: list[Any]) -> t.Imported:
        return t.Imported(self._span(children), str(children[0]), str(children[-1]))

    def function(self, children: list[Any]) -> t.Function:
        kind, name = children[0], children[1]
        groups = {type(c[0]) if c else None: c for c in children if type(c) is list}
        body = children[-1]
        return t.Function(self._span([kind, body]), str(kind), str(name), self._token(name),
                          groups.get(t.Hyperparameter, []), groups.get(t.Input, []), groups[t.Output],
                          body.statements)  # fmt: skip

    def hyperparameters(self, children: list[Any]) -> list[t.Hyperparameter]:
        return [c for c in children if type(c) is t.Hyperparameter]

    def hyperparameter(self, children: list[Any]) -> t.Hyperparameter:
        return t.Hyperparameter(self._span(children), str(children[0]), children[2] if len(children) > 1 else None)

    def inputs(self, children: list[Any]) -> list[t.Input]:
        return [c for c in children if type(c) is t.Input]

    def input(self, children: list[Any]) -> t.Input:
        integer = children[0].type == "INT"
        name = children[1] if integer else children[0]
        bracketed = type(children[-1]) is Token and children[-1].type == "RSQB"
        dimensions = [c for c in children if type(c) is t.Dimension] if bracketed else None
        return t.Input(self._span(children), str(name), integer, dimensions)

    def dimension(self, children: list[Any]) -> t.Dimension:
        return t.Dimension(children[0].span, None, children[0])

    def named_dimension(self, children: list[Any]) -> t.Dimension:
        return t.Dimension(self._span(children), str(children[0]), children[2])

    def outputs(self, children: list[Any]) -> list[t.Output]:
        return [c for c in children if type(c) is t.Output]

    def output(self, children: list[Any]) -> t.Output:
        return t.Output(self._span(children), str(children[0]), len(children) > 1)

    def train(self, children: list[Any]) -> t.Train:
        net = t.Name(self._token(children[1]), str(children[1])) if len(children) == 3 else None
        return t.Train(self._span(children), net, children[-1].statements)

    # statements

    def body(self, children: list[Any]) -> _Body:
        return _Body(self._span(children), _nodes(children))

    def assign(self, children: list[Any]) -> t.Assign:
        targets = [c for c in children[:-2] if type(c) is not Token]
        return t.Assign(self._span(children), targets, children[-1])

    def family_entry(self, children: list[Any]) -> t.FamilyEntry:
        return t.FamilyEntry(self._span(children), str(children[0]), _nodes(children[2:]))

    def bare_tuple(self, children: list[Any]) -> t.TupleExpr:
        return t.TupleExpr(self._span(children), _nodes(children))

    def share(self, children: list[Any]) -> t.Share:
        return t.Share(self._span(children), str(children[1]), children[3])

    def for_(self, children: list[Any]) -> t.For:
        _, names, _, iterable, body = children
        return t.For(self._span(children), names, iterable, body.statements)

    def for_names(self, children: list[Any]) -> list[t.Name]:
        return [t.Name(self._token(c), str(c)) for c in children if c.type == "NAME"]

    def if_(self, children: list[Any]) -> t.If:
        parts = _nodes(children)
        pairs = [(parts[i], parts[i + 1].statements) for i in range(0, len(parts) - 1, 2)]
        otherwise = parts[-1].statements if len(parts) % 2 else []
        return t.If(self._span(children), pairs, otherwise)

    def expect(self, children: list[Any]) -> t.Expect:
        return t.Expect(self._span(children), children[1])

    # expressions

    def conditional(self, children: list[Any]) -> t.Conditional:
        then, _, condition, _, otherwise = children
        return t.Conditional(self._span(children), then, condition, otherwise)

    def pipeline(self, children: list[Any]) -> t.Pipeline:
        return t.Pipeline(self._span(children), _nodes(children))

    def or_(self, children: list[Any]) -> t.Boolean:
        return t.Boolean(self._span(children), "or", _nodes(children))

    def and_(self, children: list[Any]) -> t.Boolean:
        return t.Boolean(self._span(children), "and", _nodes(children))

    def not_(self, children: list[Any]) -> t.Unary:
        return t.Unary(self._span(children), "not", children[1])

    def comparison(self, children: list[Any]) -> t.Comparison:
        return t.Comparison(self._span(children), children[::2], [str(c) for c in children[1::2]])

    def _chain(self, children: list[Any]) -> t.Chain:
        return t.Chain(self._span(children), children[::2], [str(c) for c in children[1::2]])

    sum = product = _chain

    def negative(self, children: list[Any]) -> t.Unary:
        return t.Unary(self._span(children), "-", children[1])

    def power(self, children: list[Any]) -> t.Power:
        return t.Power(self._span(children), children[0], children[2])

    def call(self, children: list[Any]) -> t.Call:
        arguments = _nodes(children[1:])
        keywords = [a for a in arguments if type(a) is t.Keyword]
        for before, after in pairwise(arguments):
            if type(before) is t.Keyword and type(after) is not t.Keyword:
                raise SourceError(Diagnostic("E0101", "a positional argument follows a named one",
                                             (Label(after.span, "give it a name, or move it to the front"),)))  # fmt: skip
        return t.Call(self._span(children), children[0], [a for a in arguments if type(a) is not t.Keyword], keywords)

    def keyword(self, children: list[Any]) -> t.Keyword:
        return t.Keyword(self._span(children), str(children[0]), children[2])

    def index(self, children: list[Any]) -> t.Index:
        return t.Index(self._span(children), children[0], _nodes(children[1:]))

    def slice(self, children: list[Any]) -> t.Slice:
        bounds = [c for c in children if type(c) is _Bound]
        known = [c.value for c in bounds] + [None]
        tokens = [c for c in children if type(c) is Token] + [c.value for c in bounds if c.value is not None]
        starts = [self._span([x]) for x in tokens]
        span = Span(self.source, min(s.start for s in starts), max(s.end for s in starts))
        return t.Slice(span, known[0], known[1], known[2])

    def slice_bound(self, children: list[Any]) -> _Bound:
        return _Bound(children[0] if children else None)

    def attribute(self, children: list[Any]) -> t.Attribute:
        return t.Attribute(self._span(children), children[0], str(children[2]))

    def optional(self, children: list[Any]) -> t.Optional_:
        return t.Optional_(self._span(children), children[0])

    def pin(self, children: list[Any]) -> t.Pin:
        return t.Pin(self._span(children), children[0], str(children[2]))

    def name(self, children: list[Any]) -> t.Name:
        return t.Name(self._token(children[0]), str(children[0]))

    def number(self, children: list[Any]) -> t.Literal:
        span, text = self._token(children[0]), str(children[0]).replace("_", "")
        if len(text) > _LONGEST_NUMBER:
            raise SourceError(Diagnostic("E0101", f"a number of {len(text)} characters; at most {_LONGEST_NUMBER} are "
                                         "read", (Label(span),)))  # fmt: skip
        factor = _SUFFIX.get(text[-1], 1)
        digits = text[:-1] if factor != 1 else text
        if digits.isdigit():
            return t.Literal(span, int(digits) * factor)
        value = float(digits) * factor
        if isinf(value):
            raise SourceError(Diagnostic("E0101", "the number is too large", (Label(span),)))
        return t.Literal(span, int(value) if factor != 1 and value.is_integer() else value)

    def string(self, children: list[Any]) -> t.Literal:
        return t.Literal(self._token(children[0]), str(children[0])[1:-1])

    def true(self, children: list[Any]) -> t.Literal:
        return t.Literal(self._token(children[0]), True)

    def false(self, children: list[Any]) -> t.Literal:
        return t.Literal(self._token(children[0]), False)

    def none(self, children: list[Any]) -> t.Literal:
        return t.Literal(self._token(children[0]), None)

    def list_(self, children: list[Any]) -> t.ListExpr:
        return t.ListExpr(self._span(children), _nodes(children))

    def comprehension(self, children: list[Any]) -> t.Comprehension:
        _, item, _, names, _, iterable, *rest = children
        return t.Comprehension(self._span(children), item, names, iterable, rest[1] if len(rest) > 1 else None)

    def parenthesised(self, children: list[Any]) -> Any:
        children[1].span = self._span(children)  # so that what is underlined has both of its parentheses
        return children[1]

    def tuple_(self, children: list[Any]) -> t.TupleExpr:
        return t.TupleExpr(self._span(children), _nodes(children))


class _Body:
    """Statements between braces, with the braces' span."""

    __slots__ = ("span", "statements")

    def __init__(self, span: Span, statements: list[t.Statement]) -> None:
        self.span, self.statements = span, statements


class _Version:
    """The number in `syntax 1`."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class _Module:
    """The dotted path behind `from`."""

    __slots__ = ("path", "span")

    def __init__(self, span: Span, path: str) -> None:
        self.span, self.path = span, path


class _Bound:
    """One bound of a slice, perhaps absent."""

    __slots__ = ("value",)

    def __init__(self, value: t.Expr | None) -> None:
        self.value = value


def _nodes(children: list[Any]) -> list[Any]:
    """The children that are not punctuation."""
    return [c for c in children if type(c) is not Token or c.type not in _MARKS]
