"""Weight normalisation and DropConnect in whole nets: where they start, how they learn, what is masked and frozen."""


import numpy as np
import pytest
import torch
from torch.nn import functional as F

import netdsl
from netdsl.elaborate import load_text
from netdsl.lower import initial_parameters, lower_graph
from netdsl.runtime.data import Data, Samples
from tests.onnx_running import model_of, run_net, session

NET = """net f : x[4, 6, 6] -> y {
    y = x -> conv(6, 3, groups = 2NORM) -> relu -> deconv(4, 3, stride = 2, groups = 2NORM) -> relu
    y = y -> conv(3, 3, connect = [[0], [1, 3], [2]]NORM) -> flatten -> dense(5NORM)
}"""
TRAIN = """
train f {
    target    = class(label)
    loss      = cross_entropy(y, label)
    optimizer = sgd(lr = 0.1)
    batch     = 8
    epochs    = 1
}"""
X = np.random.default_rng(0).standard_normal((8, 4, 6, 6)).astype(np.float32)


def test_a_net_starts_as_it_would_without():
    plain, normed = (load_text(NET.replace("NORM", end) + TRAIN) for end in ("", ", weight_norm = true"))
    values = initial_parameters(normed, 0)
    gains = [name for name in values if name.endswith("gain")]
    assert len(gains) == 4 and all((values[name] > 0).all() for name in gains)
    without = initial_parameters(plain, 0)
    assert values.keys() - set(gains) == without.keys()
    want, found = run_net(plain, without, x=X)["y"], run_net(normed, values, x=X)["y"]
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("init", ["zeros", "constant(1e-30)"])
def test_weights_without_a_direction_stay_finite(init):
    net = netdsl.loads(f"net f : x[4] -> y {{ y = x -> dense(3, init = {init}, weight_norm = true) }}" + TRAIN)
    assert np.isfinite(net.predict(X[:, :, 0, 0]).outputs["y"]).all()


def trained(text, tmp_path, inputs=X, classes=5):
    net = netdsl.loads(text)
    samples = Samples(inputs, np.arange(len(inputs)) % classes)
    net.train(Data(samples, samples, "made", "all of it twice"), out=tmp_path, device="cpu")
    return net


def test_a_step_is_pytorch_s(tmp_path):
    """Of the direction and of the gain, for `conv` and `dense`."""
    text = """net f : x[4, 6, 6] -> y {
        y = x -> conv(3, 3, weight_norm = true) @c -> tanh -> flatten -> dense(5, weight_norm = true) @d
    }""" + TRAIN
    net = netdsl.loads(text)
    p = {name: torch.tensor(value, requires_grad=True) for name, value in net.parameters(0).items()}
    weight = {n: torch._weight_norm(p[f"{n}.weight"], p[f"{n}.gain"].reshape(-1, *[1] * k), 0) for n, k in (("c", 3), ("d", 1))}
    hidden = torch.tanh(F.conv2d(torch.from_numpy(X), weight["c"], p["c.bias"], padding=1))
    loss = F.cross_entropy(F.linear(hidden.flatten(1), weight["d"], p["d.bias"]), torch.arange(8) % 5)
    loss.backward()
    for name, value in trained(text, tmp_path).parameters().items():
        np.testing.assert_allclose(value, (p[name] - 0.1 * p[name].grad).detach().numpy(), atol=1e-5, err_msg=name)


def test_a_frozen_layer_keeps_direction_and_gain(tmp_path):
    text = """net f : x[4, 6, 6] -> y {
        y = x -> conv(3, 3, weight_norm = true, trainable = false) @c -> relu -> flatten -> dense(5) @d
    }""" + TRAIN
    start, end = netdsl.loads(text).parameters(0), trained(text, tmp_path).parameters()
    assert [name for name in start if np.array_equal(start[name], end[name])] == ["c.weight", "c.bias", "c.gain"]


@pytest.mark.parametrize("mode", ["training", "evaluation"])
def test_what_a_mask_leaves_out_is_not_in_the_norm(mode):
    table = [[i % 4] for i in range(5)]
    graph = load_text(f"net f : x[4, 6, 6] -> y {{ y = x -> conv(5, 3, connect = {table}, weight_norm = true) @c "
                      f"-> global_avg_pool }}{TRAIN}")  # fmt: skip
    values = initial_parameters(graph, 0)
    disturbed = values | {"c.weight": values["c.weight"] + (values["c.weight"] == 0)}
    want, found = (
        session(model_of(lower_graph(graph, mode), v)).run(["y"], {"x": X, "label": np.arange(8) % 5})[0]
        for v in (values, disturbed)
    )
    np.testing.assert_array_equal(found, want)


def test_drop_connect_drops_weights_in_training_only():
    """Each step a share of the weights and biases is zero for the whole batch, and the others are larger."""
    graph = load_text("net f : x[50] -> y { y = x -> dense(40, drop_connect = 0.3, init = ones) @d }" + TRAIN)
    values = {name: np.ones_like(value) for name, value in initial_parameters(graph, 0).items()}
    ones = np.vstack([np.eye(50), np.zeros(50)]).astype(np.float32)  # each weight by itself, and the biases
    feed = {"x": ones, "label": np.zeros(51, np.int64), "seed": np.array(1)}
    running = session(model_of(lower_graph(graph, "training"), values))
    steps = [running.run(["y"], {**feed, "step": np.array(i)})[0] for i in (0, 0, 1)]
    np.testing.assert_array_equal(steps[0], steps[1])
    kept = [(y[:-1] - y[-1:]).round(4) for y in steps]
    assert set(np.unique(kept[0])) == {0, np.float32(1 / 0.7).round(4)}
    assert abs((kept[0] == 0).mean() - 0.3) < 0.04 and abs((steps[0][-1] == 0).mean() - 0.3) < 0.25
    assert abs(((kept[0] == 0) == (kept[2] == 0)).mean() - (0.3**2 + 0.7**2)) < 0.05
    evaluated = session(model_of(lower_graph(graph, "evaluation"), values)).run(["y"], {"x": ones, "label": feed["label"]})
    np.testing.assert_array_equal(evaluated[0], np.vstack([np.full((50, 40), 2), np.ones((1, 40))]))


def test_drop_connect_of_normalised_weights_trains(tmp_path):
    text = "net f : x[4, 6, 6] -> y { y = x -> flatten -> dense(5, drop_connect = 0.5, weight_norm = true) }" + TRAIN
    assert all(np.isfinite(value).all() for value in trained(text, tmp_path).parameters().values())
