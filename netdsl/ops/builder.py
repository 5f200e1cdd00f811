"""What an operator's lowering may ask for. It is passed in, so that `ops/` imports neither onnx nor numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from netdsl.ir.graph import Parameter, Value
from netdsl.ir.size import Dim


class Builder(Protocol):
    """Emits ONNX nodes for the node being lowered; names and source locations are added behind the scenes."""

    #: lowering for a training step: batch statistics, dropout active
    training: bool
    #: the execution provider that is lowered for, where operators need different forms: "cpu" or "cuda"
    provider: str

    def value(self, value: Value) -> str:
        """The ONNX tensor that holds a value of the graph."""

    def parameter(self, parameter: Parameter) -> str:
        """The ONNX tensor that holds a parameter; a buffer as the last `update` left it."""

    def op(self, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Emit a node with one output; return the output's name. An empty input name is an absent optional input."""

    def ops(self, op_type: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> tuple[str, ...]:
        """Emit a node with several outputs."""

    def floats(self, values: Sequence[float] | float, shape: Sequence[int] | None = None) -> str:
        """A float32 constant; a scalar for a number."""

    def ints(self, values: Sequence[int] | int) -> str:
        """An int64 constant; a scalar for a number."""

    def cast(self, x: str, dtype: Literal["float32", "int32"]) -> str:
        """The tensor in another element type."""

    def scratch(self, shape: Sequence[int]) -> str:
        """A float32 tensor that a kernel may overwrite, whose values do not matter.

        Never shared: a constant per call, and unlike every other constant in its values too (the n-th is full of n,
        say), because ONNX Runtime merges equal constants of up to 8 elements.
        """

    def dims(self, dims: Sequence[Dim], *, batch: bool = True) -> str:
        """A 1-D int64 tensor with the dimensions, led by the batch size; computed at run time where symbolic."""

    def update(self, buffer: Parameter, tensor: str) -> None:
        """In training: the value that a buffer (running statistics) takes after this step."""

    def uniform(self, like: str) -> str:
        """In training: a float32 tensor in [0, 1) of the shape of `like`, a pure function of (seed, step, node)."""
