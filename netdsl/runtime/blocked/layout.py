"""The layout pass: a training step in standard operators, written anew with its images in blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx
from onnx import helper

from netdsl.runtime.work import Shapes

from .convolution import Layer
from .gradients import Gradients
from .graph import DOMAIN, Graph
from .rules import FOLLOWERS, SOURCES, size, suited


def in_blocks(model: onnx.ModelProto, shapes: Shapes, block: int) -> onnx.ModelProto:
    """The model with the convolutions that gain from it, their gradients and what lies between them in blocks.

    `block` is the block size of ONNX Runtime's blocked layout here. The same model where nothing gains.
    """
    source = model.graph
    graph = Graph(source, shapes, block)
    layers = {id(node): layer for node in source.node if node.op_type in SOURCES and (layer := suited(graph, node))}
    if not layers:
        return model
    wanted = _wanted(source.node, layers)
    gradients = Gradients(graph, source.node, layers)
    for node in source.node:
        if gradients.write(node):
            continue
        rule = SOURCES.get(node.op_type) if id(node) in layers else FOLLOWERS.get(node.op_type)
        if node.op_type == "Size":
            rule = size
        elif id(node) not in layers and not _follows(graph, node, wanted):
            rule = None
        if rule is None or not rule(graph, node):
            graph.copy(node)
    return _model(model, graph)


def _follows(graph: Graph, node: onnx.NodeProto, wanted: set[str]) -> bool:
    """Whether a node between convolutions is to be blocked: what it reads is, or what it gives is wanted so."""
    images = [name for name in (*node.input, *node.output) if graph.is_image(name)]
    if not images or not graph.is_image(node.input[0]):
        return node.op_type == "Expand" and bool(wanted.intersection(node.output)) and graph.is_image(node.output[0])
    return any(graph.lies_blocked(name) for name in node.input) or bool(wanted.intersection(node.output))


def _wanted(nodes: Iterable[onnx.NodeProto], layers: Mapping[int, Layer]) -> set[str]:
    """The tensors that a blocked convolution reads, by way of operators that are blocked where that is wanted."""
    found: set[str] = set()
    for node in reversed(list(nodes)):
        if id(node) in layers:
            found.add(node.input[0])
        elif node.op_type in FOLLOWERS and found.intersection(node.output):
            found.update(node.input)
    return found


def _model(model: onnx.ModelProto, graph: Graph) -> onnx.ModelProto:
    """What was written, without the nodes that nothing reads."""
    for value in model.graph.output:
        graph.plain(value.name)
    needed = {value.name for value in model.graph.output}
    kept = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            needed.update(name for a in node.attribute for inner in a.g.node for name in inner.input)
            kept.append(node)
    source = model.graph
    result = onnx.GraphProto(name=source.name, node=reversed(kept), input=source.input, output=source.output)
    result.initializer.extend(t for t in (*source.initializer, *graph.initializers) if t.name in needed)
    opsets = [*model.opset_import, helper.make_opsetid(DOMAIN, 1)]
    return onnx.ModelProto(ir_version=model.ir_version, opset_import=opsets, graph=result, functions=model.functions,
                           producer_name=model.producer_name)  # fmt: skip
