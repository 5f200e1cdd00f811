"""`netdsl gradcheck`: right gradients pass, wrong ones are named, kinks are told from errors."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import netdsl
from netdsl.autodiff import rule as table
from netdsl.cli import main
from netdsl.report.gradcheck import outcome
from netdsl.runtime.gradcheck import IMPRECISE, check_gradients
from netdsl.runtime.random_batch import random_batch
from netdsl.runtime.stepper import Stepper

TRAIN = """
train n {
    target    = class(label)
    loss      = cross_entropy(y, label)
    optimizer = sgd(0.1)
    batch     = 4
    epochs    = 1
}
"""
SMOOTH = f"net n : x[6] -> y {{ y = x -> dense(5) @first -> tanh -> dense(3) @second }} {TRAIN}"
CORNERED = SMOOTH.replace("tanh", "relu")
VALUES = TRAIN.replace("class(label)", "value(t, y.shape)").replace("cross_entropy(y, label)", "LOSS")


def check(text, **options):
    return netdsl.loads(text).check_gradients(**{"samples": 4, **options})


NETS = [
    SMOOTH, CORNERED,
    f"net n : x[2, 9, 9] -> y {{ y = x -> conv(4, 3, stride = 2) -> bn -> relu -> max_pool(2) -> flatten -> dense(3) }} {TRAIN}",
    f"net n : x[6] -> y {{ y = x -> dense(20) -> tanh -> dropout(0.4) -> dense(3) }} {TRAIN}",
    f"net n : int x[5] -> y {{ y = x -> embedding(4, 7) -> conv(3, 3, pad = 1) -> global_avg_pool }} {TRAIN}",
    f"net n : x[3, 6, 6] -> y {{ y = x -> conv(4, 3) -> lrn -> deconv(3, 3, stride = 2) -> resize([5, 7]) "
    f"-> layer_norm -> global_max_pool }} {TRAIN}",
    "net n : x[2, 6, 6] -> y {\n p, w = x -> conv(3, 3) -> max_pool(2, indices = true)\n y = (p -> conv(3, 3), w) -> unpool(2)\n}"
    + VALUES.replace("LOSS", "mean_squared_error(y, t)"),
    "net n : x[4] -> y { y = x -> dense(3) }" + VALUES.replace("LOSS", "hinge(y, t)"),
    "net n : x[4] -> y { y = x -> dense(3) }" + VALUES.replace("LOSS", "binary_cross_entropy(y, t)"),
]  # fmt: skip


@pytest.mark.parametrize("text", NETS)
def test_gradients_of_nets_are_right(text):
    found = check(text)
    assert found.right, outcome(found, IMPRECISE)
    for parameter in found.parameters:
        assert parameter.float32 < 1e-3, parameter.name
        assert parameter.worst.error < 1e-4 or parameter.worst.verdict == "kink"


@pytest.mark.parametrize(("net", "options"), [
    ("lenet5", {}), ("siamese_drlim", {"width": 4}), ("densenet_cifar", {"depth": 16, "growth": 4}),
    ("context_module", {"classes": 5, "H": 20, "W": 24}),
])  # fmt: skip
def test_gradients_of_the_zoo_are_right(net, options):
    found = netdsl.load(f"examples/zoo/{net}.net", **options).check_gradients(samples=2, batch=2)
    assert found.right, outcome(found, IMPRECISE)


@pytest.fixture
def falsify(monkeypatch):
    """Makes the first gradient of an operator's rule larger by a factor."""

    def make(op_type, factor):
        declared = table._RULES[op_type]

        def wrong(bw):
            first, *others = declared.function(bw)
            return [bw.op("Mul", first, bw.scalar(factor)), *others]

        monkeypatch.setitem(table._RULES, op_type, replace(declared, function=wrong))

    return make


@pytest.mark.parametrize(("text", "operator"), [(SMOOTH, "Tanh"), (CORNERED, "Relu")])
def test_a_wrong_rule_is_caught_and_the_parameters_in_front_of_it_named(text, operator, falsify):
    """A kink on the way excuses nothing."""
    falsify(operator, 1.01)
    found = check(text, seed=3)
    assert not found.right
    verdicts = {parameter.name: parameter.verdict for parameter in found.parameters}
    assert verdicts["first.weight"] == verdicts["first.bias"] == "wrong"
    assert verdicts["second.weight"] == verdicts["second.bias"] == "right"
    worst = found.worst
    assert worst.name.startswith("first")
    assert worst.worst.gradient == pytest.approx(1.01 * worst.worst.difference, rel=1e-6)
    assert worst.worst.error == pytest.approx(0.01 / 1.01, rel=1e-3)
    text = " ".join(outcome(found, IMPRECISE).split())
    assert f"2 of 4 gradients are wrong. The worst is that of {worst.name}[" in text
    assert f"{worst.worst.gradient:.9g}" in text
    assert f"{worst.worst.difference:.9g}" in text


def _on_the_corner(offset):
    """The input to every relu is `offset`."""
    net = netdsl.loads(CORNERED)
    weights = net.parameters(1)
    return weights | {"first.weight": np.zeros((5, 6), np.float32), "first.bias": np.full(5, offset, np.float32)}


