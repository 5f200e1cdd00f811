"""Cutting a net off: the same numbers up to the cut, and nothing behind it."""

import numpy as np
import pytest

import netdsl
from netdsl.diagnostics import NetError
from netdsl.elaborate import load_text
from netdsl.passes import chop
from tests.onnx_running import run_net
from tests.passes_support import inputs_of, numbers_of, outputs_of

TEXT = """net a(n = 3) : image[2, 12, 12], other[2, 12, 12] -> logits, feature[k] {
    x = image
    for i in range(n) {
        x = x -> block_of(4)
        feature[i] = x -> max_pool(2) @pool
    }
    early = x -> global_avg_pool -> dense(5)
    unused = x -> conv(2, 1)
    logits = x + (other -> conv(4, 3)) -> flatten -> dense(5)
}
block block_of(width) : x -> y { y = x -> conv(width, 3) -> bn -> relu }
train a {
    target = class(label)
    loss = cross_entropy(logits, label) + cross_entropy(early, label)
    optimizer = sgd(0.1)
    batch = 4
    epochs = 1
    prepare = [scale(0.5)]
}"""


def full_outputs(graph, names):
    """The graph with the named tensors as outputs besides: the truth to compare with."""
    values = {v.name: v for node in graph.nodes for v in node.outputs}
    return graph.replace(outputs={**graph.outputs, **{name: values[name] for name in names}})


def test_numbers_are_the_same_bit_for_bit():
    graph = load_text(TEXT)
    values, inputs = numbers_of(graph), inputs_of(graph)
    names = ["x[1].block_of/y.conv", "pool[2]", "x[0].block_of/y.relu"]
    truth = run_net(full_outputs(graph, names), values, **inputs)
    made = chop(graph, values, names)
    found = outputs_of(made, inputs)
    assert list(found) == names
    for name in names:
        np.testing.assert_array_equal(found[name], truth[name])
    assert [value.name for value in made.graph.inputs] == ["image", "other"], "the loss still reads the other"


@pytest.mark.parametrize(("name", "layer"), [
    ("x", "x[2].block_of/y.relu"), ("feature[1]", "pool[1]"), ("feature[ 1 ]", "pool[1]"), ("early", "early.dense"),
    ("x[1].block_of", "x[1].block_of/y.relu"), ("image", None),
])  # fmt: skip
def test_names(name, layer):
    graph = load_text(TEXT)
    made = chop(graph, numbers_of(graph), [name])
    (value,) = made.graph.outputs.values()
    assert list(made.graph.outputs) == [name] and value.name == (layer or "image")
    assert made.graph.nodes == () if layer is None else made.graph.nodes[-1].name == layer


def test_unknown_names():
    graph = load_text(TEXT)
    with pytest.raises(NetError) as error:
        chop(graph, numbers_of(graph), ["pool[3]"])
    with pytest.raises(NetError, match="neither an output nor the loss needs `unused`"):
        chop(graph, numbers_of(graph), ["unused"])
    assert error.value.diagnostics[0].code == "E1102" and "did you mean `pool[" in error.value.diagnostics[0].helps[0]


def test_without_a_train_block_nothing_is_left_behind_the_cut():
    graph = load_text(TEXT.partition("train")[0])
    values = numbers_of(graph)
    made = chop(graph, values, ["pool[0]"])
    assert [value.name for value in made.graph.inputs] == ["image"]
    assert set(made.parameters) == {p.name for p in made.graph.parameters()} < set(values)
    assert set(made.graph.named) == {"image", "feature[0]", "pool[0]"}


def test_legal_sizes_are_those_of_what_is_left():
    """A U-Net asks for multiples of 16, its encoder does not."""
    unet = load_text(UNET)
    assert any("multiples" in text for text in netdsl.analysis.analyze(unet).constraints)
    made = chop(unet, numbers_of(unet), ["skip[1]"])
    assert not any("multiples" in text for text in netdsl.analysis.analyze(made.graph).constraints)


UNET = """net unet(width = 2) : image[1, H = 32, W = 32] -> y {
    skip[1] = image -> conv(width, 3)
    y = skip[1] + (skip[1] -> max_pool(2) -> upsample(2))
}"""


def test_what_is_left_trains_on_as_before(tmp_path):
    """What was cut off belongs to the loss: the step is the same, the model for inference shorter."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((8, 2, 12, 12)).astype(np.float32)
    np.savez(tmp_path / "data.npz", train_image=images, train_other=images, train_label=rng.integers(0, 5, 8))
    net = netdsl.loads(TEXT)
    made = net.convert(chop="pool[0]", weights=numbers_of(net.graph))
    assert set(made.parameters()) == set(net.parameters())
    histories = [n.train(tmp_path / "data.npz", out=tmp_path / str(i), weights=made.parameters())
                 for i, n in enumerate((net, made))]  # fmt: skip
    assert histories[0].epochs[0].loss == pytest.approx(histories[1].epochs[0].loss, rel=1e-5)
    assert list(made.predict({"image": images, "other": images}).outputs) == ["pool[0]"]


def test_an_input_stays_whose_size_alone_is_read():
    graph = load_text(
        "net a : x[2, H = 5, W = 6], z[2, H, W], s[3] -> y { y = (x -> global_avg_pool) + (z -> global_avg_pool)\n"
        "t = s * H + 1\ny = concat(y, t) }"
    )
    made = chop(graph, {}, ["t"])
    assert [value.name for value in made.graph.inputs] == ["x", "s"]
    inputs = inputs_of(made.graph, H=9)
    np.testing.assert_allclose(outputs_of(made, inputs)["t"], inputs["s"] * 9 + 1, rtol=1e-6)
