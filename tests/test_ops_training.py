"""Operators in a training step: batch statistics, dropout, and a gradient for every lowering."""

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from graph_builder import NetBuilder
from onnx import TensorProto, helper
from op_cases import CASES
from op_running import applied, compiled, random_inputs, random_parameters, session

from netdsl.autodiff import gradient
from netdsl.ir import Target
from netdsl.lower import IR_VERSION, OPSET, lower_graph
from netdsl.lower.builder import dense_mask
from netdsl.ops import UNSEEN

PROVIDERS = ("cpu", "cuda")


def step(b, y, provider):
    """The training form of a net with the mean square of `y` as its loss: outputs `y`, and each buffer's update."""
    since = len(b.nodes)
    zeros = b.input("zeros", *y.shape)
    b.inputs.pop()
    loss = b.apply("mean_squared_error", y, zeros)
    training = b.training(loss, (Target(zeros, "value"),), since)
    lowered = lower_graph(b.graph(training=training, y=y), "training", provider=provider)
    for parameter in lowered.parameters:
        lowered.graph.input.append(helper.make_tensor_value_info(parameter.name, TensorProto.FLOAT, parameter.shape))
    updates = {}
    for parameter, tensor in lowered.updates.items():
        updates[parameter.name] = tensor
        lowered.graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, parameter.shape))
    model = helper.make_model(lowered.graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model, updates


def fed(nodes, y, batch):
    values = {
        p.name: v
        for node in nodes
        for p, v in zip(node.parameters.values(), random_parameters(node).values(), strict=True)
    }
    return values | {"zeros": np.zeros((batch, *map(int, y.shape)), np.float32)}


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("shape", [(3,), (3, 5), (3, 4, 5), (3, 2, 4, 5)])
def test_bn_follows_the_batch(shape, provider):
    b = NetBuilder()
    node = b.node("bn", b.input("x", *shape), eps=1e-3, momentum=0.3)
    model, updates = step(b, node.output, provider)
    x = np.random.default_rng(2).standard_normal((4, *shape)).astype(np.float32) * 3 + 1
    feed = fed([node], node.output, 4)
    running = session(model)
    p = {role: torch.from_numpy(feed[parameter.name].copy()) for role, parameter in node.parameters.items()}
    expected = F.batch_norm(
        torch.from_numpy(x), p["running_mean"], p["running_var"], p["scale"], p["bias"], True, 0.3, 1e-3
    )
    for _ in range(2):  # what the kernel overwrites must not reach the next run
        y, mean, var = running.run(["y", *updates.values()], {"x": x, **feed})
        np.testing.assert_allclose(y, expected, rtol=2e-5, atol=2e-5)
        np.testing.assert_allclose(mean, p["running_mean"], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(var, p["running_var"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_shared_bn_is_updated_once_per_use_in_order(provider):
    b = NetBuilder()
    first = b.node("bn", b.input("a", 3, 4))
    second = b.node("bn", b.input("b", 3, 4), share=first.parameters)
    y = b.apply("add", first.output, second.output)
    model, updates = step(b, y, provider)
    generator = np.random.default_rng(3)
    feed = {name: generator.standard_normal((4, 3, 4)).astype(np.float32) + i for i, name in enumerate("ab")}
    values = fed([first], y, 4)
    p = {role: torch.from_numpy(values[parameter.name].copy()) for role, parameter in first.parameters.items()}
    a, c = (
        F.batch_norm(torch.from_numpy(feed[n]), p["running_mean"], p["running_var"], p["scale"], p["bias"], True)
        for n in "ab"
    )
    found, mean, var = session(model).run(["y", *updates.values()], {**feed, **values})
    np.testing.assert_allclose(found, a + c, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(mean, p["running_mean"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(var, p["running_var"], rtol=1e-5, atol=1e-6)


def test_bn_of_single_values_stays_finite():
    """A batch of one vector has no unbiased variance; the biased one, zero, is taken."""
    b = NetBuilder()
    node = b.node("bn", b.input("x", 3))
    model, updates = step(b, node.output, "cpu")
    feed = fed([node], node.output, 1)
    var = session(model).run([updates["bn.1.running_var"]], {"x": np.ones((1, 3), np.float32), **feed})[0]
    np.testing.assert_allclose(var, 0.9 * feed["bn.1.running_var"], rtol=1e-6)


def test_frozen_bn_uses_the_running_statistics():
    b = NetBuilder()
    node = b.node("bn", b.input("x", 3, 4), trainable=False)
    assert not any(p.trainable for p in node.parameters.values())
    model, updates = step(b, node.output, "cpu")
    assert not updates
    feed = fed([node], node.output, 2)
    x = np.random.default_rng(2).standard_normal((2, 3, 4)).astype(np.float32)
    p = {role: torch.from_numpy(feed[parameter.name]) for role, parameter in node.parameters.items()}
    expected = F.batch_norm(torch.from_numpy(x), p["running_mean"], p["running_var"], p["scale"], p["bias"])
    np.testing.assert_allclose(session(model).run(["y"], {"x": x, **feed})[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_dropout(provider):
    """A share of `rate` is zero and the rest larger by 1 / (1 - rate); two applications and two steps differ."""
    b = NetBuilder()
    x = b.input("x", 2000)
    first, second = (b.apply("dropout", x, rate=0.3) for _ in range(2))
    y = b.apply("concat", first, second)
    model, _ = step(b, y, provider)
    running = session(model)
    feed = {"x": np.full((10, 2000), 7, np.float32), "zeros": np.zeros((10, 4000), np.float32), "seed": np.array(5)}
    masks = [running.run(["y"], {**feed, "step": np.array(i)})[0] for i in (1, 1, 2)]
    np.testing.assert_array_equal(masks[0], masks[1])
    for left, right in [(masks[0], masks[2]), (masks[0][:, :2000], masks[0][:, 2000:])]:
        assert abs(np.mean((left == 0) == (right == 0)) - (0.3**2 + 0.7**2)) < 0.02
    assert abs(np.mean(masks[0] == 0) - 0.3) < 0.01
    np.testing.assert_allclose(masks[0][masks[0] != 0], 7 / 0.7, rtol=1e-6)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("unit, axes", [("channel", (2, 3)), ("sample", (1, 2, 3))])
def test_dropout_of_whole_units(unit, axes, provider):
    """A channel, or all of a sample, is zero as a whole or not at all."""
    b = NetBuilder()
    y = b.apply("dropout", b.input("x", 30, 4, 5), rate=0.3, unit=unit)
    model, _ = step(b, y, provider)
    feed = {"x": np.full((400, 30, 4, 5), 7, np.float32), "zeros": np.zeros((400, 30, 4, 5), np.float32),
            "seed": np.array(5), "step": np.array(1)}  # fmt: skip
    found = session(model).run(["y"], feed)[0]
    np.testing.assert_array_equal(found.min(axes), found.max(axes))
    units = found.max(axes)
    assert abs(np.mean(units == 0) - 0.3) < (0.02 if unit == "channel" else 0.08)
    np.testing.assert_allclose(units[units != 0], 7 / 0.7, rtol=1e-6)


def is_smooth(case):
    """Whether numbers go in and numbers come out, other than by counting."""
    node = applied(case.op, case.shapes, case.args, case.dtypes)[1]
    floats = any(value.type.dtype == "float32" for value in node.inputs) or bool(node.parameters)
    return case.op not in ("accuracy", "coordinates") and floats and node.output.type.dtype == "float32"


@pytest.mark.parametrize("case", list(filter(is_smooth, CASES)), ids=str)
def test_gradients_equal_torch(case):
    """The lowering of every operator can be differentiated, with respect to its inputs and its parameters."""
    b, node = applied(case.op, case.shapes, case.args, case.dtypes)
    parameters, inputs = random_parameters(node), random_inputs(case.shapes, case.dtypes, below=case.below)
    model = compiled(b, node, parameters)
    truths = {f"x{i}": torch.from_numpy(x) for i, x in enumerate(inputs)}
    truths |= {p.name: torch.from_numpy(parameters[role]) for role, p in node.parameters.items()}
    unseen = {f"x{i}" for i, reach in enumerate(node.op.reaches(node)) if reach is UNSEEN and case.op != "zeros_like"}
    names = [
        name for name, t in truths.items()
        if t.dtype == torch.float32 and name not in unseen and not name.endswith(("codes", "mean", "var"))
    ]  # fmt: skip
    for name in names:
        truths[name].requires_grad_()
    y = case.torch(
        {role: truths[p.name] for role, p in node.parameters.items()}, *[truths[f"x{i}"] for i in range(len(inputs))]
    )
    y = y[0] if isinstance(y, tuple) else y
    weights = np.random.default_rng(4).standard_normal(tuple(y.shape)).astype(np.float32)
    expected = torch.autograd.grad((y * torch.from_numpy(weights)).sum(), [truths[n] for n in names])

    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "weights"))
    model.graph.node.append(helper.make_node("Mul", ["y", "weights"], ["weighted"]))
    model.graph.node.append(helper.make_node("ReduceSum", ["weighted"], ["of"], keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info("of", TensorProto.FLOAT, ()))
    running = session(gradient(model, "of", names))
    known = {i.name for i in running.get_inputs()}
    feed = {f"x{i}": x for i, x in enumerate(inputs) if f"x{i}" in known}
    found = running.run([f"grad/{name}" for name in names], feed)
    masks = {p.name: dense_mask(p) for p in node.parameters.values() if p.mask is not None}  # applied in training
    for name, f, e in zip(names, found, expected, strict=True):
        f = f * masks.get(name, 1)
        np.testing.assert_allclose(f, e, rtol=1e-4, atol=1e-4 * max(1.0, float(e.abs().max())), err_msg=name)
