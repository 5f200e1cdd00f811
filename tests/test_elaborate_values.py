"""Expressions, lists, families, scope, and symbolic sizes."""

import numpy as np
import pytest
from net_text import at, body, error, errors, graph, names, ops, params, shape

import netdsl

SIZED = ": x[3, H = 16, W = 24] -> y"


def holds(condition, before=""):
    """Whether a condition holds inside a net's body."""
    return ops(graph(body(f"{before}\ny = x -> relu if {condition} else x -> tanh"))) == ["relu"]


@pytest.mark.parametrize(
    "condition",
    [
        "1 + 2 * 3 == 7", "7 // 2 == 3 and 7 % 2 == 1 and -7 // 2 == -4", "2 ** 3 ** 2 == 512", "-2 ** 2 == -4",
        "7 / 2 == 3.5", "1 < 2 < 3", "not 1 > 2", '"a" == "a" and "a" != "b"', "2 in [1, 2]", "not 3 in [1, 2]",
        "2 in range(3)", "2.0 in range(3) and not 0.5 in range(3)", "len([1, 2, 3]) == 3", "len(range(10)) == 10",
        "[1, 2] + [3] == [1, 2, 3]", "[0] * 3 == [0, 0, 0]", "[1, 2, 3][-1] == 3", "[1, 2, 3][:2] == [1, 2]",
        "[1, 2, 3][::-1] == [3, 2, 1]", "[i * i for i in range(3)] == [0, 1, 4]",
        "[i for i in range(6) if i % 2 == 0] == [0, 2, 4]", "[a + b for a, b in [[1, 2], [3, 4]]] == [3, 7]",
        "reversed(range(3)) == [2, 1, 0]", "[i * v for i, v in enumerate([5, 6])] == [0, 6]",
        "[a * b for a, b in zip([1, 2], [3, 4])] == [3, 8]", "round(2.6) == 3", "round(2.567, 1) == 2.6",
        "int(2.9) == 2 and int(-2.9) == -2", "max(1, 2.5) == 2.5 and min([3, 1]) == 1", "sum([1, 2, 3]) == 6",
        "abs(-3) == 3", "1k == 1000 and 1.5M == 1500000", "(none == none) == true", "not none", "[] == [] and not []",
        "(0 or 5) == 5 and (3 and 4) == 4", "range(3)[1] == 1", "(1, 2) == [1, 2]", "conv == conv and not conv == relu",
        "true and not false", "1 == 1.0", "[[1, 2], [3]] == [[1, 2], [3]]", "(1 if true else 1 // 0)",
        "(true or 1 // 0) and not (false and 1 // 0)",
    ],
)  # fmt: skip
def test_expressions_are_pythons(condition):
    assert holds(condition)


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("1 / 0", "E0212"), ("1 % 0", "E0212"), ("0 ** -1", "E0212"), ("0.0 ** -1", "E0212"), ("(-8) ** 0.5", "E0212"),
        ("10.0 ** 400", "E0212"), ("2 ** 100000", "E0212"), ('1 + "a"', "E0212"), ("[1][1]", "E0211"),
        ("[1][0.5]", "E0212"), ("3[0]", "E0212"), ("len(3)", "E0212"), ("range(0, 1, 0)", "E0212"), ("range(1.5)", "E0212"),
        ('int("3")', "E0212"), ("round(1, 2, 3)", "E0212"), ("[1, 2][::0]", "E0212"), ("1 < none", "E0212"),
        ("1 in 2", "E0212"), ("- true", "E0212"), ("[a for a, b in [1]]", "E0214"), ("[a for a in 3]", "E0212"),
        ("x.colour", "E0213"), ("x.depth", "E0213"), ("3 .shape", "E0213"), ("len(a = 3)", "E0203"), ("undefined", "E0201"),
        ("conv.shape", "E0213"), ("3(4)", "E0210"), ("x == relu", "E0212"), ("1 ~ none", "E0212"), ("max()", "E0208"),
        ("log(0)", "E0212"), ("exp(1e4)", "E0212"), ("sqrt(1, 2)", "E0212"), ("abs()", "E0212"),
        ('max("a", "b")', "E0212"), ("concat(relu)", "E0212"), ("mean(x, 3)", "E0212"), ("1 if x else 2", "E0212"),
    ],
)  # fmt: skip
def test_expressions_that_mean_nothing(expression, code):
    found = error(body(f"a = {expression}\ny = x -> relu"))
    assert found.code == code
    assert found.labels[0].span.line == 3


