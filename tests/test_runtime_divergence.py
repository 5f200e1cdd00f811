"""A loss or gradient that is not finite: which step, at which rate, and where a value first was not finite."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from netdsl.cli import main
from netdsl.diagnostics import TrainingError
from netdsl.elaborate import load_text
from netdsl.runtime import checkpoint
from netdsl.runtime.data.dataset import Data, Samples
from netdsl.runtime.directory import LAST
from netdsl.runtime.loop import order
from netdsl.runtime.trainer import Trainer

TRAIN = """
train {
    target    = value(y, [1])
    loss      = LOSS
    optimizer = sgd(lr = RATE)
    batch     = 4
    epochs    = 3
}
"""
NET = "net small : x[2] -> out {\n    h = x -> dense(3) @first -> relu\n    out = h -> dense(1) @last\n}"


def graph_of(net=NET, loss="mean_squared_error(out, y)", rate="0.01"):
    return load_text(net + TRAIN.replace("LOSS", loss).replace("RATE", rate))


def data(scale=1.0):
    generator = np.random.default_rng(0)
    x = (scale * generator.standard_normal((20, 2))).astype(np.float32)
    return Data(Samples(x, x.sum(axis=1, keepdims=True)), Samples(x[:4], x[:4].sum(axis=1, keepdims=True)), "sums", "")


def failed(graph, given, folder=None, every=1, **options):
    return failed_run(Trainer(graph, given, directory=folder, device="cpu", threads=1, **options), every)


def failed_run(run, every):
    """What a run that has to fail says. `every`: steps between two looks at the loss, as on a GPU."""
    run._every = every
    with pytest.raises(TrainingError) as caught:
        run.run()
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E0802"
    return diagnostic


@pytest.mark.parametrize("every", [1, 3, 64])
def test_the_layer_whose_values_overflow_is_named(tmp_path, every):
    """In the second epoch a step makes enormous weights; in the next one a product of layers overflows."""
    net = "net small : x[2] -> out {\n    h = x -> dense(3) @d1\n    h = h -> dense(3) @d2\n    h = h -> dense(3) @d3\n" \
          "    out = h -> dense(1) @d4\n}"  # fmt: skip
    graph = graph_of(net, rate="step(1e-20, at = [1], factor = 1e36)")
    run = Trainer(graph, data(1e3), directory=tmp_path, device="cpu", threads=1)
    found = failed_run(run, every)
    assert "at step 2 of epoch 2, at a learning rate of 1e+16" in found.message and "loss is" in found.message
    assert found.notes[-1] == f"{tmp_path / LAST} holds the state after epoch 1"
    saved = checkpoint.load(tmp_path / LAST)
    assert saved.progress.epoch == 1 and all(np.isfinite(tensor).all() for tensor in saved.tensors.values())

    feeds = run._stepper.last_feeds()
    weights = run._stepper.model.state["parameters"].unpack(feeds["state/parameters"])
    value, layer = feeds["x"], 0
    with np.errstate(over="ignore", invalid="ignore"):
        while np.isfinite(value).all():
            layer += 1
            largest, value = abs(value).max(), value @ weights[f"d{layer}.weight"].T + weights[f"d{layer}.bias"]
    assert layer in (2, 3), "the case would be weak"
    assert found.labels[0].span.line == layer + 1 and found.labels[0].text == "this is not finite"
    assert f"{(~np.isfinite(value)).sum()} of the 12 of `d{layer}`" in found.notes[0]
    assert f"up to {largest:.2g}" in found.notes[0]
    assert f"`d{layer}.weight` up to {abs(weights[f'd{layer}.weight']).max():.2g}" in found.notes[0]


def test_a_layer_inside_a_block_is_named_with_where_it_is_applied():
    net = "block blow : a -> b { b = exp(100 * a) }\nnet small : x[2] -> out {\n    out = x -> blow -> dense(1)\n}"
    found = failed(graph_of(net), data())
    assert found.labels[0].span.text == "exp(100 * a)" and [frame.block for frame in found.chain] == ["blow"]
    assert "step 1 of epoch 1" in found.message


def test_a_gradient_that_is_not_finite_is_told_in_its_own_step():
    """The loss is 0, its derivative 1e20 · 1e20: no parameter would be finite after this step."""
    net = "net small : x[2] -> out { out = x -> dense(1, init = zeros) }"
    for options in ({}, {"accumulate": 2}):
        found = failed(graph_of(net, "batch_mean(1e20 * (1e20 * out -> tanh) + 0 * y)"), data(), **options)
        assert "the gradient of a loss of 0 is not finite at step 1 of epoch 1" in found.message
        assert found.labels[0].span.text == "1e20 * out"
        assert "the gradient through" in found.notes[0] and found.labels[0].text.startswith("the gradient")


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("every", [1, 64])
@pytest.mark.parametrize("part", ["x", "y"])
def test_a_sample_that_is_not_finite_is_named(part, accumulate, every):
    given = data()
    array = given.train.inputs if part == "x" else given.train.targets
    assert isinstance(array, np.ndarray)
    array[13, -1] = np.nan
    found = failed(graph_of(), given, every=every, accumulate=accumulate, seed=2)
    step = order(2, 0, 20).tolist().index(13) // 4 + 1
    assert step > 1, "the case would be weak"
    assert f"at step {step} of epoch 1" in found.message
    assert (
        found.notes[0]
        == f"`{part}` of sample 13 of the training samples holds values that are not finite, behind `prepare`"
    )
    assert "mend the data" in found.helps[0]


def test_weights_that_are_not_finite_are_named():
    found = failed(graph_of(), data(), weights={"last.bias": np.array([np.nan], np.float32)})
    assert found.notes[0] == "1 of the 1 values of `last.bias` are not finite before this step"
    assert found.labels[0].span.text == "dense(1)"


def test_a_parameter_that_overflows_in_the_last_update_is_not_saved(tmp_path):
    """20 samples, a batch of 20: the epoch's only step makes infinite weights of a finite gradient."""
    graph = load_text(
        NET + TRAIN.replace("LOSS", "mean_squared_error(out, y)").replace("RATE", "1e38").replace("= 4", "= 20")
    )
    found = failed(graph, data(1e4), tmp_path)
    assert "the validation loss is" in found.message
    assert "at step 1 of epoch 1, at a learning rate of 1e+38" in found.message
    assert "not finite behind this step" in found.notes[0] and found.labels[0].span.text.startswith("dense")
    assert [path.name for path in tmp_path.iterdir()] == [LAST]
    assert checkpoint.load(tmp_path / LAST).progress.step == 0


def test_an_infinity_without_consequence_is_passed_over():
    """exp(1e4) is infinite in every step, and only compared; what makes the loss infinite is the layer behind."""
    net = (
        "net small : x[2] -> out {\n    mask = exp(10000 * abs(x) + 1000) > 1\n"
        "    h = where(mask, x, 0) -> dense(3) -> relu\n    out = exp(exp(10 * h)) -> dense(1)\n}"
    )
    found = failed(graph_of(net), data(1e2))
    assert found.labels[0].span.line == 4, found


def test_the_command_says_where(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("small.net").write_text(NET + TRAIN.replace("LOSS", "mean_squared_error(out, y)").replace("RATE", "1e20"))
    train = data().train
    np.savez("data.npz", x=train.inputs, y=train.targets)
    result = CliRunner().invoke(main, ["train", "small.net", "--data", "data.npz"])
    assert result.exit_code == 1 and "Traceback" not in result.output
    lines = result.stderr.split("\n")
    start = next(index for index, line in enumerate(lines) if line.startswith("error[E0802]"))
    assert "at a learning rate of 1e+20" in lines[start]
    assert lines[start + 1].startswith(" --> small.net:") and "the first values that are not finite" in result.stderr
