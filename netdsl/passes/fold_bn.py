"""Fold batch normalisation into the layer before it, as inference knows the statistics beforehand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from netdsl.ir import Graph, Init, Node, Parameter, Value, verify
from netdsl.ops import Args
from netdsl.ops.weight_norm import view
from netdsl.passes.conversion import Conversion, kept, named_values

_LINEAR = ("conv", "deconv", "dense")


def fold_bn(graph: Graph, parameters: Mapping[str, np.ndarray]) -> Conversion:
    """Fold every `bn` that directly follows a convolution, transposed convolution or dense layer into that layer.

    With the running mean m and variance v, bn is x * f + (bias - m * f), f = scale / sqrt(v + eps): f goes into the
    weights of each output channel, or their gain where weights are normalised, the rest into the bias, which is
    created where the layer had none (Jacob et al., "Quantization and training of neural networks", CVPR 2018, section
    3.2).

    Before: `parameters` has every parameter of `graph.parameters()` by name. Folded is where nothing but the bn reads
    the layer's output (no other node, no loss, and it is no output of the net), and where no other node has the
    layer's weights or bias. Afterwards: the layer, under its own name, makes what the
    bn made; the outputs of the inference network are equal up to rounding; all other nodes and values are the same
    objects. The new graph is for inference: training it would train another network. Names of the net's body for values
    that are gone are gone.
    """
    nodes: list[Node | None] = list(graph.nodes)
    values = dict(parameters)
    uses, owners = _uses(graph), _owners(graph)
    producers = {value: index for index, node in enumerate(graph.nodes) for value in node.outputs}
    for index, bn in enumerate(graph.nodes):
        if bn.op.name != "bn" or bn.inputs[0] not in producers:
            continue
        place = producers[bn.inputs[0]]
        layer = nodes[place]
        if layer is None or layer.op.name not in _LINEAR or uses[bn.inputs[0]] != 1:
            continue
        if any(owners[parameter] != 1 for parameter in layer.parameters.values()):
            continue
        bias = layer.parameters.get("bias") or _new_bias(layer, bn, values)
        owners[bias] = 1
        _fold_values(layer, bn, bias, values)
        nodes[place] = layer.replace(args=Args(layer.args, bias=True), outputs=bn.outputs,
            parameters={**layer.parameters, "bias": bias},
        )  # fmt: skip
        nodes[index] = None
        producers[bn.output] = place
    folded = named_values(graph.replace(nodes=tuple(node for node in nodes if node is not None)))
    verify(folded)
    bns = [sum(node.op.name == "bn" for node in g.nodes) for g in (graph, folded)]
    remark = f"batch normalisations folded: {bns[0] - bns[1]} of {bns[0]}"
    return Conversion(folded, kept(folded, values), (remark,))


def _uses(graph: Graph) -> Counter[Value]:
    """How often each value is read, by nodes, as an output, by the loss and the metrics."""
    uses = Counter(value for node in graph.all_nodes for value in node.inputs)
    uses.update(graph.outputs.values())
    if graph.training is not None:
        uses.update([graph.training.loss, *graph.training.metrics.values()])
    return uses


def _owners(graph: Graph) -> Counter[Parameter]:
    """How many nodes have each parameter."""
    return Counter(parameter for node in graph.all_nodes for parameter in node.parameters.values())


def _new_bias(layer: Node, bn: Node, values: dict[str, np.ndarray]) -> Parameter:
    weight = layer.parameters["weight"]
    shape = bn.parameters["bias"].shape
    name = weight.name.rpartition(".")[0] + ".bias"
    assert name not in values, f"a parameter {name} besides {weight.name}"
    values[name] = np.zeros(shape, np.float32)
    return Parameter(name, shape, Init("zeros"), 1, 1, layer.span, weight.trainable)


def _fold_values(layer: Node, bn: Node, bias: Parameter, values: dict[str, np.ndarray]) -> None:
    """Put the bn's affine map into the layer's numbers."""
    factor, shift = affine(bn, values)
    gain, weight = layer.parameters.get("gain"), layer.parameters["weight"]
    if gain is not None:  # the weights are a direction only
        values[gain.name] = (values[gain.name] * factor).astype(np.float32)
    else:
        values[weight.name] = per_output(layer, values[weight.name], factor).astype(np.float32)
    values[bias.name] = (values[bias.name] * factor + shift).astype(np.float32)


def affine(bn: Node, values: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The factor and the shift per channel, `[C]`, of a bn at inference; float64."""
    scale, shift, mean, var = (
        values[bn.parameters[role].name].astype(np.float64) for role in ("scale", "bias", "running_mean", "running_var")
    )
    factor = scale / np.sqrt(var + bn.args.eps)
    return factor, shift - mean * factor


def per_output(layer: Node, weight: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """The weights times a factor `[outputs]` per output channel."""
    seen = view(layer)
    return np.asarray((weight.reshape(seen.shape) * factor.reshape(seen.outputs)).reshape(weight.shape))
