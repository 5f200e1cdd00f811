"""Mixed precision: which operators of a training step compute in a half type, and the Casts around them.

A pass over the whole graph of a step, forward and backward alike, after Micikevicius et al., "Mixed Precision Training"
(ICLR 2018): products run in float16 or bfloat16, what is cheap and safe between them stays in it, and everything else is
float32: parameters and their update, the loss, statistics, reductions, exponentials and powers. What belongs where
follows the lists of PyTorch's autocast. `KINDS` is the one place that says so.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from enum import Enum, auto
from math import prod
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, defs, helper, numpy_helper

from netdsl.autodiff.tensor_types import FLOATS, tensor_types

Precision = Literal["float32", "fp16", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "fp16", "bf16")
#: the half types by the precision of a step
HALVES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}


class Kind(Enum):
    """How an operator takes part in mixed precision. One that has no kind is float32."""

    PRODUCT = auto()  #: always computes in the half type
    POINTWISE = auto()  #: in the type of those of its operands that are as large as the result
    MOVE = auto()  #: in the type of its data, which it moves, picks from, or averages a few of


KINDS: dict[str, Kind] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul"), Kind.PRODUCT),
    **dict.fromkeys(
        ("Add", "Clip", "Greater", "LeakyRelu", "Less", "Max", "Min", "Mul", "Neg", "PRelu", "Relu", "Sigmoid", "Sub",
         "Sum", "Tanh", "ThresholdedRelu", "Where"), Kind.POINTWISE,
    ),
    **dict.fromkeys(
        ("AveragePool", "Concat", "DepthToSpace", "Flatten", "Gather", "Identity", "MaxPool", "Pad", "Reshape", "Resize",
         "Slice", "SpaceToDepth", "Split", "Squeeze", "Transpose", "Unsqueeze"), Kind.MOVE,
    ),
}  # fmt: skip
#: of these, ONNX Runtime's CUDA provider lists float16 kernels and no bfloat16 ones (its docs/OperatorKernels.md)
_NO_BFLOAT16 = frozenset(
    ("AveragePool", "Clip", "DepthToSpace", "Einsum", "Greater", "LeakyRelu", "Less", "MaxPool", "Pad", "PRelu", "Resize",
     "SpaceToDepth", "ThresholdedRelu")
)  # fmt: skip
#: readers to which the type of a tensor makes no difference
_INDIFFERENT = frozenset(("Shape", "Size"))


def kind_of(node: onnx.NodeProto, half: int) -> Kind | None:
    """The kind of a node where the half type is `half`, None for float32."""
    if node.domain or (half == TensorProto.BFLOAT16 and node.op_type in _NO_BFLOAT16):
        return None
    return KINDS.get(node.op_type)


def in_half(model: onnx.ModelProto, half: int) -> dict[str, onnx.NodeProto]:
    """For each operator that the model computes in the half type somewhere, by its name, a node that does."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    narrow = {value.name for value in inferred.value_info if value.type.tensor_type.elem_type == half}
    narrow |= {tensor.name for tensor in model.graph.initializer if tensor.data_type == half}
    return {
        node.op_type: node
        for node in model.graph.node
        if kind_of(node, half) is not None and not narrow.isdisjoint((*node.input, *node.output))
    }


def opset_for(half: int) -> int:
    """The lowest opset whose convolutions and pools know the half type."""
    return 22 if half == TensorProto.BFLOAT16 else 20


def lower_precision(graph: onnx.GraphProto, half: int, kept: Collection[str]) -> None:
    """Let the operators of `KINDS` compute in `half` (FLOAT16 or BFLOAT16), in place.

    `graph` is a float32 graph, topologically sorted. Its inputs and the tensors `kept` stay float32. Constants that the
    half type cannot hold keep the operators that read them in float32. What nothing reads any more is left in the graph.
    """
    nodes = _Pass(graph, half, kept).converted()
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)


