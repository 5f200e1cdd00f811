"""The layout pass: a training step in standard operators, written anew with its images in blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx
from onnx import helper

from netdsl.runtime.work import Shapes

from .convolution import Layer, convolution, transposed
from .correlation import weight_gradient
from .graph import DOMAIN, Graph
from .rules import FOLLOWERS, SOURCES, size, suited

#: how autodiff names what it writes for a node's gradient
_GRADIENT = "grad/"


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
    gradients = _Gradients(graph, source.node, layers)
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


class _Gradients:
    """The gradients of blocked convolutions, which are blocked as a whole whatever the form they are written in."""

    def __init__(self, graph: Graph, nodes: Iterable[onnx.NodeProto], layers: Mapping[int, Layer]):
        self.graph, self.layers = graph, layers
        nodes = list(nodes)
        self.forward = {node.name: node for node in nodes if id(node) in layers}
        self.scopes: dict[str, list[onnx.NodeProto]] = {}
        for node in nodes:
            owner = self._owner(node)
            if owner is not None:
                self.scopes.setdefault(owner, []).append(node)
        self.skipped: set[int] = set()
        self.seen: set[str] = set()

    def _owner(self, node: onnx.NodeProto) -> str | None:
        """The name of the blocked convolution that the node is part of the gradient of."""
        name = node.name.rpartition("/")[0].removeprefix(_GRADIENT)
        return name if node.name.startswith(_GRADIENT) and name in self.forward else None

    def write(self, node: onnx.NodeProto) -> bool:
        """Whether the node needs no form of its own."""
        owner = self._owner(node)
        if owner is not None and owner not in self.seen:
            self.seen.add(owner)
            self._write(owner)
        return id(node) in self.skipped

    def _write(self, owner: str) -> None:
        """Both gradients of a convolution, as far as they are asked for and have a blocked form."""
        nodes, forward = self.scopes[owner], self.forward[owner]
        layer, graph = self.layers[id(forward)], self.graph
        inside = {name for node in nodes for name in node.output}
        read = dict.fromkeys(name for node in nodes for name in node.input if name not in inside)
        x, weight, y = forward.input[0], forward.input[1], forward.output[0]
        shape = graph.shape(y)
        given = [name for name in read if name not in (x, weight, y) and graph.has(name) and graph.shape(name) == shape]
        if len(given) != 1 or graph.shape(x) == layer.weight or not graph.is_image(given[0]):
            return
        outside = {name for name in inside if graph.reads[name] > sum(list(n.input).count(name) for n in nodes)}
        done = set()
        for name in sorted(outside, key=lambda name: graph.shape(name) != layer.weight):
            if graph.shape(name) == layer.weight:
                done |= self._weight(forward, layer, given[0], name)
            elif graph.shape(name) == graph.shape(x):
                done |= self._input(forward, layer, given[0], name)
        needed = outside - done
        for node in reversed(nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
            else:
                self.skipped.add(id(node))

    def _weight(self, forward: onnx.NodeProto, layer: Layer, dy: str, name: str) -> set[str]:
        x = forward.input[0]
        images = (x, dy) if forward.op_type == "Conv" else (dy, x)
        found = weight_gradient(self.graph, layer, *images)
        if found is None:
            return set()
        self.graph.define_plain(name, found)
        return {name}

    def _input(self, forward: onnx.NodeProto, layer: Layer, dy: str, name: str) -> set[str]:
        if not self.graph.is_image(name):
            return set()
        write = transposed if forward.op_type == "Conv" else convolution
        return {name} if self.graph.put(name, write(self.graph, layer, dy, forward.input[1])) else set()


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
