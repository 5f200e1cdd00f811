"""The blocked form of a step computes what the portable one does, and is left alone where it does not apply."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from benchmarks.twins import TWINS
from netdsl.lower import initial_parameters
from netdsl.runtime import blocked, stepper
from netdsl.runtime.blocked import DOMAIN, block_convolutions, block_size
from netdsl.runtime.session import choose_device, open_session
from netdsl.runtime.stepper import Stepper
from netdsl.runtime.work import multiply_accumulates, static_shapes
from netdsl.training.step import build_step

BLOCK = block_size()
needs_blocks = pytest.mark.skipif(BLOCK is None, reason="this ONNX Runtime has no blocked layout")


def _two_layers(channels: int, width: int, *, stride: int = 1, group: int = 1, size: int = 24) -> onnx.ModelProto:
    """x -> Conv 3x3 -> Conv 3x3 with bias -> y, weights fed in."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"], "first", pads=[1, 1, 1, 1], strides=[stride, stride], group=group),
        helper.make_node("Conv", ["h", "v", "b"], ["y"], "second", pads=[0, 1, 2, 1]),
    ]
    shapes = {
        "x": [2, channels, size, size], "w": [width, channels // group, 3, 3], "v": [width, width, 3, 3], "b": [width],
    }  # fmt: skip
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = helper.make_graph(nodes, "two", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


def _run(model: onnx.ModelProto) -> np.ndarray:
    generator = np.random.default_rng(0)
    session = open_session(model, choose_device("cpu", 1))
    feeds = {value.name: generator.standard_normal(value.shape).astype(np.float32) for value in session.get_inputs()}
    (y,) = session.run(["y"], feeds)
    return np.asarray(y)


def _reorders(model: onnx.ModelProto) -> int:
    return sum(node.op_type.startswith("Reorder") for node in model.graph.node)


@needs_blocks
@pytest.mark.parametrize(("channels", "stride", "reorders"), [(3, 1, 1), (16, 1, 2), (32, 2, 2), (20, 1, 2)])
def test_blocked_convolutions_equal_plain_ones(channels: int, stride: int, reorders: int) -> None:
    assert BLOCK is not None
    plain = _two_layers(channels, 32, stride=stride, size=32)
    model = block_convolutions(plain, static_shapes(plain), BLOCK)
    assert any(node.domain == DOMAIN for node in model.graph.node)
    # few channels are read unblocked; between two blocked convolutions nothing is reordered
    assert _reorders(model) == reorders
    expected = _run(plain)
    np.testing.assert_allclose(_run(model), expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize(
    "plain", [_two_layers(32, 32, group=32, size=4), _two_layers(24, 12), _two_layers(8, 8, size=4)]
)
def test_groups_odd_channels_and_small_work_stay(plain: onnx.ModelProto) -> None:
    model = block_convolutions(plain, static_shapes(plain), 8)
    assert not any(node.domain for node in model.graph.node)


@needs_blocks
@pytest.mark.parametrize(("name", "batch"), [("lenet5", 16), ("resnet20", 4), ("unet", 2)])
def test_a_blocked_step_is_the_portable_step(name: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = TWINS[name]
    graph = twin.graph("sgd(lr = 0.05, momentum = 0.9)", batch=batch)
    weights = initial_parameters(graph, 0)
    model = build_step(graph, batch=batch)
    assert BLOCK is not None
    used = block_convolutions(model.model, static_shapes(model.model), BLOCK)
    assert any(node.domain == DOMAIN and node.op_type == "Conv" for node in used.graph.node)
    vectors = []
    for block in (BLOCK, None):
        monkeypatch.setattr(stepper, "block_size", lambda block=block: block)
        run = Stepper(model, choose_device("cpu", 1), seed=0)
        run.load({k: model.state[k].pack(weights) for k in ("parameters", "statistics") if k in model.state})
        for step in range(3):
            run.feeds["image"][...], run.feeds["label"][...] = twin.batch(graph, batch, seed=step)
            run.step(step, 0.05)
        vectors.append(run.vectors())
    for key, value in vectors[0].items():
        np.testing.assert_allclose(value, vectors[1][key], rtol=1e-3, atol=2e-5, err_msg=key)


def test_a_runtime_that_computes_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    block_size.cache_clear()
    try:
        monkeypatch.setattr(blocked, "_probed_size", lambda: 4)
        assert block_size() is None
    finally:
        block_size.cache_clear()


@pytest.mark.parametrize("name", ["resnet20", "unet"])
def test_the_update_of_the_parameters_is_not_followed_value_by_value(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shape inference that follows values took about a kilobyte for each parameter of MSDNet."""
    followed = []
    infer = onnx.shape_inference.infer_shapes

    def spy(model: onnx.ModelProto, **options: bool) -> onnx.ModelProto:
        if options.get("data_prop"):
            followed.extend(name for node in model.graph.node for name in node.output)
        return infer(model, **options)

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", spy)
    model = build_step(TWINS[name].graph("sgd(lr = 0.1)"), batch=2).model
    followed.clear()
    assert multiply_accumulates(model, static_shapes(model)) > 0
    assert "next/parameters" in {name for node in model.graph.node for name in node.output}
    assert "next/parameters" not in followed


def test_the_work_of_a_step_is_about_three_forward_passes() -> None:
    for name, macs in (("lenet5", 416_520), ("resnet20", 40_813_184)):
        model = build_step(TWINS[name].graph("sgd(lr = 0.1)"), batch=2).model
        found = multiply_accumulates(model, static_shapes(model)) / 2
        # im2col by convolutions and the like come on top, the first layer's input gradient is not needed
        assert 2.5 * macs < found < 4 * macs
