"""Element by element: activations, sums and products of images, with numbers or with one for each channel."""

from __future__ import annotations

from dataclasses import replace

import onnx

from .graph import Graph, attributes_of

#: element by element, zero for zero: channels that fill up a block stay finite
UNARY = (
    "HardSigmoid",
    "Neg",
    "Abs",
    "Tanh",
    "Elu",
    "Selu",
    "Celu",
    "LeakyRelu",
    "Softsign",
    "HardSwish",
    "Mish",
    "Gelu",
    "Erf",
    "Sigmoid",
    "Softplus",
)
BINARY = ("Mul", "Sub", "Max", "Min")


def relu(graph: Graph, node: onnx.NodeProto) -> bool:
    x, y = node.input[0], node.output[0]
    before = graph.take(x)
    if before is None or before.activation:
        if before is not None:
            graph.wait(x, before)
        graph.define(y, graph.op("Relu", graph.blocked(x)))
    else:
        graph.wait(y, replace(before, activation="Relu"))
    return True


def unary(graph: Graph, node: onnx.NodeProto) -> bool:
    written = graph.op(node.op_type, graph.blocked(node.input[0]), **attributes_of(node))
    graph.define(node.output[0], written)
    return True


def add(graph: Graph, node: onnx.NodeProto) -> bool:
    """A sum is taken up by a convolution that waits."""
    if graph.shape(node.input[0]) != graph.shape(node.input[1]):
        return binary(graph, node)
    a, b = node.input
    for name, other in ((b, a), (a, b)):
        if name == other:
            break
        before = graph.take(name)
        if before is None:
            continue
        if before.takes_addend:
            graph.wait(node.output[0], before.plus(graph.blocked(other)))
            return True
        graph.wait(name, before)
    graph.define(node.output[0], graph.op("Add", graph.blocked(a), graph.blocked(b)))
    return True


def binary(graph: Graph, node: onnx.NodeProto) -> bool:
    """Two images, or an image and a number, or a number for each channel or each image and channel."""
    shape = graph.shape(node.output[0])
    operands = [graph.shape(name) for name in node.input]
    if shape is None or None in operands:
        return False
    if operands[0] == operands[1] == shape:
        a, b = node.input
        if node.op_type == "Mul" and graph.is_only_summed(node.output[0]):
            graph.multiply_later(node.output[0], a, b)
        else:
            graph.define(
                node.output[0], graph.op(node.op_type, graph.blocked(a), graph.blocked(b), **attributes_of(node))
            )
        return True
    views = [_view(graph, name, shape) for name in node.input]
    if None in views:
        return False
    graph.define_lanes(node.output[0], graph.op(node.op_type, *(view for view in views if view), **attributes_of(node)))
    return True


def _view(graph: Graph, name: str, shape: tuple[int, ...]) -> str | None:
    """The operand as it broadcasts to [N, C/B, H, W, B]."""
    own = graph.shape(name)
    assert own is not None
    if own == shape:
        return graph.lanes(name)
    if len(own) <= 4 and all(size == 1 for size in own):
        return graph.reshape(graph.plain(name), [])
    full = (1,) * (4 - len(own)) + own
    if full[1] != shape[1] or full[2:] != (1, 1) or full[0] not in (1, shape[0]):
        return None
    flat = graph.reshape(graph.plain(name), [full[0], full[1]])
    more = graph.padded(full[1]) - full[1]
    if more:
        flat = graph.op("Pad", flat, graph.ints([0, 0, 0, more]))
    return graph.reshape(flat, [full[0], graph.padded(full[1]) // graph.block, 1, 1, graph.block])


def expand(graph: Graph, node: onnx.NodeProto) -> bool:
    """[N, C, 1, 1] to [N, C, H, W]."""
    x, y = graph.shape(node.input[0]), graph.shape(node.output[0])
    if x is None or y is None or x != (*y[:2], 1, 1) or y[1] % graph.block:
        return False
    n, c, h, w = y
    lanes = graph.reshape(graph.plain(node.input[0]), [n, c // graph.block, 1, 1, graph.block])
    graph.define_lanes(node.output[0], graph.op("Expand", lanes, graph.ints([n, c // graph.block, h, w, graph.block])))
    return True