# scope


def test_names_bound_in_loops_and_branches_are_visible_after_them():
    text = "for i in range(3) { last = i }\nif last == 2 { z = x -> relu } else { w = x }\ny = z -> conv(last + i, 1)"
    assert shape(graph(body(text))) == (4, 16, 16)


def test_a_comprehension_keeps_its_names_to_itself():
    assert error(body("a = [i for i in range(3)]\ny = x -> conv(i, 1)")).code == "E0201"


def test_constants_are_seen_everywhere_and_may_be_shadowed():
    before = "N = 4\nM = N + 1\nblock b : x -> y { y = x -> conv(N, 1) }"
    assert shape(graph(body("y = x -> b", before=before))) == (4, 16, 16)
    assert shape(graph(body("N = 9\ny = x -> b -> conv(N, 1)", before=before))) == (9, 16, 16)
    assert shape(graph(body("y = x -> conv(M, 1)", before=before))) == (5, 16, 16)


def test_a_block_does_not_see_the_names_of_where_it_is_applied():
    assert error(body("n = 3\ny = x -> b", before="block b : x -> y { y = x -> conv(n, 1) }")).code == "E0201"


def test_rebinding_in_a_loop_moves_on():
    assert ops(graph(body("y = x\nfor i in range(3) { y = y -> relu }"))) == ["relu"] * 3


@pytest.mark.parametrize(
    ("statements", "help_"),
    [
        ("z = x -> relu\nz = bn\ny = x -> relu", "write `z = z -> ...`"),
        ("z = bn\nz = x -> relu\ny = x -> relu", "use two names"),
    ],
)
def test_a_name_does_not_change_between_tensor_and_layer(statements, help_):
    found = error(body(statements))
    assert (found.code, found.helps) == ("E0209", (help_,))


@pytest.mark.parametrize(
    "text",
    [
        body("conv = 3\ny = x"), body("range = 3\ny = x"), body("for max in [1] { }\ny = x"), body("relu[0] = x\ny = x"),
        body("y = conv -> relu", ": conv[3, 8, 8] -> y"), body("y = x", "(bn = 3) : x[3] -> y"),
        body("y = x", before="block relu : x -> y { y = x }"), body("y = x", before="conv = 3"),
        body("concat = x", ": x[3] -> concat"), body("y = x", ": x[3, conv = 3] -> y"),
    ],
)  # fmt: skip
def test_names_of_the_language_are_not_bound(text):
    assert {found.code for found in errors(text)} == {"E0209"}


@pytest.mark.parametrize(
    "text",
    [
        body("y = x", "(a = 1, a = 2) : x[3] -> y"), body("y = x", "(x = 1) : x[3] -> y"), body("y = x", ": x[3], x[4] -> y"),
        body("y = x", ": x[3] -> y, y"), body("y = x", "(H = 3) : x[3, H = 4] -> y"),
        body("y = x", before="block b : x -> y { y = x }\nblock b : x -> y { y = x }"),
        body("y = x", before="block f : x -> y { y = x }"), body("y = x", before="b = 3\nblock b : x -> y { y = x }"),
    ],
)  # fmt: skip
def test_a_name_is_declared_once_and_both_places_are_shown(text):
    found = error(text)
    assert found.code == "E0105"
    assert len(found.labels) == 2


@pytest.mark.parametrize(
    ("name", "meant"), [("konv", "conv"), ("widht", "width"), ("rleu", "relu"), ("basci", "basic")]
)
def test_undefined_names_are_recognised(name, meant):
    found = error(body(f"y = x -> {name}", "(width = 3) : x[3] -> y", "block basic : x -> y { y = x }"))
    assert found.helps == (f"did you mean `{meant}`?",)


# independent errors


def test_every_independent_error_is_reported_and_none_that_follows_from_another():
    text = body(
        "a = x -> konv(3)\nb = a -> relu\nc = b + x\nd = x -> conv(3, stirde = 2)\nnode[0] = x -> bm\n"
        "node[1] = node[0] -> relu\nfor i in range(nn) { e = x }\nz = e -> relu\ny = sum(a, b, c, d, node[1], z)"
    )
    assert [(found.code, at(found)) for found in errors(text)] == [
        ("E0201", "konv"), ("E0203", "stirde = 2"), ("E0201", "bm"), ("E0201", "nn"),
    ]  # fmt: skip


