"""Layers: composition, repetition, sharing, names, blocks; and the notes about them."""

import pytest
from net_text import at, body, elaborated, error, errors, graph, names, ops, params, shape


def test_a_pipeline_from_a_tensor_applies():
    found = graph(body("y = x -> conv(8, 3) -> bn -> relu"))
    assert ops(found) == ["conv", "bn", "relu"]
    assert shape(found) == (8, 16, 16)


def test_empty_parentheses_may_be_left_off():
    assert ops(graph(body("y = x -> relu() -> relu -> bn()"))) == ["relu", "relu", "bn"]
    assert names(graph(body("y = x -> b() -> b", before="block b() : x -> y { y = x -> relu }"))) == [
        "y.b/y.relu",
        "y.b.1/y.relu",
    ]


def test_a_composition_is_a_layer_to_be_named_passed_and_repeated():
    text = body(
        "f = conv(8, 3) -> bn\ny = x -> twice(f -> relu) -> f",
        before="block twice(layer) : x -> y { y = x -> layer -> layer }",
    )
    assert ops(graph(text)) == ["conv", "bn", "relu", "conv", "bn", "relu", "conv", "bn"]


def test_a_composition_of_compositions():
    text = body("f = relu\nfor i in range(2000) { f = f -> relu }\ny = x -> f")
    assert len(graph(text).nodes) == 2001


@pytest.mark.parametrize(("count", "made"), [("0", 0), ("1", 1), ("3", 3), ("n", 2), ("(n - 2)", 0), ("2 * 2", 4)])
def test_repetition(count, made):
    found = graph(body(f"y = x -> relu -> {count} * (conv(4, 3) -> relu)", "(n = 2) : x[3, 8, 8] -> y"))
    assert ops(found) == ["relu"] + ["conv", "relu"] * made
    assert params(found) == (0 if made == 0 else 3 * 9 * 4 + 4 + (made - 1) * (4 * 9 * 4 + 4))


def test_repetition_binds_tighter_than_the_arrow():
    assert ops(graph(body("y = x -> 2 * relu -> bn"))) == ["relu", "relu", "bn"]


@pytest.mark.parametrize("count", ["-1", "1.5", '"3"', "true", "none", "2.0"])
def test_a_repetition_counts_whole_numbers(count):
    assert error(body(f"y = x -> {count} * relu")).code == "E0212"


def test_parameters_are_made_anew_at_every_application_with_a_note():
    elaboration = elaborated(body("f = conv(3, 3)\ny = x -> f -> f"))
    assert params(elaboration.graph) == 2 * (3 * 9 * 3 + 3)
    (note,) = elaboration.notes
    assert (note.severity, note.helps) == ("note", ("`share` makes it one set",))


@pytest.mark.parametrize(
    "statements",
    ["y = x -> conv(3, 3) -> conv(3, 3)", "f = relu\ny = x -> f -> f", "share f = conv(3, 3)\ny = x -> f -> f"],
)
def test_no_note_without_a_second_set_of_weights(statements):
    assert elaborated(body(statements)).notes == ()


# share


def test_shared_parameters_are_made_at_the_first_use():
    found = graph(body("share f = conv(3, 3) -> bn\ny = x -> f -> 2 * f"))
    assert ops(found) == ["conv", "bn"] * 3
    assert params(found) == 3 * 9 * 3 + 3 + 6
    assert {p.name for p in found.parameters()} >= {"f/conv.weight", "f/conv.bias", "f/bn.scale"}
    assert len({node.name for node in found.nodes}) == 6


def test_shared_layers_take_other_spatial_sizes():
    found = graph(body("share f = conv(3, 3)\na = x -> f\nb = x -> max_pool(2) -> f\ny = a + (b -> upsample(2))"))
    assert params(found) == 3 * 9 * 3 + 3


@pytest.mark.parametrize(("first", "second"), [("x", "z"), ("z", "x")])
def test_a_shared_block_that_makes_more_or_fewer_parameters_the_second_time(first, second):
    block = "block b : x -> y { y = x -> conv(3, 3)\n if x.height > 8 { y = y -> conv(3, 3) } }"
    found = error(body(f"share f = b\nz = x -> max_pool(2)\np = {first} -> f\ny = {second} -> f", before=block))
    assert found.code == "E0307"