def test_a_parameter_that_stands_on_a_kink_is_told_so():
    found = check(CORNERED, weights=_on_the_corner(0.0))
    assert found.right
    bias = next(p for p in found.parameters if p.name == "first.bias")
    assert (bias.verdict, bias.at_kinks) == ("kink", 4)
    assert bias.kink is not None
    assert bias.kink.gradient == 0
    assert bias.kink.left == 0
    assert bias.kink.right != 0
    assert [(kink.operator, kink.where) for kink in bias.kinks] == [("Relu", "x = 0")]
    text = " ".join(outcome(found, IMPRECISE).split())
    assert "which stands on one: the loss has a slope of" in text
    assert "Between it and the loss: Relu `y.relu` (at x = 0)." in text


def test_a_kink_beside_a_parameter_is_met_by_longer_steps_alone():
    found = check(CORNERED, weights=_on_the_corner(3e-6))
    bias = next(p for p in found.parameters if p.name == "first.bias")
    assert (bias.verdict, bias.at_kinks) == ("kink", 4)
    assert bias.worst.error < 1e-4
    assert bias.worst.step == pytest.approx(1e-6)
    assert "longer steps than 1e-06 cross it" in " ".join(outcome(found, IMPRECISE).split())


def test_noise_takes_initial_biases_off_the_kink():
    """An input of zeros and biases of zero put every relu at 0."""
    net = netdsl.loads(CORNERED)
    feeds = {"x": np.zeros((4, 6), np.float32), "label": np.array([0, 1, 2, 1])}
    still = check_gradients(net.graph, net.parameters(0), feeds=feeds, noise=0.0)
    assert sum(p.at_kinks for p in still.parameters) > 0
    moved = check_gradients(net.graph, net.parameters(0), feeds=feeds)
    assert sum(p.at_kinks for p in moved.parameters) == 0


def test_a_gradient_that_is_wrong_in_float32_alone(monkeypatch):
    gradient = Stepper.gradient
    monkeypatch.setattr(Stepper, "gradient", lambda self: 2 * gradient(self))
    found = check(SMOOTH)
    assert not found.right
    assert all(p.worst.verdict == "right" for p in found.parameters)
    assert "In float64 it is right; what training computes in float32, on cpu, is not" in " ".join(
        outcome(found, IMPRECISE).split()
    )


def test_the_same_seed_gives_the_same(tmp_path):
    """Dropout too."""
    text = NETS[3]
    assert check(text, seed=5).to_dict() == check(text, seed=5).to_dict()
    assert check(text, seed=5).loss != check(text, seed=6).loss


def test_random_targets_are_what_the_losses_take():
    rng = np.random.default_rng(0)
    for text, wanted in ((NETS[7], {-1.0, 1.0}), (NETS[0], {0, 1, 2}), (NETS[4], {0, 1, 2})):
        graph = netdsl.loads(text).graph
        batch = random_batch(graph, 200, rng, {})
        assert set(np.unique(batch[graph.training.targets[0].value.name]).tolist()) == wanted
    assert set(np.unique(random_batch(netdsl.loads(NETS[4]).graph, 50, rng, {})["x"])) == set(range(7))


def _run(*arguments):
    return CliRunner().invoke(main, ["gradcheck", *arguments])


def test_the_command(tmp_path, falsify):
    file = tmp_path / "n.net"
    file.write_text(SMOOTH)
    done = _run(str(file), "--samples", "2")
    assert done.exit_code == 0, done.output
    assert "n on 4 samples of random numbers, seed 0: loss" in done.output
    assert "All gradients are right, to 0.0001." in done.output
    told = json.loads(_run(str(file), "--json", "--batch", "3").stdout)
    assert told["right"] is True
    assert (told["batch"], told["precision"]) == (3, "float64")
    assert {"name", "shape", "verdict", "worst", "float32", "kinks", "at_kinks"} <= set(told["parameters"][0])
    falsify("Tanh", 0.5)
    wrong = _run(str(file))
    assert wrong.exit_code == 1
    assert "WRONG" in wrong.output


def test_data_and_weights(tmp_path):
    """On real digits, at the weights of a checkpoint, without noise."""
    file = tmp_path / "n.net"
    train = TRAIN.replace("batch ", "prepare = [scale(1 / 16)]\n    batch ")
    file.write_text(f"net n : x[1, 8, 8] -> y {{ y = x -> conv(3, 3) -> tanh -> flatten -> dense(10) }}{train}")
    net = netdsl.load(file)
    net.save(tmp_path / "w.safetensors")
    done = _run(str(file), "--data", "digits", "--weights", str(tmp_path / "w.safetensors"), "--samples", "2", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["data"] == "digits"
    again = net.check_gradients("digits", weights=net.parameters(), samples=2)
    assert again.loss == pytest.approx(json.loads(done.stdout)["loss"])
    few = _run(str(file), "--data", "digits", "--batch", "100000")
    assert few.exit_code == 1
    assert "training samples, which is less than a batch of 100000" in few.stderr


def test_a_net_without_a_train_block_is_refused(tmp_path):
    file = tmp_path / "n.net"
    file.write_text("net n : x[6] -> y { y = x -> dense(3) }")
    for arguments in ([], ["--data", "digits"]):
        done = _run(str(file), *arguments)
        assert done.exit_code == 1
        assert "E0803" in done.stderr
