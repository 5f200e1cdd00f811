"""The style of `netdsl fmt`, by examples; the files of the project, which have it; files that are large or hostile."""

import re
from pathlib import Path

import pytest

from netdsl.diagnostics import Source, SourceError
from netdsl.format import format_source, verify
from netdsl.syntax import parse

ROOT = Path(__file__).parent.parent
NET_FILES = sorted([*ROOT.glob("examples/**/*.net"), *ROOT.glob("netdsl/**/*.net")])
PAGE = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```net\n(.*?)```", PAGE, re.DOTALL)
LONG = "conv(64, 3, stride = 2, bias = false) -> bn -> relu"


def formatted(text):
    """The formatted text, which is formatted already and means the same."""
    result = format_source(Source("test.net", text))
    assert format_source(Source("test.net", result)) == result
    return result


def body(text):
    """The formatted statements of a block, without their indentation."""
    lines = formatted(f"block f : x -> y {{\n{text}\n}}\n").split("\n")
    assert lines[0] == "block f : x -> y {" and lines[-2:] == ["}", ""]
    return "\n".join(line.removeprefix("    ") for line in lines[1:-2])


@pytest.mark.parametrize("path", NET_FILES, ids=lambda path: path.stem)
def test_files_of_the_project_are_formatted(path):
    text = path.read_text(encoding="utf-8")
    assert formatted(text) == text


@pytest.mark.parametrize("text", BLOCKS)
def test_files_of_the_language_page_are_formatted(text):
    assert formatted(text) == text


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("y=x->conv( 64,3 ,stride=2 )->bn", "y = x -> conv(64, 3, stride = 2) -> bn"),
        ("y = x -> 2*( relu )", "y = x -> 2 * (relu)"),
        ("a ,b=( a,b )->f( )", "a, b = (a, b) -> f()"),
        ("a = (b ,)", "a = (b,)"),
        ("a = 2**-d+ - b - -c", "a = 2 ** -d + -b - -c"),
        ("a = not(b)or c<d==e", "a = not (b) or c < d == e"),
        ("node [ l-1 ,s ] = node[l,s] ? -> f", "node[l - 1, s] = node[l, s]? -> f"),
        ("a = feat[ : l , s ] + feat[ : ]", "a = feat[:l, s] + feat[:]"),
        ("a = b[l-1:l+1][:l-1][a :b: c][: :2]", "a = b[l - 1 : l + 1][:l - 1][a:b:c][::2]"),
        ("y = x -> conv(1)@c1 -> relu @ r", "y = x -> conv(1) @c1 -> relu @r"),
        ("a = [ i*i for i in range( 3 )if i>1 ]", "a = [i * i for i in range(3) if i > 1]"),
        ("a = x . shape [0]", "a = x.shape[0]"),
        ("a = b if c else(d)", "a = b if c else (d)"),
        ("a = 'same'", 'a = "same"'),
        ("a = 'it is \"so\"'", "a = 'it is \"so\"'"),
        ("a = 1_000k + .5e-3", "a = 1_000k + .5e-3"),
        ("share t=relu", "share t = relu"),
        ("expect params~3k", "expect params ~ 3k"),
        ("for a ,b in c{\nd = a}", "for a, b in c {\n    d = a\n}"),
        ("if a{b=1}\nelse   if c{b=2}else{}", "if a { b = 1 } else if c { b = 2 } else { }"),
        ("if a{b=1}else{b=2\n}", "if a {\n    b = 1\n} else {\n    b = 2\n}"),
    ],
)
def test_spaces(written, wanted):
    assert body(written) == wanted


def test_one_line_braces_are_opened_where_they_do_not_fit():
    wide = f"y = {'a' * 105}"
    assert body(f"if a {{ {wide} }}") == f"if a {{\n    {wide}\n}}"


def test_a_pipeline_that_is_too_long_goes_on_below_its_first_arrow():
    once = "conv(64, 3, stride = 2, bias = false) -> bn"
    assert body(f"y = x -> {once} -> {once} -> {once}") == f"y = x -> {once} -> {once}\n      -> {once}"
    far = "a_name_that_takes_the_arrow_far_to_the_right"
    assert body(f"{far} = x -> {once} -> {once}") == f"{far} = x -> {once}\n    -> {once}"


def test_breaks_before_arrows_are_kept():
    assert body("y = x -> conv(1) -> bn\n  -> relu") == "y = x -> conv(1) -> bn\n      -> relu"
    assert body("y = x\n -> conv(1)\n -> relu") == "y = x\n    -> conv(1)\n    -> relu"
    assert body("y = x -> 2 * (conv(1)\n -> relu)") == "y = x -> 2 * (\n    conv(1)\n    -> relu\n)"


def test_breaks_elsewhere_are_not_kept():
    assert body("y = f(a,\n  b\n) if c\n else d") == "y = f(a, b) if c else d"


