"""How much a model computes: static shapes and multiply-accumulates of an ONNX graph."""

from __future__ import annotations

from math import prod

import onnx
from onnx import TensorProto, helper

from netdsl.autodiff.dataflow import upstream

Shapes = dict[str, tuple[int, ...]]

_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def static_shapes(model: onnx.ModelProto) -> Shapes:
    """The shapes for which all dimensions are known, of all tensors that convolutions and matrix products work on and
    of those before them.
    """
    model = _up_to_products(model)
    shapes = _inferred(model, values=False)
    if all(name in shapes for node in model.graph.node if node.op_type in _PRODUCTS for name in _operands(node)):
        return shapes
    # sizes are computed in the graph. Values cost about a kilobyte for each element of a vector, which is why they are
    # not asked for at once, and never behind the last product, where a step updates the vector of all parameters
    shapes = _inferred(model, values=True)
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
    for name, shape in unpooled.items():
        model.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    return _inferred(model, values=True)


def all_shapes(model: onnx.ModelProto) -> Shapes:
    """The shapes for which all dimensions are known, of all tensors: those behind the last product, too."""
    known = static_shapes(model)
    told = onnx.ModelProto()
    told.CopyFrom(model)
    for node in model.graph.node:
        if node.op_type == "MaxUnpool" and node.input[1] in known:
            known.setdefault(node.input[0], known[node.input[1]])  # as many values as places
            # what follows from values before the last product is not inferred again
            told.graph.value_info.extend(
                helper.make_tensor_value_info(name, TensorProto.FLOAT, known[name])
                for name in (node.input[0], *node.output)
                if name in known
            )
    return _inferred(told, values=False) | known


def _operands(node: onnx.NodeProto) -> tuple[str, ...]:
    """Both factors of a product, and what it gives."""
    return (*node.input[:2], node.output[0])


def _up_to_products(model: onnx.ModelProto) -> onnx.ModelProto:
    """The part of the model on which products depend, themselves included."""
    products = (node.output[0] for node in model.graph.node if node.op_type in _PRODUCTS)
    kept, needed = upstream(model.graph.node, products)
    graph = onnx.GraphProto(name=model.graph.name, node=kept, input=model.graph.input)
    graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in needed)
    return onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, graph=graph,
                           functions=model.functions)  # fmt: skip


def _inferred(model: onnx.ModelProto, *, values: bool) -> Shapes:
    """By ONNX shape inference. `values`: follow the values of shape tensors, too."""
    graph = onnx.shape_inference.infer_shapes(model, data_prop=values).graph
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
        if node.op_type not in _PRODUCTS:
            continue
        operands = [shapes.get(name) for name in _operands(node)]
        if None in operands:
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
