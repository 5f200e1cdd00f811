"""Batch normalisation: sums over the batch, then a factor and a term for each channel."""

from __future__ import annotations

from dataclasses import replace

import onnx

from .convolution import Window, padded_vector
from .graph import Convolution, Graph, attributes_of
from .sums import dot, image_sum

#: a mean in standard deviations up to which a variance comes of one pass: it has an error of some 1e-4 then
_LARGEST_MEAN = 30


def batch_normalization(graph: Graph, node: onnx.NodeProto) -> bool:
    """Per channel x · w + b: a depthwise 1×1 convolution."""
    x, scale, bias, mean, variance = node.input
    attributes = attributes_of(node)
    if attributes.get("training_mode", 0):
        if attributes.get("momentum", 0.9) != 0:
            return False
        mean, variance = _statistics(graph, x, graph.shapes[x])
        for name, value in zip(node.output[1:], (mean, variance), strict=False):
            graph.define_plain(name, value)
    w = graph.op("Div", scale, _deviation(graph, node, variance))
    b = graph.op("Sub", bias, graph.op("Mul", graph.plain(mean), w))
    graph.wait(node.output[0], affine(graph, x, w, b))
    return True


def gradient(graph: Graph, node: onnx.NodeProto, dy: str) -> tuple[Convolution, str, str]:
    """The gradients of x, scale and bias in training mode (Ioffe & Szegedy 2015, section 3).

    dx = w · (dy − mean(dy) − (x − mean) · mean(dy · (x − mean)) / deviation²), an affine function of dy and of x.
    """
    x, scale = node.input[:2]
    mean, variance = (graph.plain(name) for name in node.output[1:3])
    n, _, h, w = shape = graph.shapes[x]
    deviation = _deviation(graph, node, variance)
    dbias = image_sum(graph, dy)
    product = graph.op("Sub", dot(graph, dy, x, shape), graph.op("Mul", mean, dbias))
    dscale = graph.op("Div", product, deviation)
    weight = graph.op("Div", scale, deviation)
    share = graph.op("Mul", weight, graph.number(-1 / (n * h * w)))
    slope = graph.op("Div", graph.op("Mul", share, dscale), deviation)
    term = graph.op("Sub", graph.op("Mul", share, dbias), graph.op("Mul", slope, mean))
    return replace(affine(graph, dy, weight, None), addend=affine(graph, x, slope, term)), dscale, dbias


def _deviation(graph: Graph, node: onnx.NodeProto, variance: str) -> str:
    epsilon = graph.number(attributes_of(node).get("epsilon", 1e-5))
    return graph.op("Sqrt", graph.op("Add", graph.plain(variance), epsilon))


def affine(graph: Graph, x: str, weight: str, bias: str | None) -> Convolution:
    """x · weight + bias, [C] both."""
    shape = graph.shapes[x]
    channels = graph.padded(shape[1])
    window = Window((1, 1), (1, 1), (1, 1), (0, 0), (0, 0))
    kernel = graph.reshape(padded_vector(graph, weight, shape[1]), [channels, 1, 1, 1])
    bias = bias and padded_vector(graph, bias, shape[1])
    return Convolution(graph.blocked(x), kernel, bias, window.attributes(channels), shape)


def _statistics(graph: Graph, x: str, shape: tuple[int, ...]) -> tuple[str, str]:
    """Mean and (biased) variance of each channel, [C].

    The variance is the mean square less the squared mean, unless a mean is so large that their difference is mostly
    rounding: then it is taken in a second pass, of what is left without the mean.
    """
    n, c, h, w = shape
    count = graph.number(1 / (n * h * w))
    mean = graph.op("Mul", image_sum(graph, x), count)
    squares = graph.op("Mul", dot(graph, x, x, shape), count)
    difference = graph.op("Max", graph.op("Sub", squares, graph.op("Mul", mean, mean)), graph.number(0))

    def second_pass() -> str:
        one = graph.op("Expand", graph.number(1), graph.ints([c]))
        centred = graph.convolve(affine(graph, x, one, graph.op("Neg", mean)))
        graph.shapes[centred] = shape
        graph.define(centred, centred)
        return graph.op("Mul", dot(graph, centred, centred, shape), count)

    excess = graph.op("Sub", squares, graph.op("Mul", difference, graph.number(_LARGEST_MEAN**2)))
    far = graph.op("Greater", graph.op("ReduceMax", excess, keepdims=0), graph.number(0))
    return mean, graph.either(far, second_pass, lambda: graph.op("Identity", difference))
