"""Syntax errors in the user's words, and where to read on after one."""

from __future__ import annotations

import re

from netdsl.diagnostics import Diagnostic, Label, Source, Span, closest
from netdsl.syntax.lalr import Token

OPENING = {"LPAR": ")", "LSQB": "]", "LBRACE": "}"}
CLOSING = {"RPAR", "RSQB", "RBRACE"}
_WORDS = {
    "NAME": "a name", "NUMBER": "a number", "STRING": "a string", "_NEWLINE": "a new line", "$END": "the end of the file",
    "ARROW": "`->`", "COLON": "`:`", "COMMA": "`,`", "EQUAL": "`=`", "LPAR": "`(`", "RPAR": "`)`", "LSQB": "`[`",
    "RSQB": "`]`", "LBRACE": "`{`", "RBRACE": "`}`", "DOT": "`.`", "AT": "`@`", "QUESTION": "`?`",
}  # fmt: skip
#: what is said instead of a list of all tokens that can go on an expression
_OPERATORS = frozenset(
    [
        "LESS",
        "GREATER",
        "LESS_EQUAL",
        "GREATER_EQUAL",
        "EQUALS",
        "NOT_EQUALS",
        "TILDE",
        "PLUS",
        "MINUS",
        "STAR",
        "SLASH",
        "DOUBLE_SLASH",
        "PERCENT",
        "DOUBLE_STAR",
        "QUESTION",
        "AT",
        "DOT",
        "IN",
        "IF",
        "OR",
        "AND",
    ]
)
_EXPRESSION_STARTS = frozenset(["NAME", "NUMBER", "STRING", "TRUE", "FALSE", "NONE", "NOT", "MINUS", "LPAR", "LSQB"])
_KEYWORDS = frozenset(
    ["from", "import", "as", "net", "block", "train", "share", "for", "in", "if", "else", "expect", "or", "and", "not", "true", "false", "none"]
)  # fmt: skip
_OUTSIDE = "a file holds imports, `net`, `block` and `train`, and constants: `NAME = value`"


def span_of(source: Source, token: Token) -> Span:
    return Span(source, token.start_pos, token.end_pos)


def bad_character(source: Source, position: int) -> Diagnostic:
    """The diagnostic of a character that starts no token."""
    character = source.text[position]
    if character in "\"'":
        return Diagnostic("E0101", "this string is not closed on its line", (Label(Span(source, position, position + 1)),),
                          helps=(f"end it with {character}",))  # fmt: skip
    if character.isdigit():
        number = re.match(r"[\w.]+", source.text[position : position + 100])
        end = position + (number.end() if number else 1)
        span = Span(source, position, end)
        return Diagnostic("E0101", f"`{span.text}` is neither a number nor a name", (Label(span),),
                          helps=("numbers take k M G T and _; names start with a letter",))  # fmt: skip
    helps = {";": "write one statement on a line", "!": "write `not` or `!=`", "&": "write `and`", "|": "write `or`",
             "\\": "a line goes on by itself inside brackets and before `->`"}  # fmt: skip
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    return Diagnostic("E0101", f"`{shown}` has no meaning here", (Label(Span(source, position, position + 1)),),
                      helps=(helps[character],) if character in helps else ())  # fmt: skip


def bad_token(source: Source, token: Token, expected: set[str], still_open: list[Token]) -> Diagnostic:
    """The diagnostic of a token that does not go on what stands before it."""
    if token.type == "$END":
        return _ended(source, expected, still_open)
    span = span_of(source, token)
    if _runs_on(source, token, still_open):
        opened = still_open[-1]
        return Diagnostic("E0101", f"a `{opened}` is not closed",
                          (Label(span_of(source, opened), "opened here"), Label(span, "a new statement seems to start here")),
                          helps=(f"add `{OPENING[opened.type]}` before it",))  # fmt: skip
    found = "the end of the line" if token.type == "_NEWLINE" else f"`{token}`"
    if token.type == "_NEWLINE":
        start = len(source.text[: span.start].rstrip())
        span = Span(source, start, start + 1)
    return Diagnostic("E0101", f"{found} where {_listed(expected)} was expected", (Label(span),),
                      helps=_hints(source, token, expected, still_open))  # fmt: skip


