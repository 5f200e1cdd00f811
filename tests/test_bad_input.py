"""Files that are broken, hostile, or far too large: each a diagnostic with its place and a way out, soon and small.

Times are bounded by the limits themselves, which are counted and not timed: a test here is slow where a limit fails.
"""

import resource
import sys

import pytest
from net_text import body, elaborated, error, errors, graph

import netdsl
from netdsl.analysis import analyze
from netdsl.diagnostics import Source, SourceError
from netdsl.elaborate import Limits, elaborate, read_source

RECURSION = "block b(u = 1) : x -> y { y = x -> relu -> %s }"


@pytest.mark.parametrize(
    ("statements", "code"),
    [
        ("for i in range(10**9) { a = i }\ny = x", "E0450"),
        ("for i in range(0, 10**15, 2) { a = i }\ny = x", "E0450"),
        ("a = [i for i in range(10**9)]\ny = x", "E0450"),
        ("a = [0] * 10**9\ny = x", "E0450"),
        ("a = [0] * 10**100\ny = x", "E0450"),
        ("a = [[0] * 1000] * 10000\ny = x", "E0212"),
        ("a = reversed(range(10**12))\ny = x", "E0450"),
        ("y = x -> dense(range(10**9))", "E0450"),
        ("y = concat(range(10**9))", "E0450"),
        ("y = x -> 10**9 * conv(3, 3)", "E0450"),
        ("y = x -> 10**6 * conv(3, 3)", "E0450"),
        ("y = x -> 10**100 * relu", "E0450"),
        ("y = x -> 1000 * (1000 * relu)", "E0450"),
        ("a = 2 ** 10**9\ny = x", "E0212"),
        ("a = 9 ** 9 ** 9 ** 9\ny = x", "E0212"),
        ("a = 10\nfor i in range(100) { a = a * a }\ny = x", "E0212"),
        ("a = 1e308 * 10\nb = int(a)\ny = x", "E0212"),
        ("a = 1e999k\ny = x", "E0101"),
        ("a = " + "9" * 5000 + "\ny = x", "E0101"),
        ("a = [0]\nfor i in range(60) { a = [a, a] }\ny = x", "E0212"),
        ("a = [0]\nfor i in range(10**5) { a = [a] }\ny = x", "E0212"),
        ("f = relu\nfor i in range(10**4) { f = 1 * f }\ny = x -> f", "E0104"),
        ("n[10**30] = x\ny = n[0]", "E0211"),
        ("y = x -> conv(2**31, 3)", "E0205"),
        ("y = x -> upsample(2) -> conv(2**31 - 1, 3)", "E0319"),
        ("y = x -> conv(3, 2**40)", "E0205"),
        ("y = x -> conv(10**6, 1) -> conv(2**21, 1)", "E0319"),
        ("y = x -> conv(10**6, 1) -> flatten -> dense(2**21)", "E0319"),
        ("y = x -> upsample(10**9)", "E0319"),
        ("y = x -> conv(10**6, 1)\na = split(y, 10**6)", "E0205"),
        ("a = split(x, 2**30)\ny = x", "E0205"),
        ("y = param([2**30] * 10**5)", "E0205"),
        ("y = param([2**30] * 4)", "E0319"),
        ("y = reshape(x, [1] * 10**5 + [-1])", "E0205"),
        ("y = x\nfor i in range(9) { y = sum([y] * 10**5) }", "E0450"),
        ("for i in range(10**4) { a = split(x -> conv(10**4, 1), 10**4) }\ny = x", "E0450"),
        ("for i in range(10**4) { a = gather(x, [0] * 10**6) }\ny = x", "E0450"),
        ("a = [[0] * 1000] * 900\nfor i in range(10**4) { b = constant(a) }\ny = x", "E0450"),
        ("y = x -> b", "E0450"),
        ("y = x -> b(b)", "E0450"),
        ("y = x -> c(c)", "E0450"),
    ],
)  # fmt: skip
def test_enormous_expansions_end_at_a_limit(statements, code):
    before = RECURSION % "b(u)" + "\nblock c(u) : x -> y { y = x -> u(u) }"
    found = error(body(statements, before=before))
    assert found.code == code
    if code in ("E0450", "E0104"):
        assert found.helps


