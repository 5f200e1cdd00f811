"""Where to read on after a syntax error, so that one run tells them all; and which brace lacks its partner."""

from __future__ import annotations

import re
from collections.abc import Sequence

from netdsl.syntax.lalr import Token

#: a line that starts a statement of its own
_STATEMENT = re.compile(r"\s*(?:[\w, \[\]]+=[^=][^\n]*[^\n,]\n|(?:for|if|share|expect|train|net|block|from)\b|[{}])")
_LINE_ENDS = re.compile(r"[ \t]*(?:#[^\n]*)?\r?\n")
#: the first line of a statement with a body, where the body is not opened
_UNOPENED = re.compile(r"[ \t]*((?:for|if)\b[^\n{}]{7,})\n")
_ANY_HEAD = "if true {"
#: a line that a body belongs to
_HEAD = re.compile(r"[ \t]*(?:\}[ \t]*)?(?:for|if|else|train|net|block)\b")
#: what is no code
_SILENT = re.compile(r"#[^\n]*|\"[^\"\n]*\"|'[^'\n]*'")


def without_statement(text: str, position: int, still_open: Sequence[Token], expected: set[str]) -> str | None:
    """The text with the statement around a wrong token blanked out, to look for more errors; None: no safe way.

    Positions stay the same. A statement with a brace that has no partner would take others down with it.
    """
    ends = _LINE_ENDS.match(text, position) is not None
    if "LBRACE" in expected and text[position] != "#" and (ends or text[position] == ":") and unopened(text):
        return text[:position] + "{" + text[position + 1 :]  # a body whose `{` was forgotten
    brackets = [token.start_pos for token in still_open if token.type != "LBRACE"]
    for bracket in brackets:
        if stands_for_brace(text, bracket):
            return text[:bracket] + "{" + text[bracket + 1 :]
    head = _UNOPENED.match(text, line_start(text, position))
    if head and unopened(text):  # its body is read on, whatever is wrong in front of it
        return text[: head.start(1)] + _ANY_HEAD.ljust(len(head[1])) + text[head.end(1) :]
    line = line_start(text, position)
    start = line_start(text, min(brackets)) if brackets else line
    while start > 0 and (text[start:].lstrip(" \t").startswith("->") or _deeper(text, start)):
        start = line_start(text, start - 1)
    end = line if start < line and not text[line:position].strip() else line_end(text, position)
    if ends and "STRING" in expected and not _STATEMENT.match(text, end + 1):
        end = line_end(text, end + 1)  # the operand that was missing
    while end < len(text) and _goes_on(text, start, end):
        end = line_end(text, end + 1)
    region = text[start:end]
    code = _SILENT.sub("", region)
    if not code.strip() or code.count("{") != code.count("}"):
        return None
    return text[:start] + re.sub(r"[^\n]", " ", region) + text[end:]


def stands_for_brace(text: str, bracket: int) -> bool:
    """Whether another bracket at the end of a statement's first line was to open its body."""
    heads = _HEAD.match(text, line_start(text, bracket)) is not None
    last = text.startswith(("(", ")", "[", "]"), bracket) and _LINE_ENDS.match(text, bracket + 1) is not None
    return last and heads and unopened(text)


def _deeper(text: str, start: int) -> bool:
    """Whether a line is indented deeper than the one before, which opens no body."""
    before, line = text[line_start(text, start - 1) : start - 1], text[start : line_end(text, start)]
    opens = "{" in _SILENT.sub("", before)
    return bool(before.strip()) and not opens and _indent(line, len(line)) > _indent(before, len(before))


def _goes_on(text: str, start: int, end: int) -> bool:
    """Whether the next line is of the statement, too: as it starts, by its indentation, or within brackets."""
    line = text[end + 1 : line_end(text, end + 1)]
    if line.lstrip().startswith(("->", ")", "]")) or (not line.strip() and text[end + 1 :].lstrip().startswith("->")):
        return True
    code, first = _SILENT.sub("", text[start:end]), text[start:end].split("\n")[0]
    if line.strip() and "{" not in code and _indent(line, len(line)) > _indent(first, len(first)):
        return True
    return bool(line.strip()) and _opened(code) and not _STATEMENT.match(text, end + 1)


def _opened(code: str) -> bool:
    """Whether a parenthesis or bracket is opened and not closed."""
    depth = 0
    for mark in re.findall(r"[()\[\]]", code):
        depth = depth + 1 if mark in "([" else max(0, depth - 1)
    return depth > 0


def unopened(text: str) -> bool:
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
