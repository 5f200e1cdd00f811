"""The table of gradient rules, and what a rule is given to work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import onnx
from onnx import helper

from .builder import Builder
from .errors import Unsupported
from .target import Target
from .tensor_types import Dim, TensorType, is_onnx, is_unknown

#: One gradient per input of the node, None where there is none or none is needed.
Gradients = Sequence[str | None]
Rule = Callable[["Backward"], Gradients]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Declaration:
    """The gradient of an operator: how it is written, and what is to be known of it.

    `fixed` names float inputs that count as constants. `lacks` says of which attributes and inputs there is no gradient,
    and why. `kinks` says where the operator has no derivative (or jumps): there the rule takes one of several, and finite
    differences may find another. `every_output` says that the rule looks at the gradients of all outputs.
    """

    function: Rule
    fixed: tuple[str, ...] = ()
    lacks: str = ""
    kinks: str = ""
    every_output: bool = False


_RULES: dict[str, Declaration] = {}

#: Operators through which nothing differentiable flows: their outputs count as constants.
STOPS = frozenset(
    ("And", "ArgMax", "ArgMin", "Bernoulli", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Ceil",
     "Constant", "ConstantOfShape", "Equal", "EyeLike", "Floor", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less",
     "LessOrEqual", "Multinomial", "NonMaxSuppression", "NonZero", "Not", "Or", "RandomNormalLike", "RandomUniformLike",
     "Round", "Shape", "Sign", "Size", "Xor")
)  # fmt: skip


def rule(
    *op_types: str, fixed: tuple[str, ...] = (), lacks: str = "", kinks: str = "", every_output: bool = False
) -> Callable[[Rule], Rule]:
    """Registers a function as the gradient of the named operators (default domain, opset 18 or later); see `Declaration`."""

    def register(function: Rule) -> Rule:
        for op_type in op_types:
            if op_type in _RULES:
                raise ValueError(f"{op_type} has two gradient rules")
            _RULES[op_type] = Declaration(function, fixed, lacks, kinks, every_output)
        return function

    return register


def rule_for(node: onnx.NodeProto) -> Declaration | None:
    """What is declared for `node`, if its operator has a rule."""
    return _RULES.get(node.op_type) if is_standard(node) else None


def stops(node: onnx.NodeProto) -> bool:
    """Whether nothing differentiable flows through `node`."""
    return node.op_type in STOPS and is_standard(node)


def is_standard(node: onnx.NodeProto) -> bool:
    """Whether the operator is one of ONNX itself."""
    return is_onnx(node.domain)


def rules() -> dict[str, Declaration]:
    """What is declared for the operators that have a gradient rule, sorted by name."""
    return dict(sorted(_RULES.items()))


class Backward:
    """One forward node as its rule sees it: what it computed, what flows back, and the means to write nodes."""

    def __init__(
        self,
        node: onnx.NodeProto,
        output_gradients: Sequence[str | None],
        needs: Sequence[bool],
        builder: Builder,
        types: Mapping[str, TensorType],
        constants: Mapping[str, np.ndarray],
        target: Target,
    ) -> None:
        self.node = node
        self.inputs: list[str] = list(node.input)
        self.outputs: list[str] = list(node.output)
        #: Gradient of each output, None where `of` does not depend on it.
        self.output_gradients = output_gradients
        #: Which inputs need a gradient.
        self.needs = needs
        self.target = target
        self.builder = builder
        self.op = builder.op
        self.op_n = builder.op_n
        self.ints = builder.ints
        self._types = types
        self._constants = constants
        self._attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}

    @property
    def x(self) -> str:
        """The first input."""
        return self.inputs[0]

    @property
    def y(self) -> str:
        """The first output."""
        return self.outputs[0]

    @property
    def dy(self) -> str:
        """The gradient of the first output."""
        gradient = self.output_gradients[0]
        if gradient is None:
            raise Unsupported("the gradient flows through a secondary output")
        return gradient

    def has(self, index: int) -> bool:
        """Whether optional input `index` is present."""
        return index < len(self.inputs) and bool(self.inputs[index])

    def attribute(self, name: str, default: T) -> T:
        """An attribute's value; text as str, lists as list."""
        value: Any = self._attributes.get(name, default)
        text: Any = value.decode() if isinstance(value, bytes) else value
        return cast(T, text)

    def attributes(self) -> dict[str, Any]:
        """All attributes, to build a node of the same kind."""
        return dict(self._attributes)

    def constant_value(self, name: str) -> np.ndarray | None:
        """The value of a tensor that is known now: a small initializer or the output of a Constant node."""
        return self._constants.get(name)

    def constant_ints(self, index: int, attribute: str) -> list[int] | None:
        """Integers given as input `index` or, in older operator versions, as an attribute; None if absent.

        Raises Unsupported if they are computed at run time.
        """
        if not self.has(index):
            values = self._attributes.get(attribute)
            return None if values is None else [int(v) for v in np.atleast_1d(values)]
        value = self.constant_value(self.inputs[index])
        if value is None:
            raise Unsupported(f"{attribute} must be a constant")
        return [int(v) for v in value.reshape(-1)]

    def dims(self, name: str) -> tuple[Dim, ...]:
        """Dimensions of a tensor of the forward graph; raises Unsupported if the rank is unknown."""
        known = self._types.get(name)
        if known is None or known.dims is None:
            raise Unsupported(f"the shape of '{name}' is unknown")
        return known.dims

    def static_dims(self, name: str) -> tuple[int, ...] | None:
        """Dimensions of a tensor where all are known, else None."""
        return TensorType(self.element(name), self.dims(name)).static

    def rank(self, name: str) -> int:
        return len(self.dims(name))

    def element(self, name: str) -> int:
        """Element type of a tensor, as in `onnx.TensorProto`."""
        if name not in self._types:
            raise Unsupported(f"the type of '{name}' is unknown")
        return self._types[name].element

    @property
    def dtype(self) -> np.dtype:
        """The floating-point type the node computes in."""
        return helper.tensor_dtype_to_np_dtype(self.element(self.y))

    def scalar(self, value: float) -> str:
        """A constant of the node's type and rank 0."""
        return self.builder.constant(np.array(value, self.dtype))

    def constant(self, value: np.ndarray) -> str:
        """A constant array, converted to the node's type."""
        return self.builder.constant(np.ascontiguousarray(value, self.dtype))

    def output(self, index: int) -> str:
        """An output of the forward node, computed from now on if it was not."""
        return self.builder.forward_output(self.node, index)

    def shape(self, name: str) -> str:
        """A tensor's shape as an int64 vector: a constant where it is known now."""
        static = self.static_dims(name)
        return self.ints(static) if static is not None else self.op("Shape", name)

    def zeros_like(self, name: str) -> str:
        """Zeros of a tensor's shape and type."""
        zero = helper.make_tensor("value", self.element(name), [1], [0])
        return self.op("ConstantOfShape", self.shape(name), value=zero)

    def reshape_like(self, value: str, name: str) -> str:
        """`value` in the shape of `name`, which has as many elements; at most one symbolic size costs nothing."""
        known = self._types.get(name)
        dims = known.dims if known else None
        if dims is not None and sum(not isinstance(dim, int) for dim in dims) <= 1 and 0 not in dims:
            return self.op("Reshape", value, self.ints([dim if isinstance(dim, int) else -1 for dim in dims]))
        return self.op("Reshape", value, self.op("Shape", name))

    def reduce_sum(self, value: str, axes: Sequence[int], keepdims: bool = True) -> str:
        return self.op("ReduceSum", value, self.ints(axes), keepdims=int(keepdims)) if axes else value

    def sum_to(self, value: str, value_dims: Sequence[Dim], name: str) -> str:
        """Undoes numpy broadcasting: sums `value` down to the shape of `name`. A named size is never taken for 1."""
        dims = self.dims(name)
        lead = len(value_dims) - len(dims)
        if any(is_unknown(dim) and dim != size for dim, size in zip(dims, value_dims[lead:], strict=True) if size != 1):
            # A size that inference does not know may be 1, which only the run tells.
            summed = self.reduce_sum(value, range(lead), keepdims=False)
            ones = self.op("NonZero", self.op("Equal", self.op("Shape", name), self.ints([1])))
            return self.op("ReduceSum", summed, self.op("Reshape", ones, self.ints([-1])), noop_with_empty_axes=1)
        axes = [axis for axis in range(lead, len(value_dims)) if dims[axis - lead] == 1 and value_dims[axis] != 1]
        summed = self.reduce_sum(value, [*range(lead), *axes], keepdims=not lead)
        return self.reshape_like(summed, name) if lead and axes else summed

    def unbroadcast(self, value: str, index: int) -> str:
        """`sum_to` for a value of the output's shape and input `index`."""
        return self.sum_to(value, self.dims(self.y), self.inputs[index])

    def masked(self, condition: str, value: str) -> str:
        """`value` where the condition holds, else 0; never 0·inf."""
        return self.op("Where", condition, value, self.scalar(0))

    def transpose(self, value: str, permutation: Sequence[int]) -> str:
        if list(permutation) == sorted(permutation):
            return value
        return self.op("Transpose", value, perm=list(permutation))
