"""Kernels that are too large for what they read, and kernels that a transposed convolution spreads unevenly."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd, prod
from typing import Any

from netdsl.diagnostics import Label
from netdsl.ir import Node
from netdsl.lint.net import Net
from netdsl.lint.rule import Finding, of_net
from netdsl.lint.words import extent, listed, so_often

#: the part of a layer's weights, over all places where it is applied, from which on a warning is worth it
NOTICEABLE = 1 / 3
#: kernels that are looked at tap by tap
_LARGEST = 128


@of_net("W0205", "kernel-in-padding", "a kernel so large for its input that a part of it only ever meets padding")
def kernels_in_padding(net: Net) -> Iterator[Finding]:
    for (place, layer), nodes in net.wide_convolutions.items():
        idle = {node: share for node in nodes if (share := idle_share(node))}
        if not idle:
            continue
        weights = {node: node.parameters["weight"].count for node in nodes}
        if sum(idle[node] * weights[node] for node in idle) >= NOTICEABLE * sum(weights.values()):
            yield _in_padding(next(iter(idle)), Label(place), Label(layer, "by this layer"), len(idle), len(nodes))


def _in_padding(node: Node, place: Label, layer: Label, idle: int, applied: int) -> Finding:
    kernel = node.args.kernel
    alive = [len(taps) for taps in _taps(node)]
    all_, dead = prod(kernel), prod(kernel) - prod(alive)
    labels = (place,) if place.span == layer.span else (place, layer)
    notes = so_often(idle, applied)
    smaller = str(alive[0]) if len(set(alive)) == 1 else f"[{listed(list(map(str, alive)), '').replace('  ', ', ')}]"
    size = extent(node.inputs[0].shape[1:])
    return Finding(
        f"{dead} of the {all_} weights of each kernel only ever meet padding: the input is {size}", labels, notes,
        (f"`kernel = {smaller}` does the same with fewer weights",
         "or keep the maps larger: fewer strides and pools before it, or a larger input"), node.chain,
    )  # fmt: skip


def idle_share(node: Node) -> float:
    """The part of the weights that only ever multiply zeros of the padding."""
    a: Any = node.args
    axes = zip(node.inputs[0].shape[1:], a.kernel, a.stride, a.dilation, strict=True)
    if max(a.kernel) > _LARGEST or all(int(size) >= d * (k - 1) + s for size, k, s, d in axes):
        return 0  # some window lies within the input
    return 1 - prod(len(taps) for taps in _taps(node)) / int(prod(a.kernel))


def _taps(node: Node) -> list[list[int]]:
    """Along each axis, the places of the kernel that meet the input anywhere."""
    a: Any = node.args
    axes = zip(node.inputs[0].shape[1:], node.output.shape[1:], a.kernel, a.stride, a.dilation, a.pads, strict=True)
    return [_meeting(int(size), int(out), k, s, d, pad) for size, out, k, s, d, (pad, _) in axes]


def _meeting(size: int, out: int, kernel: int, stride: int, dilation: int, pad: int) -> list[int]:
    def meets(tap: int) -> bool:
        first = tap * dilation - pad  # what it meets in the first window
        window = max(0, -(first // stride))  # the first window in which it is past the padding
        return window < out and window * stride + first < size

    return [tap for tap in range(kernel) if meets(tap)]


@of_net("W0206", "checkerboard", "a `deconv` whose kernel its stride does not divide: uneven overlap")
def checkerboards(net: Net) -> Iterator[Finding]:
    spread = (node for node in net.own("deconv") if max(node.args.stride) > 1)
    for (place, _), nodes in net.by_origin(spread).items():
        node = nodes[0]
        counts = _overlaps(node)
        if any(len(axis) > 1 for axis in counts) and node.parameters["weight"].init.kind != "bilinear":
            yield _checkerboard(node, Label(place), counts)


def _overlaps(node: Node) -> list[set[int]]:
    """Along each axis, how many inputs an output cell gathers: as many as its place between the inputs allows."""
    a: Any = node.args
    return [_gathered(k, s, d) for k, s, d in zip(a.kernel, a.stride, a.dilation, strict=True)]


def _gathered(kernel: int, stride: int, dilation: int) -> set[int]:
    reached = stride // gcd(stride, dilation)  # of the places between inputs, those that taps fall on, in turns
    each, more = divmod(kernel, reached)
    return {each} | ({each + 1} if more else set()) | ({0} if reached < stride else set())


def _checkerboard(node: Node, place: Label, counts: list[set[int]]) -> Finding:
    a: Any = node.args
    products = {1}
    for axis in counts:
        products = {before * count for before in products for count in axis}
    kernel, stride, better = a.kernel, a.stride, [-(-k // s) * s for k, s in zip(a.kernel, a.stride, strict=True)]
    helps = [f"`upsample({_short(stride)}) -> conv({a.channels}, 3)` spreads evenly"]
    cause = f"the dilation {_short(a.dilation)} spreads the kernel {_short(kernel)} unevenly over the stride {_short(stride)}"
    if max(a.dilation) == 1:
        cause = f"the stride {_short(stride)} does not divide the kernel {_short(kernel)}"
        helps.insert(0, f"use a kernel that the stride divides, such as {_short(better)}")
    gathered = listed(list(map(str, sorted(products))), "or")
    return Finding(
        f"{cause}: the output has a checkerboard pattern", (place,),
        (f"by their place, output cells are sums over {gathered} input cells (Odena et al. 2016)",), tuple(helps), node.chain,
    )  # fmt: skip


def _short(values: tuple[int, ...] | list[int]) -> str:
    return str(values[0]) if len(set(values)) == 1 else str(list(values))
