"""Convolutions behind the point from which on every cell has seen the whole input.

What counts is the narrowest path: around a residual block a cell may have seen little. Layers behind that point add depth
and no context (Richter, Schöning, Wiedenroth & Krumnack, "Should you go deeper?", 2021, measure that they add little else).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from netdsl.diagnostics import Label
from netdsl.ir import Node, Value
from netdsl.lint.kernels import NOTICEABLE, idle_share
from netdsl.lint.net import Net
from netdsl.lint.rule import Finding, of_net
from netdsl.lint.words import extent
from netdsl.ops import UNSEEN, Operator, Reach


class _Line(NamedTuple):
    """Along an axis, cell u sees the input from stride * u + first to stride * u + last by every path."""

    stride: int
    first: int
    last: int


#: per spatial axis; None where it is not known, as behind upsampling
_Lines = tuple[_Line, ...] | None


_CODE = "W0204"


@of_net(_CODE, "receptive-field", "convolutions whose inputs have seen the whole image already; one warning for a net")
def receptive_fields(net: Net) -> Iterator[Finding]:
    images = [value for value in net.graph.inputs if len(value.shape) > 1]
    wide = [node for node in net.of("conv") if max(node.args.kernel) > 1]
    if len(images) != 1 or not wide:
        return
    lines = _narrowest(images[0], net.nodes)
    found: list[Node] = []
    for (place, layer), nodes in net.by_origin(wide).items():
        late = [node for node in nodes if not idle_share(node) and _has_seen_all(node, lines, images[0])]
        weights = sum(node.parameters["weight"].count for node in nodes)
        counts = sum(node.parameters["weight"].count for node in late) >= NOTICEABLE * weights
        if late and counts and not net.silences.covers(_CODE, [place, layer]):
            found += late
    if found:
        yield _told(net, found, lines, images[0])


def _told(net: Net, found: list[Node], lines: Mapping[Value, _Lines], image: Value) -> Finding:
    first = found[0]
    many = len(found) > 1
    these, they = (f"{len(found)} convolutions add", "they read") if many else ("this convolution adds", "it reads")
    weights = sum(p.count for p in dict.fromkeys(node.parameters["weight"] for node in found))
    seen = [line.last - line.first + 1 for line in lines[first.inputs[0]] or ()]
    read, whole = extent(first.inputs[0].shape[1:]), extent(image.shape[1:])
    place = net.place(first) or first.span
    return Finding(
        f"{these} no context: each cell that {they} has seen all of `{image.name}`",
        (Label(place, "the first of them" if many else ""), Label(net.graph.span)),
        (f"{'the first' if many else 'it'} reads {read} cells, whose receptive field is {extent(seen)}, larger than the input "
         f"of {whole}; {weights:,} weights come so late",),
        ("use a larger input, fewer strides and pools before, or fewer layers",), first.chain,
    )  # fmt: skip


def _has_seen_all(node: Node, lines: Mapping[Value, _Lines], image: Value) -> bool:
    """Whether each cell that a convolution reads has seen all of the image, along the axes that its kernel moves on."""
    sizes, before = node.inputs[0].shape[1:], lines.get(node.inputs[0])
    if before is None:
        return False
    axes = zip(before, sizes, image.shape[1:], node.args.kernel, strict=True)
    return all(line.last >= int(whole) - 1 and line.stride * (int(size) - 1) + line.first <= 0
               for line, size, whole, kernel in axes if kernel > 1)  # fmt: skip


def _narrowest(image: Value, nodes: Iterable[Node]) -> dict[Value, _Lines]:
    """What every tensor sees of the image by its narrowest path. A tensor that sees nothing of it is not there."""
    known: dict[Value, _Lines] = {image: (_Line(1, 0, 0),) * (len(image.shape) - 1)}
    for node in nodes:
        arriving = [value for value in node.inputs if value in known]
        if not arriving:
            continue
        op = type(node.op)
        if len(arriving) == 1 and op.reach is Operator.reach and op.reaches is Operator.reaches:
            lines = known[arriving[0]]  # most operators are so: an activation sees what its input sees
        else:
            lines = _through(node, known)
        for value in node.outputs:
            known[value] = lines
    return known


def _through(node: Node, known: Mapping[Value, _Lines]) -> _Lines:
    paths: list[tuple[_Line, ...]] = []
    for value, reach in zip(node.inputs, node.op.reaches(node), strict=True):
        if reach is UNSEEN or value not in known:
            continue
        before = known[value]
        if before is None or reach is None or len(reach) != len(before):
            return None
        if all(r.stride for r in reach):  # a stretched axis has seen all: never the narrowest
            moved = list(map(_moved, before, reach))
            if any(line is None for line in moved):
                return None
            paths.append(tuple(line for line in moved if line is not None))
    if not paths or any(len({line.stride for line in axis}) > 1 for axis in zip(*paths, strict=True)):
        return None
    return tuple(_Line(axis[0].stride, max(line.first for line in axis), min(line.last for line in axis))
                 for axis in zip(*paths, strict=True))  # fmt: skip


def _moved(line: _Line, reach: Reach) -> _Line | None:
    if not all(isinstance(number, int) for number in (reach.stride, reach.first, reach.last)):
        return None
    first, last = line.stride * int(reach.first), line.stride * int(reach.last)
    return _Line(line.stride * int(reach.stride), line.first + first, line.last + last)
