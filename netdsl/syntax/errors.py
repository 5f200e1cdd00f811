"""Syntax errors in the user's words."""

from __future__ import annotations

import re

from netdsl.diagnostics import Diagnostic, Label, Source, Span, closest
from netdsl.syntax import habits
from netdsl.syntax.lalr import Token
from netdsl.syntax.recovery import line_start, misplaced_brace, stands_for_brace

OPENING = {"LPAR": ")", "LSQB": "]", "LBRACE": "}"}
CLOSING = {"RPAR", "RSQB", "RBRACE"}
_WORDS = {
    "NAME": "a name", "NUMBER": "a number", "STRING": "a string", "_NEWLINE": "the end of the line",
    "$END": "the end of the file", "ARROW": "`->`", "COLON": "`:`", "COMMA": "`,`", "EQUAL": "`=`", "LPAR": "`(`",
    "RPAR": "`)`", "LSQB": "`[`", "RSQB": "`]`", "LBRACE": "`{`", "RBRACE": "`}`",
}  # fmt: skip
_EXPRESSION_STARTS = frozenset(["NAME", "NUMBER", "STRING", "LPAR", "LSQB"])
#: what may end an expression, where something other than the line must
_ENDS = ("COMMA", "RPAR", "RSQB", "LBRACE", "ELSE", "COLON")
_KEYWORDS = frozenset(
    ["from", "import", "as", "net", "block", "train", "share", "for", "in", "if", "else", "expect", "or", "and", "not",
     "true", "false", "none"]
)  # fmt: skip
_OUTSIDE = "a file holds imports, `net`, `block` and `train`, and constants: `NAME = value`"
_SIGNATURE = "write `%s NAME(hyperparameters) : inputs -> outputs { ... }`"


def span_of(source: Source, token: Token) -> Span:
    return Span(source, token.start_pos, token.end_pos)


def _error(message: str, span: Span, *helps: str, label: str = "", also: tuple[Label, ...] = ()) -> Diagnostic:
    return Diagnostic("E0101", message, (Label(span, label), *also), helps=helps)


def _meaningless(span: Span, *helps: str) -> Diagnostic:
    return _error(f"`{span.text}` means nothing in this language", span, *helps)


def bad_character(source: Source, position: int) -> Diagnostic:
    """The diagnostic of a character that starts no token."""
    text = source.text
    character = text[position]
    if character in "\"'":
        return _error("this string is not closed on its line", Span(source, position, position + 1),
                      f"end it with {character}")  # fmt: skip
    if character.isdecimal():
        number = re.match(r"[\w.]+", text[position : position + 100])
        span = Span(source, position, position + (number.end() if number else 1))
        return _error(f"`{span.text}` is neither a number nor a name", span,
                      "numbers take k M G T and _; names start with a letter")  # fmt: skip
    sign = habits.sign_at(text, position)
    if sign is not None:
        return _meaningless(Span(source, position, position + len(sign)), habits.SIGNS[sign])
    if character.isalpha():
        span = Span(source, *habits.word_around(text, position))
        return _error(f"`{span.text}` is not a name", span, "names are written with a-z, A-Z, 0-9 and _")
    span = Span(source, position, position + 1)
    name = habits.character_name(character)
    return _error(f"{name} means nothing in this language", span, *habits.character_help(character))


def bad_token(source: Source, token: Token, expected: set[str], still_open: list[Token]) -> Diagnostic:
    """The diagnostic of a token that does not go on what stands before it."""
    if token.type == "$END":
        return _ended(source, expected, still_open)
    for mark in (*still_open, token):
        if stands_for_brace(source.text, mark.start_pos):
            return _error(f"a body opens with `{{`, not with `{mark}`", span_of(source, mark), "write `{`")
    if _runs_on(source, token, still_open):
        opened = still_open[-1]
        here = "the body ends here" if token.type == "RBRACE" else "a new statement seems to start here"
        return _error(f"a `{opened}` is not closed", span_of(source, opened), f"add `{OPENING[opened.type]}` before it",
                      label="opened here", also=(Label(span_of(source, token), here),))  # fmt: skip
    if token.type in CLOSING:
        return _wrong_bracket(source, token, expected, still_open)
    found = _foreign(source, token, expected, still_open) or _word_as_name(source, token, expected)
    if found:
        return found
    span, shown = span_of(source, token), f"`{token}`"
    if token.type == "_NEWLINE":
        start = len(source.text[: span.start].rstrip())
        span, shown = Span(source, start, start + 1), "the end of the line"
    return _error(f"{shown} where {_listed(expected)} was expected", span, *_hints(source, token, expected, still_open))