def test_all_undefined_names_of_a_statement_are_told():
    text = body("a = konv(3)\ny = (x -> a) + (x -> relo -> conv(widht, 3)) + sum([i for i in [1]])")
    assert [at(found) for found in errors(text)] == ["konv", "relo", "widht"]


def test_names_that_are_bound_nowhere_are_told_once_even_where_they_are_not_read():
    text = body("a = konv(3)\ny = a if x.channels == 3 else (u if false or v else w)\nz = a and u\nr = [i + u for i in a]")
    assert [at(found) for found in errors(text)] == ["konv", "u", "v", "w"]


def test_names_in_a_block_that_is_never_applied_are_told():
    text = body("y = x -> relu", before="block b(n) : x -> y { y = x -> conv(n, k) -> rely\n expect whatever(y) }")
    assert [at(found) for found in errors(text)] == ["k", "rely", "whatever"]


def test_arguments_in_a_block_that_is_never_applied_are_told():
    blocks = """
block b(n) : x -> y {
    y = x -> conv(n, kernal = 3) -> c(depth = n) -> relu(2) -> n(q = 3)
    z = max(y, axs = n)
}
block c(width = 3) : x -> y { y = x -> conv(width, 3, init = gaussian) }
"""
    text = body("y = x -> relu", before=blocks)
    assert [at(found) for found in errors(text)] == ["kernal = 3", "depth = n", "2", "axs = n"]


def test_names_that_a_function_may_see_are_not_told():
    before = """
C = 3
block b(n, m = n + C) : x[n, h = 3], int z -> y {
    for i, j in [[n, m]] { u[i] = x -> conv(j, 3) }
    if n { share v = relu } else { w, _ = (n, h) }
    y = u[0] -> v -> other([k + w for k in range(len(zip([z], [1])))]) -> conv(n, 3, init = gaussian(0.1))
    y = concat(y, y, axis = height)
}
block other(list) : x -> y { y = x }
"""
    assert graph(body("y = x -> relu", before=before))


def test_errors_of_blocks_constants_and_train_blocks_come_in_one_run():
    text = (
        "net f : x[3, 8, 8] -> y {\n  a = x -> b\n  y = x -> flatten -> dense(3)\n  z = y -> dens(3)\n}\n"
        "block b : x -> y { y = x -> conv(0, 3) }\n"
        "train f {\n  target = class(label)\n  loss = cross_entropy(y, lable)\n  optimizer = sgdd(0.1)\n"
        "  batch = 0\n  epochs = 1\n}\n"
    )
    assert [(found.code, at(found)) for found in errors(text)] == [
        ("E0201", "dens"), ("E0205", "0"), ("E0201", "lable"), ("E0201", "sgdd"), ("E0205", "0"),
    ]  # fmt: skip


def test_an_output_that_was_never_assigned():
    found = error(body("z = x -> relu"))
    assert (found.code, at(found)) == ("E0206", "y")
    assert error(body("y = relu")).helps == ("a layer becomes a tensor when it is applied: `x -> layer`",)
    assert error(body("y = 3")).code == "E0206"


def test_an_output_whose_statement_failed_says_nothing_more():
    assert error(body("y = x -> konv")).code == "E0201"


def test_an_error_in_a_loop_is_one_error_and_ends_soon():
    assert error(body("for i in range(10**6) { y = x -> konv(3) }")).code == "E0201"


def test_a_file_of_errors_shows_a_hundred():
    text = body("\n".join(f"a{i} = x -> konv{i}(3)" for i in range(300)) + "\ny = x")
    assert len(errors(text)) == 100


# families


def test_families_are_bound_by_index_and_rebound():
    found = graph(body("n[0, 1] = x -> relu\nn[0, 1] = n[0, 1] -> bn\nn[-1, 0] = x -> tanh\ny = n[0, 1] + n[-1, 0]"))
    assert ops(found) == ["relu", "bn", "tanh", "add"]


def test_a_missing_entry_is_none_with_a_question_mark_and_an_error_without():
    assert ops(graph(body("n[0] = x\ny = sum(n[0], n[1]? -> conv(3, 3), m[0]? -> relu)\nm[0] = x"))) == ["sum"]
    found = error(body("n[0] = x\ny = n[1] -> relu"))
    assert (found.code, found.helps) == ("E0211", ("`n[1]?` is none where nothing was bound",))
    assert holds("n[1]? == none and not n[0]? == none and n[0]? != none", "n[0] = x")


