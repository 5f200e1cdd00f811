"""`syntax N` and imports: what they parse to, and what is said of wrong ones; comments; walking a tree."""

import pytest

from netdsl.diagnostics import Source, SourceError
from netdsl.syntax import parse
from netdsl.syntax import tree as t
from netdsl.syntax.comments import comments, documentation
from netdsl.syntax.walk import walk

NET = "net f : x[1] -> y { y = x }\n"


def file(text):
    return parse(Source("test.net", text))


def message(text):
    with pytest.raises(SourceError) as caught:
        file(text)
    return str(caught.value)


@pytest.mark.parametrize("line", ["syntax 1\n", "# a comment\n\n  # another\nsyntax 1 # why\n", "syntax\t1\r\n"])
def test_a_version_may_stand_first(line):
    assert file(line + NET).version == 1


def test_without_a_version_a_file_is_of_the_newest():
    assert file(NET).version is None


def test_syntax_is_a_name_elsewhere():
    assert file("net f : syntax[1] -> y { y = syntax }").functions[0].inputs[0].name == "syntax"


@pytest.mark.parametrize("text", ["syntax 2\nwhat is new } here", "syntax 99999999999999999999 \n" + NET])
def test_a_newer_version_is_said_before_its_syntax_errors(text):
    assert "E0108" in message(text)
    assert "install a newer netdsl" in message(text)


@pytest.mark.parametrize("version", ["1.5", "0", "1k", "01"])
def test_a_version_is_a_whole_number(version):
    assert "no version of the language" in message(f"syntax {version}\n{NET}")


def test_a_version_stands_first_or_nowhere():
    assert "the first line of a file" in message(NET + "syntax 1\n")


def test_imports():
    first, second = file('from std.residual import a, b as c\nfrom "x/y.net" import (\n    d,\n    e,\n)\n' + NET).imports
    assert (first.path, first.relative) == ("std.residual", False)
    assert [(n.name, n.alias) for n in first.names] == [("a", "a"), ("b", "c")]
    assert (second.path, second.relative) == ("x/y.net", True)
    assert [n.name for n in second.names] == ["d", "e"]
    assert second.span.text.endswith(")") and second.path_span.text == '"x/y.net"'


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("import std.residual", "an import is written"),
        ("from std.residual import *", "every name is imported by itself"),
        ("from std.residual", "say what is imported"),
        ("from x.net import a", "a file goes in quotes"),
    ],
)
def test_wrong_imports_show_the_right_form(text, hint):
    assert hint in message(text + "\n" + NET)


def test_comments_are_found_outside_strings():
    source = Source("test.net", "a = '#' # one\n# two  \nb = \"x # y\"\n")
    assert [span.text for span in comments(source)] == ["# one", "# two"]


def test_a_comment_block_right_above_documents():
    functions = file("# not this\n\n# Two lines\n#   of it\nblock b : x -> y { y = x }\n" + NET).functions
    assert [documentation(f) for f in functions] == ["Two lines\n  of it", ""]


def test_walking_meets_every_name_once_and_in_order():
    tree = file("net f(n = a) : x[1, H = b] -> y {\n if c { z[d, e:] = [g for h in i if j] }\n y = k -> l(m, n = o) }")
    names = [node.name for node in walk(tree.functions[0]) if isinstance(node, t.Name)]
    assert names == [*"abcdeghij", "y", *"klmo"]
