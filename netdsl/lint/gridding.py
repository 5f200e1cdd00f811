"""Dilated convolutions that never see some cells between those they see.

Along each axis the cells that an output cell sees are a set of bits, carried from the input through windows (sums of
sets) and joins (unions); so the answer is exact, also for dilations that make up for each other. (Yu & Koltun 2017 and
Wang et al. 2018 describe the effect.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from netdsl.diagnostics import Label
from netdsl.ir import Node, Value
from netdsl.lint.net import Net
from netdsl.lint.rule import Finding, of_net
from netdsl.lint.words import AXES, listed
from netdsl.ops import UNSEEN

#: cells that are looked at along an axis: what sees more is not judged
_MOST_CELLS = 1 << 14


class _Cells(NamedTuple):
    """Along an axis, output cell u sees input cell stride * u + start + i for each bit i; bits 0 and the highest are set."""

    stride: int
    start: int
    bits: int

    @property
    def whole(self) -> bool:
        return self.bits & (self.bits + 1) == 0


class _Seen(NamedTuple):
    """What a tensor sees of one input along each axis, and the dilated layers on the way."""

    source: Value
    axes: tuple[_Cells, ...]
    dilated: tuple[Node, ...] = ()


@of_net("W0207", "gridding", "dilations that leave cells between those seen which are never seen")
def gridding(net: Net) -> Iterator[Finding]:
    if not any(max(node.args.dilation) > 1 for node in net.windows):
        return
    told: set[Node] = set()
    for seen in _at_the_ends(net):
        last = next((node for node in reversed(seen.dilated) if node.span.source is net.source), None)
        if last is not None and not told.intersection(seen.dilated) and not all(axis.whole for axis in seen.axes):
            told.update(seen.dilated)
            yield _told(last, seen, net)


def _at_the_ends(net: Net) -> Iterator[_Seen]:
    """What is seen where nothing can fill the holes any more: at the outputs, and before maps become vectors."""
    known: dict[Value, _Seen | None] = {}
    for value in net.graph.inputs:
        if len(value.shape) > 1:
            known[value] = _Seen(value, (_Cells(1, 0, 1),) * (len(value.shape) - 1))
    for node in net.nodes:
        seen = _through(node, known)
        for value in node.outputs:
            known[value] = seen
        if node.op.reach(node) is None:
            yield from (found for value in node.inputs if (found := known.get(value)))
    yield from (found for value in net.graph.outputs.values() if (found := known.get(value)))


def _through(node: Node, known: Mapping[Value, _Seen | None]) -> _Seen | None:
    """What a node's output sees; None where it is not known, or sees all."""
    joined: _Seen | None = None
    for value, reach in zip(node.inputs, node.op.reaches(node), strict=True):
        if reach is UNSEEN or value not in known:
            continue
        seen = known[value]
        if seen is None or reach is None:
            return None
        if node.op.windowed:
            return _windowed(node, seen)
        if any(r.stride != 1 or r.first != 0 or r.last != 0 for r in reach):
            return None
        joined = seen if joined is None else _union(joined, seen)
        if joined is None:
            return None
    return joined


def _windowed(node: Node, seen: _Seen) -> _Seen | None:
    a: Any = node.args
    moved = []
    for cells, k, s, d, pads in zip(seen.axes, a.kernel, a.stride, a.dilation, a.pads, strict=True):
        kernel = max(k, s) if d == 1 else k  # what a stride steps over by design is no hole
        step = d * cells.stride
        if cells.bits.bit_length() + (kernel - 1) * step > _MOST_CELLS:
            return None
        bits, taps = cells.bits, 1
        while taps < kernel:  # doubling: kernels may be as large as the tracks
            more = min(taps, kernel - taps)
            bits |= bits << more * step
            taps += more
        moved.append(_Cells(cells.stride * s, cells.start - pads[0] * cells.stride, bits))
    dilated = any(k > 1 and d > 1 for k, d in zip(a.kernel, a.dilation, strict=True))
    return _Seen(seen.source, tuple(moved), (*seen.dilated, node) if dilated else seen.dilated)


def _union(a: _Seen, b: _Seen) -> _Seen | None:
    if a.source is not b.source or [x.stride for x in a.axes] != [y.stride for y in b.axes]:
        return None
    axes = []
    for x, y in zip(a.axes, b.axes, strict=True):
        start = min(x.start, y.start)
        axes.append(_Cells(x.stride, start, x.bits << x.start - start | y.bits << y.start - start))
    return _Seen(a.source, tuple(axes), tuple(dict.fromkeys(a.dilated + b.dilated)))


def _told(last: Node, seen: _Seen, net: Net) -> Finding:
    parts: dict[tuple[int, int], list[str]] = {}
    for cells, word in zip(seen.axes, AXES[len(seen.axes)], strict=True):
        if not cells.whole:
            parts.setdefault((cells.bits.bit_count(), cells.bits.bit_length()), []).append(word + "s")
    holes = " and ".join(f"{count} of the {span} {listed(words, 'and')}" for (count, span), words in parts.items())
    others = [node for node in seen.dilated if node.span.source is net.source and node.span != last.span]
    rates = [str(max(node.args.dilation)) for node in seen.dilated]
    places = dict.fromkeys(node.span for node in others)
    return Finding(
        f"the dilation leaves holes: a cell sees {holes} that it spans",
        (Label(last.span), *(Label(span, "with this one") for span in list(places)[:3])),
        (f"the dilation{'s on the way are' if len(rates) > 1 else ' on the way is'} {listed(rates[:12], 'and')}: in between "
         f"lie cells of `{seen.source.name}` that are never seen",),
        ("begin with 1 and let them grow without a common factor, such as 1, 2, 5 (Wang et al. 2018)",), last.chain,
    )  # fmt: skip
