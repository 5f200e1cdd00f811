"""Text to tree, and syntax errors in the user's words."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any, cast

from lark import Token
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError

from netdsl.diagnostics import Diagnostic, Label, Source, SourceError, Span
from netdsl.syntax import tables
from netdsl.syntax.build import TreeBuilder
from netdsl.syntax.tree import Expr, File

#: parentheses and brackets within each other, and braces within each other
MAX_NESTING = 100
#: `not`, signs, `**` and `else` in one expression: each holds all that follows
MAX_CHAIN = 1000
#: characters in a .net file
MAX_CHARACTERS = 1_000_000

_OPENING = {"LPAR": ")", "LSQB": "]", "LBRACE": "}"}
_CLOSING = {"RPAR", "RSQB", "RBRACE"}
_WORDS = {
    "NAME": "a name", "NUMBER": "a number", "STRING": "a string", "_NEWLINE": "a new line", "$END": "the end of the file",
    "ARROW": "`->`", "COLON": "`:`", "COMMA": "`,`", "EQUAL": "`=`", "LPAR": "`(`", "RPAR": "`)`", "LSQB": "`[`",
    "RSQB": "`]`", "LBRACE": "`{`", "RBRACE": "`}`", "DOT": "`.`", "AT": "`@`", "QUESTION": "`?`",
}  # fmt: skip
#: what is said instead of a list of all tokens that can go on an expression
_OPERATORS = frozenset(
    "LESS GREATER LESS_EQUAL GREATER_EQUAL EQUALS NOT_EQUALS TILDE PLUS MINUS STAR SLASH DOUBLE_SLASH PERCENT "
    "DOUBLE_STAR QUESTION AT DOT IN IF OR AND".split()
)
_OPERAND_ENDS = frozenset("NAME NUMBER STRING TRUE FALSE NONE RPAR RSQB QUESTION".split())
_EXPRESSION_STARTS = frozenset("NAME NUMBER STRING TRUE FALSE NONE NOT MINUS LPAR LSQB".split())


class _Newlines:
    """Drops newlines inside ( ) and [ ], and before a line that goes on with `->` or `else`; guards the nesting."""

    always_accept = ("_NEWLINE",)

    def __init__(self, source: Source) -> None:
        self.source = source
        self.open: list[Token] = []
        self.chained = 0

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        pending: Token | None = None
        before = ""
        for token in stream:
            kind = token.type
            self._count_chained(token, before)
            before = kind
            if kind == "_NEWLINE":
                if not self.open or self.open[-1].type == "LBRACE":
                    pending = token
                continue
            if pending is not None:
                if kind != "ARROW" and kind != "ELSE":
                    yield pending
                pending = None
            if kind in _OPENING:
                self._push(token)
            elif kind in _CLOSING and self.open and _OPENING[self.open[-1].type] == token:
                self.open.pop()
            yield token
        if pending is not None:
            yield pending

    def _push(self, token: Token) -> None:
        self.open.append(token)
        if len(self.open) > MAX_NESTING:
            raise self._too_deep(f"brackets are nested more than {MAX_NESTING} deep", token)

    def _count_chained(self, token: Token, before: str) -> None:
        """Count the operators that hold all that follows: by the thousand they nest too deeply, and are no network."""
        kind = token.type
        if kind in ("_NEWLINE", "COMMA"):
            self.chained = 0
        elif (
            kind in ("NOT", "DOUBLE_STAR")
            or (kind == "MINUS" and before not in _OPERAND_ENDS)
            or (kind == "ELSE" and before != "RBRACE")
        ):
            self.chained += 1
            if self.chained > MAX_CHAIN:
                raise self._too_deep(f"more than {MAX_CHAIN:,} of `not`, `-`, `**` and `else` in one expression", token)

    def _too_deep(self, message: str, token: Token) -> SourceError:
        return SourceError(Diagnostic("E0104", message, (Label(_span(self.source, token)),),
                                      helps=("give an inner part a name, and use the name",)))  # fmt: skip


def parse(source: Source) -> File:
    """The tree of a file. Raises SourceError with a diagnostic where the text is not of the language."""
    if len(source.text) > MAX_CHARACTERS:
        raise SourceError(Diagnostic(
            "E0102", f"the file has {len(source.text):,} characters; at most {MAX_CHARACTERS:,} are read",
            path=source.path, helps=("split it, or build the repetition with `for`",),
        ))  # fmt: skip
    return cast(File, _parse(source, "start"))


def parse_expression(source: Source) -> Expr:
    """The tree of one expression, such as the value in `--set name=value`."""
    return cast(Expr, _parse(source, "expression_only"))


def _parse(source: Source, start: str) -> Any:
    newlines = _Newlines(source)
    lark = tables.load(transformer=TreeBuilder(source), postlex=newlines)
    collecting = gc.isenabled()
    gc.disable()  # the tree is all kept: looking for garbage in it costs a quarter of the time
    try:
        return lark.parse(source.text, start=start)
    except VisitError as error:
        raise error.orig_exc from None
    except UnexpectedCharacters as error:
        raise SourceError(_bad_character(source, error)) from None
    except UnexpectedToken as error:
        raise SourceError(_bad_token(source, error, newlines.open)) from None
    except UnexpectedInput as error:  # pragma: no cover - lark has no other kind today
        raise SourceError(Diagnostic("E0101", str(error), path=source.path)) from None
    finally:
        if collecting:
            gc.enable()


def _span(source: Source, token: Token) -> Span:
    start = token.start_pos if token.start_pos is not None else len(source.text)
    end = token.end_pos if token.end_pos is not None else start
    return Span(source, start, max(end, start))


def _bad_character(source: Source, error: UnexpectedCharacters) -> Diagnostic:
    position = error.pos_in_stream or 0
    character = source.text[position]
    line = source.text[position:].split("\n", 1)[0]
    span = Span(source, position, position + 1)
    if character in "\"'":
        return Diagnostic("E0101", "this string is not closed on its line", (Label(span),), helps=(f"add {character}",))
    if character.isdigit():
        number = line.split()[0].rstrip(",)]")
        return Diagnostic("E0101", f"`{number}` is neither a number nor a name", (Label(span),),
                          helps=("numbers take k M G T and _; names start with a letter",))  # fmt: skip
    helps = {";": "write one statement on a line", "!": "write `not` or `!=`", "&": "write `and`", "|": "write `or`",
             "\\": "a line goes on by itself inside brackets and before `->`"}  # fmt: skip
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    return Diagnostic("E0101", f"`{shown}` has no meaning here", (Label(span),),
                      helps=(helps[character],) if character in helps else ())  # fmt: skip


def _bad_token(source: Source, error: UnexpectedToken, still_open: list[Token]) -> Diagnostic:
    token, expected = error.token, set(error.accepts or error.expected)
    if token.type == "$END":
        span = Span(source, len(source.text.rstrip()), len(source.text.rstrip()))
        if still_open:
            mark = _OPENING[still_open[-1].type]
            return Diagnostic("E0101", f"the file ends, and a `{still_open[-1]}` is not closed",
                              (Label(_span(source, still_open[-1]), "opened here"),), helps=(f"add `{mark}`",))  # fmt: skip
        return Diagnostic("E0101", f"the file ends where {_listed(expected)} was expected", (Label(span),))
    span = _span(source, token)
    found = "the end of the line" if token.type == "_NEWLINE" else f"`{token}`"
    if token.type == "_NEWLINE":
        start = len(source.text[: span.start].rstrip())
        span = Span(source, start, start + 1)
    helps: tuple[str, ...] = ()
    if token.type == "NAME" and source.text[: span.start].rstrip().endswith(("from", "import")):
        helps = ("this version reads a file by itself: copy the block that you need into it",)
    elif token.type in _CLOSING and not still_open:
        helps = (f"nothing is open that `{token}` could close",)
    elif token.type == "EQUAL" and "EQUALS" in expected:
        helps = ("a comparison is written `==`",)
    elif token.type in ("NET", "BLOCK", "TRAIN", "FOR", "IN", "IF", "ELSE", "EXPECT", "SHARE") and "NAME" in expected:
        helps = (f"`{token}` is a word of the language: choose another name",)
    elif "RBRACE" in expected and "_NEWLINE" in expected and token.type in _EXPRESSION_STARTS:
        helps = ("write one statement on a line",)
    return Diagnostic("E0101", f"{found} where {_listed(expected)} was expected", (Label(span),), helps=helps)


def _listed(expected: set[str]) -> str:
    """The expected tokens in the user's words."""
    words = []
    if _EXPRESSION_STARTS <= expected:
        words.append("an expression")
        expected = expected - _EXPRESSION_STARTS
    if {"PLUS", "STAR"} <= expected:
        words.append("an operator")
        expected = expected - _OPERATORS
    words += sorted(_WORDS.get(kind, f"`{kind.lower().strip('_')}`") for kind in expected if kind != "COMMENT")
    if not words:
        return "something else"
    if len(words) == 1:
        return words[0]
    return ", ".join(words[:-1]) + " or " + words[-1]