@pytest.mark.parametrize("function", ["sum", "concat", "max", "mean"])
def test_functions_leave_out_none_and_fail_on_nothing_at_all(function):
    assert ops(graph(body(f"n[0] = x\ny = {function}(n[0], n[1]?, n[0] -> relu)"))) == ["relu", function]
    assert error(body(f"n[0] = x\ny = {function}(n[1]?, n[2]? -> relu)")).code == "E0208"


def test_slices_list_what_was_bound_in_index_order():
    text = """
for l in [2, 0, 1] { for s in [1, 0] { if l + s < 3 { n[l, s] = x -> conv(10 * l + s + 1, 1) } } }
a = concat(n[:, 0])
b = concat(n[0, :])
c = concat(n[:2, 0])
d = concat(n)
y = concat(a, b, c, d)
"""
    found = graph(body(text))
    concats = [node for node in found.nodes if node.op.name == "concat"]
    channels = [[int(v.shape[0]) for v in node.inputs] for node in concats]
    assert channels[:4] == [[1, 11, 21], [1, 2], [1, 11], [1, 2, 11, 12, 21]]


def test_a_bare_family_is_the_list_of_its_entries():
    text = "n[1] = x -> relu\nn[0] = x\nall = n\nz = x\nfor e in n { z = z + e }\ny = concat(z, all[1]) if len(n) == 2 else x"
    assert shape(graph(body(text))) == (6, 16, 16)


@pytest.mark.parametrize(
    ("statements", "code"),
    [
        ("n[0] = x\ny = n[0, 0]", "E0211"), ("n[0] = x\nn[0, 0] = x\ny = x", "E0211"), ("n[0.5] = x\ny = x", "E0212"),
        ("n[:] = x\ny = x", "E0211"), ("n = x\nn[0] = x\ny = x", "E0209"), ("n[0] = x\nn = x\ny = x", "E0209"),
        ("n[n[0]] = x\ny = x", "E0202"), ("y = n[0]?", "E0201"), ("y = x?", "E0212"),
        ("n[0] = x\ny = x -> relu + n[0]? * 2", "E0212"),
        ("n = [x]\nn[0] = x\ny = x", "E0209"), ("y = n[:, 0]\nn[0, 0] = x", "E0202"),
        ("n[0] = x\ny = concat(n[::-1])", "E0212"),
    ],
)  # fmt: skip
def test_wrong_uses_of_families(statements, code):
    assert code in [found.code for found in errors(body(statements))]


def test_a_family_as_output():
    text = body("x = x\nfor k in range(2) { x = x -> conv(4, 3)\n exits[2 - k] = x -> global_avg_pool -> dense(2 + k) }",
                ": x[3, 16, 16] -> exits[k], last").replace("}\n}", "}\nlast = x\n}")  # fmt: skip
    found = graph(text)
    assert list(found.outputs) == ["exits_0", "exits_1", "last"]
    assert [shape(found, name) for name in found.outputs] == [(3,), (2,), (4, 16, 16)]


@pytest.mark.parametrize("statements", ["y = x", "z = 3"])
def test_a_family_output_needs_entries(statements):
    assert error(body(statements, ": x[3, 8, 8] -> y[k]")).code == "E0206"


# symbolic sizes


def sizes(text):
    return set(graph(text).symbols)


@pytest.mark.parametrize(
    ("statements", "symbolic"),
    [
        ("y = x -> conv(4, 3) -> max_pool(2) -> upsample(2)", {"H", "W"}),
        ("y = reshape(x, [3 * H, W])", {"H", "W"}),
        ("y = x -> flatten -> dense(3)", set()),
        ("y = x -> global_avg_pool -> dense(3)", {"H", "W"}),
        ("if H > 3 { y = x } else { y = x -> relu }", {"W"}),
        ("y = x if x.shape == [3, 16, 24] else x -> relu", set()),
        ("y = x if 24 in x.shape else x -> relu", set()),
        ("y = x if x.height in [16, 32] else x -> relu", {"W"}),
        ("for i in range(H // 8) { y = x -> relu }", {"W"}),
        ("y = x -> conv(W // 8, 3)", {"H"}),
        ("y = x -> pad(H)", {"W"}),
        ("a = [1] * 24\nb = a[H]\ny = x", {"W"}),
        ("y = x -> (H // 8) * relu", {"W"}),
        ("a = H / 2\ny = x", {"W"}), ("a = H * W\ny = x", set()), ("a = H * 2 + W // 3 - H % 2\ny = x", {"H", "W"}),
        ("a = max(H, 3)\ny = x", {"W"}),
        ("y = concat(x, x -> max_pool(2) -> upsample(2))", {"H", "W"}),
    ],
)  # fmt: skip
def test_what_fixes_a_size(statements, symbolic):
    assert sizes(body(statements, SIZED)) == symbolic


