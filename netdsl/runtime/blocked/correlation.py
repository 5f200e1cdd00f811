"""The weight gradient of a convolution as a blocked convolution over the images of the batch.

dw[k, c, t] = Σ over n and positions p of dy[n, k, p] · x[n, c, s·p + d·t − pad]. Seen as a convolution, its channels are the
batch's images n, in blocks of B; its image is x, whose last axis runs over columns and the channels of a block; its
kernel is dy, as large as an image and dilated by the stride. Groups of B images are summed up afterwards.
"""

from __future__ import annotations

from math import gcd

from .convolution import Layer, Window
from .graph import DOMAIN, Graph


def weight_gradient(graph: Graph, layer: Layer, x: str, dy: str) -> str | None:
    """dw, plain, in the shape of the weight; None where it has no such form."""
    if layer.is_depthwise:
        return _depthwise(graph, layer, x, dy)
    if layer.group > 1 or layer.window.dilations[1] != 1 and layer.window.kernel[1] > 1:
        return None
    strips = graph.block // gcd(graph.block, layer.x[0])
    if layer.y[2] % strips or not graph.is_image(dy) or layer.y[2] // strips < 4:
        return None
    few = not graph.is_image(x)
    image, blocks, lane = _image(graph, layer, x, strips, few)
    kernel = _kernel(graph, layer, dy, strips)
    groups, height = layer.x[0] * strips // graph.block, layer.y[2] // strips
    sh, sw = layer.window.strides
    kh, kw = layer.window.kernel
    outputs = graph.padded(layer.y[1])
    rows = (0, 0) if strips > 1 else (layer.window.before[0], max(_after(layer)[0], 0))
    window = Window((height, layer.y[3]), (layer.window.dilations[0], 1), (sh, sw * lane), (rows[0], 0), (rows[1], 0))
    taps = graph.op("Conv", image, kernel, domain=DOMAIN, **window.attributes(groups))
    b = graph.block
    parts = graph.reshape(taps, [blocks, groups, outputs // b, kh, kw, lane, b])
    if groups > 1:
        parts = graph.op("ReduceSum", parts, graph.ints([1]), keepdims=0)
    else:
        parts = graph.reshape(parts, [blocks, outputs // b, kh, kw, lane, b])
    moved = graph.op("Transpose", parts, perm=[1, 5, 0, 4, 2, 3])
    whole = graph.reshape(moved, [outputs, blocks * lane, kh, kw])
    if (outputs, blocks * lane) == layer.weight[:2]:
        return whole
    return graph.op("Slice", whole, graph.ints([0, 0]), graph.ints(layer.weight[:2]), graph.ints([0, 1]))


def _after(layer: Layer) -> tuple[int, int]:
    """The padding after x that the windows reach into; negative where its last inputs are not reached."""
    axes = zip(layer.y[2:], layer.window.strides, layer.window.spans, layer.x[2:], layer.window.before, strict=True)
    height, width = ((n - 1) * s + span - size - before for n, s, span, size, before in axes)
    return height, width


def _image(graph: Graph, layer: Layer, x: str, strips: int, few: bool) -> tuple[str, int, int]:
    """x as [C/B, N, H, W·B], its images in blocks, padded to the left and right; C/B and B."""
    n, c, h, w = layer.x
    if few:
        blocks, lane = 1, c
        rows = graph.op("Transpose", graph.plain(x), perm=[0, 2, 3, 1])
    else:
        blocks, lane = graph.padded(c) // graph.block, graph.block
        rows = graph.blocked(x)
    rows = graph.reshape(rows, [n, blocks, h, w * lane])
    top, left = layer.window.before
    bottom, right = _after(layer)
    if strips == 1:
        top = 0
        bottom = min(bottom, 0)  # what is not reached is cut off; zeros are in the convolution's own padding
    pads = [0, 0, top, left * lane, 0, 0, bottom, right * lane]
    if any(pads):
        rows = graph.op("Pad", rows, graph.ints(pads))
    if strips > 1:
        each = layer.y[2] // strips
        reach = (each - 1) * layer.window.strides[0] + layer.window.spans[0]
        starts = [i * each * layer.window.strides[0] for i in range(strips)]
        cut = [graph.op("Slice", rows, graph.ints([s]), graph.ints([s + reach]), graph.ints([2])) for s in starts]
        rows = graph.op("Concat", *cut, axis=0)
    if blocks > 1:
        rows = graph.op("Transpose", rows, perm=[1, 0, 2, 3])
    elif blocks == 1:
        rows = graph.op("Squeeze", rows, graph.ints([1]))
        rows = graph.op("Unsqueeze", rows, graph.ints([0]))
    return graph.op("ReorderInput", rows, domain=DOMAIN), blocks, lane


def _kernel(graph: Graph, layer: Layer, dy: str, strips: int) -> str:
    """dy as the blocked weight of a convolution: [N/B·K, B, H, W], in memory [N/B, K/B, H·W, Bn, Bk]."""
    n, k, h, w = layer.y
    k, b = graph.padded(k), graph.block
    images = graph.blocked(dy)
    if strips > 1:
        parts = graph.reshape(images, [n, k // b, strips, h // strips * w * b])
        images = graph.op("Transpose", parts, perm=[2, 0, 1, 3])
    groups = n * strips // b
    parts = graph.reshape(images, [groups, b, k // b * (h // strips) * w, b])
    moved = graph.op("Transpose", parts, perm=[0, 2, 1, 3])
    return graph.reshape(moved, [groups * k, b, h // strips, w])


def _depthwise(graph: Graph, layer: Layer, x: str, dy: str) -> str:
    """Every image and channel by itself, a depthwise convolution with dy for kernel; then the sum over images."""
    n, c, h, w = layer.x
    c, b = graph.padded(c), graph.block
    bottom, right = _after(layer)
    top, left = layer.window.before
    rows = graph.reshape(graph.blocked(x), [n * c // b, h, w * b])
    pads = [0, 0, left * b, 0, min(bottom, 0), right * b]
    if any(pads):
        rows = graph.op("Pad", rows, graph.ints(pads))
    image = graph.reshape(rows, [1, n * c, h + pads[4], w + left + right])
    kernel = graph.reshape(graph.blocked(dy), [n * c, 1, *layer.y[2:]])
    window = Window((layer.y[2], layer.y[3]), layer.window.dilations, layer.window.strides, (top, 0), (max(bottom, 0), 0))
    taps = graph.op("Conv", image, kernel, domain=DOMAIN, **window.attributes(n * c))
    kh, kw = layer.window.kernel
    each = graph.reshape(taps, [n, c // b, kh * kw, b])
    total = graph.op("ReduceSum", each, graph.ints([0]), keepdims=0)
    whole = graph.reshape(graph.op("Transpose", total, perm=[0, 2, 1]), [c, 1, kh, kw])
    if c == layer.weight[0]:
        return whole
    return graph.op("Slice", whole, graph.ints([0]), graph.ints([layer.weight[0]]), graph.ints([0]))
