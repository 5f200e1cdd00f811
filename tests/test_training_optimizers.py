"""Optimizers and schedules against PyTorch's, over several steps with gradients of our choosing."""

from itertools import pairwise

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from netdsl.ir import Optimizer, Schedule
from netdsl.ops.optimizers import OPTIMIZERS, SCHEDULES, as_schedule, slots_of
from netdsl.training.optimizers import Tensors, append_update
from netdsl.training.schedules import rate_at
from netdsl.training.writer import Writer

_SIZE, _STEPS = 17, 6


def _optimizer(kind, **given):
    arguments = {a.name: given.get(a.name, a.default) for a in OPTIMIZERS[kind] if a.name != "lr"}
    return Optimizer(kind, as_schedule(0.1), arguments)


def _model(optimizer):
    graph = onnx.GraphProto(name="update")
    slots = slots_of(optimizer)
    for name in ("parameters", "gradient", *slots):
        graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [_SIZE]))
    graph.input.append(helper.make_tensor_value_info("lr", TensorProto.FLOAT, []))
    graph.input.append(helper.make_tensor_value_info("step", TensorProto.INT64, []))
    new = {name: f"next/{name}" for name in ("parameters", *slots)}
    append_update(
        Writer(graph, "update"), optimizer,
        Tensors("parameters", "gradient", "lr", "step", {slot: slot for slot in slots}, new),
    )  # fmt: skip
    graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, [_SIZE]) for name in new.values())
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def _run(optimizer, start, gradients, rates):
    evaluator = ReferenceEvaluator(_model(optimizer))
    state = {"parameters": start} | {slot: np.zeros(_SIZE, np.float32) for slot in slots_of(optimizer)}
    for step, (gradient, rate) in enumerate(zip(gradients, rates, strict=True)):
        feeds = {**state, "gradient": gradient, "lr": np.float32(rate), "step": np.int64(step)}
        wanted = {k: v for k, v in feeds.items() if k in {i.name for i in evaluator.proto_.graph.input}}
        results = evaluator.run([f"next/{name}" for name in state], wanted)
        state = dict(zip(state, results, strict=True))
    return state["parameters"]


@pytest.fixture
def problem():
    generator = np.random.default_rng(7)
    start = generator.standard_normal(_SIZE).astype(np.float32)
    return start, generator.standard_normal((_STEPS, _SIZE)).astype(np.float32)


def _torch_steps(optimizer, weight, gradients):
    for gradient in gradients:
        weight.grad = torch.from_numpy(gradient)
        optimizer.step()
    return weight.detach().numpy()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("decay", [0.0, 1e-2])
def test_sgd_at_a_constant_rate_is_pytorch_s(problem, momentum, decay):
    start, gradients = problem
    weight = torch.nn.Parameter(torch.from_numpy(start.copy()))
    expected = _torch_steps(torch.optim.SGD([weight], lr=0.1, momentum=momentum, weight_decay=decay), weight, gradients)
    found = _run(_optimizer("sgd", momentum=momentum, weight_decay=decay), start, gradients, [0.1] * _STEPS)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("decay", [0.0, 1e-2])
