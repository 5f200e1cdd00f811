"""Losses and metrics of class labels and of values; see op_cases."""

import torch
import torch.nn.functional as F
from op_case import MAPS, Case

_CLASSES = {"dtypes": ("float32", "int64")}
_SEGMENTATION = ((5, 4, 3), (4, 3))
_WEIGHTS = [0.5, 2.0, 0.0, 1.0, 3.0]


def _accuracy(x, label, ignore=None, k=1):
    counts = torch.ones_like(label) if ignore is None else label != ignore
    hits = (x.topk(k, 1).indices == label.unsqueeze(1)).any(1)
    return (hits * counts).sum() / counts.sum().float()


def _multiclass_hinge(x, label, margin=1.0, ignore=-1):
    rows, labels = x.movedim(1, -1).flatten(0, -2), label.flatten()
    return F.multi_margin_loss(rows[labels != ignore], labels[labels != ignore], margin=margin)


def _contrastive(a, b, same, margin=1.0):
    """Hadsell et al. 2006, equation 4, with Y = 1 - same."""
    distance = (a - b).norm(dim=1)
    return (same * distance**2 / 2 + (1 - same) * (margin - distance).clamp_min(0) ** 2 / 2).mean()


def _dice(x, target):
    """1 - D of Milletari et al. 2016, section 3, per sample and channel."""
    p, axes = torch.sigmoid(x), tuple(range(2, x.ndim))
    return 1 - (2 * (p * target).sum(axes) / ((p**2).sum(axes) + (target**2).sum(axes))).mean()


def _balanced(x, target):
    """Xie & Tu 2015, equation 2, as a mean."""
    beta = 1 - target.mean()
    terms = -beta * target * F.logsigmoid(x) - (1 - beta) * (1 - target) * F.logsigmoid(-x)
    return terms.mean()


def _alike(x, label, ignore=-100):
    """The mean over the classes that there are of each one's mean cross-entropy."""
    each = F.cross_entropy(x, label, reduction="none")
    return torch.stack([each[label == k].mean() for k in label.unique() if k != ignore]).mean()


def _placed(x, label, weight):
    """Ronneberger et al. 2015, equation 1, over the sum of the weights."""
    own = F.log_softmax(x, 1).gather(1, label[:, None])[:, 0]
    return -(weight * own).sum() / weight.sum()


_OF_CLASSES = [
    Case("cross_entropy", ((5,), ()), lambda _, x, t: F.cross_entropy(x, t), flops=20, **_CLASSES),
    Case("cross_entropy", _SEGMENTATION, lambda _, x, t: F.cross_entropy(x, t), flops=240, **_CLASSES),
    Case("cross_entropy", _SEGMENTATION, lambda _, x, t: F.cross_entropy(x, t, ignore_index=2), {"ignore": 2},
         flops=240, **_CLASSES),
    Case("cross_entropy", ((5,), ()), lambda _, x, t: F.cross_entropy(x, t, torch.tensor(_WEIGHTS)),
         {"weights": _WEIGHTS}, flops=20, **_CLASSES),
    Case("cross_entropy", _SEGMENTATION, lambda _, x, t: F.cross_entropy(x, t, torch.tensor(_WEIGHTS), ignore_index=1),
         {"weights": _WEIGHTS, "ignore": 1}, flops=240, **_CLASSES),
    Case("cross_entropy", ((5,), ()), lambda _, x, t: _alike(x, t), {"balance": True}, flops=20, **_CLASSES),
    Case("cross_entropy", _SEGMENTATION, lambda _, x, t: _alike(x, t, 1), {"balance": True, "ignore": 1},
         flops=240, **_CLASSES),
    Case("cross_entropy", (*_SEGMENTATION, _SEGMENTATION[1]), lambda _, x, t, w: _placed(x, t, w), flops=240,
         dtypes=("float32", "int64", "float32")),
    Case("multiclass_hinge", ((5,), ()), lambda _, x, t: F.multi_margin_loss(x, t), flops=20, **_CLASSES),
    Case("multiclass_hinge", _SEGMENTATION, lambda _, x, t: _multiclass_hinge(x, t, 0.3, 2),
         {"margin": 0.3, "ignore": 2}, flops=240, **_CLASSES),
    Case("accuracy", ((5,), ()), lambda _, x, t: _accuracy(x, t), flops=5, **_CLASSES),
    Case("accuracy", _SEGMENTATION, lambda _, x, t: _accuracy(x, t, 2), {"ignore": 2}, flops=60, **_CLASSES),
    Case("accuracy", ((5,), ()), lambda _, x, t: _accuracy(x, t, k=3), {"k": 3}, flops=5, **_CLASSES),
    Case("accuracy", _SEGMENTATION, lambda _, x, t: _accuracy(x, t, 0, 2), {"ignore": 0, "k": 2}, flops=60, **_CLASSES),
]  # fmt: skip

_OF_VALUES = [
    Case("batch_mean", (MAPS,), lambda _, x: x.mean(), flops=270),
    Case("mean_squared_error", (MAPS, MAPS), lambda _, x, t: F.mse_loss(x, t), flops=3 * 270),
    Case("mean_absolute_error", (MAPS, MAPS), lambda _, x, t: F.l1_loss(x, t), flops=3 * 270),
    Case("smooth_l1", (MAPS, MAPS), lambda _, x, t: F.smooth_l1_loss(x, t), flops=7 * 270),
    Case("smooth_l1", ((4,), (4,)), lambda _, x, t: F.smooth_l1_loss(x, t, beta=0.25), {"beta": 0.25}, flops=28),
    Case("contrastive", ((5,), (5,), ()), lambda _, a, b, t: _contrastive(a, b, t, 4), {"margin": 4}, flops=23),
    Case("contrastive", ((3, 4, 5), (3, 4, 5), (4, 5)), lambda _, a, b, t: _contrastive(a, b, t), flops=340,
         dtypes=("float32", "float32", "int64")),
    Case("binary_cross_entropy", (MAPS, MAPS), lambda _, x, t: F.binary_cross_entropy_with_logits(x, t), flops=6 * 270),
    Case("binary_cross_entropy", (MAPS, MAPS), lambda _, x, t: _balanced(x, t), {"balance": True}, flops=6 * 270),
    Case("hinge", ((4,), (4,)), lambda _, x, t: F.margin_ranking_loss(x, 0 * x, t, margin=1), flops=12),
    Case("perceptron", ((4,), (4,)), lambda _, x, t: F.margin_ranking_loss(x, 0 * x, t), flops=12),
    Case("dice", (MAPS, MAPS), lambda _, x, t: _dice(x, t), flops=9 * 270),
    Case("dice", ((2, 8), (2, 8)), lambda _, x, t: _dice(x, t), {"eps": 1e-9}, flops=9 * 16),
]  # fmt: skip

LOSSES = [*_OF_CLASSES, *_OF_VALUES]
