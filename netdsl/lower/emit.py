"""Writes ONNX nodes and constants into a GraphProto, with unique names and the place in the .net file on each node.

Protobuf's own `add()` is used throughout: `onnx.helper` takes five times as long, and networks of 50,000 nodes exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto

SOURCE_KEY = "netdsl.source"

_DTYPES = {"<f4": TensorProto.FLOAT, "<i8": TensorProto.INT64, "<u4": TensorProto.UINT32, "|b1": TensorProto.BOOL}


class Emitter:
    """Nodes are written in scopes: `begin` says for which operator, `end` gives its nodes and tensors their names."""

    def __init__(self, graph: GraphProto, reserved: Iterable[str]):
        """`reserved` are names that tensors have already: inputs, outputs, parameters."""
        self.graph = graph
        self._taken = set(reserved)
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._path = ""
        self._source = ""
        self._scope: list[NodeProto] = []
        self._counts: dict[str, int] = {}

    def begin(self, path: str, source: str) -> None:
        """From here on nodes belong to the operator `path`, written at `source` (`file:line:column`)."""
        self._path, self._source, self._scope, self._counts = path, source, [], {}

    def end(self, results: Sequence[str], names: Sequence[str]) -> list[str]:
        """Close the scope: name its results, as far as it produced them, and return what they are called now.

        A single node is called as its operator, `stage2/conv`; several are `stage2/fc:MatMul`, `stage2/fc:Add`.
        """
        if len(self._scope) == 1:
            self._scope[0].name = self._path
        produced = {name for node in self._scope for name in node.output}
        renamed: dict[str, str] = {}
        for result, name in zip(results, names, strict=True):
            if result in produced and result not in renamed:
                renamed[result] = name
        for node in self._scope:
            _rename(node.input, renamed)
            _rename(node.output, renamed)
        return [renamed.get(result, result) for result in results]

    def unique(self, name: str) -> str:
        """The name, or the first of `name_2`, `name_3`, ... that no tensor has; from now on it is taken."""
        chosen, count = name, 1
        while chosen in self._taken:
            count += 1
            chosen = f"{name}_{count}"
        self._taken.add(chosen)
        return chosen

    def op(self, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Emit a node with one output in the current scope; return the output's name."""
        return self.ops(op_type, inputs, 1, **attributes)[0]

    def ops(self, op_type: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> tuple[str, ...]:
        """Emit a node with several outputs in the current scope."""
        count = self._counts[op_type] = self._counts.get(op_type, 0) + 1
        label = f"{self._path}:{op_type}" if count == 1 else f"{self._path}:{op_type}.{count}"
        names = (label,) if outputs == 1 else tuple(f"{label}:{index}" for index in range(outputs))
        self._scope.append(self._add(label, op_type, inputs, names, self._source, attributes))
        return names

    def shared(self, name: str, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Emit a node that several operators read (a size, the seed): it belongs to no scope, and has its own name."""
        output = self.unique(name)
        self._add(output, op_type, inputs, (output,), None, attributes)
        return output

    def alias(self, name: str, tensor: str) -> None:
        """Make a tensor known under a second name, one that `unique` gave."""
        # an operator's node may be called as the output is
        self._add(f"{name}:output", "Identity", [tensor], (name,), None, {})

    def constant(self, array: np.ndarray | np.generic, merge: bool = True) -> str:
        """An initializer with the array's values; equal ones are stored once, unless told not to `merge`."""
        key = (array.dtype.str, array.shape, array.tobytes())
        if merge and key in self._constants:
            return self._constants[key]
        name = self.unique(f"constant.{len(self.graph.initializer) + 1}")
        self.graph.initializer.add(name=name, data_type=_DTYPES[key[0]], dims=key[1], raw_data=key[2])
        if merge:
            self._constants[key] = name
        return name

    def _add(
        self, name: str, op_type: str, inputs: Sequence[str], outputs: Sequence[str], source: str | None,
        attributes: dict[str, Any],
    ) -> NodeProto:  # fmt: skip
        node: NodeProto = self.graph.node.add()
        node.name, node.op_type = name, op_type
        node.input.extend(inputs)
        node.output.extend(outputs)
        for key, value in attributes.items():
            set_attribute(node.attribute.add(), key, value)
        if source is not None:
            entry = node.metadata_props.add()
            entry.key, entry.value = SOURCE_KEY, source
        return node


def set_attribute(attribute: AttributeProto, name: str, value: Any) -> None:
    """Fill in an attribute: an int (or bool), float, string, or a list of one of them."""
    attribute.name = name
    if isinstance(value, int):
        attribute.type, attribute.i = AttributeProto.INT, int(value)
    elif isinstance(value, float):
        attribute.type, attribute.f = AttributeProto.FLOAT, value
    elif isinstance(value, str):
        attribute.type, attribute.s = AttributeProto.STRING, value.encode()
    elif all(isinstance(item, int) for item in value):
        attribute.type = AttributeProto.INTS
        attribute.ints.extend(value)
    elif all(isinstance(item, (int, float)) for item in value):
        attribute.type = AttributeProto.FLOATS
        attribute.floats.extend(value)
    else:
        attribute.type = AttributeProto.STRINGS
        attribute.strings.extend(item.encode() for item in value)


def _rename(names: Any, renamed: dict[str, str]) -> None:
    for index, name in enumerate(names):
        if name in renamed:
            names[index] = renamed[name]
