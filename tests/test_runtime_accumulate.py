"""A batch in parts: the mean of their gradients is that of the batch, where no statistic sees a whole batch."""


import numpy as np
import pytest
import torch
from torch.nn import functional

from netdsl.diagnostics import DeviceError, TrainingError
from netdsl.elaborate import load_text
from netdsl.lower import initial_parameters
from netdsl.runtime.data.dataset import Data, Samples
from netdsl.runtime.directory import LAST
from netdsl.runtime.loop import order
from netdsl.runtime.session import choose_device
from netdsl.runtime.stepper import Stepper
from netdsl.runtime.trainer import Trainer
from netdsl.training.step import build_step
from tests.test_runtime_trainer import StopAt, Told, contents

TEXT = """
net small : image[2, 6, 6] -> logits {
    logits = image -> conv(4, 3) -> NORM -> tanh -> flatten -> DROP -> dense(3)
}
train small {
    target    = class(label)
    loss      = cross_entropy(logits, label)
    metrics   = accuracy(logits, label)
    optimizer = OPTIMIZER
    batch     = 12
    epochs    = 2
}
"""
SGD, ADAM = "sgd(lr = 0.1, momentum = 0.9, weight_decay = 1e-3)", "adam(lr = 0.01, eps = 0.01)"


def graph_of(optimizer=SGD, norm="", drop=""):
    text = TEXT.replace("OPTIMIZER", optimizer)
    for word, layer in (("NORM", norm), ("DROP", drop)):
        text = text.replace(f"{word} -> ", f"{layer} -> " if layer else "")
    return load_text(text)


def samples(count, seed):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    images = generator.standard_normal((count, 2, 6, 6)) + 0.3 * labels[:, None, None, None]
    return Samples(images.astype(np.float32), labels)


DATA = Data(samples(40, 0), samples(10, 1), "noise", "drawn apart")


def trainer(graph, accumulate, folder=None, **options):
    settings = {"directory": folder, "device": "cpu", "threads": 1, "seed": 3, **options}
    return Trainer(graph, DATA, accumulate=accumulate, **settings)


@pytest.mark.parametrize("optimizer", [SGD, ADAM])
@pytest.mark.parametrize("accumulate", [2, 3, 12])
def test_parts_equal_the_batch_up_to_rounding(optimizer, accumulate):
    whole, parts = (trainer(graph_of(optimizer, "group_norm(2)"), count) for count in (1, accumulate))
    expected, found = whole.run(), parts.run()
    assert parts._stepper.model.batch == 12 // accumulate
    for name, value in whole.tensors().items():
        np.testing.assert_allclose(parts.tensors()[name], value, rtol=1e-4, atol=2e-6, err_msg=name)
    for ours, theirs in zip(found.epochs, expected.epochs, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)
        assert ours.metrics["accuracy"] == pytest.approx(theirs.metrics["accuracy"], rel=1e-6)
        assert ours.validation_loss == pytest.approx(theirs.validation_loss, rel=1e-5)


def test_parts_follow_pytorch_with_batch_statistics_of_each_part():
    """Gradients summed up by `backward` in each part; running statistics follow the parts."""
    graph = graph_of(SGD, "bn")
    run = trainer(graph, 3)
    start = {name: torch.from_numpy(value.copy()) for name, value in initial_parameters(graph, 3).items()}
    learned = [value.requires_grad_() for name, value in start.items() if "running" not in name]
    optimizer = torch.optim.SGD(learned, 0.1, momentum=0.9, weight_decay=1e-3)
    by = {name.removeprefix("logits."): value for name, value in start.items()}
    for epoch in range(2):
        for rows in order(3, epoch, 40)[:36].reshape(3, 3, 4):
            optimizer.zero_grad()
            for part in rows:
                x = functional.conv2d(
                    torch.from_numpy(DATA.train.inputs[part]), by["conv.weight"], by["conv.bias"], padding=1
                )
                x = functional.batch_norm(
                    x, by["bn.running_mean"], by["bn.running_var"], by["bn.scale"], by["bn.bias"], True, 0.1
                )
                logits = functional.linear(torch.tanh(x).flatten(1), by["dense.weight"], by["dense.bias"])
                (functional.cross_entropy(logits, torch.from_numpy(DATA.train.targets[part])) / 3).backward()
            optimizer.step()
    run.run()
    for name, value in start.items():
        np.testing.assert_allclose(run.tensors()[name], value.detach().numpy(), rtol=1e-4, atol=5e-6, err_msg=name)


@pytest.mark.parametrize("stop", [2, 3, 4])
def test_a_stopped_and_resumed_run_in_parts_is_the_straight_run(tmp_path, stop):
    graph = graph_of(ADAM, "bn", "dropout(0.4)")
    straight = trainer(graph, 4, tmp_path / "straight")
    straight.run()
    stopped = trainer(graph, 4, tmp_path / "stopped", progress=StopAt(stop))
    assert stopped.run().stopped
    resumed = trainer(graph, 4, tmp_path / "stopped")
    resumed.resume()
    assert resumed.run().epochs[-1].loss == straight.history.epochs[-1].loss
    assert contents(tmp_path / "stopped" / LAST) == contents(tmp_path / "straight" / LAST)


def test_a_run_can_go_on_in_other_parts(tmp_path):
    graph = graph_of()
    straight = trainer(graph, 1).run()
    assert trainer(graph, 2, tmp_path, progress=StopAt(2)).run().stopped
    told = Told()
    resumed = trainer(graph, 6, tmp_path, progress=told)
    resumed.resume()
    assert told.messages == ["note: this will not continue bit for bit: accumulate was 2, is 6"]
    for ours, theirs in zip(resumed.run().epochs, straight.epochs, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)


def test_parts_have_random_numbers_of_their_own():
    graph = graph_of(drop="dropout(0.5)")
    model = build_step(graph, batch=12, split=True)
    losses = []
    for parts in (1, 2):
        stepper = Stepper(model, choose_device("cpu", 1), seed=0, parts=parts)
        stepper.load({name: model.state[name].pack(initial_parameters(graph, 0)) for name in ("parameters",)})
        stepper.feeds["image"][...] = DATA.train.inputs[:12]
        stepper.feeds["label"][...] = DATA.train.targets[:12]
        for part in range(parts):
            stepper.step(0, 0.0, part)
            losses.append(stepper.loss())
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize(
    ("accumulate", "help"),
    [(5, "use accumulate = 4 or 6"), (24, "use accumulate = 12"), (0, ""), (1.5, "")],
)
def test_parts_must_be_equal(accumulate, help):
    with pytest.raises(TrainingError) as caught:
        trainer(graph_of(), accumulate)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E0807" and "".join(diagnostic.helps) == help


@pytest.mark.parametrize(
    ("accumulate", "helps"),
    [
        (1, ["`--accumulate 2` computes each batch in 2 parts, one after the other", "use a smaller batch, such as 6"]),
        (4, ["`--accumulate 12` computes each batch in 12 parts, one after the other", "use a smaller batch, such as 1"]),
        (12, ["close other programs"]),
    ],
)
def test_where_memory_does_not_suffice_smaller_parts_are_proposed(accumulate, helps, monkeypatch):
    def no_memory(*_):
        raise RuntimeError("bfc_arena.cc Failed to allocate memory for requested buffer of size 1024")

    run = trainer(graph_of(), accumulate)
    monkeypatch.setattr(run._stepper, "_run", no_memory)
    with pytest.raises(DeviceError) as caught:
        run.run()
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E0902" and list(diagnostic.helps) == helps