@pytest.mark.parametrize(
    "statements",
    [
        "for i in range(10**5) { for j in range(10**5) { a = 1 } }\ny = x",
        "f = 0 * relu\nfor i in range(60) { f = f -> f }\ny = x -> f",
        "f = relu\nfor i in range(60) { f = 2 * f }\ny = x -> f",
        "a = []\nfor i in range(10**5) { a = a + [i] }\ny = x",
        "for i in range(10**5) { a = " + "1 + " * 3000 + "1 }\ny = x",
        "y = x\nfor i in range(10**5) { y = y -> relu }",
        "y = x -> d(30)",
        "for i in range(10**5) { n[i] = x\n a = n[:] }\ny = x",
    ],
)  # fmt: skip
def test_work_that_grows_ends_at_a_limit(statements):
    """With smaller limits than the usual ones, which the test would only take longer to reach."""
    double = "block d(n) : x -> y { if n == 0 { y = x } else { y = (x -> d(n - 1)) + (x -> d(n - 1)) } }"
    with pytest.raises(SourceError) as caught:
        elaborate(Source("test.net", body(statements, before=double)), limits=Limits(nodes=3_000, steps=100_000))
    (found,) = caught.value.diagnostics
    assert found.code == "E0450"
    assert "NETDSL_MAX_" in found.helps[0]


def test_the_limits_can_be_raised(monkeypatch):
    text = body(
        "y = x -> d(120)", before="block d(n) : x -> y { if n == 0 { y = x } else { y = x -> relu -> d(n - 1) } }"
    )
    assert "NETDSL_MAX_BLOCKS" in error(text).helps[-1]
    monkeypatch.setenv("NETDSL_MAX_BLOCKS", "200")
    assert len(graph(text).nodes) == 120
    for nonsense in ("", "-3", "many", "²", "9" * 5000):
        monkeypatch.setenv("NETDSL_MAX_BLOCKS", nonsense)
        assert error(text).code == "E0450"


def test_blocks_that_nest_without_end_and_without_a_limit_end_too(monkeypatch):
    monkeypatch.setenv("NETDSL_MAX_BLOCKS", "1000000")
    assert error(body("y = x -> b", before=RECURSION % "b")).code == "E0104"


@pytest.mark.parametrize(
    "expression",
    [
        "(" * 5000 + "1" + ")" * 5000, "[" * 5000 + "]" * 5000, "not " * 5000 + "true", "- " * 5000 + "1",
        "1 ** " * 5000 + "1", "1 if true else " * 5000 + "1", "f(" * 5000 + ")" * 5000, "a" + "[0" * 5000 + "]" * 5000,
        "(not " * 90 + "true" + ")" * 90 + " and " + "not " * 5000 + "true",
    ],
)  # fmt: skip
def test_deep_nesting_is_an_error(expression):
    for text in (
        body(f"a = {expression}\ny = x"),
        body(f"y = x\nexpect {expression}"),
        body("y = x", f"(n = {expression}) : x[3] -> y"),
    ):
        found = error(text)
        assert found.code == "E0104"
        assert found.labels
        assert found.helps


@pytest.mark.parametrize("expression", ["(" * 95 + "1" + ")" * 95, "[" * 45 + "]" * 45, "not " * 900 + "true", "- " * 900 + "1",
                                        "1 if false else " * 900 + "1", "(true and " * 90 + "true" + ")" * 90])  # fmt: skip
def test_nesting_within_the_limit_is_fine(expression):
    graph(body(f"a = {expression}\ny = x -> relu"))


@pytest.mark.parametrize(
    "statements",
    ["a = " + "1 + " * 20_000 + "1\ny = x", "y = " + "x + " * 5_000 + "x", "y = x" + " -> relu" * 5_000,
     "f = relu" + " -> relu" * 5_000 + "\ny = x -> f", "a = [" + "-1, " * 20_000 + "]\ny = x",
     "a = true" + " and true" * 20_000 + "\ny = x"],
)  # fmt: skip
def test_long_expressions_are_fine(statements):
    elaborated(body(statements))


def test_a_file_that_is_too_long():
    found = error("# " + "x" * 1_000_000)
    assert (found.code, found.path) == ("E0102", "test.net")


def test_many_names_and_a_misspelt_one():
    names = "\n".join(f"name{i} = {i}" for i in range(5000))
    assert error(body(f"{names}\ny = x -> conv(nmae77, 3)")).helps == ("did you mean `name77`?",)


