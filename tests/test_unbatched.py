"""Tensors without a batch axis, `param`, `constant` and `coordinates`, from the text to training and prediction."""

import numpy as np
import pytest
import torch
from net_text import elaborated
from op_running import session

import netdsl
from netdsl.analysis import Facts
from netdsl.ir import verify
from netdsl.lower import compile_model, initial_parameters
from netdsl.runtime.data.dataset import Data, Samples
from netdsl.training.step import build_step

TEXT = """
net f(width = 4) : image[1, 8, 8] -> logits, scale {
    gate = param([1], init = ones)
    table = param([width, 8, 8], init = gaussian(0.02), trainable = false)
    x = concat(image, coordinates(image) / image.height) -> conv(width, 3) @c
    x = x * gate + table - constant([0.5, 0, 0.25, 1])
    logits = mean(matmul(reshape(x, [width, 64]), param([64, 3], init = he)), axis = 0) + gate
    logits = reshape(logits, [3])
    scale = 2 * gate
}
train f {
    target    = class(label)
    loss      = cross_entropy(logits, label) + 0.1 * batch_mean(gate ** 2)
    optimizer = sgd(lr = 0.1)
    batch     = 6
    epochs    = 2
}
"""
RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 1, 8, 8)).astype(np.float32)
LABELS = RNG.integers(0, 3, 6)


def forward(p, x):
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    places = torch.stack([rows, columns]).expand(len(x), -1, -1, -1) / 8
    x = torch.nn.functional.conv2d(torch.cat([x, places], 1), p["c.weight"], p["c.bias"], padding=1)
    x = x * p["gate.param.value"] + p["table.param.value"] - torch.tensor([0.5, 0, 0.25, 1]).reshape(4, 1, 1)
    return (x.flatten(2) @ p["logits.param.value"]).mean(1) + p["gate.param.value"]


def test_counts_and_values():
    graph = elaborated(TEXT).graph
    verify(graph)
    facts = Facts(graph)
    assert facts.params == 4 * 27 + 4 + 1 + 4 * 64 + 64 * 3
    assert facts.trainable_params == facts.params - 4 * 64
    assert facts.buffers == 0  # neither the constant nor the coordinates
    values = initial_parameters(graph, 0)
    assert values["gate.param.value"] == [1] and abs(values["logits.param.value"].std() - np.sqrt(2 / 3)) < 0.1
    logits, scale = session(compile_model(graph, values)).run(["logits", "scale"], {"image": X})
    p = {name: torch.from_numpy(value) for name, value in values.items()}
    np.testing.assert_allclose(logits, forward(p, torch.from_numpy(X)), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(scale, [2])


def test_gradients_add_up_over_the_batch():
    graph = elaborated(TEXT).graph
    step = build_step(graph, batch=6)
    values = initial_parameters(graph, 0)
    assert [slot.name for slot in step.state["fixed"].slots] == ["table.param.value"]
    p = {name: torch.from_numpy(value.copy()).requires_grad_() for name, value in values.items()}
    loss = torch.nn.functional.cross_entropy(forward(p, torch.from_numpy(X)), torch.from_numpy(LABELS))
    loss = loss + 0.1 * (p["gate.param.value"] ** 2).mean()
    loss.backward()
    feed = {f"state/{part}": np.concatenate([values[s.name].ravel() for s in step.state[part].slots])
            for part in ("parameters", "fixed")}  # fmt: skip
    feed |= {"image": X, "label": LABELS, "state/totals": np.zeros(step.totals_size, np.float32)}
    feed |= {step.rate: np.array(1, np.float32), step.step: np.array(0), step.seed: np.array(0)}
    running = session(step.model)
    known = {i.name for i in running.get_inputs()}
    found, after = running.run([step.loss, "next/parameters"], {name: v for name, v in feed.items() if name in known})
    np.testing.assert_allclose(found, loss.detach(), rtol=1e-5)
    moved = np.concatenate([(p[s.name] - p[s.name].grad).detach().numpy().ravel() for s in step.state["parameters"].slots])
    np.testing.assert_allclose(after, moved, rtol=1e-4, atol=1e-5)


def test_train_save_and_predict(tmp_path):
    """An output without a batch axis is the same for every sample."""
    net = netdsl.loads(TEXT)
    samples = Samples(X, LABELS)
    net.train(Data(samples, samples, "random", "the same"), out=tmp_path)
    predictions = net.predictor(tmp_path / "last.safetensors").predict(X)
    scale = predictions.outputs["scale"]
    assert scale.shape == (6, 1) and len(np.unique(scale)) == 1 and scale[0, 0] != 2
    assert len(predictions.to_dict()) == 6


def test_shared_blocks_share_their_params():
    text = """
block gated : x -> y { y = x * param([x.channels], init = ones) }
net f : a[3, 4], b[3, 4] -> y, z, w {
    share g = gated
    y = a -> g
    z = b -> g
    w = a -> gated
}"""
    assert [p.name for p in elaborated(text).graph.parameters()] == ["g/gated/y.param.value", "w.gated/y.param.value"]


@pytest.mark.parametrize(("init", "truth"), [("constant(0.5)", [0.5] * 3), ("zeros", [0] * 3)])
def test_constant_of_a_number_is_an_initialisation(init, truth):
    graph = elaborated(f"net f : x[3, 4] -> y {{ y = x + param([3], init = {init}) -> conv(3, 1, init = constant(2)) }}").graph
    values = initial_parameters(graph, 0)
    np.testing.assert_array_equal(values["y.param.value"], truth)
    assert (values["y.conv.weight"] == 2).all()
