"""Running the lints over a file and its nets."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.diagnostics import Diagnostic
from netdsl.elaborate import Elaboration
from netdsl.lint import (  # noqa: F401 (each registers its rules)
    bias,
    cells,
    dead,
    gridding,
    kernels,
    losses,
    overwritten,
    precedence,
    receptive,
    unpooling,
    unused,
)
from netdsl.lint.net import Net
from netdsl.lint.rule import NET_RULES, TEXT_RULES, Rule
from netdsl.lint.silence import UNUSED, Judged, Silences
from netdsl.lint.survey import Survey
from netdsl.syntax import tree as t


def rules() -> list[Rule]:
    """All lints, in the order of their codes."""
    return sorted((*TEXT_RULES, UNUSED, *NET_RULES), key=lambda rule: rule.code)


def lint(*elaborations: Elaboration) -> list[Diagnostic]:
    """The warnings on a file of which these nets were elaborated, and the elaborations' notes, in the order of the text;
    without those that are silenced on their line.
    """
    return _linted(elaborations[0].file, elaborations)


def lint_text(file: t.File) -> list[Diagnostic]:
    """The warnings on a file that has no net: those of its text."""
    return _linted(file, ())


def _linted(file: t.File, elaborations: tuple[Elaboration, ...]) -> list[Diagnostic]:
    survey = Survey(file)
    silences = Silences(survey)
    found = {_key(d): d for d in _found(elaborations, survey, silences) if not silences.silenced(d)}
    warnings = [*found.values(), *UNUSED.diagnostics(Judged(silences, elaborations))]
    return sorted(warnings, key=lambda d: (d.labels[0].span.source is not file.source, d.labels[0].span.start))


def _found(elaborations: tuple[Elaboration, ...], survey: Survey, silences: Silences) -> Iterator[Diagnostic]:
    for rule in TEXT_RULES:
        yield from rule.diagnostics(survey)
    for elaboration in elaborations:
        net = Net(elaboration, survey, silences)
        yield from elaboration.notes
        for rule in NET_RULES:
            yield from rule.diagnostics(net)


def _key(diagnostic: Diagnostic) -> tuple[str, ...]:
    """What makes two messages one: nets of a file have blocks in common."""
    return diagnostic.code, *(f"{label.span}-{label.span.end}" for label in diagnostic.labels)
