"""Convolutions behind the point from which on receptive fields are larger than the input.

What counts is the narrowest path: around a residual block a cell may have seen little. Richter, Schöning, Wiedenroth &
Krumnack ("Should you go deeper?", 2021) call these layers unproductive, and measure that they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from netdsl.diagnostics import Label
from netdsl.ir import Node, Value
from netdsl.lint.kernels import NOTICEABLE, idle_share
from netdsl.lint.net import Net
from netdsl.lint.rule import Finding, of_net
from netdsl.lint.words import extent
from netdsl.ops import UNSEEN, Operator


class _Line(NamedTuple):
    """Along an axis, cell u sees the input from stride * u + first to stride * u + last by every path."""

    stride: int
    first: int
    last: int


#: between tensors of one size an element sees the elements at its place
_JOINS = ("add", "sub", "mul", "sum", "concat")

#: per spatial axis; None where it is not known, as behind upsampling
_Lines = tuple[_Line, ...] | None


_CODE = "W0204"


@of_net(_CODE, "receptive-field", "convolutions behind a receptive field larger than the input; one warning for a net")
def receptive_fields(net: Net) -> Iterator[Finding]:
    images = [value for value in net.graph.inputs if len(value.shape) > 1]
    if len(images) != 1 or not net.wide_convolutions:
        return
    lines = _narrowest(images[0], net.nodes)
    found: list[Node] = []
    for (place, layer), nodes in net.wide_convolutions.items():
        late = [node for node in nodes if _is_behind(node, lines, images[0]) and not idle_share(node)]
        if late and _weights(late) >= NOTICEABLE * _weights(nodes) and not net.silences.covers(_CODE, [place, layer]):
            found += late
    if found:
        yield _told(net, found, lines, images[0])


def _told(net: Net, found: list[Node], lines: Mapping[Value, _Lines], image: Value) -> Finding:
    first = found[0]
    many = len(found) > 1
    these = f"{len(found)} convolutions read" if many else "this convolution reads"
    seen = extent([line.last - line.first + 1 for line in lines[first.inputs[0]] or ()])
    place = net.place(first) or first.span
    return Finding(
        f"{these} what has a receptive field larger than the input: {seen} of {extent(image.shape[1:])}",
        (Label(place, "the first of them" if many else ""), Label(net.graph.span)),
        (f"there are {_weights(found):,} weights behind that point, which have little context to add (Richter et al. 2021)",),
        ("use a larger input, fewer strides and pools before, or fewer layers",), first.chain,
    )  # fmt: skip


def _weights(nodes: list[Node]) -> int:
    """How many there are, shared ones once."""
    return sum(p.count for p in {node.parameters["weight"] for node in nodes})


def _is_behind(node: Node, lines: Mapping[Value, _Lines], image: Value) -> bool:
    """Whether what a convolution reads has a field larger than the image, along each axis that its kernel moves on.

    Not one that gathers a whole map in a cell: it stands for a dense layer.
    """
    before = lines.get(node.inputs[0])
    if before is None or all(int(size) == 1 for size in node.output.shape[1:]):
        return False
    axes = zip(before, image.shape[1:], node.args.kernel, strict=True)
    return all(line.last - line.first + 1 > int(size) for line, size, kernel in axes if kernel > 1)


def _narrowest(image: Value, nodes: Iterable[Node]) -> dict[Value, _Lines]:
    """What every tensor sees of the image by its narrowest path. A tensor that sees nothing of it is not there."""
    known: dict[Value, _Lines] = {image: (_Line(1, 0, 0),) * (len(image.shape) - 1)}
    for node in nodes:
        arriving = [value for value in node.inputs if value in known]
        if arriving:
            lines = _through(node, arriving, known)
            for value in node.outputs:
                known[value] = lines
    return known


def _through(node: Node, arriving: list[Value], known: Mapping[Value, _Lines]) -> _Lines:
    op, before = node.op, known[arriving[0]]
    if type(op).reach is Operator.reach:
        if len(arriving) == 1 and type(op).reaches is Operator.reaches:
            return before  # most operators are so: an activation sees what its input sees
        if op.name in _JOINS and len({value.shape[1:] for value in node.inputs}) == 1:
            return _joined([known[value] for value in arriving])
    elif op.windowed:
        return None if before is None else _windowed(node, before)
    paths: list[_Lines] = []
    for value, reach in zip(node.inputs, op.reaches(node), strict=True):
        if reach is not UNSEEN and value in known:
            if reach is None or any(r.stride != 1 or r.first != 0 or r.last != 0 for r in reach):
                return None
            paths.append(known[value])
    return _joined(paths)


def _windowed(node: Node, lines: tuple[_Line, ...]) -> _Lines:
    a: Any = node.args
    axes = zip(lines, a.kernel, a.stride, a.dilation, a.pads, strict=True)
    return tuple([
        _Line(stride * s, first - stride * pads[0], last + stride * (d * (k - 1) - pads[0]))
        for (stride, first, last), k, s, d, pads in axes
    ])  # fmt: skip


def _joined(paths: list[_Lines]) -> _Lines:
    """What is seen by every path."""
    known = [lines for lines in paths if lines is not None]
    if len(known) < len(paths) or not known or len({tuple(line.stride for line in lines) for lines in known}) > 1:
        return None
    return tuple(_Line(axis[0].stride, max(line.first for line in axis), min(line.last for line in axis))
                 for axis in zip(*known, strict=True))  # fmt: skip
