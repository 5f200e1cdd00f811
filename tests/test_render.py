"""Diagnostics as text: labels of several lines and files in one picture, colours, and terminals that are narrow."""

import re
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdsl.diagnostics import Diagnostic, Frame, Label, NetError, Source, Span
from netdsl.diagnostics.text import render

NET = Source(
    "a.net",
    """\
net f : x[3, 32, 32] -> y {
    y = concat(
        x -> conv(3, 3),
        (x -> max_pool(2)
           -> conv(8, 3) -> bn -> relu
           -> conv(8, 3) -> bn -> relu
           -> conv(8, 3) -> bn -> relu
           -> conv(8, 3) -> bn -> relu
           -> upsample(2)),
        x)
}
""",
)
BLOCKS = Source("lib/blocks.net", "# units\n\nblock b(width) : x -> y { y = x -> conv(wdth, 3) }\n")
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def span(source, first, last=None):
    """From the first text to the last."""
    start = source.text.index(first)
    last = first if last is None else last
    return Span(source, start, source.text.index(last, start) + len(last))


def shown(*labels, **more):
    """The message, below its first line."""
    return render(Diagnostic("E0300", "m", labels, **more)).partition("\n")[2]


def text(picture):
    return dedent(picture).strip("\n")


def test_labels_of_a_file_stand_in_the_order_of_its_lines():
    found = shown(
        Label(span(NET, "max_pool"), "halves"), Label(span(NET, "y {", "y")), Label(span(NET, "upsample"), "doubles")
    )
    assert found == text("""
         --> a.net:4:15
          |
        1 | net f : x[3, 32, 32] -> y {
          |                         -
        ...
        4 |         (x -> max_pool(2)
          |               ^^^^^^^^ halves
        ...
        9 |            -> upsample(2)),
          |               -------- doubles
        """)  # fmt: skip


def test_no_gap_of_a_single_line():
    found = shown(Label(span(NET, "net")), Label(span(NET, "x -> conv", "conv")))
    assert "..." not in found
    assert "2 |     y = concat(\n" in found


def test_texts_of_one_line_hang_below_it():
    line = Source("l.net", "y = stage(16, stride = 2) -> stage(32)")
    found = shown(
        Label(span(line, "stride = 2"), "not here"), Label(span(line, "16"), "width"), Label(span(line, "stage(32)"), "again"),
    )  # fmt: skip
    assert found == text("""
         --> l.net:1:15
          |
        1 | y = stage(16, stride = 2) -> stage(32)
          |           --  ^^^^^^^^^^     --------- again
          |           |   |
          |           |   not here
          |           width
        """)


def test_labels_within_each_other_and_at_one_place():
    line = Source("l.net", "y = stage(16, stride = 2)")
    found = shown(
        Label(span(line, "16"), "one"), Label(span(line, "stage", ")"), "all"), Label(span(line, "16"), "two")
    )
    assert found == text("""
         --> l.net:1:11
          |
        1 | y = stage(16, stride = 2)
          |     ------^^-------------
          |     |     |
          |     |     one
          |     |     two
          |     all
        """)


def test_a_label_over_several_lines():
    assert shown(Label(span(NET, "concat(", "3),"), "here")) == text("""
         --> a.net:2:9
          |
        2 |       y = concat(
          |  _________^
        3 | |         x -> conv(3, 3),
          | |________________________^ here
        """)
    assert shown(Label(span(NET, "y = concat(", "3),"), "here")) == text("""
         --> a.net:2:5
          |
        2 | /     y = concat(
        3 | |         x -> conv(3, 3),
          | |________________________^ here
        """)


def test_labels_over_several_lines_within_each_other():
    found = shown(
        Label(span(NET, "concat(", "x)\n"), "heights differ"), Label(span(NET, "(x -> max", "(2))"), "16"),
        Label(span(NET, "x -> conv", "3)"), "32"),
    )  # fmt: skip
    assert found == text("""
          --> a.net:2:9
           |
         2 |        y = concat(
           |  __________^
         3 | |          x -> conv(3, 3),
           | |          --------------- 32
         4 | |/         (x -> max_pool(2)
        ...  ||
         9 | ||            -> upsample(2)),
           | ||__________________________- 16
        10 | |          x)
           | |___________^ heights differ
        """)


