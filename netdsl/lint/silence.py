"""Silencing: `# noqa: W0203` on the line of a warning, or on the first or last line of the statement that it stands in.

Several codes are separated by commas; `# noqa` alone silences all. A code that silences nothing is a warning itself, so
that they do not stay behind when their cause is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from netdsl.diagnostics import Diagnostic, Label, Span, did_you_mean
from netdsl.elaborate import Elaboration
from netdsl.lint.rule import NET_RULES, TEXT_RULES, Finding, Rule
from netdsl.lint.survey import Survey
from netdsl.syntax import tree as t
from netdsl.syntax.comments import comments

#: compiled where there is one: that takes a millisecond
_DIRECTIVE = r"(?i)#\s*noqa\b(?P<codes>\s*:\s*\w+(?:\s*,\s*\w+)*)?"

#: notes of the elaboration can be silenced too
_NOTES = ("N0001",)


class _Directive:
    """One `# noqa`: the codes with their spans, none for all codes; and which of them silenced something."""

    def __init__(self, span: Span, codes: dict[str, Span]) -> None:
        self.span, self.codes = span, codes
        self.used: set[str] = set()


class Silences:
    """The `# noqa` comments of a file."""

    def __init__(self, survey: Survey) -> None:
        self.survey = survey
        source = survey.file.source
        written = comments(source) if "noqa" in source.text.lower() else ()
        self.by_line = {d.span.line: d for comment in written for d in _directives(comment)}

    def covers(self, code: str, spans: Iterable[Span]) -> bool:
        """Whether a message of that code, which marks those places, is silenced."""
        covered = False
        for line in self._lines(spans) if self.by_line else ():
            directive = self.by_line.get(line)
            if directive is not None and (not directive.codes or code in directive.codes):
                directive.used.add(code)
                covered = True
        return covered

    def silenced(self, diagnostic: Diagnostic) -> bool:
        return self.covers(diagnostic.code, [label.span for label in diagnostic.labels])

    def _lines(self, spans: Iterable[Span]) -> Iterator[int]:
        for span in spans:
            if span.source is self.survey.file.source:
                yield span.line
                statement = self.survey.statement(span)
                if statement is not None:
                    yield from _ends(statement)


def _ends(statement: t.Statement) -> tuple[int, int]:
    """The first and the last line of a statement: a comment behind one that `fmt` breaks stands on the last."""
    return statement.span.line, statement.span.source.position(statement.span.end)[0]


def _directives(comment: Span) -> Iterator[_Directive]:
    for found in re.finditer(_DIRECTIVE, comment.text):
        start = comment.start + found.start()
        codes = {}
        for code in re.finditer(r"\w+", found["codes"] or ""):
            at = comment.start + found.start("codes") + code.start()
            codes[code[0].upper()] = Span(comment.source, at, at + len(code[0]))
        yield _Directive(Span(comment.source, start, comment.start + found.end()), codes)


def unused_silences(judged: Judged) -> Iterator[Finding]:
    for directive in judged.silences.by_line.values():
        if UNUSED.code in directive.codes:
            continue
        if not directive.codes and not directive.used and judged.wholly(directive.span.line):
            yield Finding("there is nothing to silence here", (Label(directive.span),), helps=("remove the comment",))
        for code, span in directive.codes.items():
            if code not in _known():
                yield Finding(f"no warning has the code `{span.text}`", (Label(span),),
                              helps=did_you_mean(code, _known()) or ("`netdsl explain` lists the codes",))  # fmt: skip
            elif code not in directive.used and (code.startswith("W01") or judged.wholly(directive.span.line)):
                yield Finding(f"there is no {code} to silence here", (Label(span),), helps=("remove the code",))


UNUSED = Rule("W0110", "unused-silence", "a `# noqa` that silences nothing", unused_silences)


def _known() -> list[str]:
    return [rule.code for rule in (*TEXT_RULES, UNUSED, *NET_RULES)] + list(_NOTES)


class Judged:
    """What of a file was looked at: lints of nets say nothing about lines from which no layer was made this time."""

    def __init__(self, silences: Silences, elaborations: Sequence[Elaboration]) -> None:
        self.silences, self.elaborations = silences, elaborations

    def wholly(self, line: int) -> bool:
        return len(self.elaborations) == len(self.silences.survey.nets) and line in self._lines

    @cached_property
    def _lines(self) -> set[int]:
        """The lines of layers, and the first lines of their statements; and those of the nets."""
        survey = self.silences.survey
        nodes = {node.span for e in self.elaborations for node in (*e.graph.nodes, *e.unused)}
        own = [span for span in nodes if span.source is survey.file.source]
        statements = [statement for span in own if (statement := survey.statement(span)) is not None]
        ends = {line for statement in statements for line in _ends(statement)}
        return ends | {span.line for span in (*own, *(net.declaration.span for net in survey.nets))}
