"""Train blocks: targets, losses, auxiliary heads, optimizers, the input pipeline; and `expect`."""

import pytest
from net_text import at, body, elaborated, error, errors, graph, ops, params

from netdsl.analysis import analyze, check_expectations
from netdsl.diagnostics import Source, SourceError
from netdsl.elaborate import elaborate

NET = (
    "net f(classes = 3) : x[3, 8, 8] -> y {\n  aux[0] = x -> conv(4, 3)\n  y = aux[0] -> flatten -> dense(classes)\n}\n"
)
USUAL = {
    "target": "class(label)", "loss": "cross_entropy(y, label)", "optimizer": "sgd(lr = 0.1)", "batch": "4", "epochs": "2"
}  # fmt: skip


def text(net=NET, **entries):
    lines = [f"  {key} = {value}" for key, value in {**USUAL, **entries}.items() if value is not None]
    return net + "train {\n" + "\n".join(lines) + "\n}\n"


def training(**entries):
    found = graph(text(**entries)).training
    assert found is not None
    return found


def wrong(**entries):
    return error(text(**entries))


def test_what_a_train_block_says():
    found = training(metrics="accuracy(y, label)")
    assert [(t.value.name, t.kind, t.value.shape, t.value.type.dtype) for t in found.targets] == [
        ("label", "class", (), "int64")
    ]
    assert ([n.op.name for n in found.nodes], found.batch, found.epochs) == (["cross_entropy", "accuracy"], 4, 2)
    assert list(found.metrics) == ["accuracy"]
    named = training(metrics="accuracy(y, label), batch_mean(y) @bias, batch_mean(abs(y)) @size")
    assert list(named.metrics) == ["accuracy", "bias", "size"]
    assert (found.optimizer.kind, found.optimizer.rate.kind) == ("sgd", "constant")


@pytest.mark.parametrize("name", ["", "f"])
def test_the_name_may_be_left_off(name):
    assert graph(text().replace("train {", f"train {name} {{")).training is not None


def test_the_order_of_lines_does_not_matter():
    lines = "\n".join(f"  {key} = {value}" for key, value in reversed(USUAL.items()))
    assert graph(NET + "train {\n" + lines + "\n}").training is not None


def test_several_targets_and_weighted_losses():
    net = NET.replace("-> y {", "-> y, z {\n  z = x -> flatten -> dense(4)")
    entries = {
        "target": "class(label), value(boxes, [4])",
        "loss": "cross_entropy(y, label) + 0.3 * mean_squared_error(z, boxes)",
    }
    found = graph(text(net, **entries)).training
    assert found is not None
    assert [(t.value.name, t.kind, t.value.shape) for t in found.targets] == [
        ("label", "class", ()),
        ("boxes", "value", (4,)),
    ]
    assert found.loss.shape == ()
    listed = graph(text(net, **{**entries, "target": "[class(label), value(boxes, [4])]"})).training
    assert listed is not None
    assert len(listed.targets) == 2


def test_a_target_of_maps_with_symbolic_sizes():
    net = "net f : x[3, H = 8, W = 8] -> y { y = x -> conv(5, 1) }\n"
    found = graph(text(net, target="class(mask, [H, W], ignore = 255)", loss="cross_entropy(y, mask)"))
    assert found.training is not None
    (target,) = found.training.targets
    assert (target.ignore, [str(d) for d in target.value.shape]) == (255, ["H", "W"])
    assert set(found.symbols) == {"H", "W"}


def test_auxiliary_heads_are_of_the_training_step_alone():
    head = "0.3 * cross_entropy(aux[0] -> global_avg_pool -> dense(classes) @head, label)"
    found = graph(text(loss=f"cross_entropy(y, label) + {head}"))
    assert found.training is not None
    assert ops(found) == ["conv", "flatten", "dense"]
    assert [n.op.name for n in found.training.nodes] == [
        "cross_entropy",
        "global_avg_pool",
        "dense",
        "cross_entropy",
        "mul",
        "add",
    ]
    assert params(found) == params(graph(text()))
    assert {p.name for n in found.training.nodes for p in n.parameters.values()} == {
        "train/head.weight",
        "train/head.bias",
    }
    assert analyze(found).to_dict()["training_only"]["params"] == 4 * 3 + 3


def test_a_head_of_the_body_that_only_the_loss_reads_is_of_training_too():
    net = NET.replace("  y = aux", "  side = aux[0] -> flatten -> dense(classes) @side\n  y = aux")
    found = graph(text(net, loss="cross_entropy(y, label) + cross_entropy(side, label)"))
    assert found.training is not None
    assert "side" not in [n.name for n in found.nodes]
    assert "side" in [n.name for n in found.training.nodes]


def test_what_neither_output_nor_loss_reads_is_left_out():
    found = graph(text(NET.replace("  y = aux", "  unused = x -> conv(9, 3)\n  y = aux")))
    assert "conv.1" not in [n.name for n in found.nodes]


