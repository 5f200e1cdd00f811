"""Losses over class scores."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from ..errors import Unsupported
from ..rule import Backward, Gradients, rule


@rule("SoftmaxCrossEntropyLoss", fixed=("weights",), every_output=True)
def softmax_cross_entropy(bw: Backward) -> Gradients:
    """scores [N, C, d...], labels [N, d...]: dscores = (softmax − onehot)·weight of the label·dy.

    The second output, log p, carries a gradient of its own: d − p·Σ d.
    """
    if bw.has(2) and bw.needs[2]:
        raise Unsupported("the class weights of a loss have no gradient")
    probability = bw.op("Exp", bw.output(1))
    parts = []
    if bw.output_gradients[0]:
        share = bw.op("Unsqueeze", _label_shares(bw), bw.ints([1]))
        parts.append(bw.op("Mul", bw.op("Sub", probability, _one_hot(bw)), share))
    if len(bw.output_gradients) > 1 and (direct := bw.output_gradients[1]):
        parts.append(bw.op("Sub", direct, bw.op("Mul", probability, bw.reduce_sum(direct, [1]))))
    return [parts[0] if len(parts) == 1 else bw.op("Add", *parts)]


@rule("NegativeLogLikelihoodLoss", fixed=("weight",))
def negative_log_likelihood(bw: Backward) -> Gradients:
    """log p [N, C, d...], labels [N, d...]: −onehot·weight of the label·dy."""
    if bw.has(2) and bw.needs[2]:
        raise Unsupported("the class weights of a loss have no gradient")
    share = bw.op("Unsqueeze", _label_shares(bw), bw.ints([1]))
    return [bw.op("Neg", bw.op("Mul", _one_hot(bw), share))]


def _one_hot(bw: Backward) -> str:
    """1 at the label along axis 1, [N, C, d...]."""
    classes = bw.dims(bw.x)[1]
    depth = _int(bw, classes) if isinstance(classes, int) else bw.op("Gather", bw.op("Shape", bw.x), _int(bw, 1))
    off_on = bw.constant(np.array([0, 1]))
    return bw.op("OneHot", _counted_labels(bw), depth, off_on, axis=1)


def _label_shares(bw: Backward) -> str:
    """dy times what each label contributes to the loss, [N, d...]: its class weight, over the sum of all for a mean."""
    weight = _label_weights(bw)
    reduction = bw.attribute("reduction", "mean")
    if reduction != "mean":
        return bw.op("Mul", bw.dy, weight) if weight else _per_label(bw, bw.dy)
    if weight:
        return bw.op("Mul", weight, bw.op("Div", bw.dy, bw.op("ReduceSum", weight, keepdims=0)))
    labels = bw.static_dims(bw.inputs[1])
    if labels is not None:
        return _per_label(bw, bw.op("Mul", bw.dy, bw.scalar(1 / max(int(np.prod(labels)), 1))))
    count = bw.op("Cast", bw.op("Size", bw.inputs[1]), to=bw.element(bw.x))
    return _per_label(bw, bw.op("Div", bw.dy, count))


def _per_label(bw: Backward, value: str) -> str:
    return bw.op("Expand", value, bw.shape(bw.inputs[1]))


def _label_weights(bw: Backward) -> str | None:
    """The class weight of every label, 0 for ignored ones; None where all are 1."""
    counted = _counted(bw)
    if not bw.has(2):
        return bw.op("Cast", counted, to=bw.element(bw.x)) if counted else None
    weight = bw.op("Gather", bw.inputs[2], _counted_labels(bw))
    return bw.masked(counted, weight) if counted else weight


def _counted(bw: Backward) -> str | None:
    """Where the label is not ignore_index."""
    if "ignore_index" not in bw.attributes():
        return None
    return bw.op("Not", bw.op("Equal", _labels(bw), _int(bw, bw.attribute("ignore_index", 0))))


def _counted_labels(bw: Backward) -> str:
    """Labels as int64, class 0 in place of ignored ones, which need not be classes at all."""
    counted = _counted(bw)
    return bw.op("Where", counted, _labels(bw), _int(bw, 0)) if counted else _labels(bw)


def _labels(bw: Backward) -> str:
    labels = bw.inputs[1]
    return labels if bw.element(labels) == TensorProto.INT64 else bw.op("Cast", labels, to=TensorProto.INT64)


def _int(bw: Backward, value: int) -> str:
    return bw.builder.constant(np.array(value, np.int64))
