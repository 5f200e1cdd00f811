"""Folding batch normalisation: the same outputs without the nodes, and only where it may be."""

from pathlib import Path

import numpy as np
import pytest

from netdsl.elaborate import load, load_text
from netdsl.ir import verify
from netdsl.lower import initial_parameters
from netdsl.passes import fold_bn
from tests.onnx_running import randomised, run_net

EXAMPLES = Path(__file__).parent.parent / "examples"


def fold_and_compare(graph):
    """Fold; hold the folded net's outputs against the net's, to 1e-5 of the largest; return the folded graph."""
    values = randomised(graph, initial_parameters(graph, 0))
    before = {name: value.copy() for name, value in values.items()}
    folded, numbers, _ = fold_bn(graph, values)
    verify(folded)
    assert all(np.array_equal(values[name], before[name]) for name in before)
    assert numbers.keys() >= {p.name for p in folded.parameters()} and numbers.keys() <= values.keys() | {
        p.name for p in folded.parameters()}  # fmt: skip
    rng = np.random.default_rng(0)
    shapes = {value.name: [2, *(int(dim) for dim in value.shape)] for value in graph.inputs}
    feed = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    want, got = run_net(graph, values, **feed), run_net(folded, numbers, **feed)
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=0, atol=1e-5 * max(1, abs(want[name]).max()))
    return folded


def count(graph, op):
    return sum(node.op.name == op for node in graph.nodes)


@pytest.mark.parametrize(("name", "left", "arguments"), [
    ("resnet", 0, {"n": 2}),
    ("unet", 0, {"depth": 2, "width": 8, "H": 32, "W": 32}),
    ("fabric", 3, {"layers": 3, "width": 8}),
])  # fmt: skip
def test_whole_networks(name, left, arguments):
    text = (EXAMPLES / f"{name}.net").read_text()
    for symbol in ("H", "W"):
        if symbol in arguments:
            text = text.replace(f"{symbol} = 256", f"{symbol} = {arguments.pop(symbol)}")
    graph = load_text(text, **arguments)
    folded = fold_and_compare(graph)
    assert count(graph, "bn") > count(folded, "bn") == left


@pytest.mark.parametrize("layer", [
    "conv(6, 3)", "conv(6, 3, bias = false)", "conv(6, 3, groups = 2, stride = 2)",
    "conv(3, 3, connect = [[0], [1, 2], [3]])", "deconv(6, 2, stride = 2)", "deconv(6, 3, groups = 2, bias = false)",
    "conv(6, 3, groups = 2, bias = false, weight_norm = true)", "deconv(6, 3, groups = 2, weight_norm = true)",
    "flatten -> dense(5, weight_norm = true)",
    "flatten -> dense(5)", "flatten -> dense(5, bias = false)", "conv(6, 1) -> bn(eps = 0.1)",
])  # fmt: skip
def test_layers(layer):
    folded = fold_and_compare(load_text(f"net a : x[4, 6, 6] -> y {{ y = x -> {layer} -> bn -> relu }}"))
    assert count(folded, "bn") == 0 and all(node.args.bias for node in folded.nodes if "bias" in node.args)


@pytest.mark.parametrize("body", [
    "h = x -> conv(4, 3)\n y = h -> bn\n z = h -> relu",
    "z = x -> conv(4, 3)\n y = z -> bn",
    "share c = conv(4, 3)\n y = x -> c -> bn\n z = x -> relu -> c -> bn",
    "y = x -> bn -> conv(4, 3)\n z = x -> relu -> bn",
])  # fmt: skip
def test_left_alone(body):
    graph = load_text(f"net a : x[4, 6, 6] -> y, z {{ {body} }}")
    folded = fold_and_compare(graph)
    assert folded.nodes == graph.nodes


def test_a_shared_bn_is_folded_into_each_layer():
    folded = fold_and_compare(
        load_text("""net a : x[4, 6, 6] -> y {
        share norm = bn
        y = x -> conv(4, 3) -> norm -> relu -> conv(4, 3, bias = false) -> norm
    }""")
    )
    assert count(folded, "bn") == 0


def test_what_the_loss_reads_stays():
    graph = load_text("""net a : x[4, 6, 6] -> y { h = x -> conv(4, 3)\n y = h -> bn -> flatten -> dense(10) }
    train a {
        target = class(label)
        loss = cross_entropy(y, label) + cross_entropy(h -> global_avg_pool -> dense(10), label)
        optimizer = sgd(lr = 0.1)
        batch = 8
        epochs = 1
    }""")
    assert fold_and_compare(graph).nodes == graph.nodes


def test_names_of_vanished_values_go():
    graph = load_text("net a : x[4, 6, 6] -> y { h = x -> conv(4, 3)\n y = h -> bn }")
    assert "h" in graph.named and "h" not in fold_and_compare(graph).named


def test_a_file_keeps_its_metadata():
    graph = load(EXAMPLES / "resnet.net", n=1)
    folded, *_ = fold_bn(graph, initial_parameters(graph, 0))
    assert folded.training is graph.training and folded.hyperparameters == graph.hyperparameters
