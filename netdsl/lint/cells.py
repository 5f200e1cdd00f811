"""Windows that stop before the end of their input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from netdsl.diagnostics import Label
from netdsl.ir import Dim, Node, Size
from netdsl.lint.net import Net
from netdsl.lint.rule import Finding, of_net
from netdsl.lint.words import AXES, listed, so_often
from netdsl.ops.spatial import half_pads

#: less than one cell in so many is let pass: of a long signal some rest nearly always remains
_NOTICEABLE = 500
#: how far to look for a size that fits
_FARTHEST = 128


class _Axis(NamedTuple):
    """One spatial axis of a window operator."""

    word: str
    size: Dim
    kernel: int
    stride: int
    dilation: int
    pads: tuple[int, int]

    def unseen(self, size: int) -> int:
        """The cells behind the last window of an input of that size. Padding that no window reaches does not count."""
        span = self.dilation * (self.kernel - 1) + 1
        if self.stride > span:
            return 0  # it steps over cells everywhere: that is what it is for
        return max(0, (size + sum(self.pads) - span) % self.stride - self.pads[1])

    @property
    def drops(self) -> int:
        """The cells that are not seen at the default size."""
        return self.unseen(int(self.size))


@of_net("W0202", "dropped-cells", "a stride or pool whose windows leave out the last rows or columns")
def dropped_cells(net: Net) -> Iterator[Finding]:
    strided = (node for node in net.windows if max(node.args.stride) > 1)
    for (place, layer), nodes in net.by_origin(strided).items():
        found = [(node, axes) for node in nodes if (axes := _leaving_out(node))]
        if found:
            node, axes = found[0]
            labels = (Label(place),) if place == layer else (Label(place), Label(layer, "by this layer"))
            notes = so_often(len(found), len(nodes))
            helps = tuple(_ways_out(node, axes, net.graph.symbols))
            yield Finding(_message(node, axes), labels, notes, helps, node.chain)


def _leaving_out(node: Node) -> list[_Axis]:
    """The axes along which a noticeable part of the input is not seen."""
    return [axis for axis in _axes(node) if axis.drops * _NOTICEABLE >= int(axis.size)]


def _axes(node: Node, pads: Sequence[tuple[int, int]] | None = None) -> list[_Axis]:
    """The spatial axes of a node, with other paddings if they are given."""
    a: Any = node.args
    sizes = node.inputs[0].shape[1:]
    pads = pads or a.get("reaching") or a.pads
    return list(map(_Axis, AXES[len(sizes)], sizes, a.kernel, a.stride, a.dilation, pads))


def _message(node: Node, axes: list[_Axis]) -> str:
    parts: dict[tuple[int, int], list[str]] = {}
    for axis in axes:
        parts.setdefault((axis.drops, int(axis.size)), []).append(axis.word)
    texts = []
    for (unseen, size), words in parts.items():
        plural = " and ".join(f"{word}s" for word in words)
        texts.append(f"the last of {size} {plural}" if unseen == 1 else f"the last {unseen} of {size} {plural}")
    return f"`{node.op.name}` never sees {' and '.join(texts)}"


def _ways_out(node: Node, axes: list[_Axis], defaults: Mapping[str, int]) -> Iterator[str]:
    if "ceil" in node.args:
        yield "`ceil = true` adds windows for them, which hang over the end"
    else:
        pad = _better_pad(node)
        if pad is not None:
            yield f"with `pad = {pad}` every cell is seen"
    sizes = _sizes(axes, defaults)
    if sizes:
        yield f"with {listed(sizes, 'and')} nothing is left out"


def _better_pad(node: Node) -> str | None:
    """A padding with which the windows reach the end."""
    a: Any = node.args
    spans = [d * (k - 1) for k, d in zip(a.kernel, a.dilation, strict=True)]
    choices = {"0": [(0, 0)] * len(spans), '"same"': [half_pads(span) for span in spans]}
    choices |= {str(pad): [(pad, pad)] * len(spans) for pad in range(1, min(_FARTHEST, max(spans) + 1))}
    return next((text for text, pads in choices.items() if not any(axis.drops for axis in _axes(node, pads))), None)


def _sizes(axes: list[_Axis], defaults: Mapping[str, int]) -> list[str]:
    """Sizes next to these from which nothing is dropped: of the net's input where that is symbolic."""
    found: dict[str, str] = {}
    for axis in axes:
        names = axis.size.symbols() if isinstance(axis.size, Size) else frozenset()
        if not names:
            found[f"{axis.word}s"] = _near(axis, int(axis.size))
        elif len(names) == 1:
            (name,) = names
            numbers = _near(axis, defaults[name], name)
            found[name] = numbers if found.get(name, numbers) == numbers else ""
    subjects: dict[tuple[str, bool], list[str]] = {}
    for subject, numbers in found.items():
        if numbers:
            subjects.setdefault((numbers, subject in defaults), []).append(subject)
    return [f"{listed(group, 'and')} = {numbers}" if symbolic else f"{numbers} {listed(group, 'and')}"
            for (numbers, symbolic), group in subjects.items()]  # fmt: skip


def _near(axis: _Axis, default: int, name: str | None = None) -> str:
    """The next smaller and the next larger size from which nothing is dropped: of the axis, or of the symbol `name`."""

    def fits(number: int) -> bool:
        size = axis.size.at({name: number}) if name and isinstance(axis.size, Size) else number
        return not axis.unseen(size)

    below = next(filter(fits, range(default - 1, max(1, default - _FARTHEST), -1)), None)
    above = next(filter(fits, range(default + 1, default + _FARTHEST)), None)
    return listed([str(number) for number in (below, above) if number is not None], "or")
