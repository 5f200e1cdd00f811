"""Pieces to lines: what fits stays on one line, what does not is broken before `->`, or one item on a line."""

from __future__ import annotations

from netdsl.format.breaks import breaks
from netdsl.format.pieces import ARROW, CONDITIONAL, LIMIT, Body, Comment, Element, Group, Mark, Run, Statement, flat
from netdsl.format.settle import align
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
            self.out.new_line(indent)
            self.out.write(comment.text)
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
            if clause.comments:
                self.out.new_line(indent)
            elif not self.out.fresh:
                self.out.write(" ")
            self.run(clause.head, _INDENT, 2 if clause.body is not None else 0, False)
            if clause.body is not None:
                self.body(clause.body, indent)

    def body(self, body: Body, indent: int) -> None:
        if not body.entries:
            self.out.write(" { }")
            return
        self.out.write(" {")
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
        text = flat(part)
        width = part[0].space + (LIMIT if text is None else len(text)) + behind
        if text is not None and self.out.column + width <= LIMIT:
            return False
        if text is not None and column + len(text) + behind <= LIMIT:
            return True
        return self.out.column + _head(part) > LIMIT  # too long for a line in any case: its brackets are broken

    def part(self, part: list[Element], column: int, behind: int) -> None:
        """Write marks one after the other, and break the brackets that do not fit."""
        for element, tail in zip(part, _tails(part, behind)):
            if type(element) is Comment:
                self.comment(element, column)
                self.out.new_line(column)
                continue
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
        if not rows:
            _align_arrows(group, inner)
        last = group.items[-1] if group.items else None
        above: Run | None = None
        self.out.write(group.opening)
        for entry in group.entries:
            if type(entry) is Comment:
                self.comment(entry, inner)
                above = None
            elif type(entry) is Run:
                comma = "," if entry is not last or group.comma else ""
                text = entry.flat
                if rows and above is not None and not entry.new_line and self.joins(text, above):
                    self.out.write(f" {text}{comma}")
                else:
                    self.out.new_line(inner)
                    self.run(entry, hang, len(comma), True)
                    self.out.write(comma)
                above = entry
        self.out.new_line(indent)
        self.out.write(group.closing)

    def joins(self, text: str | None, above: Run) -> bool:
        """Whether an item of a table goes behind the one before it."""
        return text is not None and above.flat is not None and self.out.column + len(text) + 2 <= LIMIT


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


def _align_arrows(group: Group, indent: int) -> None:
    """Put the first `->` of neighbouring items below each other, where all of them fit."""
    section: list[tuple[Mark, int, int]] = []
    for entry in [*group.entries, None]:
        if type(entry) is Comment and not entry.own:
            continue
        found = _first_arrow(entry) if type(entry) is Run else None
        if found is not None:
            section.append(found)
            continue
        widest = max((before for _, before, _ in section), default=0)
        if all(indent + widest + behind < LIMIT for _, _, behind in section):
            align([(mark, before) for mark, before, _ in section])
        section = []


def _first_arrow(item: Run) -> tuple[Mark, int, int] | None:
    """The first `->` of an item, with the columns before it and those from it on."""
    text = item.flat
    for place, element in enumerate(item.elements):
        if element.point == CONDITIONAL:
            return None
        if element.point == ARROW and type(element) is Mark and text is not None:
            before = len(flat(item.elements[:place]) or "")
            return element, before, len(text) - before
    return None
