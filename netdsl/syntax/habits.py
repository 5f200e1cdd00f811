"""What people write who come from other languages or from a word processor, and how it is written here."""

from __future__ import annotations

import re

_NO_STATEMENT = "there are no statements to run: a body binds names, `x = image -> relu`"

#: how an import is written
IMPORT = 'an import is written `from std.residual import basic` or `from "file.net" import name`'
#: words that start a statement, or stand in one, elsewhere
WORDS = {
    "class": "a network is written `net NAME : image[3, 32, 32] -> logits { ... }`",
    "const": "a constant is written `NAME = value`",
    "continue": "a loop is built of `for` and `if`", "break": "a loop is built of `for` and `if`",
    "def": "a block is written `block NAME(width) : x -> y { ... }`",
    "del": _NO_STATEMENT,
    "elif": "write `else if`",
    "export": "other files can import whatever a file declares",
    "function": "a block is written `block NAME(width) : x -> y { ... }`",
    "lambda": "a layer is made of others by `->`: `f = conv(64, 3) -> relu`; for more, write a `block`",
    "let": "a name is bound by `NAME = value`",
    "module": "a network is written `net NAME : image[3, 32, 32] -> logits { ... }`",
    "pass": "a body may be empty: `{ }`",
    "print": "`expect` holds numbers against what they should be, and `netdsl analyze` prints them",
    "return": "an output is bound to its name: `y = ...`",
    "self": "the names of a block are its own: `main = conv(64, 3) -> relu`",
    "var": "a name is bound by `NAME = value`",
    "while": "a loop goes over a list: `for i in range(3) { ... }`",
    "with": _NO_STATEMENT,
}  # fmt: skip

#: signs of other languages, by how they begin at the token that is wrong
SIGNS = {
    "=>": "an arrow is written `->`", "&&": "write `and`",
    "||": "write `or`", "&": "write `and`", "|": "write `or`, or `->` to pass a tensor on", "!": "write `not`, or `!=`",
    ";": "a statement ends with its line: one on each", "//": "a comment starts with `#`", "/*": "a comment starts with `#`",
    "++": "write `i = i + 1`", "--": "write `i = i - 1`", "\\": "a line goes on by itself inside brackets and before `->`",
    "`": "a name is written without quotes", "$": "a name is written without `$`", "^": "a power is written `**`",
    "<>": "write `!=`", "===": "a comparison is written `==`", ":=": "a name is bound by `=`",
}  # fmt: skip

#: characters that a word processor puts for those of a keyboard
_TYPOGRAPHIC = {
    "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "−": "-", "→": "->",
    "⟶": "->", "⇒": "->", "➔": "->", "×": "*", "·": "*", "÷": "/", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "…": "...",
    "，": ",", "：": ":", "（": "(", "）": ")",
}  # fmt: skip


def sign_at(text: str, position: int) -> str | None:
    """The sign of another language that stands at a position."""
    return next((sign for sign in sorted(SIGNS, key=len, reverse=True) if text.startswith(sign, position)), None)


def character_help(character: str) -> tuple[str, ...]:
    """How to write what a character that is not of the language stands for."""
    if character in _TYPOGRAPHIC:
        return (f"write `{_TYPOGRAPHIC[character]}`",)
    return ("write an ordinary space, or nothing",) if character.isspace() or not character.isprintable() else ()


def character_name(character: str) -> str:
    """A character as it is told of: itself, or where it cannot be seen, its name."""
    if character.isprintable() and not character.isspace():
        return f"`{character}`"
    import unicodedata  # only for what cannot be seen

    return f"U+{ord(character):04X} ({unicodedata.name(character, 'a control character').lower()})"


def word_around(text: str, position: int) -> tuple[int, int]:
    """Where the word with the letter at a position starts and ends."""
    before = re.search(r"\w*\Z", text[max(0, position - 100) : position])
    after = re.match(r"\w*", text[position : position + 100])
    return position - len(before[0] if before else ""), position + len(after[0] if after else "")
