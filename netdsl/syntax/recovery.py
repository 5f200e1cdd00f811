"""Where to read on after a syntax error, so that one run tells them all; and which brace lacks its partner."""

from __future__ import annotations

import re
from collections.abc import Sequence

from netdsl.syntax.lalr import Token

#: a line that starts a statement of its own
_STATEMENT = re.compile(r"\s*(?:[\w, \[\]]+=[^=]|(?:for|if|share|expect|train|net|block|from)\b|[{}])")
#: what is no code
_SILENT = re.compile(r"#[^\n]*|\"[^\"\n]*\"|'[^'\n]*'")


def without_statement(text: str, position: int, still_open: Sequence[Token], expected: set[str]) -> str | None:
    """The text with the statement around a wrong token blanked out, to look for more errors; None: no safe way.

    Positions stay the same. A statement with a brace that has no partner would take others down with it.
    """
    if "LBRACE" in expected and text[position : position + 1] in ("\n", ":") and _unopened(text):
        return text[:position] + "{" + text[position + 1 :]  # a body whose `{` was forgotten
    brackets = [token.start_pos for token in still_open if token.type != "LBRACE"]
    line = line_start(text, position)
    start = line_start(text, min(brackets)) if brackets else line
    while start > 0 and text[start:].lstrip(" \t").startswith("->"):
        start = line_start(text, start - 1)
    end = line if start < line and not text[line:position].strip() else line_end(text, position)
    if text[position : position + 1] == "\n" and "STRING" in expected and not _STATEMENT.match(text, end + 1):
        end = line_end(text, end + 1)  # the operand that was missing
    while text[end + 1 :].lstrip().startswith("->"):
        end = line_end(text, end + 1)
    region = text[start:end]
    code = _SILENT.sub("", region)
    if not code.strip() or code.count("{") != code.count("}"):
        return None
    return text[:start] + re.sub(r"[^\n]", " ", region) + text[end:]


def _unopened(text: str) -> bool:
    """Whether more braces are closed than opened."""
    code = _SILENT.sub("", text)
    return code.count("}") > code.count("{")


def misplaced_brace(text: str) -> tuple[int, int] | None:
    """An opening brace whose partner closes it further to the left than its line starts, and that partner.

    Where a file ends with a brace open, this is the one that was forgotten to be closed.
    """
    code = _SILENT.sub(lambda silent: " " * len(silent[0]), text)
    stack: list[int] = []
    for found in re.finditer(r"[{}]", code):
        if found[0] == "{":
            stack.append(found.start())
        elif stack:
            opened = stack.pop()
            begins = not code[line_start(code, found.start()) : found.start()].strip()
            if begins and _indent(code, found.start()) < _indent(code, opened):
                return opened, found.start()
    return None


def _indent(text: str, position: int) -> int:
    start = line_start(text, position)
    return len(text[start:position]) - len(text[start:position].lstrip())


def line_start(text: str, position: int) -> int:
    return text.rfind("\n", 0, position) + 1


def line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end
