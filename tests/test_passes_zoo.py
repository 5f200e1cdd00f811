"""Passes on architectures of the zoo, at reduced width."""

import numpy as np
import pytest
from zoo import load

from netdsl.diagnostics import NetError
from netdsl.passes import convert
from tests.onnx_running import run_net
from tests.passes_support import close, inputs_of, numbers_of, outputs_of


def dense(net, **hyperparameters):
    """The net fully convolutional, the same at its size; and its numbers."""
    graph = load(net, hyperparameters).graph
    values = numbers_of(graph)
    made, inputs = convert(graph, values, convolutional=True), inputs_of(graph, batch=1)
    for name, wanted in run_net(graph, values, **inputs).items():
        close(outputs_of(made, inputs)[name].reshape(wanted.shape), wanted)
    return made, values


def test_caffenet_as_in_net_surgery():
    """Caffe's example: 451 x 451 pixels give 8 x 8 scores; inside, they are the same wherever the image lies."""
    made, _ = dense("fully_convolutional_classifier:caffenet", width=4, units=16, classes=4)
    (image,) = inputs_of(made.graph, batch=1, H=451, W=451).values()
    scores = outputs_of(made, {"image": image})["logits"]
    assert scores.shape == (1, 4, 8, 8)
    # a position sees 355 pixels, from 64 before its window: those of the positions 2 to 5 lie inside
    moved = outputs_of(made, {"image": np.ascontiguousarray(image[:, :, 32:, 32:])})["logits"]
    close(moved[:, :, 2:5, 2:5], scores[:, :, 3:6, 3:6])
    assert np.abs(moved[:, :, 0, 0] - scores[:, :, 1, 1]).max() > 1e-4 * np.abs(scores).max(), "there, padding is seen"


def test_lenet_slides_over_a_row_of_digits():
    """Without padding each position is the net on 28 x 28 pixels, 4 further on (Matan et al. 1992)."""
    made, values = dense("fully_convolutional_classifier:digit", width=2, units=16)
    graph = load("fully_convolutional_classifier:digit", {"width": 2, "units": 16}).graph
    (image,) = inputs_of(made.graph, batch=1, H=32, W=60).values()
    scores = outputs_of(made, {"image": image})["logits"]
    assert scores.shape == (1, 10, 2, 9)
    for i, j in np.ndindex(scores.shape[2:]):
        window = np.ascontiguousarray(image[:, :, 4 * i : 4 * i + 28, 4 * j : 4 * j + 28])
        close(scores[:, :, i, j], run_net(graph, values, image=window)["logits"])


def test_overfeat_slides():
    """The paper's fast model, figure 5: 231 pixels give one position, each 32 more another."""
    made, _ = dense("overfeat:fast", thin=16, hidden=[16, 16], classes=4)
    for size, positions in ((231, 1), (245, 1), (263, 2), (295, 3)):
        assert outputs_of(made, inputs_of(made.graph, batch=1, H=size, W=size))["logits"].shape[2:] == (positions, positions)


def test_vgg_as_deeplab():
    """The last two pools without stride, what follows with rates 2 and 4 (Chen et al. 2015): one in 4 positions is VGG's."""
    made, values = dense("vgg", width=4, hidden=16, classes=4, H=64, W=64)
    graph = load("vgg", {"width": 4, "hidden": 16, "classes": 4, "H": 64, "W": 64}).graph
    pools = [node.name for node in graph.nodes if node.op.name == "max_pool"][-2:]
    fine = convert(graph, values, convolutional=True, strides=dict.fromkeys(pools, 1))
    rates = [node.args.dilation[0] for node in fine.graph.nodes if node.op.name == "conv"]
    assert rates == [1] * 10 + [2] * 3 + [4] * 3
    inputs = inputs_of(made.graph, batch=1, H=96, W=128)
    close(outputs_of(fine, inputs)["logits"][..., ::4, ::4], outputs_of(made, inputs)["logits"])


def test_resnet_with_an_output_stride_of_8():
    """Both ways of a residual block lose their stride, else it is said which one is missing."""
    made, values = dense("resnet", depth=18, width=8, classes=4, H=64, W=64)
    graph = load("resnet", {"depth": 18, "width": 8, "classes": 4, "H": 64, "W": 64}).graph
    strided = [node.name for node in graph.nodes if node.op.name == "conv" and max(node.args.stride) > 1][-4:]
    fine = convert(graph, values, convolutional=True, strides=dict.fromkeys(strided, 1), folded=True)
    inputs = inputs_of(made.graph, batch=1, H=96, W=128)
    close(outputs_of(fine, inputs)["logits"][..., ::4, ::4], outputs_of(made, inputs)["logits"])
    with pytest.raises(NetError) as error:
        convert(graph, values, convolutional=True, strides=dict.fromkeys(strided[:-1], 1))
    assert error.value.diagnostics[0].code == "E1104"
    assert error.value.diagnostics[0].helps == (f"take out the stride of `{strided[-1]}` too",)


def test_a_fabric_without_its_weak_edges():
    """Half of the edges made weightless: they go, and the scores stay."""
    graph = load("fabric", {"L": 4, "S": 4, "C": 4, "N": 8}).graph
    values, rng = numbers_of(graph), np.random.default_rng(0)
    producers = {value: node for node in graph.nodes for value in node.outputs}
    zeroed = 0
    for node in graph.nodes:
        edges = [producers[value] for value in node.inputs] if node.op.name == "sum" else []
        for edge in edges[1:]:
            if rng.random() < 0.5 and edge.op.name == "conv":
                zeroed += 1
                values |= {p.name: np.zeros_like(values[p.name]) for p in edge.parameters.values()}
    made, inputs = convert(graph, values, threshold=1e-9), inputs_of(graph)
    assert zeroed >= 5 and made.remarks[0].startswith(f"pruned: {zeroed} of ")
    for name, wanted in run_net(graph, values, **inputs).items():
        close(outputs_of(made, inputs)[name], wanted)
