"""Appends ONNX nodes to a graph: what the optimizers and the step's assembly share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Writer:
    """Emits nodes whose names start with a prefix of their own, so that they meet none of the graph's."""

    def __init__(self, graph: onnx.GraphProto, prefix: str):
        self.graph, self.prefix = graph, prefix
        self._count = 0
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def op(self, op_type: str, inputs: Sequence[str], *, into: str | None = None, **attributes: Any) -> str:
        """Append a node with one output, named `into` or anew; return the output's name."""
        return self.ops(op_type, inputs, [into or self._fresh(op_type)], **attributes)[0]

    def ops(self, op_type: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> Sequence[str]:
        """Append a node with the given outputs; return them."""
        node = helper.make_node(op_type, inputs, outputs, name=self._fresh(op_type), **attributes)
        self.graph.node.append(node)
        return outputs

    def input(self, name: str, element: int = TensorProto.FLOAT, shape: Sequence[int] = ()) -> str:
        """Declare an input of the graph; return its name."""
        self.graph.input.append(helper.make_tensor_value_info(name, element, shape))
        return name

    def output(self, name: str, shape: Sequence[int] = ()) -> None:
        """Declare an output of the graph, float32."""
        self.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def unused(self, name: str) -> str:
        """The name, or one like it that no tensor of the graph has."""
        taken = {value.name for value in self.graph.input}
        taken.update(output for node in self.graph.node for output in node.output)
        while name in taken:
            name += "_"
        return name

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """An initializer, one for equal values."""
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self._fresh("constant")
            self.graph.initializer.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def _fresh(self, word: str) -> str:
        self._count += 1
        return f"{self.prefix}/{word}.{self._count}"
