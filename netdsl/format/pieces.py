"""What is laid out: marks, and the brackets and braces that hold more of them.

A piece that fits on one line has that line as its `flat` text; None says that it has to be broken: because it is too
long, holds a comment, or ends in a comma that keeps it broken.
"""

from __future__ import annotations

#: columns of a line
LIMIT = 120

#: where a line may be broken: before these, the loosest first
CONDITIONAL, ARROW, OPERATOR = 1, 2, 3


class Mark:
    """A word, a number, a string, an operator or a comma."""

    __slots__ = ("flat", "kept_break", "point", "space")

    def __init__(self, text: str, space: int, point: int = 0, kept_break: bool = False) -> None:
        self.flat: str | None = text
        self.space = space
        #: 0, or how loosely it binds: CONDITIONAL, ARROW, OPERATOR and above
        self.point = point
        #: whether the author began a line here, and it is a place where that is kept
        self.kept_break = kept_break


class Comment:
    """A comment: on a line of its own, or behind something."""

    __slots__ = ("blank", "own", "text")
    flat: str | None = None
    space, point, kept_break = 2, 0, False

    def __init__(self, text: str, own: bool, blank: bool) -> None:
        self.text, self.own = text, own
        #: whether a blank line stands before it
        self.blank = blank


class Group:
    """What stands in parentheses or brackets, split at its commas."""

    __slots__ = ("comma", "entries", "flat", "index", "opening", "space")
    point, kept_break = 0, False

    def __init__(self, opening: str, space: int, index: bool) -> None:
        self.opening, self.space, self.index = opening, space, index
        self.entries: list[Run | Comment] = []
        #: whether a comma may stand behind the last item
        self.comma = False
        self.flat: str | None = None

    @property
    def closing(self) -> str:
        return ")" if self.opening == "(" else "]"

    @property
    def items(self) -> list[Run]:
        return [entry for entry in self.entries if type(entry) is Run]


Element = Mark | Comment | Group


class Run:
    """Pieces one after the other: an item of a group, or a statement up to its brace."""

    __slots__ = ("elements", "new_line")

    def __init__(self, new_line: bool) -> None:
        self.elements: list[Element] = []
        #: whether the author began a line with it
        self.new_line = new_line

    @property
    def flat(self) -> str | None:
        return None if any(e.kept_break for e in self.elements) else flat(self.elements)


class Body:
    """What stands between braces, or a whole file."""

    __slots__ = ("entries", "flat")

    def __init__(self) -> None:
        self.entries: list[Statement | Comment] = []
        self.flat: str | None = None


class Clause:
    """A statement, or one of the branches of an `if`: comments before its `else`, its head, its body."""

    __slots__ = ("body", "comments", "head")

    def __init__(self) -> None:
        self.comments: list[Comment] = []
        self.head = Run(False)
        self.body: Body | None = None

    @property
    def flat(self) -> str | None:
        if self.comments:
            return None
        head = self.head.flat
        if self.body is None or head is None:
            return head
        body = self.body.flat
        return None if body is None else f"{head} {body}"


class Statement:
    __slots__ = ("blank", "clauses", "new_line", "word")

    def __init__(self, word: str, lines: int) -> None:
        #: its first word: `net`, `train`, `from`, ...
        self.word = word
        #: whether the author began a line with it, and whether a blank line stands before it
        self.new_line, self.blank = lines > 0, lines > 1
        self.clauses: list[Clause] = []

    @property
    def is_declaration(self) -> bool:
        return self.word in ("net", "block")

    @property
    def has_body(self) -> bool:
        return self.clauses[0].body is not None

    @property
    def flat(self) -> str | None:
        texts = []
        for clause in self.clauses:
            text = clause.flat
            if text is None:
                return None
            texts.append(text)
        return " ".join(texts)


def flat(elements: list[Element]) -> str | None:
    """The text on one line of pieces that are not broken, without the space before the first."""
    texts: list[str] = []
    width = 0
    for element in elements:
        if element.flat is None or width > LIMIT:
            return None
        text = " " * element.space + element.flat if texts else element.flat
        texts.append(text)
        width += len(text)
    return "".join(texts) if width <= LIMIT else None


def flat_code(part: list[Element]) -> str | None:
    """The same without the comments at the end, which may stay behind it."""
    end = len(part)
    while end and type(part[end - 1]) is Comment:
        end -= 1
    return flat(part[:end])
