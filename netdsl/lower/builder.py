"""The builder that operators lower themselves with: `netdsl.ops.builder.Builder`, made concrete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from onnx import TensorProto

from netdsl.ir import Dim, Node, Parameter, Value
from netdsl.lower.emit import Emitter
from netdsl.lower.random import Uniform
from netdsl.lower.sizes import Sizes

_DTYPES = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32}


class GraphBuilder:
    """Emits one node of the graph after the other; remembers which tensor holds which value and parameter."""

    def __init__(
        self, emitter: Emitter, sizes: Sizes, uniform: Uniform, names: Mapping[Value, str], *, provider: str,
        training: bool, masked: bool,
    ):  # fmt: skip
        """`names`: what the graph's outputs are called. `masked`: multiply masked parameters by their mask."""
        self.provider = provider
        self.training = training
        self.draws = 0
        self.parameters: dict[Parameter, str] = {}
        self.updates: dict[Parameter, str] = {}
        self._emitter, self._sizes, self._uniform = emitter, sizes, uniform
        self._masked = masked
        self._names = names
        self._values: dict[Value, str] = {}
        self._node: Node | None = None
        self._scratches = 0

    def feed(self, value: Value, name: str) -> None:
        """Say under which name a graph input comes."""
        self._values[value] = name

    def lower(self, node: Node) -> None:
        """Emit the operators of one node."""
        self._node = node
        for parameter in node.parameters.values():
            self.parameters.setdefault(parameter, parameter.name)
        self._emitter.begin(node.name, str(node.span))
        lowered = node.op.lower(node, self)
        results = (lowered,) if isinstance(lowered, str) else lowered
        wanted = [self._names.get(value) or self._emitter.unique(value.name) for value in node.outputs]
        names = self._emitter.end(results, wanted)
        self._values.update(zip(node.outputs, names, strict=True))

    def value(self, value: Value) -> str:
        return self._values[value]

    def parameter(self, parameter: Parameter) -> str:
        """The tensor; of a buffer that an earlier use has updated in this step, the new value."""
        if parameter in self.updates:
            return self.updates[parameter]
        self.parameters.setdefault(parameter, parameter.name)
        if parameter.mask is not None and self._masked:
            mask = self._emitter.constant(dense_mask(parameter))
            return self._emitter.op("Mul", [parameter.name, mask])
        return parameter.name

    def op(self, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        return self._emitter.op(op_type, inputs, **attributes)

    def ops(self, op_type: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> tuple[str, ...]:
        return self._emitter.ops(op_type, inputs, outputs, **attributes)

    def floats(self, values: Sequence[float] | float, shape: Sequence[int] | None = None) -> str:
        array = np.asarray(values, np.float32)
        return self._emitter.constant(array if shape is None else array.reshape(shape))

    def ints(self, values: Sequence[int] | int) -> str:
        return self._emitter.constant(np.asarray(values, np.int64))

    def cast(self, x: str, dtype: Literal["float32", "int32"]) -> str:
        return self.op("Cast", [x], to=_DTYPES[dtype])

    def scratch(self, shape: Sequence[int]) -> str:
        """Filled with a number that no other has: ONNX Runtime merges small initializers with equal values."""
        self._scratches += 1
        return self._emitter.constant(np.full(tuple(shape), self._scratches, np.float32), merge=False)

    def dims(self, dims: Sequence[Dim], *, batch: bool = True) -> str:
        return self._sizes.dims(dims, batch)

    def update(self, buffer: Parameter, tensor: str) -> None:
        assert self.training, "buffers change in training only"
        self.updates[buffer] = tensor

    def uniform(self, like: str) -> str:
        assert self.training and self._node is not None, "random numbers are for training"
        self.draws += 1
        return self._uniform.draw(like, self._node.name)


def dense_mask(parameter: Parameter) -> np.ndarray:
    """The mask of a masked weight `[outputs, inputs, ...]` as zeros and ones `[outputs, inputs, 1, ...]`."""
    assert parameter.mask is not None
    mask = np.zeros(parameter.shape[:2] + (1,) * (len(parameter.shape) - 2), np.float32)
    for output, inputs in enumerate(parameter.mask):
        mask[output, list(inputs)] = 1
    return mask
