"""Lexer and LALR(1) driver over tables that lark has built.

lark analyses the grammar when the package is built (tables.py). To run its tables takes this page; to import lark for it
took 35 ms of every start, a third of the time of `netdsl check`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple


class Token(str):
    """A piece of the text with its terminal and its place."""

    __slots__ = ("end_pos", "start_pos", "type")
    type: str
    start_pos: int
    end_pos: int

    @staticmethod
    def of(type_: str, text: str, start: int) -> Token:
        token = Token(text)
        token.type, token.start_pos, token.end_pos = type_, start, start + len(text)
        return token


class UnexpectedCharacter(Exception):
    """No token starts at `position`."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


class UnexpectedToken(Exception):
    """A token that cannot stand here; `expected` are the terminals that can."""

    def __init__(self, token: Token, expected: set[str]) -> None:
        super().__init__(token)
        self.token, self.expected = token, expected


class Rule(NamedTuple):
    """A production: what it makes, of how many symbols, and which of these are lists to be spliced in.

    `callback` names the method that makes the value; without one the value is the list of the children, spliced into
    the rule above. `passes`: the only child is such a list itself.
    """

    origin: str
    length: int
    callback: str | None
    spliced: tuple[int, ...]
    passes: bool


class Tables(NamedTuple):
    """The grammar. `states`: per state the action on a terminal (a state to shift to; `~rule` to reduce by) and, for
    what a rule makes, the state to go to. Terminals are written in capitals.
    """

    pattern: str
    ignored: frozenset[str]
    words: Mapping[str, str]
    marks: Mapping[str, str]
    rules: Sequence[Rule]
    states: Sequence[Mapping[str, int]]
    starts: Mapping[str, int]


class Parser:
    """Parses texts; the values are made by the methods of `builder`."""

    def __init__(self, tables: Tables, builder: object) -> None:
        self.tables = tables
        self._match = re.compile(tables.pattern).match
        self._rules: list[tuple[str, int, Callable[[list[Any]], Any] | None, tuple[int, ...], bool]] = [
            (r.origin, r.length, getattr(builder, r.callback) if r.callback else None, r.spliced, r.passes)
            for r in tables.rules
        ]
        self._jumps: dict[tuple[int, int, str], int] = {}

    def tokens(self, text: str) -> Iterator[Token]:
        """The tokens of a text, without blanks and comments, and `$END`. Raises UnexpectedCharacter."""
        match, (_, ignored, words, marks, *_) = self._match, self.tables
        position, end = 0, len(text)
        while position < end:
            found = match(text, position)
            if found is None:
                raise UnexpectedCharacter(position)
            kind, start, position = found.lastgroup or "", position, found.end()
            if kind in ignored:
                continue
            token = Token(found[0])
            token.type = marks[token] if kind == "MARK" else words.get(token, kind) if kind == "NAME" else kind
            token.start_pos, token.end_pos = start, position
            yield token
        yield Token.of("$END", "", end)

    def parse(self, tokens: Iterable[Token], start: str) -> Any:
        """The value of the start rule; `$END` is the last token. Raises UnexpectedToken."""
        states, rules, jumps = self.tables.states, self._rules, self._jumps
        stack = [self.tables.starts[start]]
        values: list[Any] = []
        for token in tokens:
            kind = token.type
            while (action := states[stack[-1]].get(kind)) is not None and action < 0:
                origin, length, callback, spliced, passes = rules[~action]
                if passes:
                    step = stack[-2], stack[-1], kind
                    stack[-1] = jumps[step] if step in jumps else self._jump(step)
                    continue
                children: list[Any] = []
                if length:
                    children = values[-length:]
                    del values[-length:], stack[-length:]
                    if spliced:
                        children = _splice(children, spliced)
                values.append(callback(children) if callback is not None else children)
                stack.append(states[stack[-1]][origin])
            if action is None:
                raise UnexpectedToken(token, self._accepted(stack))
            stack.append(action)
            values.append(token)
        return values[0]

    def _jump(self, step: tuple[int, int, str]) -> int:
        """The state behind all the rules that pass a value on: through every level of precedence, for most operands."""
        below, top, kind = step
        while (action := self.tables.states[top].get(kind)) is not None and action < 0 and self._rules[~action][4]:
            top = self.tables.states[below][self._rules[~action][0]]
        self._jumps[step] = top
        return top

    def _accepted(self, stack: list[int]) -> set[str]:
        """The terminals that can follow: not all of a state's, as some lead only to a reduction and no further."""
        row = self.tables.states[stack[-1]]
        return {kind for kind in row if kind.isupper() and self._leads_on(kind, list(stack))}

    def _leads_on(self, kind: str, stack: list[int]) -> bool:
        states, rules = self.tables.states, self.tables.rules
        while (action := states[stack[-1]].get(kind)) is not None and action < 0:
            rule = rules[~action]
            if rule.length:
                del stack[-rule.length :]
            stack.append(states[stack[-1]][rule.origin])
        return action is not None


def _splice(children: list[Any], spliced: tuple[int, ...]) -> list[Any]:
    """The children, with the lists among them taken apart; a list that comes first grows, or else long ones take long."""
    flat: list[Any] = children[0] if 0 in spliced else children[:1]
    for index, child in enumerate(children[1:], start=1):
        if index in spliced:
            flat += child
        else:
            flat.append(child)
    return flat
