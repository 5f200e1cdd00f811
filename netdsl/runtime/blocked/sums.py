"""Sums over the batch and over positions."""

from __future__ import annotations

import onnx

from .convolution import Window
from .graph import DOMAIN, IMAGE_AXES, Graph, attributes_of


def reduce_sum(graph: Graph, node: onnx.NodeProto) -> bool:
    """Over images and positions: sums of images by average pooling; of products by a depthwise convolution in which one
    factor is the kernel.
    """
    if len(node.input) != 2 or graph.value(node.input[1]) != IMAGE_AXES:
        return False
    total = image_sum(graph, node.input[0])
    if attributes_of(node).get("keepdims", 1):
        total = graph.reshape(total, [1, -1, 1, 1])
    graph.define_plain(node.output[0], total)
    return True


def image_sum(graph: Graph, name: str) -> str:
    """[C]: the sum over images and positions, of a tensor or of a product that waits."""
    shape = graph.shapes[name]
    factors = graph.factors(name)
    if factors is not None:
        return dot(graph, *factors, shape)
    means = graph.op("GlobalAveragePool", graph.blocked(name), domain=DOMAIN)
    return graph.op("Mul", _over_images(graph, means, shape), graph.number(shape[2] * shape[3]))


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
    return (
        total if c == graph.padded(c) else graph.op("Slice", total, graph.ints([0]), graph.ints([c]), graph.ints([0]))
    )