def test_share_of_a_share():
    text = "share f = conv(3, 3)\nshare g = f -> bn -> f\ny = x -> f -> g -> g"
    found = graph(body(text))
    assert ops(found) == ["conv", "conv", "bn", "conv", "conv", "bn", "conv"]
    assert params(found) == 3 * 9 * 3 + 3 + 6
    again = graph(body("share g = conv(3, 3)\nshare h = g\na = x -> h\ny = a -> g"))
    assert params(again) == 3 * 9 * 3 + 3


def test_a_share_within_a_block_is_of_each_application():
    block = "block b : x -> y { share f = conv(3, 3)\n y = x -> f -> f }"
    assert params(graph(body("y = x -> b -> b", before=block))) == 2 * (3 * 9 * 3 + 3)
    assert params(graph(body("share g = b\ny = x -> g -> g", before=block))) == 3 * 9 * 3 + 3


def test_repeating_a_shared_layer_reuses_it():
    assert params(graph(body("share f = conv(3, 3)\ny = x -> 3 * f"))) == 3 * 9 * 3 + 3


def test_sharing_a_repetition_shares_all_of_it():
    assert params(graph(body("share f = 2 * conv(3, 3)\ny = x -> f -> f"))) == 2 * (3 * 9 * 3 + 3)


def test_a_failed_first_use_leaves_no_parameters_behind():
    text = "share f = conv(3, 3) -> conv(3, 9, pad = 0)\na = x -> max_pool(4) -> f\nb = x -> f\ny = b"
    found = error(body(text))
    assert (found.code, found.labels[0].span.line) == ("E0303", 3)


def test_share_binds_a_layer():
    assert error(body("share f = 3\ny = x")).code == "E0207"
    assert error(body("share f = x\ny = x -> relu")).code == "E0207"


# names


def test_names_of_nodes_come_from_blocks_and_are_numbered():
    block = "block b : x -> z { y = x -> conv(3, 3) -> relu -> conv(3, 3)\n z = y + x }"
    found = graph(body("y = x -> b -> conv(3, 3) -> b", before=block))
    assert names(found) == ["y.b/y.conv", "y.b/y.relu", "y.b/y.conv.1", "y.b/z.add", "y.conv",
                            "y.b.1/y.conv", "y.b.1/y.relu", "y.b.1/y.conv.1", "y.b.1/z.add"]  # fmt: skip
    assert [p.name for p in found.parameters()][:2] == ["y.b/y.conv.weight", "y.b/y.conv.bias"]


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ("y = x -> relu\ny = y -> relu", ["y.relu", "y.relu.1"]),
        ("y = x -> 2 * (relu -> tanh -> relu)",
         ["y.relu[0]", "y.tanh[0]", "y.relu.1[0]", "y.relu[1]", "y.tanh[1]", "y.relu.1[1]"]),
        ("y = x -> 2 * (2 * relu)", ["y.relu[0,0]", "y.relu[0,1]", "y.relu[1,0]", "y.relu[1,1]"]),
        ("y = x\nfor w in [4, 9] { for i in range(2) { y = y -> relu } }",
         ["y[0,0].relu", "y[0,1].relu", "y[1,0].relu", "y[1,1].relu"]),
        ("y = x\nfor d in reversed(range(1, 3)) { y = y -> relu -> relu }",
         ["y[2].relu", "y[2].relu.1", "y[1].relu", "y[1].relu.1"]),
        ("n[0, 2] = x -> relu\nfor i in [1] { n[i, 2] = n[0, 2] -> 2 * relu }\ny = n[1, 2]",
         ["n[0,2].relu", "n[1,2].relu[0]", "n[1,2].relu[1]"]),
        ("_, y = (x, x -> relu)", ["y.relu"]),
        ("z = [t -> relu for t in [x, x]]\ny = z[0] + z[1]", ["z.relu[0]", "z.relu[1]", "y.add"]),
        ("share f = relu -> tanh\ny = x -> f -> f", ["f/relu", "f/tanh", "f.1/relu", "f.1/tanh"]),
    ],
)  # fmt: skip
def test_names_say_which_name_a_statement_binds_and_which_repetition_it_is(statements, expected):
    assert names(graph(body(statements))) == expected


