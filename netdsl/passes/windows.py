"""What holds of a fully convolutional net on an image that is larger than the one it was made for, in words."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from math import ceil, floor

from netdsl.analysis.receptive import Field, fields_of
from netdsl.ir import Graph, Node, Size, Value, needed
from netdsl.ops import UNSEEN
from netdsl.passes.conversion import listed


def described(graph: Graph, vectors: Collection[str]) -> Iterator[str]:
    """A sentence for each output that was a vector, over each input with open sizes; and one on the layers that pad."""
    fields, padding = fields_of(graph.inputs, graph.nodes), [node for node in graph.nodes if pads(node)]
    met: dict[Node, None] = {}
    for name, value in graph.outputs.items():
        behind = needed(graph.nodes, [value])
        padded = [node for node in padding if node in behind]
        for source, field in fields[value].items():
            if name in vectors and field is not None and any(isinstance(size, Size) for size in source.shape[1:]):
                yield _windows(name, source, field, exact=not padded)
                met |= dict.fromkeys(padded)
    if met:
        yield (f"{len(met)} layers pad ({listed(node.name for node in met)}): inside a larger image they see what surrounds a "
               "window, where the net on the window alone sees padding. The net is the same on images of the window's size; and "
               "positions whose receptive field lies inside the image see no padding at all")  # fmt: skip


def _windows(name: str, source: Value, field: Field, *, exact: bool) -> str:
    size = " x ".join(str(int(dim)) for dim in source.shape[1:])
    every, steps = max(len(track.lo) for track in field.axes), [track.shift for track in field.axes]
    step = str(steps[0]) if len(set(steps)) == 1 else " x ".join(map(str, steps))
    positions = "each position" if every == 1 else f"one in {every} positions"
    holds = "is what the net gives" if exact else "stands"
    pixels = "pixel" if step == "1" else "pixels"
    return f"{positions} of `{name}` {holds} for a {size} window of `{source.name}`, {step} {pixels} from one to the next"


def pads(node: Node) -> bool:
    """Whether an output position at a border sees beyond the input, at the default sizes."""
    for value, reach in zip(node.inputs, node.op.reaches(node), strict=True):
        if reach is None or reach is UNSEEN:
            continue
        for axis, along in enumerate(reach, start=1):
            if ceil(along.first) < 0:
                return True
            if floor(along.stride * (int(node.output.shape[axis]) - 1) + along.last) >= int(value.shape[axis]):
                return True
    return False