class _Pass:
    def __init__(self, graph: onnx.GraphProto, half: int, kept: Collection[str]) -> None:
        self.graph, self.half, self._kept = graph, half, kept
        self.nodes: list[onnx.NodeProto] = []
        self._types = tensor_types(graph)
        fed = {value.name for value in graph.input}
        self._constants = {tensor.name: tensor for tensor in graph.initializer if tensor.name not in fed}
        self._makers = {output: node for node in graph.node for output in node.output}
        self._floats = self._floating()
        self._wide = self._wanted_wide()
        self._halves: set[str] = set()  # tensors that are half now
        self._casts: dict[tuple[str, int], str] = {}
        self._names: Counter[str] = Counter()

    def converted(self) -> list[onnx.NodeProto]:
        for node in self.graph.node:
            self._convert(node)
        return self.nodes

    def _convert(self, node: onnx.NodeProto) -> None:
        data = self._data(node)
        half = bool(data) and self._computes_half(node, [node.input[index] for index in data])
        changed = onnx.NodeProto()
        changed.CopyFrom(node)
        for index, name in enumerate(node.input):
            if half and index in data:
                changed.input[index] = self._in_half(name, node)
            elif name in self._halves and node.op_type not in _INDIFFERENT:
                changed.input[index] = self._in_float32(name, node)
        self.nodes.append(changed)
        for index, name in enumerate(node.output) if half else ():
            if name in self._kept:
                changed.output[index] = self._casts[name, self.half] = f"{name}:half"
                self._add(node, "Cast", [changed.output[index]], name, to=TensorProto.FLOAT)
            elif name in self._floats:
                self._halves.add(name)

    def _computes_half(self, node: onnx.NodeProto, operands: Sequence[str]) -> bool:
        kind = kind_of(node, self.half)
        if kind is None or not all(self._fits(name) for name in operands):
            return False
        if kind is Kind.PRODUCT:
            return True
        if node.output[0] in self._wide:
            return False
        # a scalar, a value per channel, a mask takes the type of what it meets
        firm = [name for name in operands if not self._is_flexible(name)]
        if kind is Kind.POINTWISE:
            firm = [name for name in firm if not self._is_smaller(name, node.output[0])]
        if not firm and node.op_type == "Where":
            return self._masks_half(node.input[0])
        return bool(firm) and all(name in self._halves for name in firm)

    def _masks_half(self, condition: str) -> bool:
        """Whether a condition compares a half tensor: what is let through by it is that tensor's, or its gradient."""
        maker = self._makers.get(condition)
        return maker is not None and maker.op_type in ("Greater", "Less") and maker.input[0] in self._halves

    def _floating(self) -> set[str]:
        """The floating-point tensors; where inference says nothing, the result is taken to be what the first input is."""
        floats = {name for name, known in self._types.items() if known.element in FLOATS}
        for node in self.graph.node:
            if node.input and node.input[0] in floats:
                unknown = (name for name in node.output if name not in self._types or not self._types[name].element)
                floats.update(unknown)
        return floats

    def _wanted_wide(self) -> set[str]:
        """Results of pointwise operators and moves that only float32 operators read: a square that is summed up.

        They are computed in float32: rounding and overflow would come before what keeps them away.
        """
        readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.graph.node:
            if node.op_type not in _INDIFFERENT:
                for name in node.input:
                    readers[name].append(node)
        wide = set[str]()
        for node in reversed(self.graph.node):
            if kind_of(node, self.half) not in (Kind.POINTWISE, Kind.MOVE):
                continue
            read_by = [reader for output in node.output for reader in readers[output]]
            narrow = [r for r in read_by if kind_of(r, self.half) is not None and r.output[0] not in wide]
            if not narrow or any(output in self._kept for output in node.output):
                wide.update(node.output)
        return wide

    def _data(self, node: onnx.NodeProto) -> list[int]:
        """The inputs of a node of `KINDS` that share one floating-point type, by index."""
        if kind_of(node, self.half) is None:
            return []
        formal = defs.get_schema(node.op_type, opset_for(self.half)).inputs
        kinds = [formal[min(index, len(formal) - 1)].type_str for index in range(len(node.input))]
        floats = [index for index, name in enumerate(node.input) if name in self._floats]
        return [index for index in floats if kinds[index] == kinds[floats[0]]]

    def _is_smaller(self, name: str, than: str) -> bool:
        """Whether a tensor is broadcast to the other's shape."""
        sizes = [known.static if (known := self._types.get(n)) else None for n in (name, than)]
        return sizes[0] is not None and sizes[1] is not None and prod(sizes[0]) < prod(sizes[1])

    def _is_flexible(self, name: str) -> bool:
        """Whether a tensor is as cheaply made in one type as in the other: constants, masks, what is expanded."""
        maker = self._makers.get(name)
        if maker is None:
            return name in self._constants
        return maker.op_type in ("Expand", "ConstantOfShape") or self._is_mask(maker)

    def _is_mask(self, node: onnx.NodeProto) -> bool:
        """Whether a node makes 0 and 1 of truth values. Whole numbers may be larger than a half type holds."""
        known = self._types.get(node.input[0]) if node.op_type == "Cast" else None
        return known is not None and known.element == TensorProto.BOOL

    def _fits(self, name: str) -> bool:
        """Whether a tensor, if it is a constant, has only values that the half type holds, up to rounding."""
        if name not in self._constants:
            return True
        values = numpy_helper.to_array(self._constants[name])
        with np.errstate(over="ignore", under="ignore"):
            rounded = values.astype(helper.tensor_dtype_to_np_dtype(self.half)).astype(np.float32)
        return bool((np.isfinite(rounded) == np.isfinite(values)).all() and ((rounded == 0) == (values == 0)).all())

    def _in_half(self, name: str, reader: onnx.NodeProto) -> str:
        if name in self._halves:
            return name
        key = (name, self.half)
        if key not in self._casts:
            self._casts[key] = result = f"{name}:half"
            maker = self._makers.get(name)
            if name in self._constants:
                values = numpy_helper.to_array(self._constants[name])
                dtype = helper.tensor_dtype_to_np_dtype(self.half)
                self.graph.initializer.append(numpy_helper.from_array(values.astype(dtype), result))
            elif maker is not None and maker.op_type == "Expand":
                self._add(reader, "Expand", [self._in_half(maker.input[0], reader), maker.input[1]], result)
            else:
                source = maker.input[0] if maker is not None and self._is_mask(maker) else name
                self._add(reader, "Cast", [source], result, to=self.half)
        return self._casts[key]

    def _in_float32(self, name: str, reader: onnx.NodeProto) -> str:
        key = (name, int(TensorProto.FLOAT))
        if key not in self._casts:
            self._casts[key] = f"{name}:float32"
            self._add(reader, "Cast", [name], self._casts[key], to=TensorProto.FLOAT)
        return self._casts[key]

    def _add(self, reader: onnx.NodeProto, op_type: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        """A node before `reader`, named so that it counts to the same layer."""
        scope, slash, _ = reader.name.rpartition("/") if reader.name.startswith("grad/") else ("", "", "")
        name = f"{scope}/{op_type}" if slash else f"{reader.name.partition(':')[0]}:{op_type}"
        self._names[name] += 1
        node = helper.make_node(op_type, inputs, [output], name=f"{name}.half{self._names[name]}", **attributes)
        node.metadata_props.extend(reader.metadata_props)
        self.nodes.append(node)
