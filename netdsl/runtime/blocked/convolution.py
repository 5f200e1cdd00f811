"""Blocked convolutions, and transposed ones as convolutions.

A weight is moved into blocks in two steps, one axis and then whole rows of B, each of which ONNX Runtime does three to seven
times as fast as both at once, element by element.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import onnx

from .graph import Convolution, Graph, attributes_of

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Window:
    """Per spatial axis: kernel size, stride, dilation, and padding before and after."""

    kernel: Pair
    strides: Pair
    dilations: Pair
    before: Pair
    after: Pair

    @property
    def spans(self) -> Pair:
        """Extent of the dilated kernel."""
        (h, w), (dh, dw) = self.kernel, self.dilations
        return (h - 1) * dh + 1, (w - 1) * dw + 1

    def attributes(self, group: int = 1) -> dict[str, Any]:
        """Those of the blocked operators, which know no defaults."""
        return {"kernel_shape": self.kernel, "strides": self.strides, "dilations": self.dilations, "group": group,
                "pads": [*self.before, *self.after]}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution from `x` [N, C, *in] to `y` [N, K, *out] with a weight [K, C/group, *kernel], or its transpose from
    `y` to `x`.
    """

    window: Window
    group: int
    weight: tuple[int, ...]
    x: tuple[int, ...]
    y: tuple[int, ...]

    @staticmethod
    def of(node: onnx.NodeProto, graph: Graph) -> Layer | None:
        """The layer of a Conv or ConvTranspose; None where a size is not known or it has not two spatial axes."""
        shapes = [graph.shape(name) for name in (*node.input[:2], node.output[0])]
        if any(shape is None or len(shape) != 4 for shape in shapes):
            return None
        first, weight, second = (tuple(shape) for shape in shapes if shape is not None)
        x, y = (second, first) if node.op_type == "ConvTranspose" else (first, second)
        found = attributes_of(node)
        if found.get("auto_pad", b"NOTSET") != b"NOTSET":
            return None
        pads = found.get("pads", [0] * 4)
        strides, dilations = (_pair(found.get(name, (1, 1))) for name in ("strides", "dilations"))
        window = Window(_pair(weight[2:]), strides, dilations, _pair(pads[:2]), _pair(pads[2:]))
        return Layer(window, found.get("group", 1), weight, x, y)

    @property
    def is_depthwise(self) -> bool:
        return self.group > 1 and self.weight[:2] == (self.group, 1) and self.x[1] == self.group

    @property
    def turned(self) -> Window:
        """Of stride 1: the window of the adjoint convolution, from y to x, with the flipped weight. What no window of this
        one reached are zeros for the other; a padding below zero has no such form.
        """
        spans, before = self.window.spans, self.window.before
        lead = [span - 1 - pad for span, pad in zip(spans, before, strict=True)]
        sizes = zip(self.x[2:], self.y[2:], spans, lead, strict=True)
        after = [want - have - first + span - 1 for want, have, span, first in sizes]
        return Window(self.window.kernel, (1, 1), self.window.dilations, _pair(lead), _pair(after))

    @property
    def multiply_accumulates(self) -> int:
        return prod(self.y) * prod(self.weight[1:])


def convolution(graph: Graph, layer: Layer, x: str, weight: str, bias: str | None = None) -> Convolution:
    """conv(x, weight) + bias."""
    few = not layer.is_depthwise and layer.weight[1] < graph.block and not graph.is_image(x)
    return Convolution(
        graph.plain(x) if few else graph.blocked(x),
        _depthwise(graph, layer, weight) if layer.is_depthwise else _dense(graph, layer, weight, few),
        bias and padded_vector(graph, bias, layer.y[1]),
        layer.window.attributes(graph.padded(layer.group) if layer.is_depthwise else layer.group),
        layer.y,
    )


def transposed(graph: Graph, layer: Layer, y: str, weight: str, bias: str | None = None) -> Convolution | str | None:
    """The transpose: every element of y [N, K, *out] times the weight, added up where windows overlap, [N, C, *in].

    A convolution that may wait, or the name of what is written, blocked; None where it has no such form.
    """
    if layer.window.strides == (1, 1):
        return _adjoint(graph, layer, graph.blocked(y), weight, bias)
    if layer.window.dilations != (1, 1):
        return None
    if layer.is_depthwise or prod(layer.window.kernel) == 1:
        return _by_zeros(graph, layer, y, weight, bias)
    return _by_phases(graph, layer, y, weight, bias)


