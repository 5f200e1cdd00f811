"""The tokens of a file that has parsed, comments among them, each with the line breaks before it.

The parser drops comments, line breaks and parentheses that change nothing; a formatter needs them all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    |(?P<comment>\#[^\n]*)
    |(?P<string>"[^"\n]*"|'[^'\n]*')
    |(?P<number>(?:\d[\d_]*(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?[kMGT]?(?![A-Za-z0-9_]))
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<mark>->|\*\*|//|[<>=!]=|.)""",
    re.VERBOSE,
)
_KEYWORDS = frozenset("from import as net block train share for in if else expect or and not".split())
_OPERAND_ENDS = frozenset(")]?")


class Token(NamedTuple):
    kind: str
    text: str
    #: line breaks between the token before and this one
    lines: int
    #: characters of its line before it
    column: int

    @property
    def ends_operand(self) -> bool:
        """Whether a `-`, `(` or `[` behind it is a difference, a call or an index."""
        if self.kind == "mark":
            return self.text in _OPERAND_ENDS
        return self.kind != "word" or self.text not in _KEYWORDS


def tokens(text: str) -> Iterator[Token]:
    lines, line_start = 0, 0
    for match in _TOKEN.finditer(text):
        kind, found = str(match.lastgroup), match[0]
        if kind == "space":
            if "\n" in found:
                lines += found.count("\n")
                line_start = match.start() + found.rfind("\n") + 1
            continue
        if kind == "comment":
            found = found.rstrip()
        elif found[0] == "'" and '"' not in found:
            found = f'"{found[1:-1]}"'
        yield Token(kind, found, lines, match.start() - line_start)
        lines = 0
