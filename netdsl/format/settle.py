"""What is decided about a bracket, a body or an import once all of it is there."""

from __future__ import annotations

from itertools import groupby

from netdsl.format.pieces import CONDITIONAL, LIMIT, OPERATOR, Body, Comment, Element, Group, Mark, Run, Statement, flat


def finish_group(group: Group, ends_in_comma: bool) -> None:
    """The text of a bracket on one line, where it has one; whether a comma may stand behind its last item.

    A comma behind the last item keeps it broken, one item on a line.
    """
    items = group.items
    alone = group.opening == "(" and len(items) == 1 and not group.comma  # (a), or with its comma (a,)
    if not alone and not group.index and not _is_comprehension(group):
        group.comma = True
    elif alone and ends_in_comma:
        group.comma, ends_in_comma = True, False
    if group.index:
        for item in items:
            _space_slice(item)
    texts = [item.flat for item in items]
    if ends_in_comma or len(items) < len(group.entries) or None in texts:
        return
    inside = ", ".join(text for text in texts if text is not None)
    text = f"{group.opening}{inside}{',' if alone and group.comma else ''}{group.closing}"
    group.flat = text if len(text) <= LIMIT else None


def _is_comprehension(group: Group) -> bool:
    return any(e.flat == "for" and e.point == CONDITIONAL for item in group.items for e in item.elements)


def _space_slice(item: Run) -> None:
    """Spaces around a colon between two bounds of which one is a sum or the like: `[l - 1 : l + 1]`, but `[:l - 1]`."""
    if not any(element.point >= OPERATOR for element in item.elements):
        return
    elements = [element for element in item.elements if type(element) is not Comment]
    for before, colon, after in zip(elements, elements[1:], elements[2:]):
        if colon.flat == ":" and before.flat != ":" and after.flat != ":":
            colon.space = after.space = 1


def finish_body(body: Body, ends_on_its_line: bool) -> None:
    """A body is on one line where the author wrote it so, and where it is empty."""
    if not body.entries:
        body.flat = "{ }"
        return
    only = body.entries[0]
    if len(body.entries) == 1 and type(only) is Statement and ends_on_its_line and not only.new_line:
        text = only.flat
        body.flat = None if text is None else f"{{ {text} }}"


def settle_import(head: Run) -> None:
    """Put the names of an import in parentheses where they do not fit on its line, and take needless ones away."""
    elements = head.elements
    start = next(i for i, element in enumerate(elements) if element.flat == "import") + 1
    group = elements[start]
    if type(group) is not Group:
        group = Group("(", 1, False)
        for is_comma, part in groupby(elements[start:], lambda element: element.flat == ","):
            if not is_comma:
                run = Run(False)
                run.elements = list(part)
                group.entries.append(run)
        group.comma = True
        if head.flat is None:
            finish_group(group, False)
            elements[start:] = [group]
        return
    bare = _without_parentheses(group)
    if group.flat is not None and flat(elements[:start] + bare) is not None:
        elements[start:] = bare


def _without_parentheses(group: Group) -> list[Element]:
    elements: list[Element] = []
    for item in group.items:
        item.elements[0].space = 1
        elements += item.elements
        elements.append(Mark(",", 0))
    return elements[:-1]
