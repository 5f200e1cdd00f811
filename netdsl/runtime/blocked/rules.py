"""What each operator becomes where its tensors lie in blocks: a table from operators to rules.

A rule writes a node's blocked form and says whether it did; else the node is copied.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import onnx

from .channels import concat, split
from .convolution import Layer, convolution, transposed
from .elementwise import BINARY, UNARY, add, binary, expand, relu, unary
from .graph import Graph
from .normalization import batch_normalization
from .pooling import pool, resize, unpool
from .sums import reduce_sum

_WORTH = 1_000_000  # multiply-accumulates of a convolution below which the reorders cost more than they gain
_LARGEST = 121  # taps: weight gradients that stay plain are convolutions with kernels as large as images
_USES = 512  # positions that each weight is used at in the batch, below which moving the weights costs more

Rule = Callable[[Graph, onnx.NodeProto], bool]


def conv(graph: Graph, node: onnx.NodeProto) -> bool:
    layer = suited(graph, node)
    if layer is None:
        return False
    x, weight, bias = (*node.input, None)[:3]
    write = convolution if node.op_type == "Conv" else transposed
    return graph.put(node.output[0], write(graph, layer, x, weight, bias))


def suited(graph: Graph, node: onnx.NodeProto) -> Layer | None:
    """The layer of a convolution that the blocked kernels do, and do faster than the plain ones."""
    layer = Layer.of(node, graph)
    if layer is None:
        return None
    y, x = (node.output[0], node.input[0]) if node.op_type == "Conv" else (node.input[0], node.output[0])
    if layer.is_depthwise:
        fits = graph.is_image(y) and graph.is_image(x)
        return layer if fits else None
    outputs, inputs = layer.weight[0] // layer.group, layer.weight[1]
    if layer.group > 1:
        fits = outputs % graph.block == inputs % graph.block == 0
    else:
        fits = graph.is_image(y) and (graph.is_image(x) or (inputs < graph.block and node.op_type == "Conv"))
    worth = layer.multiply_accumulates >= _WORTH and layer.y[0] * layer.y[2] * layer.y[3] >= _USES
    return layer if fits and worth and prod(layer.window.kernel) <= _LARGEST else None


def size(graph: Graph, node: onnx.NodeProto) -> bool:
    """A constant: what is computed from it is too, and the tensor need not be plain for it."""
    shape = graph.shape(node.input[0])
    if shape is None:
        return False
    graph.define_plain(node.output[0], graph.integer(prod(shape)))
    return True


#: operators that become blocked by themselves
SOURCES: dict[str, Rule] = {"Conv": conv, "ConvTranspose": conv}

#: operators that are blocked where what they read is, or what they give is wanted so
FOLLOWERS: dict[str, Rule] = {
    "Relu": relu,
    "Add": add,
    "BatchNormalization": batch_normalization,
    "ReduceSum": reduce_sum,
    "Concat": concat,
    "Split": split,
    "MaxPool": pool,
    "MaxUnpool": unpool,
    "AveragePool": pool,
    "GlobalAveragePool": pool,
    "Resize": resize,
    "Expand": expand,
    "Size": size,
    **dict.fromkeys(UNARY, unary),
    **dict.fromkeys(BINARY, binary),
}
