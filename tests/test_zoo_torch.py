"""Architectures of the zoo against the same networks drawn in PyTorch: outputs, loss and every gradient."""


import numpy as np
import pytest
import torch
from onnx_running import randomised, run_net
from torch_multi_scale import TWINS as MULTI_SCALE
from torch_others import TWINS as OTHERS
from torch_segmentation import TWINS as SEGMENTATION
from torch_weights import Weights
from zoo import feeds, load, shown

from netdsl.ir import Graph, Optimizer, Schedule, Training
from netdsl.ir.graph import parameters_of
from netdsl.lower import initial_parameters
from netdsl.runtime.session import choose_device
from netdsl.runtime.stepper import Stepper
from netdsl.training.step import build_step

torch.set_num_threads(1)


@pytest.mark.parametrize("twin", [*SEGMENTATION, *MULTI_SCALE, *OTHERS], ids=lambda twin: shown(twin.net, twin.set))
def test_like_pytorch(twin):
    graph = plainly_trained(load(twin.net, twin.set).graph)
    training = graph.training
    assert training is not None
    parameters = parameters_of((*graph.nodes, *training.nodes))
    values = randomised(graph, initial_parameters(graph, 3))
    inputs = feeds(graph, graph.inputs, 2, {}, seed=5)
    targets = feeds(graph, [target.value for target in training.targets], 2, {}, seed=6)

    def tensors(arrays):
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    weights = Weights(parameters, values)
    expected = twin.forward(weights, **tensors(inputs))
    assert not weights.left, "the net has more weights"
    found = run_net(graph, values, **inputs)
    assert set(found) <= set(expected)  # the others are for the loss
    for name, array in found.items():
        close(array, expected[name])

    if twin.loss is None:
        return
    weights = Weights(parameters, values, training=True)
    learned = [p.name for p in parameters if p.trainable]
    for name in learned:
        weights.tensors[name].requires_grad_()
    loss = twin.loss(twin.forward(weights, **tensors(inputs)), tensors(targets))
    loss.backward()
    ours, gradients = one_step(graph, values, inputs | targets)
    assert ours == pytest.approx(loss.item(), rel=1e-5)
    largest = max(float(np.abs(gradient).max()) for gradient in gradients.values())
    for name in learned:
        gradient = weights.tensors[name].grad
        if name in gradients:
            close(gradients[name], gradient, 1e-3, largest)
        else:
            assert gradient is None, "the loss depends on it"


@pytest.mark.parametrize(("net", "other"), [("unet", (204, 220)), ("fcn", (64, 40)), ("segnet:segnet", (33, 90))])
def test_a_model_with_open_sizes_is_the_network_at_any(net, other):
    twin = next(twin for twin in SEGMENTATION if twin.net == net)
    graph = load(twin.net, twin.set).graph
    values = randomised(graph, initial_parameters(graph, 3))
    for size in ((twin.set["H"], twin.set["W"]), other):
        image = np.random.default_rng(5).standard_normal((2, *map(int, graph.inputs[0].shape[:1]), *size)).astype(np.float32)
        expected = twin.forward(Weights(parameters_of(graph.nodes), values), torch.from_numpy(image))
        for name, array in run_net(graph, values, image=image).items():
            close(array, expected[name])


RATE = 1e3  # so large that the step is the gradient, and the weight before it is lost in rounding


def plainly_trained(graph):
    """The graph with gradient descent and nothing else as its optimizer."""
    fields = {name: getattr(graph.training, name) for name in Training._fields}
    fields["optimizer"] = Optimizer("sgd", Schedule("constant", {"start": RATE}), {"momentum": 0.0, "weight_decay": 0.0})
    return Graph(**{name: getattr(graph, name) for name in Graph._fields} | {"training": Training(**fields)})


def one_step(graph, values, fed):
    """The loss and its gradient by the parameters' names."""
    model = build_step(graph, batch=2)
    stepper = Stepper(model, choose_device("cpu", 1), seed=0)
    stepper.load({name: layout.pack(values) for name, layout in model.state.items() if name in
                  ("parameters", "statistics", "fixed")})  # fmt: skip
    for name, tensor in (*model.inputs.items(), *model.targets.items()):
        stepper.feeds[tensor][...] = fed[name]
    stepper.step(0, RATE)
    after = model.state["parameters"].unpack(stepper.vectors()["parameters"])
    return stepper.loss(), {name: (values[name] - array) / RATE for name, array in after.items()}


def close(found, expected, tolerance=1e-4, scale=None):
    """Equal within `tolerance`, relative to each number or to the largest, `scale`."""
    assert expected is not None
    array = expected.detach().numpy()
    largest = float(np.abs(array).max()) if scale is None else 1e-2 * scale
    np.testing.assert_allclose(found, array, rtol=tolerance, atol=tolerance * largest)
