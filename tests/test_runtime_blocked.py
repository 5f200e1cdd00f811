"""The blocked form of a step computes what the portable one does, and is left alone where it does not apply."""

from collections import Counter

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_zoo import SMALL
from zoo import load

from benchmarks.twins import TWINS
from netdsl.elaborate import load_text
from netdsl.lower import initial_parameters
from netdsl.runtime import blocked, stepper
from netdsl.runtime.blocked import agreement, block_size, rules, tuned
from netdsl.runtime.blocked.agreement import agree
from netdsl.runtime.blocked.graph import DOMAIN
from netdsl.runtime.blocked.layout import in_blocks
from netdsl.runtime.session import choose_device, open_session
from netdsl.runtime.stepper import Stepper
from netdsl.runtime.work import all_shapes, multiply_accumulates, static_shapes
from netdsl.training.step import build_step

CPU = choose_device("cpu", 1)
BLOCK = block_size()
pytestmark = pytest.mark.skipif(BLOCK is None, reason="this ONNX Runtime has no blocked layout")

TRAIN = """
train {
    target = class(label)
    loss = cross_entropy(logits, label)
    optimizer = sgd(lr = 0.1)
    batch = 1
    epochs = 1
}
"""


@pytest.fixture
def everything_gains(monkeypatch):
    """Small convolutions are put into blocks, too."""
    monkeypatch.setattr(rules, "_WORTH", 0)
    monkeypatch.setattr(rules, "_USES", 0)


def _step(layers, image, batch):
    """A net whose layers begin with a convolution of the image, and end in logits."""
    text = f"net n : image[{image}] -> logits {{\n{layers}\nlogits = x -> global_avg_pool -> dense(10)\n}}\n{TRAIN}"
    return build_step(load_text(text), batch=batch)


def _changes(step, model):
    """What one step of the model makes of the state and the loss, by tensor."""
    feeds = agreement._feeds(step.model.graph, all_shapes(step.model))
    names = [value.name for value in model.graph.output]
    found = dict(zip(names, open_session(model, CPU).run(names, feeds), strict=True))
    tensors = {"loss": found[step.loss]}
    for vector in step.written:
        change = found[f"next/{vector}"] - feeds[f"state/{vector}"]
        tensors |= {f"{vector} of {name}": value for name, value in step.state[vector].unpack(change).items()}
    return tensors


def _assert_same(step, tolerance=2e-3):
    """The operators of the blocked form, which changes every tensor as the portable one does."""
    assert BLOCK is not None
    model = in_blocks(step.model, all_shapes(step.model), BLOCK)
    expected, found = _changes(step, step.model), _changes(step, model)
    largest = max(float(np.linalg.norm(value)) for value in expected.values())
    for name, value in expected.items():
        error = float(np.linalg.norm(found[name] - value))
        assert error <= tolerance * float(np.linalg.norm(value)) + 1e-5 * largest, name
    return Counter(f"{node.domain and 'blocked '}{node.op_type}" for node in model.graph.node)


#: layers after a convolution to 16 channels
LAYERS = {
    "residual": "x = x + (x -> conv(16, 3, bias = false) -> bn -> relu) -> relu",
    "projection": "x = (x -> conv(32, 3, 2) -> bn) + (x -> conv(32, 1, 2, bias = false) -> bn) -> relu",
    "batch norm": "x = x -> bn -> tanh -> conv(32, 3) -> bn -> sigmoid",
    "dilated": "x = x -> conv(16, 3, dilation = 2) -> tanh -> conv(16, [3, 1], dilation = [2, 1]) -> tanh",
    "strided": "x = x -> conv(32, 3, stride = 2) -> tanh -> conv(32, 1, stride = 2) -> tanh -> conv(32, 5, 3, pad = 2)",
    "wide stride": "x = x -> conv(32, 2, stride = 3, pad = 0) -> tanh",
    "depthwise": "x = x -> conv(16, 3, groups = 16) -> tanh -> conv(16, 5, stride = 2, groups = 16) -> tanh",
    "groups": "x = x -> conv(32, 3) -> conv(32, 3, groups = 2) -> tanh",
    "growing": "for i in range(3) { x = concat(x, x -> bn -> relu -> conv(12, 3, bias = false)) }",
    "odd channels": "x = x -> conv(28, 3) -> tanh -> conv(12, 3) -> tanh -> conv(20, 3) -> tanh -> conv(16, 3)",
    "transposed": "x = x -> deconv(16, 2, stride = 2) -> tanh -> deconv(16, 3, 2, pad = 1) -> tanh\n"
    "x = x -> deconv(16, 4, 2, pad = 1)",
    "transposed, not strided": "x = x -> deconv(32, 3, pad = 1) -> tanh",
    "max pool": "x = x -> conv(16, 3) -> tanh -> max_pool(2) -> conv(16, 3) -> tanh -> max_pool(3, 2, pad = 1)",
    "average pool": "x = x -> conv(16, 3) -> tanh -> avg_pool(2) -> conv(32, 3) -> tanh -> avg_pool(3, 2, pad = 1)",
    "gate": "x = x * reshape(x -> global_avg_pool -> dense(16) -> sigmoid, [16, 1, 1]) -> conv(16, 3)",
    "crossing": "a = x -> conv(16, 3)\nb = x -> conv(16, 3) -> tanh\nx = concat(a * b, a, max(a, b)) -> conv(16, 1)",
    "scaled": "x = x -> conv(16, 3) -> scale_shift -> tanh\nx = 2 * x - 1",
    "shared": "share layer = conv(16, 3) -> tanh\nx = x -> layer -> layer",
}
#: with what has no blocked form: dilation along rows, channels that would leave blocks half empty,
#: and the gradient of average pooling
SOME_PLAIN = ("dilated", "odd channels", "average pool")