def test_nesterov_s_momentum_is_pytorch_s(problem, decay):
    start, gradients = problem
    weight = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9, weight_decay=decay, nesterov=True)
    found = _run(_optimizer("sgd", momentum=0.9, weight_decay=decay, nesterov=True), start, gradients, [0.1] * _STEPS)
    np.testing.assert_allclose(found, _torch_steps(optimizer, weight, gradients), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("decay", [0.0, 1e-2])
def test_rmsprop_is_pytorch_s(problem, momentum, decay):
    start, gradients = problem
    weight = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = torch.optim.RMSprop([weight], lr=0.01, alpha=0.9, eps=1e-3, momentum=momentum, weight_decay=decay)
    given = _optimizer("rmsprop", decay=0.9, eps=1e-3, momentum=momentum, weight_decay=decay)
    found = _run(given, start, gradients, [0.01] * _STEPS)
    np.testing.assert_allclose(found, _torch_steps(optimizer, weight, gradients), rtol=1e-5, atol=1e-6)


def test_sgd_with_a_falling_rate_is_the_lecture_s_form(problem):
    start, gradients = problem
    rates = [0.1, 0.1, 0.05, 0.05, 0.01, 0.001]
    weight, change = start.astype(np.float64), np.zeros(_SIZE)
    for gradient, rate in zip(gradients, rates, strict=True):
        change = 0.9 * change - rate * (gradient + 1e-2 * weight)
        weight = weight + change
    found = _run(_optimizer("sgd", momentum=0.9, weight_decay=1e-2), start, gradients, rates)
    np.testing.assert_allclose(found, weight, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("kind", "decay"), [("adam", 0.0), ("adam", 1e-2), ("adamw", 0.0), ("adamw", 1e-1)])
@pytest.mark.parametrize("beta2", [0.999, 0.95])
def test_adam_and_adamw_are_pytorch_s(problem, kind, decay, beta2):
    start, gradients = problem
    weight = torch.nn.Parameter(torch.from_numpy(start.copy()))
    cls = torch.optim.Adam if kind == "adam" else torch.optim.AdamW
    expected = _torch_steps(cls([weight], lr=0.01, betas=(0.9, beta2), weight_decay=decay), weight, gradients)
    found = _run(_optimizer(kind, beta2=beta2, weight_decay=decay), start, gradients, [0.01] * _STEPS)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def _rates(schedule, epochs, steps):
    return [rate_at(schedule, step=s, steps_per_epoch=steps, epochs=epochs) for s in range(epochs * steps)]


def _torch_rates(make, count):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler, rates = make(optimizer), []
    for _ in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_step_schedule_changes_at_its_epochs():
    schedule = Schedule("step", {"start": 0.1, "at": [2, 5], "factor": 0.1})
    expected = _torch_rates(lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [6, 15], gamma=0.1), 21)
    np.testing.assert_allclose(_rates(schedule, 7, 3), expected, rtol=1e-12)


def test_step_schedule_warms_up():
    schedule = Schedule("step", {"start": 0.1, "at": [2], "factor": 0.1, "warmup": 1})
    np.testing.assert_allclose(_rates(schedule, 3, 4), [0.025, 0.05, 0.075, *[0.1] * 5, *[0.01] * 4])


def test_cosine_schedule_is_pytorch_s_step_by_step():
    schedule = Schedule("cosine", {"start": 0.1, "end": 0.001, "epochs": None, "warmup": 0})
    expected = _torch_rates(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20, eta_min=0.001), 20)
    np.testing.assert_allclose(_rates(schedule, 5, 4), expected, rtol=1e-12)


def test_cosine_schedule_warms_up_and_stays_at_its_end():
    schedule = Schedule("cosine", {"start": 0.1, "end": 0.01, "epochs": 4, "warmup": 1})
    rates = _rates(schedule, 6, 10)
    np.testing.assert_allclose(rates[:10], np.linspace(0.01, 0.1, 10))
    assert rates[10] == pytest.approx(0.1)
    assert all(a > b for a, b in pairwise(rates[10:40]))
    assert rates[40:] == pytest.approx([0.01] * 20)


@pytest.mark.parametrize("warmup", [0, 0.5, 3, 10])
def test_cosine_is_finite_whatever_the_warmup(warmup):
    schedule = Schedule("cosine", {"start": 0.1, "end": 0, "epochs": None, "warmup": warmup})
    assert all(0 <= rate <= 0.1 + 1e-12 for rate in _rates(schedule, 3, 2))


def test_every_default_is_accepted_by_its_own_argument():
    for table in (OPTIMIZERS, SCHEDULES):
        for arguments in table.values():
            for argument in arguments:
                if repr(argument.default) != "required":
                    assert argument.kind.accepts(argument.default), argument.name