def test_a_comma_at_the_end_keeps_brackets_broken():
    assert body("y = f(a, b,)") == "y = f(\n    a,\n    b,\n)"
    assert body("y = f(a, g(b,))") == "y = f(\n    a,\n    g(\n        b,\n    ),\n)"


def test_brackets_that_do_not_fit_have_one_item_on_a_line():
    items = [f"argument_{i} = some_value_{i}" for i in range(5)]
    lines = body(f"y = x -> f({', '.join(items)}) -> relu").split("\n")
    assert lines == ["y = x -> f(", *(f"    {item}," for item in items), ") -> relu"]


def test_conditionals_and_comprehensions_that_do_not_fit():
    condition = " and ".join(f"condition_{i}" for i in range(5))
    assert body(f"y = x if {condition} else x -> {LONG}") == f"y = x if {condition}\n    else x -> {LONG}"
    lines = body(f"y = [{LONG} for a in b if {condition}]").split("\n")
    assert lines == ["y = [", f"    {LONG}", "    for a in b", f"    if {condition}", "]"]
    lines = body(f"y = [{LONG} for a, b in [{LONG}]]").split("\n")
    assert lines == ["y = [", f"    {LONG}", f"    for a, b in [{LONG}]", "]"]


def test_operators_are_broken_inside_brackets_only():
    terms = [f"a_long_operand_{i}" for i in range(12)]
    whole = " + ".join(terms)
    assert body(f"y = {whole}") == f"y = {whole}"
    lines = body(f"y = ({whole})").split("\n")
    assert lines[0] == "y = (" and lines[-1] == ")" and len(lines) > 3
    assert all(line.startswith("    + ") for line in lines[2:-1])
    assert " ".join(lines[1:-1]).split() == whole.split()


def test_a_signature_that_does_not_fit():
    items = [f"hyperparameter_{i} = {i}" for i in range(6)]
    text = formatted(f"net f({', '.join(items)}) : image[3, H = 32] -> logits {{ logits = image }}")
    assert text.startswith("net f(\n    " + ",\n    ".join(items) + ",\n) : image[3, H = 32] -> logits {\n    logits =")
    inputs = ", ".join(f"input_{i}[3, H = 32, W = 32]" for i in range(4))
    assert formatted(f"net f : {inputs} -> logits {{ }}") == f"net f : {inputs}\n    -> logits {{ }}\n"


def test_imports():
    assert formatted("from std . residual import(a as b,c)\n") == "from std.residual import a as b, c\n"
    names = [f"a_block_with_a_long_name_{i}" for i in range(5)]
    assert formatted(f"from 'x.net' import {', '.join(names)}") == (
        'from "x.net" import (\n    ' + ",\n    ".join(names) + ",\n)\n"
    )


def test_tables_keep_their_rows():
    table = "T = [\n    [0, 1], [1, 2],\n    [0, 1, 2],\n]\n"
    assert formatted(table) == table
    rows = body("y = [\n[f(1,\n2), g], a,\nh(a,), i]").split("\n")
    assert rows == ["y = [", "    [f(1, 2), g], a,", "    h(", "        a,", "    ),", "    i,", "]"]
    numbers = ", ".join(map(str, range(100)))
    rows = formatted(f"T = [{numbers}]").split("\n")
    assert len(rows) == 7 and all(100 < len(row) <= 120 for row in rows[1:4])


def test_arrows_of_neighbouring_arguments_are_aligned():
    assert body("y = sum(a -> b,long_name?->c->d,)") == "y = sum(\n    a          -> b,\n    long_name? -> c -> d,\n)"
    items = [f"item_{'x' * i} -> conv(16, 3) -> bn" for i in range(6)]
    assert body(f"y = [{', '.join(items)}]").split("\n")[1:-1] == [f"    {item}," for item in items]
    far = "x" * 40
    assert body(f"y = sum(a -> b, {far} -> c,)") == f"y = sum(\n    a -> b,\n    {far} -> c,\n)"


def test_settings_of_train_blocks_are_aligned():
    text = "train f {\n    target = class(a)\n    lr=1\n    # why\n    b = 2\n\n    epochs = 3\n    e = 4\n}\n"
    assert formatted(text) == (
        "train f {\n    target = class(a)\n    lr     = 1\n    # why\n    b      = 2\n\n    epochs = 3\n    e      = 4\n}\n"
    )


def test_blank_lines():
    text = "\n\nA = 1\n\n\n\nB = 2\n# doc\nblock f : x -> y {\n\n  y = x\n\n\n  # why\n  z = x\n\n}\nC = 3\n\n\n"
    assert formatted(text) == (
        "A = 1\n\nB = 2\n\n# doc\nblock f : x -> y {\n    y = x\n\n    # why\n    z = x\n}\n\nC = 3\n"
    )
    assert formatted("from a import b\nfrom a import c\nA = 1") == "from a import b\nfrom a import c\n\nA = 1\n"
    assert formatted("") == formatted(" \n\n") == ""


