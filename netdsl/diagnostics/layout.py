"""Text on a terminal: what may be printed, how wide it is, where it wraps, and rows that are drawn and coloured."""

from __future__ import annotations

from typing import NamedTuple


class Look(NamedTuple):
    """How to show: in colours or not; on a terminal of `width` columns, or None for a file, where nothing wraps."""

    colour: bool = False
    width: int | None = None

    def paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and code and text else text


def printable(text: str) -> str:
    """The text with a blank for a tab, and a replacement for all that would control the terminal."""
    text = text.replace("\t", " ")
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)


def cells(text: str) -> int:
    """The columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def wrapped(text: str, room: int | None) -> list[str]:
    """The text in lines of at most `room` columns, broken at blanks; a longer word is left whole, to be copied."""
    if room is None or cells(text) <= room:
        return [text]
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        if line.strip() and cells(line) + 1 + cells(word) > room:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line or lines else word
    return [*lines, line]


class Row:
    """A line that is drawn piece by piece; later pieces cover earlier ones."""

    def __init__(self) -> None:
        self._signs: list[str] = []
        self._tones: list[str] = []

    def __len__(self) -> int:
        return len(self._signs)

    def put(self, column: int, text: str, tone: str) -> None:
        end = column + len(text)
        blank = max(0, end - len(self._signs))
        self._signs += " " * blank
        self._tones += [""] * blank
        self._signs[column:end] = text
        self._tones[column:end] = [tone] * len(text)

    def shown(self, look: Look) -> str:
        pieces: list[str] = []
        start = 0
        for at in range(1, len(self._signs) + 1):
            if at == len(self._signs) or self._tones[at] != self._tones[start]:
                pieces.append(look.paint("".join(self._signs[start:at]), self._tones[start]))
                start = at
        return "".join(pieces)
