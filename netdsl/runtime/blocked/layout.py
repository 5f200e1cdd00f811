"""The layout pass: a training step in standard operators, written anew with its images in blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
from onnx import helper

from netdsl.autodiff.dataflow import upstream
from netdsl.runtime.work import Shapes

from .convolution import Layer
from .gradients import Gradients
from .graph import DOMAIN, Graph
from .rules import FOLLOWERS, SOURCES, Rule, suited


def in_blocks(model: onnx.ModelProto, shapes: Shapes, block: int) -> onnx.ModelProto:
    """The model with the convolutions that gain from it, their gradients and what lies between them in blocks.

    `block` is the block size of ONNX Runtime's blocked layout here. The same model where nothing gains.
    """
    nodes = list(model.graph.node)
    graph = Graph(model.graph, shapes, block)
    layers = {id(node): layer for node in nodes if node.op_type in SOURCES and (layer := suited(graph, node))}
    if not layers:
        return model
    wanted = _wanted(nodes, layers)
    gradients = Gradients(graph, nodes, layers)
    for node in nodes:
        if gradients.write(node):
            continue
        rule = _rule(graph, node, layers, wanted)
        if rule is None or not rule(graph, node):
            graph.copy(node)
    return _model(model, graph)


def _rule(graph: Graph, node: onnx.NodeProto, layers: Mapping[int, Layer], wanted: set[str]) -> Rule | None:
    """How the node is to be blocked; None: not. Between convolutions, what reads a blocked tensor is, or gives one that
    is wanted so.
    """
    if node.op_type in SOURCES:
        return SOURCES[node.op_type] if id(node) in layers else None
    rule = FOLLOWERS.get(node.op_type)
    if rule is None or node.op_type == "Size":
        return rule
    is_wanted = any(name in wanted and graph.is_image(name) for name in node.output)
    if node.op_type == "Expand":
        return rule if is_wanted else None
    follows = is_wanted or any(graph.lies_blocked(name) for name in node.input)
    return rule if follows and graph.is_image(node.input[0]) else None


def _wanted(nodes: Sequence[onnx.NodeProto], layers: Mapping[int, Layer]) -> set[str]:
    """The tensors that a blocked convolution reads, by way of operators that are blocked where that is wanted."""
    found: set[str] = set()
    for node in reversed(nodes):
        if id(node) in layers:
            found.add(node.input[0])
        elif node.op_type in FOLLOWERS and found.intersection(node.output):
            found.update(node.input)
    return found


def _model(model: onnx.ModelProto, graph: Graph) -> onnx.ModelProto:
    """What was written, without the nodes that nothing reads."""
    for value in model.graph.output:
        graph.plain(value.name)
    source = model.graph
    kept, needed = upstream(graph.nodes, [value.name for value in source.output])
    result = onnx.GraphProto(name=source.name, node=kept, input=source.input, output=source.output)
    result.initializer.extend(t for t in (*source.initializer, *graph.initializers) if t.name in needed)
    opsets = [*model.opset_import, helper.make_opsetid(DOMAIN, 1)]
    return onnx.ModelProto(ir_version=model.ir_version, opset_import=opsets, graph=result, functions=model.functions,
                           producer_name=model.producer_name)  # fmt: skip