@pytest.mark.parametrize(
    ("optimizer", "kind", "rate"),
    [
        ("sgd(lr = 0.1, momentum = 0.9, weight_decay = 1e-4)", "sgd", "constant"), ("adam(lr = 1e-3)", "adam", "constant"),
        ("adamw(lr = cosine(1e-3))", "adamw", "cosine"), ("sgd(lr = step(0.1, at = [1, 2], factor = 0.1))", "sgd", "step"),
        ("sgd(0.1)", "sgd", "constant"), ("sgd(lr = 0.1 * classes)", "sgd", "constant"),
    ],
)  # fmt: skip
def test_optimizers(optimizer, kind, rate):
    found = training(optimizer=optimizer).optimizer
    assert (found.kind, found.rate.kind) == (kind, rate)


@pytest.mark.parametrize(
    "pipeline", ["[scale(1 / 255), normalize(mean = 0.5, std = 0.2)]", "scale(1 / 255), normalize(0.5, 0.2)"]
)
def test_the_input_pipeline(pipeline):
    found = training(prepare=pipeline, augment="[shift(4), flip]")
    assert [name for name, _ in found.prepare] == ["scale", "normalize"]
    assert [name for name, _ in found.augment] == ["shift", "flip"]
    assert [name for name, _ in training(prepare="scale(2)", augment="flip").prepare] == ["scale"]


@pytest.mark.parametrize("key", list(USUAL))
def test_what_a_train_block_must_say(key):
    found = wrong(**{key: None})
    assert (found.code, f"`{key}`" in found.message) == ("E0502", True)


@pytest.mark.parametrize(
    ("entries", "code", "underlined"),
    [
        ({"batsh": "3"}, "E0501", "batsh = 3"),
        ({"target": "label"}, "E0503", "label"),
        ({"target": "clas(label)"}, "E0503", "clas(label)"),
        ({"target": "class()"}, "E0503", "class()"),
        ({"target": "class(y)"}, "E0503", "y"),
        ({"target": "class(label, 3)"}, "E0503", "3"),
        ({"target": "value(label, [0])"}, "E0503", "[0]"),
        ({"target": 'class(label, ["a"])'}, "E0503", '["a"]'),
        ({"target": 'class(label, ignore = "a")'}, "E0503", 'ignore = "a"'),
        ({"target": "value(label, ignore = 3)"}, "E0503", "value(label, ignore = 3)"),
        ({"loss": "y"}, "E0504", "y"),
        ({"loss": "3"}, "E0504", "3"),
        ({"loss": "cross_entropy(y)"}, "E0208", "cross_entropy(y)"),
        ({"loss": "cross_entropy()"}, "E0208", "cross_entropy()"),
        ({"metrics": "y"}, "E0504", "y"),
        ({"metrics": "[accuracy(y, label), 3]"}, "E0504", "3"),
        ({"metrics": "accuracy(y, label) @a, cross_entropy(y, label) @a"}, "E0504", "cross_entropy(y, label) @a"),
        ({"optimizer": "sdg(lr = 0.1)"}, "E0201", "sdg"),
        ({"optimizer": "sgd"}, "E0204", "sgd"),
        ({"optimizer": "sgd(lr = -1)"}, "E0205", "lr = -1"),
        ({"optimizer": 'sgd(lr = "fast")'}, "E0205", 'lr = "fast"'),
        ({"optimizer": "sgd(lr = 0.1, momentun = 0.9)"}, "E0203", "momentun = 0.9"),
        ({"optimizer": "step(0.1, at = [1])"}, "E0505", "step(0.1, at = [1])"),
        ({"optimizer": "3"}, "E0505", "3"),
        ({"batch": "0"}, "E0205", "0"), ({"batch": "2.5"}, "E0205", "2.5"), ({"epochs": "-1"}, "E0205", "-1"),
        ({"batch": "10**12"}, "E0205", "10**12"),
        ({"prepare": "[scael(2)]"}, "E0201", "scael"),
        ({"prepare": "[flip]"}, "E0201", "flip"),
        ({"prepare": "[3]"}, "E0505", "[3]"), ({"prepare": "(1, 2)"}, "E0505", "(1, 2)"), ({"prepare": "none"}, "E0505", "none"),
    ],
)  # fmt: skip
def test_wrong_train_blocks(entries, code, underlined):
    found = errors(text(**entries))
    assert (found[0].code, at(found[0])) == (code, underlined)
    assert len(found) == (2 if entries.get("target") in ("class(y)", "class()") else 1), [d.message for d in found]


def test_what_reads_a_target_without_a_name_says_nothing_more():
    found = errors(text(target="class()", loss="cross_entropy(y, label) + cross_entropy(y, label)", metrics="accuracy(y, label)"))
    assert [d.code for d in found] == ["E0503", "E0201"]  # each name that is not defined is told once


