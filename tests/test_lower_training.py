"""The forward half of a training step, and evaluation: batch statistics, masks, losses."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from netdsl.elaborate import load_text
from netdsl.lower import initial_parameters, lower_graph
from tests.onnx_running import model_of, randomised, session

TRAIN = """
train a {
    target = class(label)
    loss = cross_entropy(y, label)
    metrics = accuracy(y, label)
    optimizer = sgd(lr = 0.1)
    batch = 8
    epochs = 1
}"""


def run(graph, mode, values, provider="cpu", **feed):
    """Outputs, loss, metrics; and under the buffers' names their updates."""
    lowered = lower_graph(graph, mode, provider=provider)
    s = session(model_of(lowered, values))
    names = {**lowered.outputs, **lowered.metrics, "loss": lowered.loss}
    names.update({parameter.name: tensor for parameter, tensor in lowered.updates.items()})
    return dict(zip(names, s.run(list(names.values()), feed), strict=True))


def batch(*shape):
    rng = np.random.default_rng(3)
    return {"x": rng.standard_normal(shape).astype(np.float32) + 1, "label": rng.integers(0, 10, shape[0])}


@pytest.mark.parametrize("provider", ["cpu", "cuda"])
def test_batch_statistics(provider):
    """A bn shared by two applications: its running statistics follow both, one after the other."""
    graph = load_text("net a : x[3, 6, 6] -> y { share norm = bn(momentum = 0.2)\n y = x -> norm -> relu -> norm -> "
                      "flatten -> dense(10) @fc }" + TRAIN)  # fmt: skip
    values = randomised(graph, initial_parameters(graph, 0))
    p = {name: torch.from_numpy(value.copy()) for name, value in values.items()}
    q = next(name for name in values if name.endswith("running_mean")).removesuffix("running_mean")
    feed = batch(8, 3, 6, 6)
    got = run(graph, "training", values, provider, **feed)
    t = torch.from_numpy(feed["x"])
    for last in (False, True):
        t = F.batch_norm(t, p[q + "running_mean"], p[q + "running_var"], p[q + "scale"], p[q + "bias"], True, 0.2)
        t = t if last else t.relu()
    want = F.cross_entropy(F.linear(t.flatten(1), p["fc.weight"], p["fc.bias"]), torch.from_numpy(feed["label"]))
    np.testing.assert_allclose(got["loss"], want.numpy(), rtol=1e-5)
    for statistic in ("running_mean", "running_var"):
        np.testing.assert_allclose(got[q + statistic], p[q + statistic].numpy(), rtol=1e-5, atol=1e-6)


def test_evaluation_is_inference_with_a_loss():
    net = "net a : x[3, 6, 6] -> y { y = x -> conv(8, 3) -> bn -> dropout -> flatten -> dense(10) }"
    graph = load_text(net + TRAIN)
    values = randomised(graph, initial_parameters(graph, 0))
    feed = batch(16, 3, 6, 6)
    got = run(graph, "evaluation", values, **feed)
    inference = session(model_of(lower_graph(graph, "inference"), values)).run(["y"], {"x": feed["x"]})[0]
    np.testing.assert_allclose(got["y"], inference, rtol=1e-5, atol=1e-6)
    label = torch.from_numpy(feed["label"])
    np.testing.assert_allclose(got["loss"], F.cross_entropy(torch.from_numpy(got["y"]), label).numpy(), rtol=1e-5)
    assert got["accuracy"] == np.float32((got["y"].argmax(1) == feed["label"]).mean())
    training = run(graph, "training", values, **feed, seed=np.array(0), step=np.array(0))
    assert abs(training["loss"] - got["loss"]) > 1e-4


@pytest.mark.parametrize("mode", ["training", "evaluation"])
def test_a_masked_weight_counts_only_where_it_exists(mode):
    graph = load_text("net a : x[3, 6, 6] -> y { y = x -> conv(10, 3, pad = 0, connect = TABLE) @c -> global_avg_pool }"
                      .replace("TABLE", str([[i % 3] for i in range(10)])) + TRAIN)  # fmt: skip
    values = initial_parameters(graph, 0)
    feed = batch(4, 3, 6, 6)
    want = run(graph, mode, values, **feed)["y"]
    disturbed = dict(values)
    disturbed["c.weight"] = values["c.weight"] + (values["c.weight"] == 0)
    np.testing.assert_array_equal(run(graph, mode, disturbed, **feed)["y"], want)


def test_what_only_the_loss_reads_is_not_in_the_net():
    graph = load_text("""net a : x[3, 6, 6] -> y { h = x -> conv(4, 3) @c\n y = h -> flatten -> dense(10) @fc }
    train a {
        target = class(label)
        loss = cross_entropy(y, label) + 0.5 * cross_entropy(h -> global_avg_pool -> dense(10) @aux, label)
        optimizer = sgd(lr = 0.1)
        batch = 8
        epochs = 1
    }""")
    inference, training = lower_graph(graph, "inference"), lower_graph(graph, "training")
    extra = {p.name for p in training.parameters} - {p.name for p in inference.parameters}
    assert extra == {"train/aux.weight", "train/aux.bias"} <= initial_parameters(graph, 0).keys()
    assert [i.name for i in inference.graph.input] == ["x"] and inference.loss is None and not inference.targets
    assert training.targets == {"label": "label"}