def test_several_files():
    found = shown(
        Label(span(BLOCKS, "wdth"), "misspelt"), Label(span(NET, "concat"), "from here"), Label(span(BLOCKS, "width")),
        chain=(Frame("b", span(NET, "concat")),), notes=("a table\n  a  1",), helps=("did you mean `width`?",),
    )  # fmt: skip
    assert found == text("""
         --> lib/blocks.net:3:41
          |
        3 | block b(width) : x -> y { y = x -> conv(wdth, 3) }
          |         -----                           ^^^^ misspelt
         ::: a.net:2:9
          |
        2 |     y = concat(
          |         ------ from here
          = in block `b`, applied at a.net:2:9
          = note: a table
                    a  1
          = help: did you mean `width`?
        """)


def test_of_a_file_and_of_nothing():
    assert shown(path="data.npz", helps=("a", "b")) == " --> data.npz\n  = help: a\n  = help: b"
    assert render(Diagnostic("N0001", "m", severity="note")) == "note[N0001]: m"


@pytest.mark.parametrize(("blocks", "lines"), [
    ("abc", ["c", "b", "a"]),
    ("abbb", ["b (3 times)", "a"]),
    ("zabababx", ["x", "b", "a", "... and the same 2 blocks 2 more times", "z"]),
    ("zabcabc", ["c", "b", "a", "... and the same 3 blocks 1 more time", "z"]),
    ("aabaab", ["b", "a", "a", "... and the same 3 blocks 1 more time"]),
    ("abcdefghijk", ["k", "j", "i", "h", "... 4 more ...", "c", "b", "a"]),
    ("", []),
])  # fmt: skip
def test_the_chain_of_blocks_is_folded(blocks, lines):
    source = Source("c.net", "abcdefghijkzx")
    chain = tuple(Frame(block, span(source, block)) for block in blocks)
    found = [line.removeprefix("  = ") for line in render(Diagnostic("E0450", "m", chain=chain)).split("\n")[1:]]
    found = [re.sub(r"in block `(.)`, applied at c.net:1:\d+", r"\1", line).removeprefix(" = ") for line in found]
    assert found == lines


def test_what_controls_a_terminal_is_neutralised():
    source = Source("\x1b]0;evil\x07.net", "y = \x1b[31m\u202erelu\u200b\t(3)\r\n")
    labels = (
        Label(Span(source, 4, 9), "\x1b[2J"),
        Label(Span(source, len(source.text) - 2, len(source.text) - 1), "\r"),
    )
    frame = Frame("\x1b[1m", labels[0].span)
    found = render(Diagnostic("E0101", "\x1b[31m\n\x07", labels, ("\x9b1m",), ("\x00",), (frame,)))
    assert found.replace("\n", "").isprintable()
    assert render(Diagnostic("E0100", "m", path="\x1b[31m")).split("\n")[1] == " --> \ufffd[31m"


def test_wide_characters_take_two_columns():
    source = Source("w.net", "# 漢字é é\u0301 x\n")
    rows = shown(Label(span(source, "x"), "here"), Label(span(source, "字"))).split("\n")
    assert rows[-2:] == ["1 | # 漢字é é\u0301 x", "  |     --    ^ here"]


def test_colours_add_nothing_but_colours():
    diagnostic = Diagnostic("W0300", "m", (Label(span(NET, "concat(", "3),"), "a"), Label(span(NET, "conv"), "b")),
                            ("n",), ("h",), (Frame("b", span(NET, "conv")),), severity="warning")  # fmt: skip
    found = render(diagnostic, colour=True)
    assert ESCAPE.sub("", found) == render(diagnostic)
    assert "\x1b[1;33mwarning[W0300]\x1b[0m" in found
    assert "\x1b[1;33m|________________________^\x1b[0m \x1b[1;33ma\x1b[0m" in found
    assert "\x1b[34m----\x1b[0m \x1b[34mb\x1b[0m" in found


def test_a_narrow_terminal():
    line = Source(
        "l.net",
        "y = x -> conv(64, 3) -> bn -> relu -> conv(64, 3) -> bn -> relu -> covn(128, 3) -> bn -> relu -> dense(10)",
    )
    diagnostic = Diagnostic(
        "E0201", "`covn` is not defined, nor is anything that would look like it",
        (Label(span(line, "covn"), "this stands where a layer is wanted, and is none"),),
        ("what is\n  laid out stays so",), ("a way out that takes more than one line, and then some more",),
    )  # fmt: skip
    assert render(diagnostic, width=50) == text("""
        error[E0201]: `covn` is not defined, nor is
                      anything that would look like it
         --> l.net:1:68
          |
        1 | ... -> bn -> relu -> covn(128, 3) -> bn -> ...
          |                      ^^^^
          |                      |
          |       this stands where a layer is wanted, and
          |       is none
          = note: what is
                    laid out stays so
          = help: a way out that takes more than one line,
                  and then some more
        """)


