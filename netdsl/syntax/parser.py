"""Text to tree, and syntax errors in the user's words."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from functools import cache
from threading import Lock
from typing import Any, cast

from netdsl.diagnostics import Diagnostic, Label, Source, SourceError, Span
from netdsl.syntax import tables
from netdsl.syntax.build import TreeBuilder
from netdsl.syntax.errors import CLOSING, OPENING, bad_character, bad_token, span_of
from netdsl.syntax.lalr import Parser, Token, UnexpectedCharacter, UnexpectedToken
from netdsl.syntax.recovery import unopened, without_statement
from netdsl.syntax.tree import Expr, File

#: parentheses and brackets within each other, and braces within each other
MAX_NESTING = 100
#: `not`, signs, `**` and `else` in one expression: each holds all that follows
MAX_CHAIN = 1000
#: how often a file is read to look for one more syntax error, and characters of a file in which it is done
_MOST_READINGS, _LONGEST_AGAIN = 20, 50_000
#: characters in a .net file
MAX_CHARACTERS = 1_000_000
#: the newest version of the language, which a file without `syntax N` is of
VERSION = 1

#: `syntax N`, behind blank lines and comments
_VERSION_LINE = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\r?\n)*[ \t]*syntax[ \t]+(\d[^\s#]*)")
_COUNTED = frozenset(["_NEWLINE", "COMMA", "NOT", "DOUBLE_STAR", "MINUS", "ELSE"])
_OPERAND_ENDS = frozenset(["NAME", "NUMBER", "STRING", "TRUE", "FALSE", "NONE", "RPAR", "RSQB", "QUESTION"])


class _Newlines:
    """Drops newlines inside ( ) and [ ], and before a line that goes on with `->` or `else`; guards the nesting."""

    def __init__(self) -> None:
        self.start(Source("", ""))

    def start(self, source: Source) -> None:
        self.source = source
        self.open: list[Token] = []
        self.chained = 0

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        pending: Token | None = None
        before = ""
        for token in stream:
            kind = token.type
            if kind in _COUNTED:
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
            if kind in OPENING:
                self._push(token)
            yield token
            if kind in CLOSING and self.open and OPENING[self.open[-1].type] == token:
                self.open.pop()  # after the parser has taken it: a message about it says what it would close

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
        return SourceError(Diagnostic("E0104", message, (Label(span_of(self.source, token)),),
                                      helps=("give an inner part a name, and use the name",)))  # fmt: skip


def parse(source: Source) -> File:
    """The tree of a file. Raises SourceError with a diagnostic where the text is not of the language."""
    if len(source.text) > MAX_CHARACTERS:
        raise SourceError(Diagnostic(
            "E0102", f"the file has {len(source.text):,} characters; at most {MAX_CHARACTERS:,} are read",
            path=source.path, helps=("split it, or build the repetition with `for`",),
        ))  # fmt: skip
    _check_version(source)
    return cast(File, _parse(source, "start"))


def _check_version(source: Source) -> None:
    """Before all else: a file of a newer version may have errors that are none."""
    found = _VERSION_LINE.match(source.text)
    if found is None or found[1] in map(str, range(1, VERSION + 1)):
        return
    span = Span(source, found.start(1), found.end(1))
    if found[1].isdecimal() and int(found[1][:9]) > VERSION:
        message = f"the file is of version {found[1][:9]} of the language, and this netdsl knows versions up to {VERSION}"
        helps: tuple[str, ...] = ("install a newer netdsl",)
    else:
        message = f"`{found[1][:40]}` is no version of the language: versions are whole numbers from 1"
        helps = (f"write `syntax {VERSION}`",)
    raise SourceError(Diagnostic("E0108", message, (Label(span),), helps=helps))


def parse_expression(source: Source) -> Expr:
    """The tree of one expression, such as the value in `--set name=value`."""
    return cast(Expr, _parse(source, "expression_only"))


def _parse(source: Source, start: str) -> Any:
    """The tree; or a SourceError with every syntax error that is found by leaving out the statement before it."""
    diagnostics: list[Diagnostic] = []
    text: str | None = source.text
    readings = 0
    while text is not None:
        readings += 1
        still_open: list[Token] = []
        expected: set[str] = set()
        try:
            tree = _parser().parse(source, text, start, still_open)
        except UnexpectedCharacter as error:
            diagnostics.append(bad_character(source, error.position))
            position = error.position
        except UnexpectedToken as error:
            # where a body was closed too early, by what has been told of, the rest of it stands outside
            if not (diagnostics and "NET" in error.expected and unopened(text)):
                diagnostics.append(bad_token(source, error.token, error.expected, still_open))
            position, expected = error.token.start_pos, error.expected
        except SourceError as error:
            raise SourceError(*diagnostics, *error.diagnostics) from None
        else:
            if diagnostics:
                break
            return tree
        again = position < len(text) <= _LONGEST_AGAIN and readings < _MOST_READINGS
        text = without_statement(text, position, still_open, expected) if again else None
    raise SourceError(*diagnostics)


class _Parser:
    """The parser with what is called while it runs: made once, since compiling its pattern takes 2 ms."""

    def __init__(self) -> None:
        self.builder, self.newlines, self.free = TreeBuilder(), _Newlines(), Lock()
        self.parser = Parser(tables.load(), self.builder)

    def parse(self, source: Source, text: str, start: str, still_open: list[Token]) -> Any:
        """The tree of a text, with spans of the source. Brackets that are open at an error go to `still_open`."""
        with self.free:
            self.builder.source = source
            self.newlines.start(source)
            collecting = gc.isenabled()
            gc.disable()  # the tree is all kept: looking for garbage in it costs a quarter of the time
            try:
                return self.parser.parse(self.newlines.process(self.parser.tokens(text)), start)
            finally:
                still_open += self.newlines.open
                if collecting:
                    gc.enable()


@cache
def _parser() -> _Parser:
    return _Parser()