def _ended(source: Source, expected: set[str], still_open: list[Token]) -> Diagnostic:
    if still_open:
        opened = span_of(source, still_open[-1])
        closing = OPENING[still_open[-1].type]
        where = misplaced_brace(source.text) if closing == "}" else None
        if where is not None:
            opened = Span(source, where[0], where[0] + 1)
            return _error("a `{` is not closed", opened, "add `}` where its body ends", label="opened here", also=(
                Label(Span(source, where[1], where[1] + 1), "this `}` stands too far left to close it"),))  # fmt: skip
        return _error(f"the file ends, and a `{still_open[-1]}` is not closed", opened, f"add `{closing}`",
                      label="opened here")  # fmt: skip
    end = len(source.text.rstrip())
    return _error(f"the file ends where {_listed(expected)} was expected", Span(source, end, end))


def _runs_on(source: Source, token: Token, still_open: list[Token]) -> bool:
    """Whether a bracket that was never closed made a statement run on into the next line."""
    inside = bool(still_open) and still_open[-1].type != "LBRACE" and token.type not in ("RPAR", "RSQB")
    return inside and not source.text[line_start(source.text, token.start_pos) : token.start_pos].strip()


def _wrong_bracket(source: Source, token: Token, expected: set[str], still_open: list[Token]) -> Diagnostic:
    span = span_of(source, token)
    if any(OPENING[opened.type] == token for opened in still_open):
        opened = still_open[-1]
        if OPENING[opened.type] == token:
            message = f"`{token}` where {_listed(expected)} was expected"
            return _error(message, span, f"something is missing before `{token}`")
        return _error(f"`{token}` cannot close a `{opened}`", span, f"write `{OPENING[opened.type]}` before it",
                      also=(Label(span_of(source, opened), "opened here"),))  # fmt: skip
    return _error(f"nothing is open that `{token}` could close", span, "remove it, or open one before it")


def _foreign(source: Source, token: Token, expected: set[str], still_open: list[Token]) -> Diagnostic | None:
    """What is said where a word or sign of another language stands there."""
    text, at = source.text, token.start_pos
    start = line_start(text, at)
    before = text[start:at]
    first, near = re.match(r"\s*(\w+)", text[start : token.end_pos]), re.search(r"(\w+)\s*$", before)
    if first and first[1] == "import":
        span = Span(source, start + first.start(1), start + first.end(1))
        return _error("a line cannot start with `import`", span, habits.IMPORT)
    for found, offset in ((re.match(r"(\w+)", token), at), (near, start), (first, start)):
        if found and found[1] in habits.WORDS:
            span = Span(source, offset + found.start(1), offset + found.end(1))
            return _meaningless(span, habits.WORDS[found[1]])
    if token.type == "GREATER" and re.search(r"-\s$", before):
        return _meaningless(Span(source, at - 2, token.end_pos), "an arrow is written `->`, without a space")
    sign = habits.sign_at(text, at)
    if sign is not None:
        return _meaningless(Span(source, at, at + len(sign)), habits.SIGNS[sign])
    if near and re.match(r"[-+*/]=", text[at:]):
        return _meaningless(Span(source, at, at + 2), f"write `{near[1]} = {near[1]} {token} ...`")
    if first and not still_open and "NET" not in expected and {"EQUAL", "LSQB"} <= expected:
        meant = closest(first[1], ("from", "net", "block", "train"))
        span = Span(source, start + first.start(1), start + first.end(1))
        return _meaningless(span, *([f"did you mean `{meant}`?"] if meant else []), _OUTSIDE)
    return None


def _word_as_name(source: Source, token: Token, expected: set[str]) -> Diagnostic | None:
    """What is said where a word of the language is used as a name."""
    line = source.text[line_start(source.text, token.start_pos) : token.start_pos]
    bound = re.search(r"([a-z]+)\s*$", line)
    span = span_of(source, token)
    if token.type == "EQUAL" and "NAME" in expected and bound and bound[1] in _KEYWORDS:  # `for = ...`
        start = span.start - len(line) + bound.start(1)
        span = Span(source, start, start + len(bound[1]))
    elif token not in _KEYWORDS or "from" in line.split()[:1]:
        return None
    elif "NAME" not in expected or {"SHARE", "NET"} & expected:  # where a statement starts: `train = ...`
        binds = re.match(r"\s*=[^=]", source.text[token.end_pos : token.end_pos + 9])
        if not binds:
            return None
    return _error(f"`{span.text}` is a word of the language, and cannot be a name", span,
                  f"choose another name, such as `{span.text}_1`")  # fmt: skip


