"""`# noqa`: where it counts, what it silences, and when it is too many."""

import pytest
from test_lint_messages import linted

from netdsl.diagnostics import Source
from netdsl.elaborate import elaborate
from netdsl.lint import lint


def codes(text):
    return [diagnostic.code for diagnostic in linted(text)]


def net(line):
    return f"net f : image[3, 33, 33] -> y {{\n    {line}\n}}\n"


@pytest.mark.parametrize(
    ("comment", "left"),
    [
        ("", ["W0202"]),
        ("# noqa", []),
        ("# NoQA", []),
        ("#noqa:W0202", []),
        ("# noqa: w0202", []),
        ("# noqa : W0203 , W0202", ["W0110"]),
        ("# what is lost is padding of the sensor  # noqa: W0202", []),
        ("# noqa: W0202 because it is padding of the sensor", []),
        ("# noqa: W0203", ["W0202", "W0110"]),
        ("# noqah", ["W0202"]),
        ("# see noqa", ["W0202"]),
        ("# noqa: W0202, W0202", []),
    ],
)
def test_forms(comment, left):
    assert codes(net(f"y = image -> max_pool(2)  {comment}")) == left


def test_in_a_string_it_is_none():
    assert codes(net('y = image -> max_pool(2) if "# noqa" == "" else image -> max_pool(2)')) == ["W0202"]


def test_the_first_and_the_last_line_of_a_statement_count_for_all_of_it():
    assert codes(net("y = image -> relu  # noqa: W0202\n  -> max_pool(2)")) == []
    assert codes(net("y = image -> relu\n  -> max_pool(2)  # noqa: W0202")) == []
    assert codes(net("y = image -> relu\n  -> max_pool(2)\n  -> relu  # noqa: W0202")) == []
    middle = "y = image -> relu\n  -> max_pool(2)\n  -> relu  # noqa: W0202\n  -> relu"
    assert codes(net(middle)) == ["W0202", "W0110"]
    loop = "x = image\nfor i in range(2) {  # noqa: W0202\n  x = x -> max_pool(2) }\ny = x"
    assert codes(net(loop)) == ["W0202"]


def test_the_line_of_any_place_that_is_marked():
    for first, second in (("# noqa: W0107", ""), ("", "# noqa: W0107")):
        assert codes(net(f"x = image {first}\n x = image -> relu {second}\n y = x")) == []


def test_the_biases_of_a_layer_and_of_a_net():
    text = "net f : image[3, 8, 8] -> y {{ {}\n y = image -> conv(4, 3) -> bn {}\n -> conv(8, 3) -> bn\n}}"
    assert "2 layers" in linted(text.format("", ""))[0].message
    assert codes(text.format("# noqa: W0203", "")) == []
    assert codes(text.format("", "# noqa: W0203")) == []  # one statement
    several = (
        "net f : image[3, 8, 8] -> y {\n x = image -> conv(4, 3) -> bn  # noqa: W0203\n y = x -> conv(8, 3) -> bn\n}"
    )
    (message,) = linted(several)
    assert "`conv` has a bias" in message.message and "8 parameters" in message.message


def test_a_note_of_the_elaboration():
    text = "unit = conv(3, 3)\n x = image -> unit\n y = x -> unit"
    assert codes(net(text)) == ["N0001"]
    assert codes(net(text + "  # noqa: N0001")) == []


def test_lints_of_other_nets_are_not_judged():
    text = net("y = image -> max_pool(2)  # noqa: W0202") + "net g : image[3, 32, 32] -> y { y = image -> relu }\n"
    assert codes(text) == []
    fitting = text.replace("33", "32")
    assert codes(fitting) == ["W0110"]
    assert lint(elaborate(Source("test.net", fitting), "g")) == []


def test_a_layer_in_the_library_is_silenced_where_it_is_applied():
    text = "from std.atrous import aspp\nnet f : image[8, 8, 8] -> y {{\n    y = image -> aspp(8) {}\n}}"
    messages = linted(text.format(""))
    assert messages and {m.code for m in messages} == {"W0205"}
    assert all(m.labels[0].span.text == "aspp(8)" and m.labels[1].span.source.path != "test.net" for m in messages)
    assert codes(text.format("# noqa: W0205")) == []