def test_what_fixed_a_size_is_said_with_its_line():
    found = graph(body("y = x -> flatten -> dense(3)", SIZED))
    assert {c.span.line for c in found.constraints} == {3}
    assert {str(c.left) for c in found.constraints} == {"H", "W"}


def test_a_join_that_fits_only_some_sizes_is_a_constraint():
    (constraint,) = graph(body("y = x + (x -> max_pool(2) -> upsample(2))", ": x[3, H = 16, 24] -> y")).constraints
    assert int(constraint.left) == int(constraint.right) == 16
    assert constraint.left != constraint.right
    assert constraint.left.at({"H": 17}) != constraint.right.at({"H": 17})


def test_a_join_that_does_not_fit_the_default_is_an_error():
    assert error(body("y = x + (x -> max_pool(2) -> upsample(2))", ": x[3, H = 17, 24] -> y")).code == "E0311"


def test_one_name_on_two_inputs_is_one_size():
    found = graph(body("y = concat(x, z)", ": x[3, H = 16], z[4, H = 16] -> y"))
    assert found.symbols == {"H": 16}
    assert found.constraints == ()
    assert error(body("y = concat(x, z)", ": x[3, H = 16], z[4, H = 17] -> y")).code == "E0321"


def test_two_names_that_meet_are_a_constraint():
    (constraint,) = graph(body("y = concat(x, z)", ": x[3, H = 16], z[4, K = 16] -> y")).constraints
    assert {str(constraint.left), str(constraint.right)} == {"H", "K"}


@pytest.mark.parametrize("dimension", ["0", "-3", "1.5", '"a"', "none", "true", "H = 0", "undefined", "10**12"])
def test_sizes_of_inputs(dimension):
    assert error(body("y = x -> relu", f": x[3, {dimension}] -> y")).code in ("E0321", "E0201", "E0319")


def test_a_net_needs_the_shapes_of_its_inputs():
    assert error(body("y = x", ": x -> y")).code == "E0321"


@pytest.mark.parametrize("statements", [
    "a = H\nfor i in range(100) { a = a // 2 + a // 3 }\ny = x",
    "y = x\nfor i in range(30) { y = concat(y, y -> conv(3, 3, stride = [2, 1]), axis = height) }",
    "a = H\nfor i in range(30) { a = a * 1000 }\ny = x",
])  # fmt: skip
def test_a_size_whose_formula_grows_is_fixed(statements):
    assert sizes(body(statements, SIZED)) == {"W"}


def test_attributes():
    condition = "x.channels == 3 and x.height == 16 and x.width == 24 and x.rank == 3 and x.shape == [3, 16, 24]"
    assert ops(graph(body(f"y = x -> relu if {condition} else x", SIZED))) == ["relu"]
    assert ops(graph(body("y = x -> relu if x.depth == 4 else x", ": x[3, 4, 5, 6] -> y"))) == ["relu"]
    assert error(body("y = x if x.heigth == 3 else x")).helps == ("did you mean `height`?",)


def test_arithmetic_on_tensors():
    found = graph(body("a = 2 * x - x / 3 + 1\ny = -a * a"))
    assert ops(found) == ["mul", "div", "sub", "add", "neg", "mul"]
    assert params(found) == 0
    assert names(found)[0] == "a.mul"


@pytest.mark.parametrize(
    "expression", ["x % 2", "x // 2", 'x + "a"', "x + none", "x + relu", "x + [1]", "x + true"]
)
def test_arithmetic_that_tensors_have_not(expression):
    assert error(body(f"y = {expression}")).code == "E0212"


def test_hyperparameters_from_numpy():
    text = "net f(widths = [4], n = 1) : x[3, 8, 8] -> y { y = x -> n * conv(widths[0], 3) }\n"
    net = netdsl.loads(text, widths=np.array([6, 7]), n=np.int64(2))
    assert net.graph.hyperparameters == {"widths": [6, 7], "n": 2}
    assert [node.op.name for node in net.graph.nodes] == ["conv", "conv"]
