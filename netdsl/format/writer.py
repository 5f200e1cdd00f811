"""Lines that grow from left to right, and the columns of the comments behind them."""

from __future__ import annotations

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
        self.most = most
        self.written = 0
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

    @property
    def ended(self) -> bool:
        """Whether a comment ends the line: a new one has to be begun before more is written."""
        return bool(self._comments) or self._texts[:1] == ["#"]

    def comment(self, text: str, indent: int) -> None:
        """Write a comment on a line of its own."""
        self.new_line(indent)
        self._texts += ["#", text[1:]]

    def comment_behind(self, text: str) -> None:
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
        self.written += len(line.text)
        if self.written > self.most:
            raise TooLong
        self.lines.append(line)

    def text(self) -> str:
        """All lines, with comments of neighbouring lines below each other."""
        self.new_line(0)
        lines: list[str] = []
        section: list[_Line] = []
        for line in [*self.lines, _Line("")]:
            if line.comments:
                section.append(line)
                continue
            lines += _with_comments(section, line.text)
            lines.append(line.text)
            section = []
        lines[-1] = ""
        text = "\n".join(lines)
        if len(text) > self.most:
            raise TooLong
        return text


def _with_comments(section: list[_Line], below: str) -> list[str]:
    """Neighbouring lines with the comments behind them: in one column where they fit, or else each for itself."""
    together = _column(section)
    lines: list[str] = []
    for line in section:
        column = together or _column([line]) or len(line.text) + 2
        if below[:column].isspace() and below[column : column + 1] == "#":
            column += 1  # or else the comment on the line below would seem to go on this one
        first, *others = line.comments
        lines.append(f"{line.text:<{column}}{first}")
        lines += [" " * column + other for other in others]
    return lines


def _column(section: list[_Line]) -> int | None:
    column = max((len(line.text) + 2 for line in section), default=0)
    column = max(column, _COMMENT_COLUMN)
    return column if all(column + len(c) <= LIMIT for line in section for c in line.comments) else None