@pytest.mark.parametrize("statement", ["for i in [1] { }", "expect true", "a, b = 1, 2", "target[0] = class(label)"])
def test_statements_that_a_train_block_has_not(statement):
    found = error(text().replace("train {", "train {\n  " + statement))
    assert found.code == "E0501"


def test_train_blocks_belong_to_nets():
    assert error(text().replace("train {", "train g {")).code == "E0107"
    assert error(text() + text("")).code == "E0105"
    other = NET.replace("net f", "net g")
    assert "which one" in error(text() + other).message
    assert [d.code for d in errors(text() + other, net="g")] == ["E0106"]
    assert graph(text().replace("train {", "train f {") + other, net="g").training is None


# expect


def failure(statements):
    elaboration = elaborate(Source("test.net", body(statements)))
    with pytest.raises(SourceError) as caught:
        check_expectations(elaboration)
    (found,) = caught.value.diagnostics
    return found


@pytest.mark.parametrize(
    "condition",
    [
        "params == 84", "params ~ 84", "params ~ 0.0833k", "trainable_params == 84", "buffers == 0", "macs == 20736",
        "flops > macs", "depth == 1", "peak_memory > 0", "activation_memory > 0", "y.shape == [3, 16, 16]",
        "receptive_field(y) == 3", 'params("c") == 84', 'params("c") == params', "y.channels == x.channels",
        "not params > 100", "params == 84 and depth == 1 or 1 // 0 == 1",
    ],
)  # fmt: skip
def test_what_expect_knows(condition):
    assert len(elaborated(body(f"y = x -> conv(3, 3) @c\nexpect {condition}")).expectations) == 1


def test_about_is_within_a_hundredth_of_the_right_side():
    elaborated(body("y = x -> relu\nexpect 99 ~ 100 and 101 ~ 100 and -99 ~ -100 and 0 ~ 0"))
    assert failure("y = x -> relu\nexpect 98.9 ~ 100").code == "E0401"
    assert failure("y = x -> relu\nexpect 100 ~ 98.9").code == "E0401"


def test_a_failed_expectation_shows_both_numbers():
    found = failure("y = x -> conv(3, 3)\nexpect params == 2 * 50")
    assert (found.code, at(found), found.notes) == ("E0401", "params == 2 * 50", ("params is 84", "2 * 50 is 100"))
    assert failure("y = x -> relu\nexpect y.shape == [4, 16, 16]").notes == ("y.shape is [3, 16, 16]",)


def test_a_side_that_has_no_value_does_not_hide_the_failure():
    found = failure("n = 4\ny = x -> relu\nexpect n == 3 and y.shape[9] == 4")
    assert (found.code, found.notes) == ("E0401", ("n is 4",))


def test_expect_sees_the_names_as_they_are_where_it_stands():
    elaborated(body("y = x -> pad(1)\nexpect y.height == 18\ny = y -> pad(1)\nexpect y.height == 20"))
    found = errors(body("y = x -> relu\nfor n in [1, 0, 2] { expect params == n }"))
    assert [d.notes for d in found] == [("params is 0", "n is 1"), ("params is 0", "n is 2")]
    assert error(body("expect z.height == 16\ny = x -> relu\nz = y")).code == "E0202"


def test_expect_knows_the_names_of_its_comprehensions():
    elaborated(body("y = x -> conv(3, 3)\nexpect params == sum([a * b for a, b in [[27, 3], [3, 1]]])"))


def test_expect_counts_at_the_defaults_and_fixes_nothing():
    found = graph(
        body("y = x -> relu\nexpect y.height == 16 and y.shape == [3, 16, 16]", ": x[3, H = 16, W = 16] -> y")
    )
    assert set(found.symbols) == {"H", "W"}


def test_every_expectation_that_fails_is_reported_blocks_included():
    text = body(
        "y = x -> b -> b\nexpect params == 1\nexpect depth == 0",
        before="block b : x -> y { y = x -> relu\n expect x.channels == 4 }",
    )
    found = errors(text)
    assert [at(d) for d in found] == ["x.channels == 4", "x.channels == 4", "params == 1"]
    assert found[0].chain


@pytest.mark.parametrize(
    "condition", ["params([]) == 3", "macs([3]) == 3", 'params("nothing") == 3',
                  "receptive_field(3) == 3", "params(3) == 3", "receptive_field() == 3",
                  "params", "x", "1 / 0 == 1", "depth(y) == 3"],
)  # fmt: skip
def test_expectations_that_mean_nothing(condition):
    statements = f"y = x -> relu\nexpect {condition}"
    if condition == "params":
        assert failure(statements).code == "E0401"
    else:
        assert failure(statements).code in ("E0201", "E0212", "E0402", "E0210")