@pytest.mark.usefixtures("everything_gains")
@pytest.mark.parametrize("batch", [2, 16])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_in_blocks_are_the_plain_ones(name, batch):
    found = _assert_same(_step(f"x = image -> conv(16, 3) -> tanh\n{LAYERS[name]}", "3, 16, 16", batch))
    assert found["blocked Conv"] >= 3
    if batch == 16 and name not in SOME_PLAIN:
        assert not any(found[operator] for operator in ("Conv", "ConvTranspose", "MatMul"))


@pytest.mark.usefixtures("everything_gains")
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_any_convolution_in_blocks_is_the_plain_one(data):
    channels, width = (data.draw(st.sampled_from([1, 3, 4, 12, 16, 20, 28, 32, 48])) for _ in range(2))
    kernel = [data.draw(st.integers(1, 4)) for _ in range(2)]
    stride, dilation, pad = ([data.draw(st.integers(low, 2)) for _ in range(2)] for low in (1, 1, 0))
    batch, size = data.draw(st.sampled_from([1, 3, 4, 16, 32])), [data.draw(st.integers(8, 17)) for _ in range(2)]
    operator = data.draw(st.sampled_from(["conv", "deconv"]))
    window = f"{kernel}, {stride}, pad = {pad}, dilation = {dilation}"
    layer = f"x = image -> conv({channels}, 1) -> tanh -> {operator}({width}, {window})"
    step = _step(layer, f"3, {size[0]}, {size[1]}", batch)
    _assert_same(step)


@pytest.mark.parametrize(
    ("name", "batch"), [("lenet5", 64), ("resnet20", 4), ("unet", 2), ("mobile", 16), ("densenet40", 2)]
)
def test_whole_nets_agree_over_steps(name, batch, monkeypatch):
    monkeypatch.setenv("NETDSL_CACHE", "off")
    twin = TWINS[name]
    graph = twin.graph("sgd(lr = 0.05, momentum = 0.9)", batch=batch)
    weights = initial_parameters(graph, 0)
    model = build_step(graph, batch=batch)
    vectors = []
    for form in (tuned, lambda model, shapes, device: model):
        monkeypatch.setattr(stepper, "tuned", form)
        run = Stepper(model, CPU, seed=0)
        run.load({k: model.state[k].pack(weights) for k in ("parameters", "statistics") if k in model.state})
        for step in range(3):
            run.feeds["image"][...], run.feeds["label"][...] = twin.batch(graph, batch, seed=step)
            run.step(step, 0.05)
        vectors.append(run.vectors())
    for key, value in vectors[0].items():
        assert np.linalg.norm(value - vectors[1][key]) <= 2e-2 * np.linalg.norm(vectors[1][key]), key


@pytest.mark.parametrize(("name", "batch"), [("resnet20", 16), ("unet", 8), ("mobile", 16), ("densenet40", 16)])
def test_next_to_nothing_is_reordered(name, batch):
    """The images of a net stay in blocks from the first convolution to the last."""
    assert BLOCK is not None
    model = build_step(TWINS[name].graph("sgd(lr = 0.1)"), batch=batch).model
    written = in_blocks(model, all_shapes(model), BLOCK)
    shapes = all_shapes(model)
    large = [
        node
        for node in written.graph.node
        if node.op_type == "ReorderOutput" and np.prod(shapes.get(node.output[0], (0,))) > 2**19
    ]
    # the last convolution of the U-Net gives two channels; the gradient of average pooling is plain
    assert len(large) <= {"unet": 1, "densenet40": 1}.get(name, 0)
    assert agree(model, written, shapes, CPU)


