"""A value that nobody can have read: its name is bound again first."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.diagnostics import Label
from netdsl.lint.rule import Finding, of_text
from netdsl.lint.survey import Survey
from netdsl.syntax import tree as t


@of_text("W0107", "overwritten-name", "a name that is bound again before anything reads it")
def overwritten_names(survey: Survey) -> Iterator[Finding]:
    for function in survey.functions:
        unread = set(function.unread)  # which has a warning of its own
        for first, second in function.overwritten:
            if first.name in unread or first.name.startswith("_"):
                continue
            helps = ["remove the first"]
            statement = survey.statement(second.span)
            if isinstance(statement, t.Assign) and isinstance(statement.value, t.Pipeline):
                start = statement.value.stages[0].span.text
                if start.isidentifier():
                    helps.append(f"if the second is to go on from the first, write `{first.name} = {first.name} -> ...` "
                                 f"in place of `{first.name} = {start} -> ...`")  # fmt: skip
            labels = (Label(first.span, "never read"), Label(second.span, "overwritten here"))
            yield Finding(f"`{first.name}` is overwritten before it is read", labels, helps=tuple(helps))
