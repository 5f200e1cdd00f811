"""From tokens to the pieces that are laid out: brackets are matched, items and statements told apart, spaces decided."""

from __future__ import annotations

from netdsl.format.align import align_settings
from netdsl.format.frames import GOES_ON, Braces, Brackets
from netdsl.format.pieces import ARROW, Body, Comment, Group, Mark
from netdsl.format.settle import finish_body, finish_group, settle_import
from netdsl.format.tokens import Token, tokens


def build(text: str) -> Body:
    """The pieces of a file that parses."""
    found = list(tokens(text))
    builder = _Builder()
    for token, after in zip(found, _codes_after(found)):
        builder.add(token, after)
    return builder.file()


def _codes_after(found: list[Token]) -> list[str]:
    """For each token the text of the next one that is no comment."""
    after, result = "", []
    for token in reversed(found):
        result.append(after)
        if token.kind != "comment":
            after = token.text
    return result[::-1]


class _Builder:
    def __init__(self) -> None:
        self.frame: Braces | Brackets = Braces()
        self.outer: list[Braces | Brackets] = []
        #: the token before, comments left out, and whether it is the sign of a number
        self.before: Token | None = None
        self.signed = False
        #: the comment right before, where it stands behind something
        self.trailing: Token | None = None

    def file(self) -> Body:
        assert type(self.frame) is Braces
        self._end_statement(self.frame)
        return self.frame.body

    def add(self, token: Token, after: str) -> None:
        if token.kind == "comment":
            self._comment(token, after)
            return
        if type(self.frame) is Braces and token.lines and token.text not in GOES_ON:
            self._end_statement(self.frame)
        if token.text in ("(", "["):
            self._open_group(token)
        elif token.text == "{":
            self._open_body()
        elif token.text in (")", "]", "}"):
            self._close(token)
        elif token.text == "," and type(self.frame) is Brackets and not self.frame.loops:
            self.frame.item = None
        else:
            self._mark(token)
        self.before, self.trailing = token, None

    def _comment(self, token: Token, after: str) -> None:
        """One is on a line of its own, or behind something, or right below one that is: the next line of the same."""
        above = self.trailing
        goes_on = above is not None and token.lines == 1 and token.column == above.column
        behind = goes_on or (token.lines == 0 and self.before is not None)
        self.trailing = token if behind else None
        self.frame.comment(Comment(token.text, not behind, token.lines > 1), after)

    def _mark(self, token: Token) -> None:
        text = token.text
        elements = self.frame.run(token).elements
        signed = text == "-" and not self._after_operand()
        point = self.frame.point(text) if elements and not signed else 0
        kept = text == "->" and token.lines > 0 and point == ARROW and self.frame.keeps_break()
        elements.append(Mark(text, self._space(text), point, kept))
        self.signed = signed

    def _after_operand(self) -> bool:
        return self.before is not None and self.before.ends_operand

    def _space(self, text: str) -> int:
        """How many spaces stand before a mark or a bracket."""
        before = "" if self.before is None else self.before.text
        if self.signed or text in (",", ".", "?") or before in (".", "@"):
            return 0
        if ":" in (text, before) and type(self.frame) is Brackets:
            return 0
        return 0 if text in ("(", "[") and self._after_operand() else 1

    def _open_group(self, token: Token) -> None:
        attached = self._after_operand()
        group = Group(token.text, self._space(token.text), token.text == "[" and attached)
        group.comma = token.text == "(" and (attached or (self.before is not None and self.before.text == "import"))
        self.frame.run(token).elements.append(group)
        self._enter(Brackets(group))

    def _open_body(self) -> None:
        assert type(self.frame) is Braces and self.frame.clause is not None
        inner = Braces()
        self.frame.clause.body = inner.body
        self._enter(inner)

    def _enter(self, frame: Braces | Brackets) -> None:
        self.outer.append(self.frame)
        self.frame, self.signed = frame, False

    def _close(self, token: Token) -> None:
        frame, self.frame, self.signed = self.frame, self.outer.pop(), False
        if type(frame) is Brackets:
            finish_group(frame.group, self.before is not None and self.before.text == ",")
            return
        assert type(frame) is Braces and type(self.frame) is Braces and self.frame.statement is not None
        self._end_statement(frame)
        finish_body(frame.body, token.lines == 0)
        if self.frame.statement.word == "train":
            align_settings(frame.body)
        self.frame.clause = None

    def _end_statement(self, frame: Braces) -> None:
        if frame.statement is not None and frame.statement.word == "from":
            settle_import(frame.statement.clauses[0].head)
        frame.statement = frame.clause = None
