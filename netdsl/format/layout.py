"""Pieces to lines: what fits stays on one line, what does not is broken before `->`, or one item on a line."""

from __future__ import annotations

from netdsl.format.align import align_arrows
from netdsl.format.breaks import breaks
from netdsl.format.pieces import LIMIT, Body, Comment, Element, Group, Mark, Run, Statement, flat_code
from netdsl.format.writer import Writer

_INDENT = 4
#: brackets with less between them stay on their line: to break them would gain nothing
_SMALL = 20


def lay_out(file: Body, most: int) -> str:
    """The text of a file. Raises TooLong where it would have more characters than `most`."""
    layout = _Layout(Writer(most))
    _separate(file.entries)
    layout.entries(file, 0)
    return layout.out.text()


def _separate(entries: list[Statement | Comment]) -> None:
    """A blank line around nets, blocks and train blocks, with the comments right above them, and below the imports."""
    above: Statement | None = None
    for place, entry in enumerate(entries):
        if type(entry) is not Statement:
            continue
        if above is not None and not entry.blank and _apart(above, entry):
            first = place
            while _is_above(entries[first - 1]) and not entries[first].blank:
                first -= 1
            entries[first].blank = True
        above = entry


def _apart(above: Statement, below: Statement) -> bool:
    return above.has_body or below.has_body or (above.word == "from" and below.word != "from")


def _is_above(entry: Statement | Comment) -> bool:
    return type(entry) is Comment and entry.own


class _Layout:
    def __init__(self, out: Writer) -> None:
        self.out = out

    def entries(self, body: Body, indent: int) -> None:
        begun = False
        for entry in body.entries:
            if entry.blank and begun:
                self.out.blank_line()
            if type(entry) is Comment:
                self.comment(entry, indent)
                begun = begun or entry.own
            elif type(entry) is Statement:
                self.statement(entry, indent)
                begun = True

    def comment(self, comment: Comment, indent: int) -> None:
        if comment.own:
            self.out.comment(comment.text, indent)
        else:
            self.out.comment_behind(comment.text)

    def statement(self, statement: Statement, indent: int) -> None:
        self.out.new_line(indent)
        text = statement.flat
        if text is not None and indent + len(text) <= LIMIT:
            self.out.write(text)
            return
        for clause in statement.clauses:
            for comment in clause.comments:
                self.comment(comment, indent)
            if self.out.ended:
                self.out.new_line(indent)
            if not self.out.fresh:
                self.out.write(" ")
            opening = "" if clause.body is None else " {" if clause.body.entries else " { }"
            self.run(clause.head, _INDENT, len(opening), False)
            self.out.write(opening)
            if clause.body is not None and clause.body.entries:
                self.body(clause.body, indent)

    def body(self, body: Body, indent: int) -> None:
        self.entries(body, indent + _INDENT)
        self.out.new_line(indent)
        self.out.write("}")

    def run(self, run: Run, hang: int, behind: int, bracketed: bool) -> None:
        """Write a run. Lines that go on with it are indented by `hang` more; `behind` columns are kept free at its end."""
        text = run.flat
        if text is not None and self.out.column + len(text) + behind <= LIMIT:
            self.out.write(text)
            return
        plan = breaks(run.elements, self.out.column, self.out.indent, hang, behind, bracketed)
        for place, part in enumerate(plan.parts):
            room = behind if place == len(plan.parts) - 1 else 0
            if place and (plan.all or self.starts_line(part, plan.column, room)):
                self.out.new_line(plan.column)
            self.part(part, plan.column, room)

    def starts_line(self, part: list[Element], column: int, behind: int) -> bool:
        """Whether a part of a run goes to a new line: it does not fit on this one, or the author broke there."""
        if part[0].kept_break:
            return True
        text = flat_code(part)
        if text is not None and column + len(text) + behind <= LIMIT:
            return self.out.column + part[0].space + len(text) + behind > LIMIT
        return self.out.column + _head(part) > LIMIT  # too long for a line in any case: its brackets are broken

    def part(self, part: list[Element], column: int, behind: int) -> None:
        """Write marks one after the other, and break the brackets that do not fit."""
        for element, tail in zip(part, _tails(part, behind)):
            if type(element) is Comment:
                self.comment(element, column)
                continue
            if self.out.ended:
                self.out.new_line(column)
            if not self.out.fresh:
                self.out.write(" " * element.space)
            text = element.flat
            if type(element) is Group and (
                text is None or (_may_break(element) and self.out.column + len(text) + tail > LIMIT)
            ):
                self.group(element)
            else:
                self.out.write(text or "")

    def group(self, group: Group) -> None:
        """Write a bracket with its items on lines of their own."""
        indent = self.out.indent
        inner = indent + _INDENT
        hang = _INDENT if group.comma else 0
        rows = _has_rows(group)
        if group.opening == "(":
            align_arrows(group, inner)
        last = group.items[-1] if group.items else None
        row = False  # whether the line holds items that others may join
        self.out.write(group.opening)
        for entry in group.entries:
            if type(entry) is Comment:
                self.comment(entry, inner)
                row = False
            elif type(entry) is Run:
                comma = "," if entry is not last or group.comma else ""
                text = entry.flat
                if row and not entry.new_line and text is not None and self.out.column + len(text) + 2 <= LIMIT:
                    self.out.write(f" {text}{comma}")
                    continue
                self.out.new_line(inner)
                above = len(self.out.lines)
                self.run(entry, hang, len(comma), True)
                self.out.write(comma)
                row = rows and len(self.out.lines) == above
        self.out.new_line(indent)
        self.out.write(group.closing)


def _may_break(element: Element) -> bool:
    if type(element) is not Group:
        return False
    return element.flat is None or (not element.index and len(element.flat) >= _SMALL)


def _tails(part: list[Element], behind: int) -> list[int]:
    """For each element the columns behind it up to the next place where a line may end."""
    tails, tail = [], behind
    for element in reversed(part):
        tails.append(tail)
        if type(element) is Comment:
            tail = 0
        elif _may_break(element):
            tail = element.space + 1
        else:
            tail += element.space + len(element.flat or "")
    return tails[::-1]


def _head(part: list[Element]) -> int:
    """The columns of a part up to the first bracket that may be broken."""
    width = 0
    for element in part:
        if _may_break(element):
            return width + element.space + 1
        width += element.space + len(element.flat or "")
    return width


def _has_rows(group: Group) -> bool:
    """Whether items may share a line: in a list that the author wrote in rows, and in one of numbers or names."""
    if group.opening != "[" or group.index or not group.comma:
        return False
    items = group.items
    return any(item.new_line for item in items[1:]) or all(type(e) is Mark for item in items for e in item.elements)