def padded_vector(graph: Graph, vector: str, size: int) -> str:
    """A vector of one number a channel, with zeros for the channels that fill up the last block."""
    more = graph.padded(size) - size
    return graph.op("Pad", vector, graph.ints([0, more])) if more else vector


def _adjoint(graph: Graph, layer: Layer, y: str, weight: str, bias: str | None) -> Convolution | None:
    """Of stride 1: the convolution with the flipped weight, of y as it lies in blocks."""
    window = layer.turned
    if min(*window.before, *window.after) < 0:
        return None
    taps = range(prod(window.kernel) - 1, -1, -1)
    if layer.is_depthwise:
        blocks, group = _depthwise(graph, layer, weight, taps), graph.padded(layer.group)
    else:
        blocks, group = _swapped(graph, layer, weight, [list(taps)], window.kernel), layer.group
    return Convolution(y, blocks, bias and padded_vector(graph, bias, layer.x[1]), window.attributes(group), layer.x)


def _by_zeros(graph: Graph, layer: Layer, y: str, weight: str, bias: str | None) -> Convolution | str | None:
    """Of a stride: zeros are put between the elements. A single tap is applied before that, where there is less to do."""
    (sh, sw), (h, w) = layer.window.strides, layer.y[2:]
    single = prod(layer.window.kernel) == 1
    if single and (bias or any((*layer.window.before, *layer.window.after))):
        return None
    source = y
    if single:
        narrow = Layer(
            Window((1, 1), (1, 1), (1, 1), (0, 0), (0, 0)), layer.group, layer.weight, (*layer.x[:2], h, w), layer.y
        )
        convolution = _adjoint(graph, narrow, graph.blocked(y), weight, None)
        if convolution is None:
            return None
        source = graph.convolve(convolution)
    else:
        source = graph.blocked(y)
    channels, b = graph.padded(layer.x[1] if single else layer.y[1]), graph.block
    rows = graph.reshape(source, [layer.y[0] * channels // b * h, 1, w, b])
    rows = graph.op("Pad", rows, graph.ints([0, 0, 0, 0, 0, sh - 1, 0, (sw - 1) * b]))
    spread = [layer.y[0], channels // b, h * sh, w * sw, b]
    if single:
        cut = graph.reshape(rows, spread)
        cut = _cut(graph, cut, spread, layer.x)
        return graph.reshape(cut, [layer.y[0], channels, *layer.x[2:]])
    wide = replace(layer, y=(*layer.y[:2], h * sh, w * sw))
    return _adjoint(graph, wide, graph.reshape(rows, [layer.y[0], channels, h * sh, w * sw]), weight, bias)


def _by_phases(graph: Graph, layer: Layer, y: str, weight: str, bias: str | None) -> str | None:
    """Of a stride s: one convolution of stride 1 whose channels are the s² residues of the position, which are then put
    beside each other (Shi et al. 2016, sub-pixel convolution).
    """
    axes = [
        _phases(*sizes) for sizes in zip(layer.window.kernel, layer.window.strides, layer.window.before, strict=True)
    ]
    (sh, sw), (height, width) = layer.window.strides, layer.x[2:]
    lows, sizes = [axis[0] for axis in axes], [len(axis[1][0]) for axis in axes]
    rows, columns = -(-height // sh), -(-width // sw)
    after = [
        count + low + size - 1 - have
        for count, low, size, have in zip((rows, columns), lows, sizes, layer.y[2:], strict=True)
    ]
    if max(lows) > 0 or min(after) < 0 or layer.group > 1:
        return None
    none = prod(layer.window.kernel)  # the index of a tap of zeros
    order = [
        [none if u is None or v is None else u * layer.window.kernel[1] + v for u in up for v in across]
        for up in axes[0][1]
        for across in axes[1][1]
    ]
    window = Window(_pair(sizes), (1, 1), (1, 1), _pair([-low for low in lows]), _pair(after))
    n, c, b = layer.y[0], graph.padded(layer.x[1]), graph.block
    biases = bias and graph.op("Concat", *[padded_vector(graph, bias, layer.x[1])] * (sh * sw), axis=0)
    blocks = _swapped(graph, layer, weight, order, _pair(sizes))
    phases = graph.convolve(
        Convolution(graph.blocked(y), blocks, biases, window.attributes(), (n, sh * sw * c, rows, columns))
    )
    parts = graph.reshape(phases, [n, sh, sw, c // b, rows, columns, b])
    beside = graph.op("Transpose", parts, perm=[0, 3, 4, 1, 5, 2, 6])
    shape = [n, c // b, rows * sh, columns * sw, b]
    cut = _cut(graph, graph.reshape(beside, shape), shape, layer.x)
    return graph.reshape(cut, [n, c, height, width])


def _phases(kernel: int, stride: int, before: int) -> tuple[int, list[list[int | None]]]:
    """For every residue of an output's position, the taps that reach it, in the order of the inputs they are applied to.

    Output s·q + a gets tap t of input i where s·i + t − before = s·q + a. Inputs count from q + the first number.
    """
    reach = {}
    for a in range(stride):
        first = (a + before) % stride
        for t in range(first, kernel, stride):
            reach[a, (a + before - t) // stride] = t
    low = min([0, *(offset for _, offset in reach)])
    high = max([low, *(offset for _, offset in reach)])
    return low, [[reach.get((a, offset)) for offset in range(low, high + 1)] for a in range(stride)]


def _cut(graph: Graph, lanes: str, have: Sequence[int], want: Sequence[int]) -> str:
    """[N, C/B, H, W, B] without the last rows and columns that are too many."""
    if tuple(have[2:4]) == tuple(want[2:4]):
        return lanes
    return graph.op("Slice", lanes, graph.ints([0, 0]), graph.ints(want[2:4]), graph.ints([2, 3]))


def _dense(graph: Graph, layer: Layer, weight: str, few: bool) -> str:
    """The weight [K, C, *k] as [K/B, C/B, *k, Bc, Bk], or as [K/B, C, *k, Bk] where the input's channels are few."""
    outputs, inputs, *kernel = layer.weight
    k, c, b, taps = graph.padded(outputs), inputs if few else graph.padded(inputs), graph.block, prod(kernel)
    pieces = _padded(graph, weight, layer.weight, k, c)
    turned = graph.op("Transpose", graph.reshape(pieces, [k, c * taps]), perm=[1, 0])
    if few:
        moved = graph.op("Transpose", graph.reshape(turned, [c * taps, k // b, b]), perm=[1, 0, 2])
    else:
        moved = graph.op("Transpose", graph.reshape(turned, [c // b, b, taps, k // b, b]), perm=[3, 0, 2, 1, 4])
    return graph.reshape(moved, [k, c, *kernel])


def _swapped(graph: Graph, layer: Layer, weight: str, order: Sequence[Sequence[int]], kernel: Pair) -> str:
    """The weight [K, C/g, *k] for a convolution from K to C channels, once for every list of taps of `order`, in blocks.

    An index behind the last tap stands for a zero. Every list has as many taps as `kernel`.
    """
    g, (outputs, inputs), taps = layer.group, layer.weight[:2], prod(layer.weight[2:])
    outputs //= g
    k, c, b = graph.padded(outputs), graph.padded(inputs), graph.block
    more = [k - outputs, c - inputs, 1 if any(tap >= taps for phase in order for tap in phase) else 0]
    pieces = graph.reshape(weight, [g * outputs, inputs, taps])
    if any(more):
        pieces = graph.op("Pad", pieces, graph.ints([0, 0, 0, *more]))
    turned = graph.op("Transpose", pieces, perm=[0, 2, 1])
    parts = graph.reshape(turned, [g, k // b, b, taps + more[2], c // b, b])
    moved = graph.op("Transpose", parts, perm=[0, 4, 1, 3, 2, 5])
    phases = [
        moved if list(phase) == list(range(taps + more[2])) else graph.op("Gather", moved, graph.ints(phase), axis=3)
        for phase in order
    ]
    whole = phases[0] if len(phases) == 1 else graph.op("Concat", *phases, axis=1)
    return graph.reshape(whole, [g * len(order) * c, k, *kernel])


def _depthwise(graph: Graph, layer: Layer, weight: str, order: Sequence[int] | None = None) -> str:
    """The weight [C, 1, *k] as [C/B, *k, B], its taps in the order given."""
    channels, _, *kernel = layer.weight
    c, b, taps = graph.padded(channels), graph.block, prod(kernel)
    pieces = _padded(graph, weight, layer.weight, c, 1)
    rows = graph.op("Transpose", graph.reshape(pieces, [c // b, b, taps]), perm=[0, 2, 1])
    if order is not None and taps > 1:
        rows = graph.op("Gather", rows, graph.ints(list(order)), axis=1)
    return graph.reshape(rows, [c, 1, *kernel])


def _padded(graph: Graph, weight: str, shape: Sequence[int], outputs: int, inputs: int) -> str:
    more = [outputs - shape[0], inputs - shape[1], 0, 0]
    return graph.op("Pad", weight, graph.ints([0] * 4 + more)) if any(more) else weight


def _pair(values: Sequence[int]) -> Pair:
    first, second = values
    return first, second
