"""Drop the weak connections of a fabric."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from netdsl.ir import Graph, Node, Parameter, Value, verify
from netdsl.ops import OPERATORS, Args
from netdsl.ops.weight_norm import view
from netdsl.passes.conversion import Conversion, kept, pruned
from netdsl.passes.fold_bn import affine, per_output

_SUMS = ("sum", "add")
_LAYERS = ("conv", "deconv", "dense")


def prune_edges(graph: Graph, parameters: Mapping[str, np.ndarray], threshold: float) -> Conversion:
    """Drop the inputs of sums that are weak beside their siblings, and all layers that nothing reads then (Saxena &
    Verbeek, "Convolutional neural fabrics", NIPS 2016, where a fabric's connections are compared by the mean square of
    their weights).

    An edge is an input of a `sum`, or of `a + b`, that comes from a convolution, transposed convolution or dense layer,
    directly or through a batch normalisation and operators that keep zeros zero (activations, pools, upsampling). Its
    strength is the mean square of the layer's numbers, weights and bias, with the batch normalisation folded in and
    without what a connection table leaves out, divided by that of the strongest edge into the same sum: from 0 to 1. Edges
    below `threshold` (0 to 1) are dropped, never the strongest. Other inputs, such as an identity shortcut, stay.

    Before: `parameters` has every parameter of `graph.parameters()` by name. Afterwards: every sum has an input and its
    shape; layers that are left have their parameters. With a threshold of 0 the graph is the same object. Where all dropped
    edges have a strength of 0, outputs are equal up to the order of the additions.
    """
    values, found = dict(parameters), _Edges(graph, parameters)
    dropped: dict[Node, set[int]] = {}
    edges = 0
    for node in graph.all_nodes:
        strengths = found.strengths(node)
        edges += len(strengths)
        weak = {index for index, strength in strengths.items() if strength < threshold}
        left = [value for index, value in enumerate(node.inputs) if index not in weak]
        # what only stretched over a dropped edge would leave a smaller sum
        if weak and any(value.shape == node.output.shape for value in left):
            dropped[node] = weak
    count = sum(map(len, dropped.values()))
    remark = f"pruned: {count} of {edges} edges are weaker than {threshold:g} of the strongest beside them"
    if not dropped:
        return Conversion(graph, values, (remark,))
    training = graph.training
    if training is not None:
        training = training.replace(nodes=_without(training.nodes, dropped))
    smaller = pruned(graph.replace(nodes=_without(graph.nodes, dropped), training=training))
    verify(smaller)
    gone = len(graph.all_nodes) - len(smaller.all_nodes)
    dead = f"; {gone} layers that nothing reads any more are gone" if gone else ""
    return Conversion(smaller, kept(smaller, values), (remark + dead,))


class _Edges:
    """The strengths of the inputs of sums."""

    def __init__(self, graph: Graph, values: Mapping[str, np.ndarray]) -> None:
        self.values = values
        self.producers = {value: node for node in graph.all_nodes for value in node.outputs}

    def strengths(self, node: Node) -> dict[int, float]:
        """By the places of a sum's edges, how strong each is; the strongest has 1."""
        if node.op.name not in _SUMS or len(node.inputs) < 2:
            return {}
        squares = {i: square for i, value in enumerate(node.inputs) if (square := self._mean_square(value)) is not None}
        most = max(squares.values(), default=0.0)
        strongest = next((i for i, square in squares.items() if square == most), None)
        return {i: 1.0 if i == strongest else square / most if most else 0.0 for i, square in squares.items()}

    def _mean_square(self, value: Value) -> float | None:
        """Of the numbers of the layer that makes a value; None where it comes from elsewhere."""
        node, bn = self.producers.get(value), None
        # an edge without weight adds nothing behind what keeps zeros either
        while node is not None and (node.op.keeps_zeros or (node.op.name == "bn" and bn is None)):
            bn = node if node.op.name == "bn" else bn
            node = self.producers.get(node.inputs[0])
            if bn is not None:
                break  # a bn is folded into the layer right before it
        if node is None or node.op.name not in _LAYERS or not set(node.parameters) <= {"weight", "bias", "gain"}:
            return None
        if any(parameter.name not in self.values for parameter in node.parameters.values()):
            return None  # a layer of the train block alone, whose weights are not known
        weight, bias = self._weights(node), node.parameters.get("bias")
        biases: np.ndarray | float = 0.0 if bias is None else self.values[bias.name].astype(np.float64)
        if bn is not None:
            factor, shift = affine(bn, self.values)
            weight, biases = per_output(node, weight, factor), biases * factor + shift
        return _mean_square(node.parameters["weight"], weight, biases)

    def _weights(self, node: Node) -> np.ndarray:
        """What a layer computes with: a direction times its gain where weights are normalised."""
        weight, gain = self.values[node.parameters["weight"].name].astype(np.float64), node.parameters.get("gain")
        if gain is None:
            return weight
        rows, seen = weight.reshape(view(node).shape), view(node)
        norms = np.sqrt(np.square(rows).sum(axis=seen.over)).ravel()
        return per_output(node, weight, self.values[gain.name] / np.maximum(norms, 1e-12))


def _mean_square(parameter: Parameter, weight: np.ndarray, bias: np.ndarray | float) -> float:
    """Over the weights that exist (a mask's zeros are no weights) and the biases."""
    count = parameter.count + np.size(bias) * isinstance(bias, np.ndarray)
    if parameter.mask is not None:
        from netdsl.lower.builder import dense_mask

        weight = weight * dense_mask(parameter)
    assert count <= prod(weight.shape) + np.size(bias)
    return float((np.square(weight).sum() + np.square(bias).sum()) / count)


def _without(nodes: tuple[Node, ...], dropped: Mapping[Node, set[int]]) -> tuple[Node, ...]:
    """The nodes, sums without their weak inputs. What is left of `a + b` is one of them."""
    made = []
    for node in nodes:
        if node in dropped:
            inputs = tuple(value for index, value in enumerate(node.inputs) if index not in dropped[node])
            node = node.replace(inputs=inputs)
            if node.op.name == "add":
                node = node.replace(op=OPERATORS["identity"], args=Args())
        made.append(node)
    return tuple(made)