def test_names_stay_when_lines_are_added_elsewhere():
    block = "block b : x -> y {{ {}a = x -> conv(3, 3)\n y = x + a -> bn }}"
    loop = "for i in range({}) {{ for j in range(2) {{ y = y -> conv(3, 3) -> bn }} }}\n"
    before = graph(body("y = x -> b\n" + loop.format(2) + "y = y -> conv(3, 1)", before=block.format("")))
    lines = "w = x -> conv(3, 5) -> bn\ny = x -> b\nv = y -> conv(3, 3)\n" + loop.format(4) + "y = y + w + v -> conv(3, 1)"
    after = graph(body(lines, before=block.format("z = x -> conv(3, 3)\n x = x + z\n")))
    assert {p.name for p in before.parameters()} < {p.name for p in after.parameters()}


def test_names_do_not_change_from_run_to_run():
    text = body("y = x\nfor i in range(3) { y = y -> conv(3, 3) -> bn @n }\ny = y -> 2 * (conv(3, 3) @c -> relu)")
    first, second = graph(text), graph(text)
    assert names(first) == names(second)
    assert [p.name for p in first.parameters()] == [p.name for p in second.parameters()]


def test_a_name_for_an_application():
    found = graph(body("y = x -> conv(8, 3) @first -> relu"))
    assert names(found) == ["first", "y.relu"]
    assert [p.name for p in found.parameters()] == ["first.weight", "first.bias"]
    assert found.named["first"] is found.nodes[0].output


def test_a_name_on_a_composition_or_block_is_a_prefix():
    block = "block b : x -> y { y = x -> conv(3, 3) }"
    found = graph(body("y = x -> b @one -> (conv(3, 3) -> bn) @two -> b", before=block))
    assert names(found) == ["one/y.conv", "two/conv", "two/bn", "y.b/y.conv"]


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ("y = x -> 3 * conv(3, 3) @c", ["c[0]", "c[1]", "c[2]"]),
        ("y = x\nfor i in range(2) { y = y -> conv(3, 3) @c }", ["c[0]", "c[1]"]),
        ("y = x -> 2 * (conv(3, 3) @c -> relu)", ["c[0]", "y.relu[0]", "c[1]", "y.relu[1]"]),
        ("y = x -> 2 * (conv(3, 3) -> relu) @c", ["c[0]/conv", "c[0]/relu", "c[1]/conv", "c[1]/relu"]),
        ("f = conv(3, 3) @c\ny = x\nfor i in range(2) { y = y -> f }", ["c[0]", "c[1]"]),
        ("y = sum([x -> conv(3, 3) @c for i in range(2)])", ["c[0]", "c[1]", "y.sum"]),
        ("y = x -> 2 * b", ["y.b[0]/c", "y.b[1]/c"]),
    ],
)
def test_a_repeated_name_is_indexed(statements, expected):
    assert names(graph(body(statements, before="block b : x -> y { y = x -> conv(3, 3) @c }"))) == expected


def test_a_name_that_an_application_got_by_itself_is_taken():
    found = error(body("share tower = relu\ny = x -> tower -> relu @tower"))
    assert (found.code, found.message) == (
        "E0215",
        "`@tower` is the name that an application without `@` has got already",
    )


def test_a_name_is_of_an_application():
    assert error(body("a = x @b\ny = x -> relu")).code == "E0207"


# blocks


def test_hyperparameters_by_position_by_name_and_by_default():
    block = "block b(width, kernel = 3, cells = kernel // 2) : x -> y { y = x -> conv(width, kernel, pad = cells) }"
    for call in ("b(8)", "b(8, 3)", "b(width = 8)", "b(8, kernel = 3)", "b(kernel = 3, width = 8)", "b(8, cells = 1)"):
        assert shape(graph(body(f"y = x -> {call}", before=block))) == (8, 16, 16)


@pytest.mark.parametrize(
    ("call", "code"),
    [("b", "E0204"), ("b()", "E0204"), ("b(1, 2, 3)", "E0203"), ("b(8, widht = 3)", "E0203"), ("b(8, width = 8)", "E0203"),
     ("b(width = 8, width = 8)", "E0203"), ("b(x)", "E0205"), ("b([x])", "E0205"), ("b(8)(8)", "E0210")],
)  # fmt: skip
def test_wrong_hyperparameters(call, code):
    block = "block b(width, kernel = 3) : x -> y { y = x -> conv(width, kernel) }"
    assert error(body(f"y = x -> {call}", before=block)).code == code


