"""One random error in a file that had none: it is told, at its place, and nothing besides.

The files are the examples and those of the language page.
"""

import re
from functools import cache
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from netdsl.analysis import check_expectations
from netdsl.diagnostics import Source, SourceError
from netdsl.diagnostics.text import render
from netdsl.elaborate.elaborate import elaborate_all
from netdsl.syntax import parse
from netdsl.syntax import tree as t
from netdsl.syntax.parser import _parser
from netdsl.syntax.walk import walk

ROOT = Path(__file__).parent.parent
_PAGE = re.findall(r"```net\n(.*?)```", (ROOT / "docs" / "language.md").read_text(encoding="utf-8"), re.DOTALL)
FILES = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "examples").glob("*.net"))] + _PAGE
UNKNOWN = "qqqq"


def diagnostics(text):
    """What `netdsl check` says of a text. Anything but a SourceError is a failure."""
    try:
        for elaboration in elaborate_all(Source("test.net", text)):
            check_expectations(elaboration)
    except SourceError as error:
        assert error.diagnostics
        for found in error.diagnostics:
            assert render(found)
            assert all(0 <= label.span.start <= label.span.end <= len(label.span.source.text) for label in found.labels)
        return error.diagnostics
    return []


@cache
def tokens(text):
    return list(_parser().parser.tokens(text))


@cache
def uses(text):
    """The places where a name is read."""
    file = parse(Source("test.net", text))
    bodies = [*file.functions, *file.trains]
    return [node for body in bodies for node in walk(body) if isinstance(node, t.Name) and not _declares(node, text)]


def _declares(name, text):
    """Whether the name is bound there, or is a word of `target` or `axis`, or names the net of a train block."""
    line = text[text.rfind("\n", 0, name.span.start) + 1 : name.span.end]
    behind = text[name.span.end :].lstrip()
    return (
        re.match(r"(\[[^\]]*\]|\s*,\s*\w+)*\s*=[^=]", behind) is not None
        or line.lstrip().startswith(("target", "train"))
        or re.search(r"\b(axis = |for [\w, ]*)$", line.removesuffix(name.name)) is not None
    )


def without(text, token):
    return text[: token.start_pos] + text[token.end_pos :]


@st.composite
def renamed(draw):
    """A file in which one name is read that is bound nowhere, and the line."""
    text = draw(st.sampled_from(FILES))
    span = draw(st.sampled_from(uses(text))).span
    return text[: span.start] + UNKNOWN + text[span.end :], span.line


@st.composite
def unbalanced(draw):
    """A file without one of its arrows or brackets."""
    text = draw(st.sampled_from(FILES))
    kinds = ("ARROW", "LPAR", "RPAR", "LSQB", "RSQB", "LBRACE", "RBRACE", "EQUAL")
    return without(text, draw(st.sampled_from([token for token in tokens(text) if token.type in kinds])))


@st.composite
def changed(draw):
    """A file in which one token is another, twice there, or away."""
    text = draw(st.sampled_from(FILES))
    token = draw(st.sampled_from(tokens(text)))
    other = draw(
        st.sampled_from([*"(){}[],:=+-*/%~?@.", "->", "==", "//", "**", "0", "7", '"same"', "none", "for", "x"])
    )
    put = draw(st.sampled_from(["", other, f"{token} {token}"]))
    return text[: token.start_pos] + put + text[token.end_pos :]


@settings(deadline=None, max_examples=150)
@given(renamed())
def test_a_name_that_is_not_there_is_told_once_and_on_its_line(case):
    text, line = case
    found = diagnostics(text)
    assert [(d.labels[0].span.line, d.labels[0].span.text) for d in found] == [(line, UNKNOWN)]


@settings(deadline=None, max_examples=150)
@given(unbalanced())
def test_a_mark_that_is_missing_is_told_and_little_besides(text):
    found = diagnostics(text)
    assert 1 <= len(found) <= 2, [d.message for d in found]


@settings(deadline=None, max_examples=200)
@given(changed())
def test_a_token_that_is_wrong_is_told_or_does_no_harm(text):
    assert len(diagnostics(text)) <= 3
