"""Losses where they are at an edge: what they give there, their gradients, and the numbers they refuse."""


import numpy as np
import pytest
from op_running import applied, compiled, session

import netdsl
from netdsl.autodiff import gradient
from netdsl.runtime.data import Data, Samples


def taken(op, *inputs, of=(0,), **args):
    """The loss of a batch, and its gradients with respect to the inputs `of`."""
    arrays = [np.asarray(x, np.int64 if np.asarray(x).dtype.kind == "i" else np.float32) for x in inputs]
    b, node = applied(op, [x.shape[1:] for x in arrays], args, [str(x.dtype) for x in arrays])
    feed = {f"x{i}": x for i, x in enumerate(arrays)}
    names = [f"x{i}" for i in of]
    model = gradient(compiled(b, node, {}), "y", names)
    return tuple(session(model).run(["y", *(f"grad/{name}" for name in names)], feed))


def test_contrastive_of_equal_embeddings_has_finite_gradients():
    points = [[1.0, 2.0], [1.0, 2.0]]
    loss, a, b = taken("contrastive", points, points, [1, 0], of=(0, 1), margin=2.0)
    assert loss == pytest.approx((0 + 2.0**2 / 2) / 2)
    assert not a.any() and not b.any()


def test_contrastive_pushes_others_up_to_the_margin_only():
    loss, a = taken("contrastive", [[3.0, 4.0], [0.3, 0.4]], np.zeros((2, 2)), [0, 0])
    assert loss == pytest.approx(0.5**2 / 2 / 2)
    np.testing.assert_allclose(a, [[0, 0], [-0.5 * 0.6 / 2, -0.5 * 0.8 / 2]], rtol=1e-5)


def test_a_perceptron_with_weights_of_zero_learns():
    """Rosenblatt's rule corrects a score of 0 too; a Relu's gradient would not."""
    loss, scores = taken("perceptron", np.zeros((4, 1)), [[1.0], [-1.0], [1.0], [1.0]])
    assert loss == 0
    np.testing.assert_allclose(scores, [[-0.25], [0.25], [-0.25], [-0.25]])


def test_dice_of_what_is_empty_and_found_to_be():
    loss, logits = taken("dice", np.full((1, 2, 3, 3), -60.0), np.zeros((1, 2, 3, 3)))
    assert loss == pytest.approx(0, abs=1e-6) and np.isfinite(logits).all()


def test_balance_counts_a_rare_class_as_much_as_the_other():
    target = np.zeros((1, 1, 10, 10))
    target[0, 0, 0, :5] = 1
    loss, logits = taken("binary_cross_entropy", np.zeros((1, 1, 10, 10)), target, balance=True)
    assert loss == pytest.approx(2 * 0.05 * 0.95 * np.log(2))
    assert logits[target == 1].sum() == pytest.approx(-logits[target == 0].sum())


@pytest.mark.parametrize("labels", [[9, 9], [0, 9]])
def test_a_batch_without_a_label_that_counts_has_a_loss_of_zero(labels):
    loss, logits = taken("cross_entropy", np.ones((2, 3)), labels, ignore=9, weights=[0, 1, 2.5])
    assert loss == 0 and not logits.any()
    loss, logits = taken("cross_entropy", np.ones((2, 3)), [9, 9], ignore=9, balance=True)
    assert loss == 0 and not logits.any()
    loss, scores = taken("multiclass_hinge", np.ones((2, 3)), [9, 9], ignore=9)
    assert loss == 0 and not scores.any()


def test_small_weights_divide_by_their_sum():
    """A sum of weights below 1 is no reason to divide by 1."""
    logits = np.array([[1.0, 2.0, 0.0]])
    loss, _ = taken("cross_entropy", logits, [1], weights=[0.1, 0.2, 0.3])
    assert loss == pytest.approx(np.log(np.exp(logits).sum()) - 2.0)


TEXT = """net f : vector[4] -> y {{ y = vector -> dense({units}) }}
train {{
    target = {target}
    loss = {loss}
    metrics = {metric}
    optimizer = sgd(lr = 0.1)
    batch = 4
    epochs = 2
}}"""


def trained(tmp_path, targets, **parts):
    inputs = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    samples = Samples(inputs, targets)
    net = netdsl.loads(TEXT.format(**{"units": 1, "metric": parts["loss"], **parts}))
    return net.train(Data(samples, samples, "made", "all of it twice"), out=tmp_path, device="cpu")


@pytest.mark.parametrize(("loss", "takes"), [("hinge", "-1 or +1"), ("perceptron", "-1 or +1"),
                                             ("binary_cross_entropy", "0 to 1")])  # fmt: skip
def test_targets_out_of_range(tmp_path, loss, takes):
    values = np.where(np.arange(8) < 5, 1.0, -0.5).astype(np.float32)[:, None]
    with pytest.raises(netdsl.NetError) as caught:
        trained(tmp_path, values, target="value(t, [1])", loss=f"{loss}(y, t)")
    assert caught.value.diagnostics[0].code == "E0607"
    assert f"`t` of sample 5 in the training samples is -0.5: {loss} takes {takes}" in str(caught.value)


def test_targets_of_0_and_1_become_signs_in_the_loss(tmp_path):
    values = (np.arange(8) % 2).astype(np.float32)[:, None]
    history = trained(tmp_path, values, target="value(t, [1])", loss="hinge(y, 2 * t - 1)")
    assert np.isfinite(history.epochs[-1].loss)


def test_pairs_are_0_or_1(tmp_path):
    with pytest.raises(netdsl.NetError) as caught:
        trained(tmp_path, np.arange(8) % 3, target="class(t)", loss="contrastive(y, vector, t)", units=4)
    assert caught.value.diagnostics[0].code == "E0607"
    assert "`t` of sample 2 in the training samples is 2: contrastive takes 0 to 1" in str(caught.value)


def test_labels_are_whole_numbers_whatever_reads_them(tmp_path):
    with pytest.raises(netdsl.NetError) as caught:
        trained(tmp_path, np.arange(8) / 8, target="class(t)", loss="contrastive(y, vector, t)", units=4)
    assert caught.value.diagnostics[0].code == "E0607" and "must be whole numbers" in str(caught.value)


def test_top_k_accuracy_stands_beside_accuracy(tmp_path):
    history = trained(tmp_path, np.arange(8) % 5, target="class(t)", loss="cross_entropy(y, t)", units=5,
                      metric="accuracy(y, t), accuracy(y, t, k = 5)")  # fmt: skip
    metrics = history.epochs[-1].metrics
    assert list(metrics) == ["accuracy", "accuracy.1"] and metrics["accuracy.1"] == 1 > metrics["accuracy"]