def test_many_errors_end_soon():
    many = "\n".join(f"a{i} = undefined{i} -> relu" for i in range(2000))
    assert len(errors(body(f"{many}\ny = x"))) == 100
    assert len(errors(body("\n".join(f"a{i} = x -> )" for i in range(50))))) == 20


def test_enormous_channels_take_no_memory():
    found = graph(body("y = x -> conv(10**5, 3) -> conv(10**5, 3) -> flatten", ": x[3, 8, 8] -> y"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = analyze(found).to_dict()
    assert report["totals"]["params"] == 27 * 10**5 + 10**5 + 9 * 10**10 + 10**5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000 * (
        1024 if sys.platform == "darwin" else 1
    )


@pytest.mark.parametrize("size", ["2**18", "[2**30, 1]"])
@pytest.mark.parametrize("pool", ["adaptive_max_pool", "adaptive_avg_pool"])
def test_bins_beyond_number_are_not_counted_one_by_one(pool, size):
    for sizes in ("6, 7", "H = 6, W = 7"):
        found = graph(body(f"y = x -> {pool}({size})", f": x[4, {sizes}] -> y"))
        rows, columns = found.nodes[-1].args.size
        shared = (6 + rows - (2 if rows > 1 else 1)) * (7 + columns - 1)  # 6 and 2**n have a divisor in common
        assert analyze(found).to_dict()["totals"]["flops"] == 4 * shared


def test_joins_of_paths_whose_strides_differ_are_analyzed_soon():
    statements = "y = x\nfor i in range(30) { y = concat(y, y -> conv(3, 3, stride = [2, 1]), axis = height) }"
    graph(body(statements, ": x[3, H = 16, W = 24] -> y"))
    graph(body("y = concat(x, x -> conv(1, 3, stride = 2), axis = width)", ": x[1, 10**9] -> y"))


# files


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "E0103"), (b"\n# nothing\n", "E0103"), (bytes(range(256)), "E0100"), (b"\x7fELF\x02\x01\x01\x00", "E0101"),
     (b"net f : x[3] -> y { y = x \xff }", "E0100"), (b"\xef\xbb\xbf", "E0103"), ("\ufeff\ufeffnet".encode(), "E0101"),
     ("net f".encode("utf-16"), "E0100"), (b"\x00" * 100, "E0101")],
)  # fmt: skip
def test_files_that_are_no_nets(tmp_path, content, code):
    path = tmp_path / "a.net"
    path.write_bytes(content)
    with pytest.raises(netdsl.SourceError) as caught:
        netdsl.load(path)
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert str(path) in str(caught.value)


def test_a_byte_order_mark_is_no_error(tmp_path):
    path = tmp_path / "a.net"
    path.write_bytes("\ufeffnet f : x[3] -> y { y = x -> relu }".encode())
    assert netdsl.load(path).graph.name == "f"


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "lenet5.net").write_text("")
    cases = {
        tmp_path / "lenet.net": "there is no such file",
        tmp_path: "the file cannot be read: Is a directory",
        tmp_path / "none" / "a.net": "there is no such file, nor a folder",
        tmp_path / ("a" * 300): "the file cannot be read: File name too long",
        "a\0b": "the file cannot be read: embedded null byte",
        "": "there is no such file",
    }
    for path, message in cases.items():
        with pytest.raises(netdsl.SourceError, match=message):
            read_source(path)
    with pytest.raises(netdsl.SourceError) as caught:
        read_source(tmp_path / "lenet.net")
    assert caught.value.diagnostics[0].helps == (f"did you mean `{tmp_path / 'lenet5.net'}`?",)


def test_a_file_of_a_gigabyte_is_not_read(tmp_path):
    path = tmp_path / "a.net"
    with path.open("wb") as file:
        file.truncate(10**9)  # a hole: no disk is used
    with pytest.raises(netdsl.SourceError, match="larger than"):
        read_source(path)


def test_control_characters_do_not_reach_the_terminal():
    found = str(SourceError(error("net f : x[3] -> y { y = x \x1b[31m\x07 }")))
    assert "\x1b" not in found
    assert "\x07" not in found


def test_wide_characters_are_underlined_where_they_stand():
    text = str(SourceError(error(body('a = "画像"  y = x'))))
    line, mark = text.splitlines()[3:5]
    assert line.index("y =") + 2 == mark.index("^"), "each of the two takes two columns"
