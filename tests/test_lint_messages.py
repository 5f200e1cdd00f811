"""What each lint says, as text, and a clean file beside it: tests/snapshots/lints/ holds a file, its messages and a file
without any, with lines `----` between.

To review a change: NETDSL_WRITE_SNAPSHOTS=1 pytest tests/test_lint_messages.py, and read the difference.
"""

import os
from pathlib import Path

import pytest
from brief import NAME, brief

from netdsl.analysis import check_expectations
from netdsl.diagnostics import Source
from netdsl.elaborate import elaborate_all
from netdsl.lint import lint, rules

SNAPSHOTS = sorted((Path(__file__).parent / "snapshots" / "lints").glob("*.txt"))
LINE = "----\n"


def linted(text):
    """What the lints say of a file that is well formed."""
    elaborations = elaborate_all(Source(NAME, text))
    for elaboration in elaborations:
        check_expectations(elaboration)
    return lint(*elaborations)


@pytest.mark.parametrize("path", SNAPSHOTS, ids=lambda path: path.stem)
def test_the_messages_are_as_reviewed(path):
    text, expected, clean = path.read_text(encoding="utf-8").split(LINE)
    diagnostics = linted(text)
    found = "".join(brief(diagnostic) + "\n\n" for diagnostic in diagnostics)
    if os.environ.get("NETDSL_WRITE_SNAPSHOTS"):
        path.write_text(LINE.join([text, found, clean]), encoding="utf-8")
    else:
        assert found == expected
    code = path.stem.partition("-")[0]
    assert diagnostics and {d.code for d in diagnostics} == {code}
    assert all(d.severity == "warning" and d.helps for d in diagnostics)


@pytest.mark.parametrize("path", SNAPSHOTS, ids=lambda path: path.stem)
def test_nothing_is_said_of_the_clean_file(path):
    clean = path.read_text(encoding="utf-8").split(LINE)[2]
    assert not [brief(diagnostic) for diagnostic in linted(clean)]


def test_every_lint_has_a_snapshot():
    assert [f"{rule.code}-{rule.name}" for rule in rules()] == [path.stem for path in SNAPSHOTS]
