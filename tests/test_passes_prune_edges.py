"""Dropping weak edges: nothing at a threshold of 0, nothing of weight where strengths are 0, and what is weak by definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import CASES
from op_running import applied, compiled, random_inputs, random_parameters, run

import netdsl
from netdsl.elaborate import load_text
from netdsl.ops import OPERATORS
from netdsl.passes import prune_edges
from tests.onnx_running import run_net
from tests.passes_support import close, inputs_of, numbers_of, outputs_of

FABRIC = """net fabric(layers = 3, scales = 3, width = 3) : image[2, 16, 16] -> logits {
    node[0, 0] = image -> conv(width, 3) -> bn -> relu
    for s in range(1, scales) {
        node[0, s] = node[0, s - 1] -> conv(width, 3, stride = 2) -> bn -> relu
    }
    for l in range(1, layers) {
        for s in range(scales) {
            node[l, s] = sum(
                node[l - 1, s - 1]? -> conv(width, 3, stride = 2) @down,
                node[l - 1, s] -> conv(width, 3) @across,
                node[l - 1, s + 1]? -> conv(width, 3) @up -> upsample(2),
            ) -> bn -> relu
        }
    }
    logits = concat([node[layers - 1, s] -> global_avg_pool for s in range(scales)]) -> dense(4)
}"""


def edges_of(graph):
    return sum(len(node.inputs) for node in graph.nodes if node.op.name == "sum")


def compare(graph, values, made):
    inputs = inputs_of(graph)
    for name, wanted in run_net(graph, values, **inputs).items():
        close(outputs_of(made, inputs)[name], wanted)


def scaled(values, layer, factor):
    return {n: v * np.float32(factor) if n in (f"{layer}.weight", f"{layer}.bias") else v for n, v in values.items()}


def test_a_threshold_of_zero_changes_nothing():
    graph = load_text(FABRIC)
    values = numbers_of(graph)
    made = prune_edges(graph, values, 0)
    assert made.graph is graph and made.remarks == ("pruned: 0 of 14 edges are weaker than 0 of the strongest beside them",)
    assert all(np.array_equal(made.parameters[name], value) for name, value in values.items())


@given(st.sets(st.sampled_from(["down[0]", "down[1]", "down[2]", "down[3]", "up[0]", "up[1]", "up[2]", "up[3]"])))
@settings(max_examples=12, deadline=None)
def test_edges_without_weight_add_nothing(zeros):
    graph = load_text(FABRIC)
    values = numbers_of(graph)
    for layer in zeros & {node.name for node in graph.nodes}:
        values = scaled(values, layer, 0)
    made = prune_edges(graph, values, 1e-30)
    compare(graph, values, made)
    assert not zeros & {node.name for node in made.graph.nodes}
    assert netdsl.analysis.analyze(made.graph).totals.params <= netdsl.analysis.analyze(graph).totals.params


def test_what_nothing_reads_any_more_goes():
    """Without the ways to them, nodes of a scale are dead, and so is what led there."""
    everywhere = "concat([node[layers - 1, s] -> global_avg_pool for s in range(scales)])"
    graph = load_text(FABRIC.replace(everywhere, "node[layers - 1, scales - 1] -> flatten"))
    values = numbers_of(graph)
    for node in graph.nodes:
        if node.name.startswith("down"):
            values = scaled(values, node.name, 0)
    made = prune_edges(graph, values, 1e-30)
    compare(graph, values, made)
    names = {node.name for node in made.graph.nodes}
    assert not any(name.startswith("down") for name in names)
    assert "node[1,1].bn" not in names and "node[1,2].bn" in names, "the former led to the last node by `down` alone"
    assert set(made.parameters) == {p.name for p in made.graph.parameters()}


def test_strengths_are_relative_mean_squares():
    """By hand: weights of mean square 1, 0.25 and 0.01 beside each other; a threshold between them."""
    graph = load_text("""net a : x[2, 6, 6] -> y {
        y = sum(x -> conv(2, 3, bias = false) @one, x -> relu -> conv(2, 1) @half -> tanh, x -> conv(2, 3) @tenth -> bn, x)
    }""")
    values = numbers_of(graph)
    for layer, size in (("one", 3.0), ("half", 1.5), ("tenth", 0.3)):
        values[f"{layer}.weight"] = np.full_like(values[f"{layer}.weight"], size)
        if f"{layer}.bias" in values:
            values[f"{layer}.bias"] = np.full_like(values[f"{layer}.bias"], size)
    values |= {"y.bn.scale": np.float32([2, 2]), "y.bn.bias": np.float32([0.6, 0.6]), "y.bn.running_mean": np.zeros(2, np.float32),
               "y.bn.running_var": np.full(2, 4 - 1e-5, np.float32)}  # fmt: skip
    # folded, the last one has the weights 0.3 * 2 / 2 and the biases 0.3 + 0.6
    last = (2 * 2 * 9 * 0.3**2 + 2 * 0.9**2) / (2 * 2 * 9 + 2) / 9
    for threshold, left in ((last * 0.999, 4), (last * 1.001, 3), (0.249, 3), (0.251, 2), (1.0, 2)):
        made = prune_edges(graph, values, threshold)
        (total,) = (node for node in made.graph.nodes if node.op.name == "sum")
        assert len(total.inputs) == left, threshold
        assert total.inputs[-1] is graph.inputs[0], "the shortcut has no weights of its own"


def test_two_summands():
    graph = load_text("net a : x[2, 6, 6] -> y { y = (x -> conv(2, 3) @weak) + (x -> conv(2, 3) @strong) -> relu }")
    values = scaled(numbers_of(graph), "weak", 0)
    made = prune_edges(graph, values, 0.5)
    compare(graph, values, made)
    assert [node.op.name for node in made.graph.nodes] == ["conv", "identity", "relu"]


def test_only_what_keeps_zeros_zero_is_looked_through():
    graph = load_text("net a : x[2, 6, 6] -> y { y = (x -> conv(2, 3) @weak -> sigmoid) + (x -> conv(2, 3) @strong) }")
    made = prune_edges(graph, scaled(numbers_of(graph), "weak", 0), 0.5)
    assert made.graph is graph, "sigmoid makes 0.5 of nothing"


@pytest.mark.parametrize("case", [case for case in CASES if OPERATORS[case.op].keeps_zeros], ids=str)
def test_what_is_looked_through_keeps_zeros(case):
    b, node = applied(case.op, case.shapes, case.args, case.dtypes)
    first, *others = random_inputs(case.shapes, case.dtypes)
    assert not run(compiled(b, node, random_parameters(node)), [np.zeros_like(first), *others]).any()


def test_a_sum_keeps_its_shape():
    """The weak edge is the only one of full size: the others are stretched over it."""
    graph = load_text("""net a : x[2, 6, 6] -> y {
        y = (x -> conv(2, 3) @weak) + (x -> conv(2, 6, pad = 0) @strong)
    }""")
    made = prune_edges(graph, scaled(numbers_of(graph), "weak", 0), 0.5)
    assert made.graph is graph


def test_tables_count_the_weights_that_exist():
    graph = load_text("""net a : x[2, 6, 6] -> y {
        y = (x -> conv(2, 3, connect = [[0], [1]], bias = false) @sparse) + (x -> conv(2, 3, bias = false) @dense)
    }""")
    values = numbers_of(graph)
    values = {name: np.full_like(value, 0.9 if "sparse" in name else 1.0) for name, value in values.items()}
    assert prune_edges(graph, values, 0.8).graph is graph
    assert prune_edges(graph, values, 0.82).graph is not graph


def test_all_edges_without_weight_leave_one():
    graph = load_text("net a : x[2, 6, 6] -> y { y = sum(x -> conv(2, 3) @a, x -> conv(2, 3) @b, x -> conv(2, 3) @c) }")
    values = {name: np.zeros_like(value) for name, value in numbers_of(graph).items()}
    made = prune_edges(graph, values, 1.0)
    assert [node.name for node in made.graph.nodes] == ["a", "y.sum"]
    compare(graph, values, made)


def test_a_pruned_fabric_trains_on(tmp_path):
    """Prune, train on: the edges that are left have gradients, and the loss falls."""
    net = netdsl.loads(FABRIC + """
    train fabric {
        target = class(label)
        loss = cross_entropy(logits, label)
        optimizer = sgd(0.02)
        batch = 8
        epochs = 4
    }""")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", train_image=rng.standard_normal((16, 2, 16, 16)).astype(np.float32),
             train_label=rng.integers(0, 4, 16))  # fmt: skip
    made = net.convert(prune_edges=0.9)
    assert edges_of(made.graph) < edges_of(net.graph)
    history = made.train(tmp_path / "data.npz", out=tmp_path / "run")
    assert history.epochs[-1].loss < history.epochs[0].loss
