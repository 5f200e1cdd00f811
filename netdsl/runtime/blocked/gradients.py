"""Gradients that are written anew as a whole, whatever the form that autodiff has written them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from . import normalization
from .convolution import Layer, convolution, transposed
from .correlation import weight_gradient
from .graph import Graph, attributes_of

#: how autodiff names what it writes for a node's gradient
_GRADIENT = "grad/"


class Gradients:
    """Those of blocked convolutions and of batch normalisations: all nodes that autodiff has named after one."""

    def __init__(self, graph: Graph, nodes: Sequence[onnx.NodeProto], layers: Mapping[int, Layer]):
        """`layers`: the convolutions that are blocked, by their nodes' ids."""
        self._graph, self._layers = graph, layers
        self._forward = {node.name: node for node in nodes if id(node) in layers or _normalises(node)}
        self._scopes: dict[str, list[onnx.NodeProto]] = {}
        for node in nodes:
            owner = self._owner(node)
            if owner is not None and not self._accumulates(node, owner):
                self._scopes.setdefault(owner, []).append(node)
        self._skipped: set[int] = set()
        self._seen: set[str] = set()

    def write(self, node: onnx.NodeProto) -> bool:
        """Whether the node needs no form of its own. What it is part of is written with its first node."""
        owner = self._owner(node)
        if owner is not None and owner not in self._seen and self._scopes[owner][0] is node:
            self._seen.add(owner)
            self._write(self._forward[owner], self._scopes[owner])
        return id(node) in self._skipped

    def _owner(self, node: onnx.NodeProto) -> str | None:
        """The name of the node that this one is part of the gradient of."""
        name = node.name.rpartition("/")[0].removeprefix(_GRADIENT)
        return name if node.name.startswith(_GRADIENT) and name in self._forward else None

    def _accumulates(self, node: onnx.NodeProto, owner: str) -> bool:
        """Whether the node adds up the gradients of an output that several have read, before its own gradient begins."""
        shape = self._graph.shape(self._forward[owner].output[0])
        return node.op_type in ("Add", "Sum") and owner not in self._scopes and self._graph.shape(node.output[0]) == shape

    def _write(self, forward: onnx.NodeProto, nodes: list[onnx.NodeProto]) -> None:
        """The gradients of a node, as far as they are asked for and have a blocked form."""
        graph = self._graph
        inside = {name for node in nodes for name in node.output}
        read = dict.fromkeys(name for node in nodes for name in node.input if name not in inside)
        known, shape = {*forward.input, *forward.output}, graph.shape(forward.output[0])
        given = [name for name in read if name not in known and graph.has(name) and graph.shape(name) == shape]
        if len(given) != 1 or not graph.is_image(given[0]):
            return
        wanted = {name for name in inside if graph.reads[name] > sum(list(node.input).count(name) for node in nodes)}
        if id(forward) in self._layers:
            done = self._convolution(forward, given[0], wanted)
        else:
            done = self._normalization(forward, given[0], wanted, nodes)
        needed = wanted - done
        for node in reversed(nodes):
            if needed.intersection(node.output):
                needed.update(name for name in node.input if name not in done)
            else:
                self._skipped.add(id(node))

    def _convolution(self, forward: onnx.NodeProto, dy: str, wanted: set[str]) -> set[str]:
        """Those of `wanted` that are written: the gradient of the weight, and that of the input, which waits."""
        graph, layer, x = self._graph, self._layers[id(forward)], forward.input[0]
        done: set[str] = set()
        if graph.shape(x) == layer.weight:
            return done
        for name in (name for name in wanted if graph.shape(name) == layer.weight):
            found = weight_gradient(graph, layer, *((x, dy) if forward.op_type == "Conv" else (dy, x)))
            if found is not None:
                graph.define_plain(name, found)
                done.add(name)
        write = transposed if forward.op_type == "Conv" else convolution
        for name in (name for name in wanted if graph.shape(name) == graph.shape(x) and graph.is_image(name)):
            if graph.put(name, write(graph, layer, dy, forward.input[1])):
                done.add(name)
        return done

    def _normalization(
        self, forward: onnx.NodeProto, dy: str, wanted: set[str], nodes: list[onnx.NodeProto]
    ) -> set[str]:
        """Those of `wanted` that are written, where the images are blocked. Two normalisations may share the sum of dy."""
        graph, x = self._graph, forward.input[0]
        if not graph.lies_blocked(dy):
            return set()
        sums = {node.output[0] for node in nodes if node.op_type == "ReduceSum"}
        products = {node.output[0] for node in nodes if node.op_type == "Sub" and node.input[0] in sums}
        dx, dscale, dbias = normalization.gradient(graph, forward, dy)
        done = set()
        for node in nodes:
            name = node.output[0]
            if name not in wanted:
                continue
            if graph.shape(name) == graph.shape(x):
                graph.put(name, dx)
            elif node.op_type == "ReduceSum" and node.input[0] == dy:
                graph.define_plain(name, dbias)
            elif node.op_type == "Mul" and products.intersection(node.input):
                graph.define_plain(name, dscale)
            else:
                continue
            done.add(name)
        return done


def _normalises(node: onnx.NodeProto) -> bool:
    return node.op_type == "BatchNormalization" and attributes_of(node).get("training_mode", 0) == 1
