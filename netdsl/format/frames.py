"""What is open while pieces are built: braces that collect statements, or brackets that collect items."""

from __future__ import annotations

from netdsl.format.pieces import ARROW, CONDITIONAL, OPERATOR, Body, Clause, Comment, Group, Run, Statement
from netdsl.format.tokens import Token

#: how loosely operators bind, for breaking a line before them
_LEVELS = {"if": CONDITIONAL, "else": CONDITIONAL, "for": CONDITIONAL, "->": ARROW, "or": OPERATOR, "and": OPERATOR + 1}
_LEVELS |= dict.fromkeys(("<", ">", "<=", ">=", "==", "!=", "~", "in"), OPERATOR + 2)
_LEVELS |= dict.fromkeys(("+", "-"), OPERATOR + 3)
_LEVELS |= dict.fromkeys(("*", "/", "//", "%"), OPERATOR + 4)
#: a line that starts with one of these goes on with the statement above
GOES_ON = ("->", "else")


class Braces:
    """A body, or the whole file."""

    def __init__(self) -> None:
        self.body = Body()
        self.statement: Statement | None = None
        #: the clause that marks are added to; none between the `}` of a branch and its `else`
        self.clause: Clause | None = None

    def run(self, token: Token) -> Run:
        """What a token is added to."""
        if self.statement is None:
            self.statement = Statement(token.text, token.lines)
            self.body.entries.append(self.statement)
        return self._clause(self.statement).head

    def _clause(self, statement: Statement) -> Clause:
        if self.clause is None:
            self.clause = Clause()
            statement.clauses.append(self.clause)
        return self.clause

    def comment(self, comment: Comment, after: str) -> None:
        if self.statement is None or after not in GOES_ON:
            self.body.entries.append(comment)
            return
        clause = self._clause(self.statement)
        (clause.head.elements if clause.head.elements else clause.comments).append(comment)

    def point(self, text: str) -> int:
        """Whether and how loosely a line may be broken before a mark: outside brackets, before `->` and `else`."""
        statement = self.statement
        if text == "->" and statement is not None and statement.is_declaration:
            # the hyperparameters are broken instead, where there are some
            head = statement.clauses[0].head.elements
            return 0 if any(type(e) is Group and e.opening == "(" for e in head) else ARROW
        return _LEVELS[text] if text in GOES_ON else 0

    def keeps_break(self) -> bool:
        """Whether an author's break before `->` means something."""
        return self.statement is not None and not self.statement.is_declaration


class Brackets:
    """Items in parentheses or brackets."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.item: Run | None = None
        #: `for` of comprehensions whose `in` is to come
        self.loops = 0

    def run(self, token: Token) -> Run:
        if self.item is None:
            self.item = Run(token.lines > 0)
            self.group.entries.append(self.item)
        return self.item

    def comment(self, comment: Comment, after: str) -> None:
        if self.item is None or after in (")", "]") or (after == "," and not self.loops):
            above = self.group.entries[-1] if self.group.entries else None
            # behind a comma that goes to the end of its item, before the comments between them
            comment.own |= type(above) is Comment and above.own
            self.group.entries.append(comment)
        else:
            self.item.elements.append(comment)

    def point(self, text: str) -> int:
        self.loops += text == "for"
        if text == "in" and self.loops:
            self.loops -= 1
            return 0
        return _LEVELS.get(text, 0)

    def keeps_break(self) -> bool:
        return True
