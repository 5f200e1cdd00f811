"""What the cases cannot say: single neurons learn by their papers' rules, written down in NumPy; GoogLeNet in training."""


import numpy as np
import pytest
from zoo import load, records

from netdsl.lower import initial_parameters
from netdsl.runtime.session import choose_device
from netdsl.runtime.stepper import Stepper
from netdsl.training.step import build_step

SAMPLES, FEATURES = 40, 3
GENERATOR = np.random.default_rng(3)
X = GENERATOR.standard_normal((SAMPLES, FEATURES)).astype(np.float32)
#: which side of a plane each is on, and none near it
SCORES = X @ np.array([1, -2, 0.5]) + 0.3
X, SCORES = X[abs(SCORES) > 0.2], SCORES[abs(SCORES) > 0.2]
SIDES = np.where(SCORES > 0, 1, -1).astype(np.float32)


def trained(net, target, values, rate, epochs):
    """The parameters after so many passes over the samples, one at a time and in their order."""
    graph = load(net, {"features": FEATURES}).graph
    model = build_step(graph, batch=1)
    stepper = Stepper(model, choose_device("cpu", 1), seed=0)
    layout = model.state["parameters"]
    stepper.load({"parameters": layout.pack(initial_parameters(graph, 0))})
    for step in range(epochs * len(X)):
        stepper.feeds[model.inputs["x"]][...] = X[step % len(X)]
        stepper.feeds[model.targets[target]][...] = values[step % len(X)]
        stepper.step(step, rate)
    return layout.unpack(stepper.vectors()["parameters"])


def test_the_perceptron_follows_rosenblatt_s_rule_until_it_makes_no_mistake():
    weights, bias = np.zeros(FEATURES), 0.0
    for _ in range(30):
        for x, side in zip(X, SIDES, strict=True):
            if side * (weights @ x + bias) <= 0:
                weights, bias = weights + side * x, bias + side
    assert (np.sign(X @ weights + bias) == SIDES).all()
    found = trained("perceptron", "side", SIDES, 1, 30)
    np.testing.assert_allclose(found["score.dense.weight"].ravel(), weights, rtol=1e-4, atol=1e-4)
    assert float(found["score.dense.bias"][0]) == pytest.approx(bias)


def test_logistic_regression_follows_the_gradient_of_the_log_likelihood():
    weights, bias = np.zeros(FEATURES), 0.0
    for _ in range(5):
        for x, side in zip(X, SIDES, strict=True):
            error = (side + 1) / 2 - 1 / (1 + np.exp(-(weights @ x + bias)))
            weights, bias = weights + 0.5 * error * x, bias + 0.5 * error
    found = trained("logistic_regression", "positive", (SIDES + 1) / 2, 0.5, 5)
    np.testing.assert_allclose(found["score.dense.weight"].ravel(), weights, rtol=1e-4, atol=1e-5)
    assert float(found["score.dense.bias"][0]) == pytest.approx(bias, rel=1e-4)


def test_googlenet_s_auxiliary_classifiers_count_in_training():
    record, report = records()["caffe/bvlc_googlenet_train_with_aux"], load("googlenet").analyze().to_dict()
    for fact in ("params", "macs"):
        assert report["totals"][fact] + report["training_only"][fact] == record[fact]