def test_a_file_is_not_wrapped_but_endless_lines_are_cut():
    line = Source("l.net", "x" * 500 + "HERE" + "x" * 500)
    long = "word " * 100 + "end"
    first, _, _, row, marks, note = render(
        Diagnostic("E0101", long, (Label(span(line, "HERE"), long),), (long,))
    ).split("\n")
    assert first.endswith(long) and note.endswith(long) and marks.endswith(long)
    assert len(row) == 4 + 160 and row[4:7] == row[-3:] == "..."
    assert row[marks.index("^") : marks.index("^") + 4] == "HERE"


def test_marks_too_far_apart_for_the_terminal():
    line = Source("l.net", "first" + "x" * 200 + "LAST")
    rows = render(Diagnostic("E0101", "m", (Label(span(line, "LAST"), "b"), Label(span(line, "first"), "a"))), width=60)
    source, marks = rows.split("\n")[3:5]
    assert source.endswith("LAST") and marks.endswith("^^^^ b")
    assert source[4:7] == "..." and marks[4] == "-"


def test_an_error_prints_as_its_diagnostics():
    first, second = Diagnostic("E0101", "m", (Label(span(NET, "conv")),)), Diagnostic("E0102", "n", path="p")
    assert str(NetError(first, second)) == render(first) + "\n" + render(second)


LETTERS = st.text(st.sampled_from("ab (\t\r\n\x1b漢é\u0301"), max_size=300)


@st.composite
def diagnostics(draw, letters=LETTERS):
    sources = [Source(f"{name}.net", draw(letters)) for name in "ab"]
    labels = []
    for _ in range(draw(st.integers(1, 6))):
        source = draw(st.sampled_from(sources))
        start, end = sorted((draw(st.integers(0, len(source.text))), draw(st.integers(0, len(source.text)))))
        labels.append(Label(Span(source, start, end), draw(st.sampled_from(["", "text", "a text of some words" * 5]))))
    return Diagnostic("E0300", "a message" * draw(st.integers(1, 9)), tuple(labels), ("note " * 20 + "end",))


@given(diagnostics(), st.none() | st.integers(1, 120))
def test_all_that_is_marked_is_shown(diagnostic, width):
    found = render(diagnostic, width=width)
    assert found.replace("\n", "").isprintable()
    assert ESCAPE.sub("", render(diagnostic, colour=True, width=width)) == found
    assert "^" in found or len(diagnostic.labels) > 2  # several within the primary one may cover all of it
    numbers = re.findall(r"^ *(\d+) \|", found, re.MULTILINE)
    for path in {label.span.source.path for label in diagnostic.labels}:
        assert found.count(f" {path}:") == 1
    assert {str(label.span.line) for label in diagnostic.labels} <= set(numbers)
    if width is None:
        assert all(label.text in found for label in diagnostic.labels)


@given(diagnostics(st.text(st.sampled_from("ab (\n"), max_size=600)), st.integers(40, 120))
def test_nothing_is_wider_than_the_terminal(diagnostic, width):
    assert max(map(len, render(diagnostic, width=width).split("\n"))) <= width


@given(st.lists(st.text(st.sampled_from("ab (漢é\t"), min_size=1, max_size=60), min_size=1, max_size=5), st.data())
def test_the_marks_are_below_what_they_mark(lines, data):
    source = Source("s.net", "\n".join(lines))
    number = data.draw(st.integers(1, len(lines)))
    start = data.draw(st.integers(0, len(lines[number - 1]) - 1))
    end = data.draw(st.integers(start + 1, len(lines[number - 1])))
    before = sum(len(line) + 1 for line in lines[: number - 1])
    row, marks = shown(Label(Span(source, before + start, before + end))).split("\n")[-2:]

    def columns(text):
        return len(text) + text.count("漢")

    marked = lines[number - 1][start:end].rstrip() or " "
    assert row.rstrip() == f"{number} | {lines[number - 1]}".replace("\t", " ").rstrip()
    assert marks == "  | " + " " * columns(lines[number - 1][:start]) + "^" * columns(marked)
