"""The memory of a training step, against the tensors of the step that is built, and against what was measured."""

import json
from math import prod
from pathlib import Path

import onnx
import pytest
from zoo import load

import netdsl
from benchmarks.memory import network
from benchmarks.twins import TWINS
from netdsl.analysis import analyze
from netdsl.analysis.training_memory import Step, training_memory
from netdsl.diagnostics import NetError
from netdsl.runtime.work import all_shapes
from netdsl.training.step import build_step

ROOT = Path(__file__).parent.parent
MEASURED = json.loads((ROOT / "benchmarks" / "results" / "memory.json").read_text())["networks"]
SGD = "sgd(lr = 0.01, momentum = 0.9, weight_decay = 0.0001)"
_VIEWS = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")
_BYTES = {onnx.TensorProto.FLOAT: 4, onnx.TensorProto.INT64: 8, onnx.TensorProto.BOOL: 1}


def most_alive(graph, batch):
    """Bytes of tensors alive at once, at most, when the nodes of the portable step run as they are written."""
    model = build_step(graph, batch=batch).model
    shapes = all_shapes(model)
    inferred = onnx.shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in inferred.value_info}
    roots = {}
    for node in model.graph.node:
        if node.op_type in _VIEWS:
            roots[node.output[0]] = roots.get(node.input[0], node.input[0])
    outside = {value.name for value in (*model.graph.input, *model.graph.output)}
    outside |= {tensor.name for tensor in model.graph.initializer} | {""}
    last = {}
    for i, node in enumerate(model.graph.node):
        last.update({roots.get(name, name): i for name in (*node.output, *node.input)})
    alive = {}
    most = 0
    for i, node in enumerate(model.graph.node):
        for name in node.output:
            if name not in outside and name not in roots:
                alive[name] = prod(shapes.get(name, ())) * _BYTES.get(types.get(name, 1), 4)
        most = max(most, sum(alive.values()))
        for name in [name for name in alive if last[name] == i]:
            del alive[name]
    return most


def step_of(graph, batch):
    step = Step(graph, batch)
    step.run()
    return step


#: a net, its batch, and how far the two may be apart. A depthwise convolution of the portable step keeps a product for each
#: tap, which the form that runs on CPUs has not; sums in `lrn` have workspace inside ONNX Runtime's kernels.
NETS = {
    "resnet": (TWINS["resnet20"].graph(SGD), 16, 0.03),
    "densenet": (TWINS["densenet40"].graph(SGD), 4, 0.03),
    "unet": (TWINS["unet"].graph(SGD), 16, 0.03),
    "mobile": (TWINS["mobile"].graph(SGD), 16, 0.2),
    "fabric": (load("fabric", {"L": 3, "S": 3, "C": 16}).graph, 16, 0.05),
    "alexnet": (load("alexnet", {"thin": 4, "hidden": 64, "classes": 10, "H": 115, "W": 115}).graph, 8, 0.2),
}


@pytest.mark.parametrize("name", NETS)
def test_the_most_alive_is_that_of_the_step_that_is_built(name):
    graph, batch, apart = NETS[name]
    assert step_of(graph, batch).memory.peak == pytest.approx(most_alive(graph, batch), rel=apart)


def wide(optimizer, net="x -> dense(1000) -> dense(1000) -> dense(10)"):
    """A net in which the parameters outweigh all else."""
    return netdsl.loads(f"""
        net wide : x[300] -> y {{ y = {net} }}
        train wide {{ target = class(t)
                      loss = cross_entropy(y, t)
                      optimizer = {optimizer}
                      batch = 2
                      epochs = 1 }}
    """).graph


@pytest.mark.parametrize("optimizer", [
    "sgd(lr = 0.1)", SGD, "sgd(lr = 0.1, momentum = 0.9)", "sgd(lr = 0.1, momentum = 0.9, nesterov = true)",
    "rmsprop(lr = 0.1)", "rmsprop(lr = 0.1, momentum = 0.9, weight_decay = 0.1)", "adam(lr = 0.1)",
    "adam(lr = 0.1, weight_decay = 0.1)", "adamw(lr = 0.1)", "adamw(lr = 0.1, weight_decay = 0)",
    'sgd(lr = 0.1, weight_decay = 0.1, no_decay = ["bias"])', 'adamw(lr = 0.1, no_decay = ["bias"])',
])  # fmt: skip
def test_an_update_works_on_vectors_of_all_parameters(optimizer):
    graph = wide(optimizer)
    assert step_of(graph, 2).memory.peak == pytest.approx(most_alive(graph, 2), rel=0.01)


@pytest.mark.parametrize("net, settings", [
    ("lenet5", {}), ("cifar_resnet", {}), ("feature_extraction", {"width": 8, "H": 64, "W": 64}), ("siamese_drlim", {}),
])  # fmt: skip
def test_state_and_batch_are_those_of_the_step_that_is_built(net, settings):
    graph = load(net, settings).graph
    model = build_step(graph, batch=6)
    numbers = sum(layout.size * (2 if name in model.written else 1) for name, layout in model.state.items())
    fed = [value.type.tensor_type for value in model.model.graph.input]
    names = {*model.inputs.values(), *model.targets.values()}
    sizes = [
        prod(dim.dim_value for dim in kind.shape.dim) * _BYTES[kind.elem_type]
        for kind, value in zip(fed, model.model.graph.input, strict=True)
        if value.name in names
    ]
    assert Step(graph, 6).given == 4 * numbers + sum(sizes)


@pytest.mark.parametrize("name", MEASURED)
def test_it_is_within_a_tenth_of_what_was_measured(name):
    """And what the record says was predicted is what is predicted now."""
    graph, batch = network(name)
    found, row = training_memory(graph, batch) / 1e6, MEASURED[name]
    assert row["predicted"] == pytest.approx(found, abs=0.1)
    assert found == pytest.approx(row["netdsl"]["step"], rel=0.1)


def test_a_larger_batch_takes_more_in_proportion():
    graph = TWINS["resnet20"].graph(SGD)
    one, two = (training_memory(graph, batch) for batch in (64, 128))
    assert 1.9 * one < two < 2.1 * one


def test_it_is_in_the_report_where_a_batch_is_given():
    net = load("lenet5")
    assert "training_memory_bytes" not in net.analyze().to_dict()["totals"] and "training " not in str(net.analyze())
    found = net.analyze(batch=64)
    assert found.training_memory is not None and found.training_memory.bytes == training_memory(net.graph, 64)
    assert found.to_dict()["totals"]["training_memory_bytes"] == found.training_memory.bytes
    assert found.to_dict()["batch"] == 64
    assert "MB at a batch of 64" in str(found)


def test_a_net_that_cannot_be_trained_has_none():
    untrained = netdsl.loads("net n : x[3] -> y { y = x -> dense(2) }")
    with pytest.raises(NetError, match="has no `train` block"):
        untrained.analyze(batch=2)
    with pytest.raises(NetError, match="nothing to train"):
        analyze(wide(SGD, "x -> dense(10, trainable = false)"), batch=2)
    with pytest.raises(ValueError):
        training_memory(wide(SGD), 0)
