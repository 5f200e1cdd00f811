"""The lines of a source that labels point to, each label drawn below its line, in the form rustc made known.

    3 |     a = image -> tower
      |                  ----- the first use is here
    4 |     y = a -> tower
      |              ^^^^^ this use needs other weights

A label over several lines has a bar to the left of them, from its first character to its last:

    3 |       y = concat(
      |  _________^
    4 | |         image, small)
      | |_____________________^ heights differ
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from netdsl.diagnostics.diagnostic import Label
from netdsl.diagnostics.layout import Look, Row, cells, printable, wrapped
from netdsl.diagnostics.source import Source

GUTTER = "34"  # blue, as are the secondary labels
_LONGEST_LINE = 160  # columns of a line that are shown where no terminal says how many fit
_WHOLE = 5  # lines of a label that are all shown
_TEXT = 40  # columns that a text is given before it wraps


class Mark(NamedTuple):
    """A label and where it is: lines counted from 1, columns from 0, the last one included."""

    line: int
    column: int
    last_line: int
    last_column: int
    text: str
    primary: bool
    tone: str

    @property
    def sign(self) -> str:
        return "^" if self.primary else "-"

    @staticmethod
    def of(label: Label, primary: bool, tone: str) -> Mark:
        source, start, end = label.span
        end = max(start + 1, start + len(label.span.text.rstrip()))
        line, column = source.position(start)
        last_line, last_column = source.position(end - 1)
        # a line break, or the end of the text, has no column of its own: it is shown behind the line
        column = min(column - 1, len(source.line(line)))
        last_column = min(last_column - 1, len(source.line(last_line)))
        return Mark(line, column, last_line, last_column, printable(label.text), primary, tone)


class _Piece(NamedTuple):
    """A mark as it is drawn below one line: columns of the row, `end` excluded."""

    start: int
    end: int
    mark: Mark


def snippet(source: Source, marks: Sequence[Mark], gutter: int, look: Look) -> list[str]:
    """The lines with their marks; `gutter` is the room for line numbers."""
    return _Snippet(source, marks, gutter, look).rows()


class _Snippet:
    def __init__(self, source: Source, marks: Sequence[Mark], gutter: int, look: Look) -> None:
        self.source, self.marks, self.gutter, self.look = source, marks, gutter, look
        # the one that starts first has the leftmost bar: a line to an inner one's start crosses no bar
        self.long = sorted((m for m in marks if m.last_line > m.line), key=lambda m: (m.line, m.column, -m.last_line))
        self.margin = len(self.long) + 1 if self.long else 0
        self.room = None if look.width is None else max(30, look.width - gutter - 3)
        self.bars: dict[int, Mark] = {}

    def rows(self) -> list[str]:
        rows: list[str] = []
        before = None
        for number in self._lines():
            if before is not None and number > before + 1:
                rows.append(self._skipped())
            rows += self._line(number)
            before = number
        return rows

    def _lines(self) -> list[int]:
        """The lines to show: those with a mark's ends, short marks whole, and no gap of a single line."""
        shown = {line for mark in self.marks for line in (mark.line, mark.last_line)}
        for mark in self.long:
            if mark.last_line - mark.line < _WHOLE:
                shown.update(range(mark.line, mark.last_line))
        shown |= {line + 1 for line in shown if line + 2 in shown}
        return sorted(shown)

    def _line(self, number: int) -> list[str]:
        text = self.source.line(number)
        shown, column = self._cut(text, self._wanted(number))
        indent = len(text) - len(text.lstrip())
        whole = {m for m in self.long if m.line == number and m.column <= indent}  # no need to say where it starts
        row = Row()
        for depth, mark in enumerate(self.long):
            if mark in whole:
                row.put(depth, "/", mark.tone)
        rows = [self._numbered(str(number), self._barred(row), shown)]
        self.bars |= {depth: mark for depth, mark in enumerate(self.long) if mark in whole}
        pieces = [_Piece(column(m.column), max(column(m.last_column + 1), column(m.column) + 1), m)
                  for m in self.marks if m.line == m.last_line == number]  # fmt: skip
        rows += [self._numbered("", self._barred(row)) for row in self._below(pieces)]
        for depth, mark in enumerate(self.long):
            if mark.line == number and mark not in whole:
                row = self._barred(Row())
                row.put(depth + 1, "_" * (column(mark.column) - depth - 1) + mark.sign, mark.tone)
                rows.append(self._numbered("", row))
                self.bars[depth] = mark
        for depth, mark in reversed(list(enumerate(self.long))):
            if mark.last_line == number:
                rows += self._closed(depth, mark, column(mark.last_column))
        return rows

    def _closed(self, depth: int, mark: Mark, column: int) -> list[str]:
        """The line from the bar to the last character, and the text."""
        first, *more = self._below([_Piece(column, column + 1, mark)])
        first.put(depth + 1, "_" * (column - depth - 1), mark.tone)
        first = self._barred(first)
        del self.bars[depth]
        return [self._numbered("", first), *(self._numbered("", self._barred(row)) for row in more)]

    def _below(self, pieces: list[_Piece]) -> list[Row]:
        """The marks of a line, the last one's text behind it; the other texts hang below, the rightmost first."""
        if not pieces:
            return []
        rows = [Row()]
        # the longest first, and of two at one place the primary one last: they are covered by those that follow
        for piece in sorted(pieces, key=lambda p: (p.start - p.end, p.mark.primary)):
            rows[0].put(piece.start, piece.mark.sign * (piece.end - piece.start), piece.mark.tone)
        hanging = sorted((p for p in pieces if p.mark.text), key=lambda p: (p.start, p.mark.primary))
        end = max(p.end for p in pieces)
        if hanging and hanging[-1].end == end and self._fits(end + 1 + cells(hanging[-1].mark.text)):
            last = hanging.pop()
            rows[0].put(end + 1, last.mark.text, last.mark.tone)
        if hanging:
            rows.append(_connected(hanging, len(rows[0])))
        while hanging:
            last = hanging.pop()
            start, texts = self._placed(last)
            for text in texts:
                rows.append(_connected(hanging, start))
                rows[-1].put(start, text, last.mark.tone)
        return rows

    def _fits(self, end: int) -> bool:
        return self.room is None or end <= self.room

    def _placed(self, piece: _Piece) -> tuple[int, list[str]]:
        """Where the text of a hanging mark starts, and its lines: below the mark, or left of it where there is no room."""
        text = piece.mark.text
        if self.room is None:
            return piece.start, [text]
        start = max(self.margin, min(piece.start, self.room - min(cells(text), _TEXT)))
        return start, wrapped(text, self.room - start)

    def _wanted(self, number: int) -> list[tuple[int, int]]:
        """The columns of a line that are marked, the primary mark's first."""
        starts = [(m, m.column, m.last_column + 1 if m.line == m.last_line else m.column + 1)
                  for m in self.marks if m.line == number]  # fmt: skip
        ends = [(m, m.last_column, m.last_column + 1) for m in self.long if m.last_line == number]
        return [(start, end) for _, start, end in sorted((*starts, *ends), key=lambda wanted: not wanted[0].primary)]

    def _cut(self, text: str, wanted: list[tuple[int, int]]) -> tuple[str, Callable[[int], int]]:
        """What is shown of a line, and the column in the row of each character of it."""
        room = (self.room or _LONGEST_LINE) - self.margin
        start, end = 0, len(text)
        if len(text) > room or cells(text) > room:
            room = (room if text.isascii() else room // 2) - 6  # a character may take two columns; the dots take three
            start, end = _window(len(text), wanted, room)
        first, shown = self.margin + 3 * (start > 0), printable(text[start:end])

        def column(at: int) -> int:  # of what is cut off, the dots
            return first + cells(shown[: at - start]) if at >= start else self.margin

        return "..." * (start > 0) + shown + "..." * (end < len(text)), column

    # a row behind the line numbers

    def _barred(self, row: Row) -> Row:
        for depth, mark in self.bars.items():
            row.put(depth, "|", mark.tone)
        return row

    def _numbered(self, number: str, row: Row, text: str = "") -> str:
        drawn = row.shown(self.look)
        if text:
            drawn += " " * (self.margin - len(row)) + text
        return f"{number:>{self.gutter}} {self.look.paint('|', GUTTER)} {drawn}".rstrip()

    def _skipped(self) -> str:
        return f"...{' ' * self.gutter}{self._barred(Row()).shown(self.look)}".rstrip()


def _connected(pieces: list[_Piece], end: int) -> Row:
    """A row that leads from the marks above, those before a column, to the texts below."""
    row = Row()
    for piece in pieces:
        if piece.start < end:
            row.put(piece.start, "|", piece.mark.tone)
    return row


def _window(length: int, wanted: list[tuple[int, int]], room: int) -> tuple[int, int]:
    """The columns of a line to show: all that is wanted in the middle, or the first of it where that is too much."""
    start, end = (min(s for s, _ in wanted), max(e for _, e in wanted)) if wanted else (0, 0)
    if end - start > room:
        start, end = wanted[0][0], min(wanted[0][1], wanted[0][0] + room)
    start = max(0, min(start - (room - (end - start)) // 2, length - room))
    return start, start + room
