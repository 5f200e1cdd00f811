"""Collects the nodes and constants of the backward pass until they are appended to the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


class Builder:
    """Appends pure nodes, each expression once, under names that are free in the graph.

    Nothing touches the graph before `commit`, so a differentiation that fails leaves it as it was.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._taken = {name for node in graph.node for name in (node.name, *node.output)}
        self._taken |= {value.name for value in (*graph.input, *graph.initializer)}
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._expressions: dict[tuple[object, ...], list[str]] = {}
        self._extra_outputs: dict[str, tuple[onnx.NodeProto, int, str]] = {}
        self._next: dict[str, int] = {}
        #: What new names begin with; the engine sets it to the forward node at hand.
        self.scope = "grad"

    def op(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output; an absent optional input is "". Returns the output's name."""
        return self.op_n(1, op_type, *inputs, **attributes)[0]

    def op_n(self, outputs: int, op_type: str, *inputs: str, **attributes: Any) -> list[str]:
        """A node with several outputs. An identical earlier node is used again."""
        key = (op_type, inputs, outputs, repr(sorted(attributes.items())))
        if key not in self._expressions:
            name = self._fresh(f"{self.scope}/{op_type}")
            names = [name] if outputs == 1 else [f"{name}:{index}" for index in range(outputs)]
            self._nodes.append(helper.make_node(op_type, inputs, names, name=name, **attributes))
            self._expressions[key] = names
        return self._expressions[key]

    def constant(self, value: np.ndarray) -> str:
        """An initializer holding `value`; equal constants are shared."""
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self._expressions:
            name = self._fresh("grad/constant")
            self._constants.append(numpy_helper.from_array(value, name))
            self._expressions[key] = [name]
        return self._expressions[key][0]

    def ints(self, values: Sequence[int]) -> str:
        """A constant int64 vector: a shape, a list of axes."""
        return self.constant(np.array(values, np.int64).reshape(-1))

    def forward_output(self, node: onnx.NodeProto, index: int) -> str:
        """Output `index` of a forward node, asking the node for it if it is not computed yet."""
        if index < len(node.output) and node.output[index]:
            return str(node.output[index])
        key = f"{node.output[0]}:{index}"
        if key not in self._extra_outputs:
            self._extra_outputs[key] = (node, index, self._fresh(f"{node.name or node.output[0]}/output{index}"))
        return self._extra_outputs[key][2]

    def commit(self) -> None:
        """Appends everything to the graph."""
        for node, index, name in self._extra_outputs.values():
            while len(node.output) <= index:
                node.output.append("")
            node.output[index] = name
        self._graph.node.extend(self._nodes)
        self._graph.initializer.extend(self._constants)

    def _fresh(self, stem: str) -> str:
        name = stem
        while name in self._taken:
            self._next[stem] = self._next.get(stem, 0) + 1
            name = f"{stem}_{self._next[stem]}"
        self._taken.add(name)
        return name
