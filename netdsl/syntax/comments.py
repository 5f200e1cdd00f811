"""Comments: where they stand, and which block of them documents a declaration. The parser itself drops them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netdsl.diagnostics import Source, Span
from netdsl.syntax import tree as t

_COMMENT = re.compile(r"""(?P<string>"[^"\n]*"|'[^'\n]*')|(?P<comment>\#[^\n]*)""")


def comments(source: Source) -> Iterator[Span]:
    """Every comment, with its `#` and without its line break, in order."""
    for match in _COMMENT.finditer(source.text):
        if match["comment"]:
            yield Span(source, match.start(), match.start() + len(match[0].rstrip()))


def documentation(declaration: t.Function) -> str:
    """The comment block right above a net or block, without its `#` signs; empty where there is none."""
    source, line = declaration.span.source, declaration.span.line
    lines: list[str] = []
    while line > 1 and (text := source.line(line - 1).strip()).startswith("#"):
        lines.append(text[1:].removeprefix(" ").rstrip())
        line -= 1
    return "\n".join(reversed(lines))