def test_comments_behind_code_are_in_a_column():
    wide = "B = " + "1" * 60
    assert formatted("A = 1 # a\nB = 2#b") == "A = 1".ljust(46) + "# a\n" + "B = 2".ljust(46) + "#b\n"
    assert formatted(f"A = 1 # a\n{wide} # b") == "A = 1".ljust(66) + f"# a\n{wide}  # b\n"
    long = "# " + "long " * 16
    assert formatted(f"A = 1 {long}\nB = 2 # b") == f"A = 1  {long.strip()}\n" + "B = 2".ljust(46) + "# b\n"
    assert formatted("A = 1 # a\n      # goes on\n# b\n") == "A = 1".ljust(46) + "# a\n" + " " * 46 + "# goes on\n# b\n"


def test_comments_stay_at_their_place():
    text = """\
# of the file

# of the block
block f : x -> y {                            # behind a brace
    # before a statement
    y = x -> conv(1)                          # behind a stage
          # between stages
          -> relu
    z = f(                                    # behind a bracket
        a,                                    # behind an item
        # before an item
        b + -                                 # within an item
            c,
        # at the end of a bracket
    )
    if a {
        # in an empty body
    }                                         # behind a branch
    # between branches
    else {
        b = 1
        # at the end of a body
    }
}                                             # behind the end
# at the end of the file
"""
    assert formatted(text) == text
    assert formatted(re.sub(r"(?m)^ +|(?<=\S)  +", " ", text)) == text


def test_a_comment_before_a_comma_goes_behind_it():
    assert body("y = f(a # of a\n, # more\n # own\n b # of b\n # own\n)").split("\n") == [
        "y = f(", "    a,".ljust(42) + "# of a", " " * 42 + "# more", "    # own", "    b,".ljust(42) + "# of b",
        "    # own", ")",
    ]  # fmt: skip


def test_line_ends_of_windows_and_missing_ones():
    assert formatted("A = 1 # a\r\n\r\nB = [1,\r\n 2]") == "A = 1".ljust(46) + "# a\n\nB = [1, 2]\n"


def test_a_syntax_error_is_told():
    with pytest.raises(SourceError) as caught:
        format_source(Source("test.net", "A = (1\n"))
    assert caught.value.diagnostics[0].code == "E0101"


def test_what_would_not_be_kept_is_not_written(monkeypatch):
    for lost in ("A = 1\n", "# c\nA = 2\n", "# c\nA = (\n"):
        monkeypatch.setattr("netdsl.format.lay_out", lambda *_, lost=lost: lost)
        with pytest.raises(SourceError, match="E0112"):
            format_source(Source("test.net", "# c\nA = 1\n"))


def test_trees_are_compared_by_all_but_places():
    def same(one, other):
        return verify.same_tree(parse(Source("", one)), parse(Source("", other)))

    one = "A = f(1, b = [2])"
    assert same(one, "A=f(1,\n b = [(2)],)")
    for other in ("A = f(1, b = [3])", "A = f(1, c = [2])", "A = f(1.0, b = [2])", "A = f(true, b = [2])", "A = f(1)",
                  "B = f(1, b = [2])", "A = f(1, b = [2])\nB = 1", "A = f(1, b = (2, 3))"):  # fmt: skip
        assert not same(one, other)


@pytest.mark.parametrize(
    "text",
    [
        "A = " + " + ".join(["x"] * 10_000),
        "A = (" + "+".join(["x"] * 10_000) + ")",
        "A = " + "->".join(f"f({i})" for i in range(5_000)),
        "A = " + "[" * 99 + "1" + "]" * 99,
        "A = " + "(# c\n" * 99 + "1" + ")" * 99,
        "A = " + "(a if b else c -> d or e and f < g + h * f(x, # c\n" * 49 + "1" + "))" * 49,
        "A = " + "a if b else " * 900 + "c",
        "net f : x -> y {" + "if a {" * 98 + "x = 1" + "}" * 98 + "}",
        "net f : x -> y { if a { } " + "else if b { x = 1 } " * 2_000 + "}",
        "A = 1 # c\n" * 5_000,
    ],
    ids=range(10),
)
def test_large_and_deep_files(text):
    assert formatted(text)


@pytest.mark.parametrize(
    "text", ["A=1 #\n" * 22_000, "net f : x -> y {" + "if a {\n" * 98 + "x = 1\n" * 3_000 + "}" * 99]
)
def test_a_file_that_would_grow_too_large_is_left(text):
    with pytest.raises(SourceError, match="E0102"):
        format_source(Source("test.net", text))
