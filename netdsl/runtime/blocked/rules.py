"""What each operator becomes where its tensors lie in blocks: a table from operators to rules.

A rule writes a node's blocked form and says whether it did; else the node is copied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import onnx
from onnx import helper

from .convolution import Layer, Window, convolution, padded_vector, transposed
from .graph import DOMAIN, IMAGE_AXES, Convolution, Graph

Rule = Callable[[Graph, onnx.NodeProto], bool]

#: element by element, zero for zero: channels that fill up a block stay finite
_UNARY = ("HardSigmoid", "Neg", "Abs", "Tanh", "Elu", "Selu", "Celu", "LeakyRelu", "Softsign", "HardSwish", "Mish", "Gelu", "Erf", "Sigmoid", "Softplus")
_BINARY = ("Mul", "Sub", "Max", "Min")


def conv(graph: Graph, node: onnx.NodeProto) -> bool:
    layer = suited(graph, node)
    if layer is None:
        return False
    x, weight, *bias = node.input
    bias_name = bias[0] if bias else None
    if node.op_type == "Conv":
        graph.wait(node.output[0], convolution(graph, layer, x, weight, bias_name))
        return True
    return _put(graph, node.output[0], transposed(graph, layer, x, weight, bias_name))


def _put(graph: Graph, name: str, result: Convolution | str | None) -> bool:
    if isinstance(result, Convolution):
        graph.wait(name, result)
    elif result is not None:
        graph.define(name, result)
    return result is not None


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
    worth = layer.multiply_accumulates >= 1_000_000 and layer.y[0] * layer.y[2] * layer.y[3] >= 512
    return layer if fits and worth else None


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
    written = graph.op(node.op_type, graph.blocked(node.input[0]), **_attributes(node))
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
        if before.activation or before.addend:
            graph.wait(name, before)
            continue
        graph.wait(node.output[0], replace(before, addend=graph.blocked(other)))
        return True
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
            graph.define(node.output[0], graph.op(node.op_type, graph.blocked(a), graph.blocked(b), **_attributes(node)))
        return True
    views = [_view(graph, name, shape) for name in node.input]
    if None in views:
        return False
    graph.define_lanes(node.output[0], graph.op(node.op_type, *(view for view in views if view), **_attributes(node)))
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


def reduce_sum(graph: Graph, node: onnx.NodeProto) -> bool:
    """Over images and positions: sums of images by average pooling; of products by a depthwise convolution in which one
    factor is the kernel.
    """
    if len(node.input) != 2 or graph.value(node.input[1]) != IMAGE_AXES:
        return False
    total = image_sum(graph, node.input[0])
    if _attributes(node).get("keepdims", 1):
        total = graph.reshape(total, [1, -1, 1, 1])
    graph.define_plain(node.output[0], total)
    return True


def image_sum(graph: Graph, name: str) -> str:
    """[C]: the sum over images and positions, of a tensor or of a product that waits."""
    shape = graph.shapes[name]
    n, c, h, w = shape
    factors = graph.factors(name)
    if factors is not None:
        return dot(graph, *factors, shape)
    means = graph.op("GlobalAveragePool", graph.blocked(name), domain=DOMAIN)
    return graph.op("Mul", _over_images(graph, means, shape), graph.number(h * w))


def dot(graph: Graph, a: str, b: str, shape: tuple[int, ...]) -> str:
    """[C]: the sum of a · b over images and positions."""
    n, c, h, w = shape
    channels = n * graph.padded(c)
    image = graph.reshape(graph.blocked(a), [1, channels, h, w])
    kernel = graph.reshape(graph.blocked(b), [channels, 1, h, w])
    window = Window((h, w), (1, 1), (1, 1), (0, 0), (0, 0))
    return _over_images(graph, graph.op("Conv", image, kernel, domain=DOMAIN, **window.attributes(channels)), shape)


def _over_images(graph: Graph, each: str, shape: tuple[int, ...]) -> str:
    n, c = shape[:2]
    total = graph.op("ReduceSum", graph.reshape(each, [n, graph.padded(c)]), graph.ints([0]), keepdims=0)
    return total if c == graph.padded(c) else graph.op("Slice", total, graph.ints([0]), graph.ints([c]), graph.ints([0]))


def batch_normalization(graph: Graph, node: onnx.NodeProto) -> bool:
    """Per channel x · w + b: a depthwise 1×1 convolution."""
    x, scale, bias, mean, variance = node.input
    attributes = _attributes(node)
    epsilon = graph.number(attributes.get("epsilon", 1e-5))
    shape = graph.shapes[x]
    if attributes.get("training_mode", 0):
        if attributes.get("momentum", 0.9) != 0:
            return False
        mean, variance = _statistics(graph, x, shape)
        for name, value in zip(node.output[1:], (mean, variance), strict=False):
            graph.define_plain(name, value)
    deviation = graph.op("Sqrt", graph.op("Add", graph.plain(variance), epsilon))
    w = graph.op("Div", scale, deviation)
    b = graph.op("Sub", bias, graph.op("Mul", graph.plain(mean), w))
    graph.wait(node.output[0], affine(graph, x, w, b))
    return True


def affine(graph: Graph, x: str, weight: str, bias: str) -> Convolution:
    """x · weight + bias, both [C]."""
    shape = graph.shapes[x]
    channels = graph.padded(shape[1])
    window = Window((1, 1), (1, 1), (1, 1), (0, 0), (0, 0))
    kernel = graph.reshape(padded_vector(graph, weight, shape[1]), [channels, 1, 1, 1])
    return Convolution(graph.blocked(x), kernel, padded_vector(graph, bias, shape[1]), window.attributes(channels), shape)


def _statistics(graph: Graph, x: str, shape: tuple[int, ...]) -> tuple[str, str]:
    """Mean and (biased) variance of each channel, [C]."""
    n, c, h, w = shape
    count = graph.number(1 / (n * h * w))
    mean = graph.op("Mul", image_sum(graph, x), count)
    squares = graph.op("Mul", dot(graph, x, x, shape), count)
    variance = graph.op("Max", graph.op("Sub", squares, graph.op("Mul", mean, mean)), graph.number(0))
    return mean, variance


def size(graph: Graph, node: onnx.NodeProto) -> bool:
    shape = graph.shape(node.input[0])
    if shape is None:
        return False
    graph.define_plain(node.output[0], graph.integer(prod(shape)))
    return True


def concat(graph: Graph, node: onnx.NodeProto) -> bool:
    """Of channels: pieces that fill their blocks together lie one after the other in memory, image by image."""
    shapes = [graph.shape(name) for name in node.input]
    if _attributes(node)["axis"] not in (1, -3) or any(shape is None or len(shape) != 4 for shape in shapes):
        return False
    graph.join(node)
    return True


def split(graph: Graph, node: onnx.NodeProto) -> bool:
    """Of channels: whole blocks, of which the last may be filled up with channels of the next piece."""
    shapes = [graph.shape(name) for name in node.output]
    if _attributes(node).get("axis", 0) not in (1, -3) or any(shape is None or len(shape) != 4 for shape in shapes):
        return False
    start = 0
    for name, shape in zip(node.output, shapes, strict=True):
        assert shape is not None
        _cut_out(graph, node.input[0], name, start, shape)
        start += shape[1]
    return True


def _cut_out(graph: Graph, source: str, name: str, start: int, shape: tuple[int, ...]) -> None:
    """Channels `start` and on of a tensor."""
    b, have = graph.block, graph.padded(graph.shapes[source][1])
    first, end = start // b * b, graph.padded(start + shape[1])
    blocks = graph.blocked(source)
    if (first, end) != (0, have):
        blocks = graph.op("Slice", blocks, graph.ints([first]), graph.ints([end]), graph.ints([1]))
    if first == start:
        graph.define(name, blocks)
        return
    plain = graph.op("ReorderOutput", blocks, domain=DOMAIN, channels=end - first)
    channels = [graph.ints([at - first]) for at in (start, start + shape[1])]
    graph.define_plain(name, graph.op("Slice", plain, *channels, graph.ints([1])))


def pool(graph: Graph, node: onnx.NodeProto) -> bool:
    """Maximum, with or without the places of the maxima, and average."""
    attributes = _attributes(node)
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET" or attributes.get("ceil_mode", 0):
        return False
    if len(node.output) > 1:
        return _pool_with_places(graph, node, attributes)
    known = {k: v for k, v in attributes.items() if k in ("kernel_shape", "strides", "dilations", "pads", "count_include_pad")}
    defaults = {} if node.op_type.startswith("Global") else {"strides": [1, 1], "dilations": [1, 1], "pads": [0] * 4}
    graph.define(node.output[0], graph.op(node.op_type, graph.blocked(node.input[0]), domain=DOMAIN, **defaults | known))
    return True


def _pool_with_places(graph: Graph, node: onnx.NodeProto, attributes: dict[str, Any]) -> bool:
    """By ONNX's pool over volumes: [N·C/B, 1, H, W, B], where the window is one lane wide."""
    if any(reader.op_type != "MaxUnpool" for reader in graph.readers(node.output[1])):
        return False
    volumes = _volumes(graph, node.input[0])
    pooled, places = graph.ops("MaxPool", [volumes], 2, **_over_volumes(attributes))
    graph.define_lanes(node.output[0], pooled)
    graph.define(node.output[1], places)
    return True


