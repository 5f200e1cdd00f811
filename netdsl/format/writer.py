"""Lines that grow from left to right, and the columns of the comments behind them."""

from __future__ import annotations

from itertools import groupby

from netdsl.format.pieces import LIMIT

#: the column of comments behind code that leaves room for it, as in all examples
_COMMENT_COLUMN = 46


class TooLong(Exception):
    """More characters than a file may have: indentation can multiply what a hostile file holds."""


class _Line:
    __slots__ = ("comments", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        #: what stands behind it; from the second on, on lines of their own below the first
        self.comments: list[str] = []


class Writer:
    def __init__(self, most: int) -> None:
        self.left = most
        self.lines: list[_Line] = []
        self.indent = 0
        self.column = 0
        self._texts: list[str] = []
        self._comments: list[str] = []

    @property
    def fresh(self) -> bool:
        """Whether nothing is on the line yet."""
        return not self._texts

    def write(self, text: str) -> None:
        self._texts.append(text)
        self.column += len(text)

    def comment_behind(self, text: str) -> None:
        """Put a comment behind the line: a new line has to be begun before more is written."""
        self._comments.append(text)

    def new_line(self, indent: int) -> None:
        """Begin a line, if one is not just begun."""
        if not self.fresh:
            self._end()
        self.indent = self.column = indent

    def blank_line(self) -> None:
        self.new_line(0)
        self.lines.append(_Line(""))

    def _end(self) -> None:
        line = _Line(" " * self.indent + "".join(self._texts))
        line.comments, self._texts, self._comments = self._comments, [], []
        self.left -= len(line.text) + sum(map(len, line.comments))
        if self.left < 0:
            raise TooLong
        self.lines.append(line)

    def text(self) -> str:
        """All lines, with comments of neighbouring lines below each other."""
        self.new_line(0)
        lines: list[str] = []
        for commented, section in groupby(self.lines, lambda line: bool(line.comments)):
            found = list(section)
            lines += _with_comments(found) if commented else [line.text for line in found]
        return "".join(f"{line}\n" for line in lines)


def _with_comments(section: list[_Line]) -> list[str]:
    """Neighbouring lines with the comments behind them: in one column where they fit, or else each for itself."""
    together = _column(section)
    lines: list[str] = []
    for line in section:
        column = together or _column([line]) or len(line.text) + 2
        first, *others = line.comments
        lines.append(f"{line.text:<{column}}{first}")
        lines += [" " * column + other for other in others]
    return lines


def _column(section: list[_Line]) -> int | None:
    column = max(_COMMENT_COLUMN, *(len(line.text) + 2 for line in section))
    return column if all(column + len(c) <= LIMIT for line in section for c in line.comments) else None
