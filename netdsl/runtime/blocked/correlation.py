"""The weight gradient of a convolution as a blocked convolution over the images of the batch.

dw[k, c, t] = Σ over n and positions p of dy[n, k, p] · x[n, c, s·p + d·t − pad]. Seen as a convolution, its channels are the
batch's images n, in blocks of B; its image is x, whose last axis runs over columns and the channels of a block; its
kernel is dy, as large as an image and dilated by the stride. Groups of B images are summed up afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netdsl.ops.strips import strips_of

from .convolution import Layer, Window
from .graph import DOMAIN, Graph

#: groups beyond which one convolution for each costs more than it gains
_MOST_GROUPS = 8


def weight_gradient(graph: Graph, layer: Layer, x: str, dy: str) -> str | None:
    """dw, plain, in the shape of the weight; None where it has no such form."""
    if layer.is_depthwise:
        return _depthwise(graph, layer, x, dy)
    if layer.group > 1:
        return _by_groups(graph, layer, x, dy)
    if not graph.is_image(dy) or (layer.window.dilations[1] > 1 and layer.window.kernel[1] > 1):
        return None
    few = not graph.is_image(x)
    if not few and layer.window.strides == (1, 1) and layer.x[1] >= 2 * layer.y[1] and min(layer.turned.before) >= 0:
        return _by_adjoint(graph, layer, x, dy)
    lane = layer.x[1] if few else graph.block
    blocks = 1 if few else graph.padded(layer.x[1]) // graph.block
    strips = strips_of(layer.x[0], layer.y[2], layer.window.kernel[0], blocks, graph.block)
    if strips is None:
        return None
    b, groups, outputs = graph.block, layer.x[0] * strips // graph.block, graph.padded(layer.y[1])
    (kh, kw), (sh, sw) = layer.window.kernel, layer.window.strides
    around = (0, 0) if strips > 1 else (layer.window.before[0], max(_after(layer)[0], 0))
    window = Window(
        (layer.y[2] // strips, layer.y[3]), (layer.window.dilations[0], 1), (sh, sw * lane), (around[0], 0), (around[1], 0)
    )
    image = _image(graph, layer, x, few, strips)
    taps = graph.op("Conv", image, _kernel(graph, layer, dy, strips), domain=DOMAIN, **window.attributes(groups))
    parts = graph.reshape(taps, [blocks, groups, outputs // b, kh, kw, lane, b])
    total = graph.op("ReduceSum", parts, graph.ints([1]), keepdims=0)
    rows = graph.op("Transpose", total, perm=[0, 4, 2, 3, 1, 5])  # in two steps, as weights are moved into blocks
    turned = graph.op("Transpose", graph.reshape(rows, [blocks * lane * kh * kw, outputs]), perm=[1, 0])
    whole = graph.reshape(turned, [outputs, blocks * lane, kh, kw])
    if (outputs, blocks * lane) == layer.weight[:2]:
        return whole
    return graph.op("Slice", whole, graph.ints([0, 0]), graph.ints(layer.weight[:2]), graph.ints([0, 1]))


def _by_adjoint(graph: Graph, layer: Layer, x: str, dy: str) -> str | None:
    """Seen from y, dy is the image and x the kernel. The kernel is moved once and the image three times: where x has more
    channels by far, it is to be the kernel.
    """
    weight = (layer.weight[1], layer.weight[0], *layer.weight[2:])
    found = weight_gradient(graph, Layer(layer.turned, 1, weight, layer.y, layer.x), dy, x)
    if found is None:
        return None
    swapped = graph.op("Transpose", found, perm=[1, 0, 2, 3])
    bounds = [graph.ints([value] * 2) for value in (-1, np.iinfo(np.int64).min)]
    return graph.op("Slice", swapped, *bounds, graph.ints([2, 3]), graph.ints([-1, -1]))


def _by_groups(graph: Graph, layer: Layer, x: str, dy: str) -> str | None:
    """One group after the other, of channels that fill their blocks."""
    outputs, inputs = layer.weight[0] // layer.group, layer.weight[1]
    if outputs % graph.block or inputs % graph.block or layer.group > _MOST_GROUPS:
        return None
    sizes = (layer.x[0], inputs, *layer.x[2:]), (layer.y[0], outputs, *layer.y[2:])
    part = Layer(layer.window, 1, (outputs, *layer.weight[1:]), *sizes)
    parts = []
    for group in range(layer.group):
        images = [graph.channels_of(name, group * shape[1], shape) for name, shape in zip((x, dy), sizes, strict=True)]
        found = weight_gradient(graph, part, *images)
        if found is None:
            return None
        parts.append(found)
    return graph.op("Concat", *parts, axis=0)


def _after(layer: Layer) -> tuple[int, int]:
    """The padding after x that the windows reach into; negative where its last inputs are not reached."""
    axes = zip(layer.y[2:], layer.window.strides, layer.window.spans, layer.x[2:], layer.window.before, strict=True)
    height, width = ((n - 1) * s + span - size - before for n, s, span, size, before in axes)
    return height, width


def _image(graph: Graph, layer: Layer, x: str, few: bool, strips: int) -> str:
    """x as [C/B, N·strips, H, W·B], its images in blocks, padded to the left and right."""
    n, c, h, w = layer.x
    if few:
        blocks, lane, images = 1, c, graph.op("Transpose", graph.plain(x), perm=[0, 2, 3, 1])
    else:
        blocks, lane, images = graph.padded(c) // graph.block, graph.block, graph.blocked(x)
    (top, left), (bottom, right) = layer.window.before, _after(layer)
    if strips == 1:  # zeros above and below are the convolution's own; what is not reached is cut off
        top, bottom = 0, min(bottom, 0)
    height, width = h + top + bottom, (w + left + right) * lane
    framed = _framed(graph, images, (n, blocks, h, w), lane, (top, left, bottom, right))
    rows = graph.reshape(framed, [n, blocks, height, width])
    if strips > 1:
        starts = range(0, layer.y[2] * layer.window.strides[0], layer.y[2] // strips * layer.window.strides[0])
        height = (layer.y[2] // strips - 1) * layer.window.strides[0] + layer.window.spans[0]
        rows = graph.op("Gather", rows, graph.ints([s + i for s in starts for i in range(height)]), axis=2)
    if blocks > 1:
        rows = graph.op("Transpose", graph.reshape(rows, [n, blocks, strips * height * width]), perm=[1, 0, 2])
    return graph.op("ReorderInput", graph.reshape(rows, [blocks, n * strips, height, width]), domain=DOMAIN)


def _framed(graph: Graph, images: str, shape: Sequence[int], lane: int, frame: tuple[int, int, int, int]) -> str:
    """Images of `shape` [N, C/lane, H, W], with `lane` channels as neighbours, with zeros around them: so many rows and
    columns at the top, left, bottom and right; below zero, so many are cut off.

    Of blocks by a depthwise convolution by ones, which uses threads as `Pad` does not.
    """
    (n, blocks, h, w), (top, left, bottom, right) = shape, frame
    if not any(frame):
        return images
    if lane == graph.block and min(frame) >= 0:
        channels = blocks * lane
        single = {"kernel_shape": [1, 1], "strides": [1, 1], "dilations": [1, 1], "group": channels}
        return graph.op("Conv", images, graph.ones([channels, 1, 1, 1]), domain=DOMAIN, pads=frame, **single)
    rows = graph.reshape(images, [n * blocks, h, w * lane])
    return graph.op("Pad", rows, graph.ints([0, top, left * lane, 0, bottom, right * lane]))


def _kernel(graph: Graph, layer: Layer, dy: str, strips: int) -> str:
    """dy as the blocked weight of a convolution: [N·strips/B·K, B, H, W], in memory [N·strips/B, K/B, H·W, Bn, Bk]."""
    n, k, h, w = layer.y
    k, b, height = graph.padded(k), graph.block, h // strips
    images = graph.blocked(dy)
    if strips > 1 and k > b:
        images = graph.op("Transpose", graph.reshape(images, [n, k // b, strips, height * w * b]), perm=[0, 2, 1, 3])
    parts = graph.reshape(images, [n * strips // b, b, k // b * height * w, b])
    moved = graph.op("Transpose", parts, perm=[0, 2, 1, 3])
    return graph.reshape(moved, [n * strips // b * k, b, height, w])


def _depthwise(graph: Graph, layer: Layer, x: str, dy: str) -> str:
    """Every image and channel by itself, a depthwise convolution with dy for kernel; then the sum over images."""
    n, c, h, w = layer.x
    c, b = graph.padded(c), graph.block
    bottom, right = _after(layer)
    top, left = layer.window.before
    cut = min(bottom, 0)  # zeros above and below are the convolution's own
    images = _framed(graph, graph.blocked(x), (n, c // b, h, w), b, (0, left, cut, right))
    image = graph.reshape(images, [1, n * c, h + cut, w + left + right])
    kernel = graph.reshape(graph.blocked(dy), [n * c, 1, *layer.y[2:]])
    window = Window(
        (layer.y[2], layer.y[3]), layer.window.dilations, layer.window.strides, (top, 0), (max(bottom, 0), 0)
    )
    taps = graph.op("Conv", image, kernel, domain=DOMAIN, **window.attributes(n * c))
    kh, kw = layer.window.kernel
    each = graph.reshape(taps, [n, c // b, kh * kw, b])
    total = graph.op("ReduceSum", each, graph.ints([0]), keepdims=0)
    whole = graph.reshape(graph.op("Transpose", total, perm=[0, 2, 1]), [c, 1, kh, kw])
    if c == layer.weight[0]:
        return whole
    return graph.op("Slice", whole, graph.ints([0]), graph.ints([layer.weight[0]]), graph.ints([0]))