def test_layers_blocks_operators_and_lists_as_hyperparameters():
    text = """
block unit(width, stride) : x -> y { y = x -> conv(width, 3, stride) -> relu }
block stage(unit, widths, act = relu) : x -> y {
    y = x
    for width, stride in widths { y = y -> unit(width, stride) -> act }
}
net f : x[3, 16, 16] -> y { y = x -> stage(unit, [[4, 1], [8, 2]], act = tanh) -> stage(conv, [[8, 1]]) }
"""
    found = graph(text)
    assert ops(found) == ["conv", "relu", "tanh", "conv", "relu", "tanh", "conv", "relu"]
    assert shape(found) == (8, 8, 8)


def test_several_inputs_and_outputs():
    text = body(
        "a, b = (x, x -> relu) -> swap\n_, c = (a, b) -> swap\ny = c -> bn",
        before="block swap : p, q -> q, p { }",
    )
    found = graph(text)
    assert ops(found) == ["relu", "bn"]
    assert found.nodes[1].inputs[0] is found.nodes[0].output, "swapped twice, it is the second again"


@pytest.mark.parametrize(
    ("statements", "wanted", "given"),
    [("y = x -> crop_like", "two tensors", "one tensor"), ("y = (x, x) -> relu", "one tensor", "two tensors"),
     ("y = (x, x, x) -> pair", "two tensors", "three tensors"),
     ("y = x -> two -> relu", "one tensor", "two tensors")],
)  # fmt: skip
def test_a_wrong_number_of_tensors_names_both(statements, wanted, given):
    before = "block pair : a, b -> y { y = a + b }\nblock two : x -> a, b { a = x\n b = x }"
    found = error(body(statements, before=before))
    assert found.code == "E0208"
    assert wanted in found.message
    assert given in found.message


def test_the_wrong_number_of_targets():
    before = "block two : x -> a, b { a = x\n b = x }"
    assert error(body("y, z, w = x -> two", before=before)).code == "E0214"
    assert error(body("y, z = x -> relu", before=before)).code == "E0214"


def test_a_net_is_applied_like_a_block_and_its_named_sizes_are_what_it_is_given():
    text = """
net g : image[3, H = 16, W = 16] -> z { z = image -> reshape_rows(H) }
block reshape_rows(rows) : x -> y { y = reshape(x, [x.channels, rows * x.width]) }
net f : x[3, 8, 12] -> y { y = x -> g }
"""
    assert shape(graph(text, "f")) == (3, 96)


@pytest.mark.parametrize("wrong", ["x[4, 8, 8]", "x[3, 8]", "x[3, 8, 9]", "int x[3, 8, 8]"])
def test_an_input_of_a_net_applied_as_a_block_has_its_shape(wrong):
    text = f"net g : image[3, H = 16, H = 16] -> z {{ z = image -> relu }}\nnet f : {wrong} -> y {{ y = x -> g }}"
    found = error(text, "f")
    assert found.code == "E0308"
    assert len(found.labels) == 2


def test_recursion_ends_by_a_condition():
    block = "block b(n) : x -> y { if n == 0 { y = x } else { y = x -> conv(3, 3) -> b(n - 1) } }"
    assert len(graph(body("y = x -> b(50)", before=block)).nodes) == 50


def test_a_block_expands_where_it_is_applied_and_errors_show_the_chain():
    before = "block a : x -> y { y = x -> b }\nblock b : x -> y { y = x -> conv(0, 3) }"
    found = error(body("y = x -> a", before=before))
    assert at(found) == "0"
    assert [(frame.block, frame.span.line) for frame in found.chain] == [("a", 4), ("b", 1)]


def test_an_error_in_a_block_applied_often_is_reported_once():
    before = "block b : x -> y { y = x -> conv(0, 3) }"
    assert len(errors(body("a = x -> b\nb2 = x -> b\ny = x -> b", before=before))) == 1


@pytest.mark.parametrize(
    ("statements", "help_"),
    [("y = tanh(x)", "write `x -> tanh`"), ("y = relu(x + x)", "write `x + x -> relu`"),
     ("y = crop_like(x, x)", "write `(a, b) -> crop_like`"), ("y = x -> concat", "write `concat(a, b)`, with the tensors in "
      "parentheses"), ("y = add(x, x)", "write `a + b`")],
)  # fmt: skip
def test_tensors_reach_layers_by_arrows_and_functions_by_parentheses(statements, help_):
    assert error(body(statements)).helps == (help_,)


@pytest.mark.parametrize(
    "statements", ["y = relu -> x", "y = x -> 3", "y = x -> x", "y = 3 -> relu", 'y = x -> "relu"']
)
def test_what_an_arrow_joins(statements):
    assert error(body(statements)).code in ("E0207",)