def _hints(source: Source, token: Token, expected: set[str], still_open: list[Token]) -> tuple[str, ...]:
    text = source.text
    before = text[line_start(text, token.start_pos) : token.start_pos]
    words = before.split()
    first = words[0] if words else ""
    if token.type == "SYNTAX":
        return ("`syntax` and its version are the first line of a file",)
    if first == "from":
        return _import_hints(token, expected)
    if "//" in before:
        return ("a comment starts with `#`",)
    if first in ("net", "block") and "{" not in before and token.type != "_NEWLINE":
        unclosed = [OPENING[mark.type] for mark in still_open if mark is not token and mark.type != "LBRACE"]
        ends = unclosed and token.type in ("COLON", "LBRACE", "ARROW")
        return (f"add `{unclosed[-1]}` before it",) if ends else (_SIGNATURE % first,)
    if "LBRACE" in expected and (token.type == "COLON" or token.type == "_NEWLINE"):
        return ("a body stands in braces: `{ ... }`",)
    if first == "for" and "{" not in before:
        return ("write `for i in range(3) { ... }`",)
    if token.type == "EQUAL" and "EQUALS" in expected:
        return ("a comparison is written `==`",)
    if token.type == "EQUALS" and "EQUAL" in expected:
        return ("a name is bound by one `=`",)
    if token.type == "COLON" and "EQUAL" in expected:
        return (f"an argument is named by `=`: `{words[-1].rpartition('(')[2]} = ...`",)
    if token.type == "ELSE":
        return ("`else` stands behind the `}` of its `if`",)
    if "EQUAL" in expected and "LSQB" in expected and still_open:
        return _statement_hints(token, before)
    if expected >= _EXPRESSION_STARTS:
        return _nothing_there(token, before.rstrip())
    if token.type in _EXPRESSION_STARTS or token in ("true", "false", "none", "not"):
        return _side_by_side(token, before, expected)
    return ()


def _statement_hints(token: Token, before: str) -> tuple[str, ...]:
    """Where a line starts with a name that nothing is bound to."""
    if token.type == "DOT":
        return ("names have no dots",)
    if token.type == "ARROW":
        return (f"a statement binds a name: `x = {before.strip()} -> ...`",
                "a pipeline goes on in the next line with `->` at its start")  # fmt: skip
    return ("a statement binds a name: `x = ...`",)


def _nothing_there(token: Token, before: str) -> tuple[str, ...]:
    """Where an expression was expected."""
    if token.type == "ARROW":
        return ("one `->` is enough",) if before.endswith("->") else ("a pipeline starts with a tensor or a layer",)
    if token.type != "_NEWLINE":
        return ()
    if before.endswith("->"):
        return ("put the `->` at the start of the next line",)
    return ("write what it is on the same line",) if before.endswith("=") else ("a line goes on inside parentheses",)


def _side_by_side(token: Token, before: str, expected: set[str]) -> tuple[str, ...]:
    """Where two expressions follow each other with nothing between."""
    if "RPAR" in expected or "RSQB" in expected:
        return (f"put a `,` before `{token}`",) if "COMMA" in expected else ()
    if token.type == "STRING" and re.search(r"[A-Za-z]$", before):
        return ("a string has no prefix, such as `f`",)
    return ("a layer is applied by `->`; two statements go on two lines",) if "_NEWLINE" in expected else ()


def _import_hints(token: Token, expected: set[str]) -> tuple[str, ...]:
    if token == "net" and "NAME" in expected:
        return ('a file goes in quotes: `from "file.net" import name`',)
    if token == "*":
        return ("every name is imported by itself: `import a, b`",)
    if "IMPORT" in expected:
        return ("say what is imported: `from std.residual import basic`",)
    return ()


def _listed(expected: set[str]) -> str:
    """The expected tokens in the user's words, and few of them."""
    if "NET" in expected:
        return "an import, `net`, `block`, `train` or a constant"
    if "SHARE" in expected:
        return "a statement or `}`"
    if expected >= _EXPRESSION_STARTS:
        return "an expression"
    kinds = [kind for kind in _ENDS if kind in expected]
    if "PLUS" in expected or {"ARROW", "_NEWLINE"} <= expected:
        if not set(kinds) - {"COMMA"}:
            return "`->`, an operator or the end of the line"
    else:
        kinds = sorted(expected - {"_NEWLINE"}) or ["_NEWLINE"]
    if "LBRACE" in kinds or "EQUAL" in kinds:
        kinds = ["LBRACE" if "LBRACE" in kinds else "EQUAL"]
    words = [_WORDS.get(kind, f"`{kind.lower().strip('_')}`") for kind in kinds]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]
