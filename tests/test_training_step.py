"""Whole networks trained step by step, against the same networks in PyTorch: losses, weights, running statistics."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional

from benchmarks.twins import TWINS, load, tensors_of
from netdsl.autodiff import rule
from netdsl.diagnostics import DeviceError, TrainingError
from netdsl.elaborate import load_text
from netdsl.lower import initial_parameters
from netdsl.runtime.session import choose_device
from netdsl.runtime.stepper import Stepper
from netdsl.training.schedules import rate_at
from netdsl.training.step import build_step

STEPS = 5


def _devices():
    try:
        choose_device("cuda")
    except DeviceError:
        return ["cpu"]
    return ["cpu", "cuda"]


def _tensors(model, stepper):
    vectors = stepper.vectors()
    parts = [name for name in ("parameters", "statistics", "fixed") if name in model.state]
    return {k: v for name in parts for k, v in model.state[name].unpack(vectors[name]).items()}


def _start(model, stepper, weights):
    parts = [name for name in ("parameters", "statistics", "fixed") if name in model.state]
    stepper.load({name: model.state[name].pack(weights) for name in parts})


# Adam divides by the root of a gradient's square. Where that is next to nothing the quotient is float32's rounding, so
# the networks are compared at a large eps; test_training_optimizers has the default.
Make = Callable[[Any, float], torch.optim.Optimizer]
CASES = [
    ("lenet5", "sgd(lr = 0.05, momentum = 0.9, weight_decay = 1e-2)", 8,
     lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9, weight_decay=1e-2)),
    ("lenet5", "sgd(lr = step(0.1, at = [1, 2], factor = 0.1))", 4, lambda p, lr: torch.optim.SGD(p, lr)),
    ("lenet5", "adamw(lr = cosine(0.002, warmup = 1), eps = 0.01, weight_decay = 0.1)", 4,
     lambda p, lr: torch.optim.AdamW(p, lr, eps=0.01, weight_decay=0.1)),
    ("resnet20", "sgd(lr = 0.02, momentum = 0.9, weight_decay = 1e-4)", 6,
     lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9, weight_decay=1e-4)),
    ("mobile", "sgd(lr = 0.02, momentum = 0.9)", 4, lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9)),
    ("densenet40", "sgd(lr = 0.02, momentum = 0.9)", 2, lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9)),
    ("resnet20", "adam(lr = cosine(0.001), eps = 0.01, weight_decay = 1e-3)", 6,
     lambda p, lr: torch.optim.Adam(p, lr, eps=0.01, weight_decay=1e-3)),
    ("unet", "sgd(lr = 0.1, momentum = 0.9)", 2, lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9)),
]  # fmt: skip


@pytest.mark.parametrize("device", _devices())
@pytest.mark.parametrize(("name", "optimizer", "batch", "make"), CASES, ids=[f"{c[0]}-{c[1]}" for c in CASES])
def test_training_follows_pytorch(name, optimizer, batch, make, device):
    twin = TWINS[name]
    graph = twin.graph(optimizer, batch=batch, epochs=3)
    assert graph.training is not None
    module = twin.module()
    # a start at which no ReLU of ResNet-20 lies within rounding of its kink: there two right answers part
    weights = initial_parameters(graph, 7)
    load(module, graph, weights)
    chosen = choose_device(device, 1)
    model = build_step(graph, batch=batch, provider=chosen.provider)
    onnx.checker.check_model(model.model, full_check=True)
    stepper = Stepper(model, chosen, seed=0)
    _start(model, stepper, weights)
    theirs = make(module.parameters(), 1.0)
    for step in range(STEPS):
        rate = rate_at(graph.training.optimizer.rate, step=step, steps_per_epoch=2, epochs=3)
        images, labels = twin.batch(graph, batch, seed=step)
        stepper.feeds["image"][...], stepper.feeds["label"][...] = images, labels
        stepper.step(step, rate)
        for group in theirs.param_groups:
            group["lr"] = rate
        theirs.zero_grad()
        loss = functional.cross_entropy(module(torch.from_numpy(images)), torch.from_numpy(labels))
        loss.backward()
        theirs.step()
        assert stepper.loss() == pytest.approx(loss.item(), rel=1e-4)
    found, expected = _tensors(model, stepper), tensors_of(module, graph)
    for tensor, value in expected.items():
        np.testing.assert_allclose(found[tensor], value, rtol=1e-4, atol=2e-5, err_msg=tensor)


SMALL = """
net small(frozen = true) : image[1, H = 8, W = 8] -> logits, other {
    x = image -> conv(4, 3) @first -> bn @norm -> relu -> conv(4, 3, trainable = not frozen) @kept -> relu
    logits = x -> global_avg_pool -> dense(3) @last
    other = x -> conv(2, 1) @aside
}
train small {
    target = class(label)
    loss = cross_entropy(logits, label)
    metrics = accuracy(logits, label)
    optimizer = sgd(lr = 0.1, momentum = 0.9, weight_decay = 0.1)
    batch = 4
    epochs = 1
}
"""


def test_frozen_and_unreached_parameters_stay():
    graph = load_text(SMALL)
    model = build_step(graph, batch=4)
    fixed = {slot.name for slot in model.state["fixed"].slots}
    assert fixed == {"kept.weight", "kept.bias", "aside.weight", "aside.bias"}
    assert {slot.name for slot in model.state["statistics"].slots} == {"norm.running_mean", "norm.running_var"}
    stepper = Stepper(model, choose_device("cpu", 1), seed=0)
    weights = initial_parameters(graph, 0)
    _start(model, stepper, weights)
    stepper.feeds["image"][...] = np.random.default_rng(0).standard_normal(stepper.feeds["image"].shape)
    stepper.step(0, 0.1)
    after = _tensors(model, stepper)
    for name, value in weights.items():
        assert np.array_equal(after[name], value) == (name in fixed), name


def test_sizes_are_those_of_the_data():
    model = build_step(load_text(SMALL), batch=4, sizes={"H": 12, "W": 6})
    shapes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in model.model.graph.input}
    assert shapes["image"] == [4, 1, 12, 6]
    assert shapes["label"] == [4]


def test_totals_sum_over_steps_and_count_finite_losses():
    graph = load_text(SMALL)
    stepper = Stepper(build_step(graph, batch=4), choose_device("cpu", 1), seed=0)
    _start(stepper.model, stepper, initial_parameters(graph, 0))
    losses = []
    for step in range(3):
        stepper.feeds["image"][...] = np.random.default_rng(step).standard_normal(stepper.feeds["image"].shape)
        stepper.step(step, 0.1)
        losses.append(stepper.loss())
    np.testing.assert_allclose(stepper.totals()[[0, 2]], [sum(losses), 3], rtol=1e-6)
    stepper.feeds["image"][...] = np.nan
    stepper.step(3, 0.1)
    assert np.isnan(stepper.totals()[0]) and stepper.totals()[2] == 3


def test_operators_without_a_gradient_are_all_named_at_their_lines(monkeypatch):
    graph = load_text(SMALL.replace("-> relu\n", "-> tanh\n").replace("global_avg_pool", "flatten"))
    for name in ("Tanh", "Relu"):
        monkeypatch.delitem(rule._RULES, name)
    with pytest.raises(TrainingError) as caught:
        build_step(graph, batch=4)
    found = {(d.code, d.labels[0].span.line, d.labels[0].span.text) for d in caught.value.diagnostics}
    assert found == {("E0801", 3, "relu"), ("E0801", 3, "tanh")}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (SMALL[: SMALL.index("train small")], "E0803"),
        (SMALL.replace("conv(4, 3) @first", "conv(4, 3, trainable = false) @first")
         .replace("dense(3)", "dense(3, trainable = false)").replace("-> bn @norm", ""), "E0805"),
    ],
)  # fmt: skip
def test_a_net_that_cannot_be_trained_is_refused(text, code):
    with pytest.raises(TrainingError) as caught:
        build_step(load_text(text), batch=4)
    assert [d.code for d in caught.value.diagnostics] == [code]
    assert caught.value.diagnostics[0].labels
