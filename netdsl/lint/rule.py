"""What a lint is, and the table of them all.

A lint is a function under `@of_text` or `@of_net`, in a file of its subject: it takes the file's `Survey`, or a `Net`, and
yields a `Finding` for each place. Its page in the catalogue (`netdsl/diagnostics/codes/`) says why one should care.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from netdsl.diagnostics import Diagnostic, Frame, Label

if TYPE_CHECKING:
    from netdsl.lint.net import Net
    from netdsl.lint.survey import Survey


#: warnings of one rule on one file: who has more will begin with these
_MOST = 100


class Finding(NamedTuple):
    """A diagnostic without what its rule knows."""

    message: str
    labels: tuple[Label, ...]
    notes: tuple[str, ...] = ()
    helps: tuple[str, ...] = ()
    chain: tuple[Frame, ...] = ()


class Rule(NamedTuple):
    """A lint: its code, its name, one line on what it finds."""

    code: str
    name: str
    summary: str
    check: Callable[[Any], Iterable[Finding]]

    def diagnostics(self, subject: Any) -> Iterator[Diagnostic]:
        for found in islice(self.check(subject), _MOST):
            yield Diagnostic(self.code, *found, severity="warning")


#: W01: of the text alone
TEXT_RULES: list[Rule] = []
#: W02: of the nets that the text makes
NET_RULES: list[Rule] = []

TextCheck = Callable[["Survey"], Iterable[Finding]]
NetCheck = Callable[["Net"], Iterable[Finding]]


def of_text(code: str, name: str, summary: str) -> Callable[[TextCheck], TextCheck]:
    """Register a lint of the text."""

    def register(check: TextCheck) -> TextCheck:
        TEXT_RULES.append(Rule(code, name, summary, check))
        return check

    return register


def of_net(code: str, name: str, summary: str) -> Callable[[NetCheck], NetCheck]:
    """Register a lint of nets."""

    def register(check: NetCheck) -> NetCheck:
        NET_RULES.append(Rule(code, name, summary, check))
        return check

    return register
