"""Channels joined and cut apart."""

from __future__ import annotations

import onnx

from .graph import DOMAIN, Graph, attributes_of


def concat(graph: Graph, node: onnx.NodeProto) -> bool:
    """Of channels: pieces that fill their blocks together lie one after the other in memory, image by image."""
    shapes = [graph.shape(name) for name in node.input]
    if attributes_of(node)["axis"] not in (1, -3) or any(shape is None or len(shape) != 4 for shape in shapes):
        return False
    graph.join(node)
    return True


def split(graph: Graph, node: onnx.NodeProto) -> bool:
    """Of channels: whole blocks, of which the last may be filled up with channels of the next piece."""
    shapes = [graph.shape(name) for name in node.output]
    if attributes_of(node).get("axis", 0) not in (1, -3) or any(shape is None or len(shape) != 4 for shape in shapes):
        return False
    start = 0
    for name, shape in zip(node.output, shapes, strict=True):
        assert shape is not None
        _cut_out(graph, node.input[0], name, start, shape)
        start += shape[1]
    return True


def _cut_out(graph: Graph, source: str, name: str, start: int, shape: tuple[int, ...]) -> None:
    """Channels `start` and on of a tensor."""
    first, end = start // graph.block * graph.block, graph.padded(start + shape[1])
    blocks = graph.blocks_of(source, first, end)
    if first == start:
        graph.define(name, blocks)
        return
    plain = graph.op("ReorderOutput", blocks, domain=DOMAIN, channels=end - first)
    channels = [graph.ints([at - first]) for at in (start, start + shape[1])]
    graph.define_plain(name, graph.op("Slice", plain, *channels, graph.ints([1])))