def _ended(source: Source, expected: set[str], still_open: list[Token]) -> Diagnostic:
    if still_open:
        mark = OPENING[still_open[-1].type]
        return Diagnostic("E0101", f"the file ends, and a `{still_open[-1]}` is not closed",
                          (Label(span_of(source, still_open[-1]), "opened here"),), helps=(f"add `{mark}`",))  # fmt: skip
    end = len(source.text.rstrip())
    return Diagnostic(
        "E0101", f"the file ends where {_listed(expected)} was expected", (Label(Span(source, end, end)),)
    )


def _runs_on(source: Source, token: Token, still_open: list[Token]) -> bool:
    """Whether a bracket that was never closed made a statement run on into the next line."""
    inside = bool(still_open) and still_open[-1].type != "LBRACE"
    return (
        inside
        and token.type not in CLOSING
        and not source.text[_line_start(source.text, token.start_pos) : token.start_pos].strip()
    )


def _word_before(source: Source, position: int) -> str:
    found = re.search(r"([A-Za-z_]\w*)\s*$", source.text[max(0, position - 100) : position])
    return found[1] if found else ""


def _hints(source: Source, token: Token, expected: set[str], still_open: list[Token]) -> tuple[str, ...]:
    before = _word_before(source, token.start_pos)
    if token.type == "SYNTAX":
        return ("`syntax` and its version are the first line of a file",)
    line = source.text[_line_start(source.text, token.start_pos) : token.start_pos].split()
    if token.type == "IMPORT" and not line:
        return ("an import is written `from std.residual import basic` or `from \"file.net\" import name`",)
    if line[:1] == ["from"]:
        return _import_hints(token, expected)
    if token.type in CLOSING:
        if any(OPENING[opened.type] == token for opened in still_open):
            return (f"close the `{still_open[-1]}` of line {span_of(source, still_open[-1]).line} first",)
        return (f"nothing is open that `{token}` could close",)
    if token.type == "EQUAL" and "EQUALS" in expected:
        return ("a comparison is written `==`",)
    if "NAME" in expected and token in _KEYWORDS:
        return (f"`{token}` is a word of the language: choose another name",)
    if token.type == "EQUAL" and before in _KEYWORDS:
        return (f"`{before}` is a word of the language: choose another name",)
    if not still_open and "EQUAL" in expected and "LSQB" in expected:
        meant = closest(before, ("from", "net", "block", "train"))
        return (f"did you mean `{meant}`?", _OUTSIDE) if meant else (_OUTSIDE,)
    if "_NEWLINE" in expected and token.type in _EXPRESSION_STARTS:
        return ("a layer is applied by `->`; two statements go on two lines",)
    return ()


def _import_hints(token: Token, expected: set[str]) -> tuple[str, ...]:
    if token == "net" and "NAME" in expected:
        return ("a file goes in quotes: `from \"file.net\" import name`",)
    if token == "*":
        return ("every name is imported by itself: `import a, b`",)
    if "IMPORT" in expected:
        return ("say what is imported: `from std.residual import basic`",)
    return ()


def _listed(expected: set[str]) -> str:
    """The expected tokens in the user's words."""
    words = []
    if expected >= _EXPRESSION_STARTS:
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


def without_statement(text: str, position: int, still_open: list[Token]) -> str | None:
    """The text with the statement around a wrong token blanked out, to look for more errors; None: no safe way.

    Positions stay the same. A statement with a brace that has no partner would take others down with it.
    """
    brackets = [token.start_pos for token in still_open if token.type != "LBRACE"]
    line = _line_start(text, position)
    start = _line_start(text, min(brackets)) if brackets else line
    while start > 0 and text[start:].lstrip(" \t").startswith("->"):
        start = _line_start(text, start - 1)
    end = line if start < line and not text[line:position].strip() else _line_end(text, position)
    while text[end + 1 :].lstrip().startswith("->"):
        end = _line_end(text, end + 1)
    region = text[start:end]
    code = re.sub(r"#[^\n]*", "", region)
    if not code.strip() or code.count("{") != code.count("}"):
        return None
    return text[:start] + re.sub(r"[^\n]", " ", region) + text[end:]


def _line_start(text: str, position: int | None) -> int:
    return text.rfind("\n", 0, position) + 1


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end