def unpool(graph: Graph, node: onnx.NodeProto) -> bool:
    """Back to where the maxima were."""
    shape = graph.shape(node.output[0])
    if shape is None or not graph.lies_blocked(node.input[1]):
        return False
    n, c, h, w = shape
    size = graph.ints([n * graph.padded(c) // graph.block, 1, h, w, graph.block])
    places = graph.blocked(node.input[1])
    attributes = _over_volumes(_attributes(node))
    graph.define_lanes(node.output[0], graph.op("MaxUnpool", _volumes(graph, node.input[0]), places, size, **attributes))
    return True


def _volumes(graph: Graph, name: str) -> str:
    n, c, h, w = graph.shapes[name]
    return graph.reshape(graph.blocked(name), [n * graph.padded(c) // graph.block, 1, h, w, graph.block])


def _over_volumes(attributes: dict[str, Any]) -> dict[str, Any]:
    """A pool's attributes with a third axis along which the window does nothing."""
    pads = attributes.get("pads", [0] * 4)
    given = {name: [*attributes[name], 1] for name in ("kernel_shape", "strides", "dilations") if name in attributes}
    return given | {"pads": [*pads[:2], 0, *pads[2:], 0]}


def expand(graph: Graph, node: onnx.NodeProto) -> bool:
    """[N, C, 1, 1] to [N, C, H, W]."""
    x, y = graph.shape(node.input[0]), graph.shape(node.output[0])
    if x is None or y is None or x != (*y[:2], 1, 1) or y[1] % graph.block:
        return False
    n, c, h, w = y
    lanes = graph.reshape(graph.plain(node.input[0]), [n, c // graph.block, 1, 1, graph.block])
    graph.define_lanes(node.output[0], graph.op("Expand", lanes, graph.ints([n, c // graph.block, h, w, graph.block])))
    return True


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


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
    "Expand": expand,
    **dict.fromkeys(_UNARY, unary),
    **dict.fromkeys(_BINARY, binary),
}
