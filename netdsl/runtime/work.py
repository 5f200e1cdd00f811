"""How much a model computes: static shapes and multiply-accumulates of an ONNX graph."""

from __future__ import annotations

from math import prod

import onnx
from onnx import TensorProto, helper

Shapes = dict[str, tuple[int, ...]]


def static_shapes(model: onnx.ModelProto) -> Shapes:
    """The shapes of the tensors for which all dimensions are known."""
    shapes = _inferred(model)
    pools = {
        node.output[1]: node.input[0] for node in model.graph.node if node.op_type == "MaxPool" and len(node.output) > 1
    }
    # onnx does not infer what MaxUnpool gives, and nothing behind it: the shape that was pooled
    unpooled = {
        node.output[0]: shapes[pools[node.input[1]]]
        for node in model.graph.node
        if node.op_type == "MaxUnpool" and node.input[1] in pools and pools[node.input[1]] in shapes
    }
    if not unpooled:
        return shapes
    told = onnx.ModelProto()
    told.CopyFrom(model)
    for name, shape in unpooled.items():
        told.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    return _inferred(told)


def _inferred(model: onnx.ModelProto) -> Shapes:
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes: Shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            shapes[value.name] = tuple(dim.dim_value for dim in dims)
    return shapes


def multiply_accumulates(model: onnx.ModelProto, shapes: Shapes) -> int:
    """Those of convolutions and matrix products, as far as their shapes are known."""
    total = 0
    for node in model.graph.node:
        operands = [shapes.get(name) for name in (*node.input[:2], *node.output[:1])]
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul") or None in operands:
            continue
        left, right, output = (shape or () for shape in operands)
        if node.op_type == "Conv":
            total += prod(output) * prod(right[1:])
        elif node.op_type == "ConvTranspose":
            total += prod(left) * prod(right[1:])
        else:
            transposed = any(a.name == "transA" and helper.get_attribute_value(a) for a in node.attribute)
            total += prod(output) * (left[0] if transposed else left[-1])
    return total