@pytest.mark.usefixtures("everything_gains")
def test_the_variance_of_channels_with_large_means():
    """E[x²] − E[x]² in float32 has no digit left where the mean is 10⁴ standard deviations."""
    step = _step("x = image -> conv(16, 3, pad = 0)\nx = x -> bn(momentum = 1) -> conv(16, 3)", "3, 16, 16", 16)
    assert BLOCK is not None
    model = in_blocks(step.model, all_shapes(step.model), BLOCK)
    feeds = agreement._feeds(step.model.graph, all_shapes(step.model))
    image = feeds[next(iter(step.inputs.values()))]
    image[...] = 1000 + 0.1 * image
    next_statistics = [open_session(m, CPU).run(["next/statistics"], feeds)[0] for m in (step.model, model)]
    np.testing.assert_allclose(next_statistics[1], next_statistics[0], rtol=1e-3)


def test_a_form_that_computes_something_else_is_not_used(monkeypatch):
    step = build_step(TWINS["resnet20"].graph("sgd(lr = 0.1)"), batch=4)
    shapes = all_shapes(step.model)
    assert any(node.domain == DOMAIN for node in tuned(step.model, shapes, CPU).graph.node)
    wrong = 8 if BLOCK == 16 else 16
    monkeypatch.setattr(blocked, "block_size", lambda: wrong)
    assert tuned(step.model, shapes, CPU) is step.model
    monkeypatch.setattr(blocked, "block_size", lambda: None)
    assert tuned(step.model, shapes, CPU) is step.model


def test_agreement_sees_a_single_tensor():
    step = build_step(TWINS["resnet20"].graph("sgd(lr = 0.1)"), batch=2)
    other = onnx.ModelProto()
    other.CopyFrom(step.model)
    node = next(
        node
        for node in other.graph.node
        if node.op_type == "Transpose"
        and "x[2,1].basic/main.conv/" in node.name
        and list(node.attribute[0].ints) == [0, 2, 3, 1]
    )
    node.attribute[0].ints[:] = [0, 3, 2, 1]
    shapes = all_shapes(step.model)
    assert agree(step.model, step.model, shapes, CPU)
    assert not agree(step.model, other, shapes, CPU)


#: nets of the zoo with crops, places of maxima, sums and joins of every kind
NETS = (
    "fcn", "unet", "hed", "deepskeleton", "fc_densenet", "segnet", "frrn", "mobilenet_v2", "googlenet", "preact_resnet",
)  # fmt: skip


@pytest.mark.usefixtures("everything_gains")
@pytest.mark.parametrize("net", NETS)
def test_nets_of_the_zoo_in_blocks_agree(net):
    """Without a fall back to the plain form, which would hide what goes wrong."""
    assert BLOCK is not None
    case = next(case for case in SMALL if case.net.partition(":")[0] == net)
    model = build_step(load(case.net, case.set).graph, batch=2).model
    shapes = all_shapes(model)
    written = in_blocks(model, shapes, BLOCK)
    assert written is not model
    assert agree(model, written, shapes, CPU)


def test_small_work_stays_plain():
    step = build_step(TWINS["lenet5"].graph("sgd(lr = 0.1)"), batch=1)
    assert BLOCK is not None
    assert in_blocks(step.model, all_shapes(step.model), BLOCK) is step.model


@pytest.mark.parametrize("name", ["resnet20", "unet"])
def test_the_update_of_the_parameters_is_not_followed_value_by_value(name, monkeypatch):
    """Shape inference that follows values took about a kilobyte for each parameter of MSDNet."""
    followed = []
    infer = onnx.shape_inference.infer_shapes

    def spy(model, **options):
        if options.get("data_prop"):
            followed.extend(name for node in model.graph.node for name in node.output)
        return infer(model, **options)

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", spy)
    model = build_step(TWINS[name].graph("sgd(lr = 0.1)"), batch=2).model
    followed.clear()
    assert multiply_accumulates(model, static_shapes(model)) > 0
    assert "next/parameters" in {name for node in model.graph.node for name in node.output}
    assert "next/parameters" not in followed
