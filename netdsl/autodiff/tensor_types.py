"""Element types and shapes of every tensor of a graph."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import onnx
from onnx import TensorProto, helper

FLOATS = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16})

#: A size known now, a symbol (see `is_unknown`), or nothing known.
Dim = int | str | None

# Shape inference needs the operator versions, which a bare GraphProto does not carry; the operators that have rules infer
# alike from opset 18 on, but that before this one pools that round up had a window too many.
_OPSET = 22
# Initializers up to this many elements keep their values during inference: shapes and axes are that small.
_SMALL = 1024


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type (`onnx.TensorProto.DataType`) and dimensions of a tensor; `dims` is None if the rank is unknown."""

    element: int
    dims: tuple[Dim, ...] | None

    @property
    def is_float(self) -> bool:
        return self.element in FLOATS

    @property
    def static(self) -> tuple[int, ...] | None:
        """The dimensions, where all of them are known."""
        if self.dims is None:
            return None
        known = tuple(dim for dim in self.dims if isinstance(dim, int))
        return known if len(known) == len(self.dims) else None


def tensor_types(graph: onnx.GraphProto) -> dict[str, TensorType]:
    """The type of every tensor of `graph`; runs ONNX shape inference where `value_info` is incomplete."""
    types = _declared(graph)
    if any(not _complete(types.get(output)) for node in graph.node for output in node.output if output):
        others = sorted({node.domain for node in graph.node if not is_onnx(node.domain)})
        opset = [helper.make_opsetid("", _OPSET), *(helper.make_opsetid(domain, 1) for domain in others)]
        types |= infer_types(graph, opset)
    return types


def infer_types(graph: onnx.GraphProto, opset: Iterable[onnx.OperatorSetIdProto]) -> dict[str, TensorType]:
    """Types by ONNX shape inference, run on a copy of `graph` without the values of its weights."""
    newer = [helper.make_opsetid(o.domain, max(o.version, _OPSET) if is_onnx(o.domain) else o.version) for o in opset]
    model = helper.make_model(_without_weights(graph), opset_imports=newer)
    return _declared(onnx.shape_inference.infer_shapes(model, data_prop=True).graph)


def _complete(declared: TensorType | None) -> bool:
    return declared is not None and declared.dims is not None and None not in declared.dims


def _declared(graph: onnx.GraphProto) -> dict[str, TensorType]:
    types = {value.name: _of_value(value) for value in (*graph.value_info, *graph.output, *graph.input)}
    types |= {tensor.name: TensorType(tensor.data_type, tuple(tensor.dims)) for tensor in graph.initializer}
    return types


def _of_value(value: onnx.ValueInfoProto) -> TensorType:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return TensorType(tensor.elem_type, None)
    return TensorType(tensor.elem_type, tuple(_dim(dim) for dim in tensor.shape.dim))


def _dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    if dim.HasField("dim_value"):
        return dim.dim_value
    return dim.dim_param or None


def is_onnx(domain: str) -> bool:
    """Whether the operators of a domain are ONNX's own."""
    return domain in ("", "ai.onnx")


def is_unknown(dim: Dim) -> bool:
    """Whether nothing is known of a size: not even a name that the model gives it, but at best one that inference made."""
    return dim is None or (isinstance(dim, str) and dim.startswith("unk__"))


def _inferred(node: onnx.NodeProto) -> onnx.NodeProto:
    """A node in a form that inference knows: it says nothing of GroupNormalization, which keeps type and shape."""
    keeps = node.op_type == "GroupNormalization" and is_onnx(node.domain)
    return helper.make_node("Identity", node.input[:1], node.output[:1]) if keeps else node


def _without_weights(graph: onnx.GraphProto) -> onnx.GraphProto:
    """`graph` with every large initializer turned into an input: inference copies the model through bytes.

    Small ones stay: shapes and scales are among them.
    """
    small = [t for t in graph.initializer if prod(t.dims) <= _SMALL]
    kept = {tensor.name for tensor in small}
    inputs = list(graph.input)
    known = kept | {value.name for value in inputs}
    weights = [tensor for tensor in graph.initializer if tensor.name not in known]
    inputs += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in weights]
    nodes = [_inferred(node) for node in graph.node]
    return helper.make_graph(
        nodes, graph.name or "graph", inputs, list(graph.output), small, value_info=list(graph.value_info)
    )
