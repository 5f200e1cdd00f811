"""Pools, and the repetition of elements, which is the gradient of a mean over windows that lie side by side."""

from __future__ import annotations

from typing import Any

import onnx

from .graph import DOMAIN, Graph, attributes_of


def pool(graph: Graph, node: onnx.NodeProto) -> bool:
    """Maximum, with or without the places of the maxima, and average."""
    attributes = attributes_of(node)
    dilated_mean = node.op_type == "AveragePool" and set(attributes.get("dilations", [1])) != {1}
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET" or attributes.get("ceil_mode", 0) or dilated_mean:
        return False
    if len(node.output) > 1:
        return _pool_with_places(graph, node, attributes)
    known = {
        k: v
        for k, v in attributes.items()
        if k in ("kernel_shape", "strides", "dilations", "pads", "count_include_pad")
    }
    defaults = {} if node.op_type.startswith("Global") else {"strides": [1, 1], "dilations": [1, 1], "pads": [0] * 4}
    graph.define(
        node.output[0], graph.op(node.op_type, graph.blocked(node.input[0]), domain=DOMAIN, **defaults | known)
    )
    return True


def _pool_with_places(graph: Graph, node: onnx.NodeProto, attributes: dict[str, Any]) -> bool:
    """By ONNX's pool over volumes: [N·C/B, 1, H, W, B], where the window is one lane wide."""
    if not all(_reads_places(graph, reader) for reader in graph.readers(node.output[1])):
        return False
    volumes = _volumes(graph, node.input[0])
    pooled, places = graph.ops("MaxPool", [volumes], 2, **_over_volumes(attributes))
    graph.define_lanes(node.output[0], pooled)
    graph.define(node.output[1], places)
    return True


def _reads_places(graph: Graph, reader: onnx.NodeProto) -> bool:
    """Whether the node will be blocked: places count elements as they lie, and have no plain form to go back to."""
    return reader.op_type == "MaxUnpool" and all(graph.is_image(name) for name in (reader.input[0], reader.output[0]))


def unpool(graph: Graph, node: onnx.NodeProto) -> bool:
    """Back to where the maxima were."""
    shape = graph.shape(node.output[0])
    if shape is None or not graph.lies_blocked(node.input[1]):
        return False
    n, c, h, w = shape
    size = graph.ints([n * graph.padded(c) // graph.block, 1, h, w, graph.block])
    places = graph.blocked(node.input[1])
    attributes = _over_volumes(attributes_of(node))
    graph.define_lanes(
        node.output[0], graph.op("MaxUnpool", _volumes(graph, node.input[0]), places, size, **attributes)
    )
    return True


def _volumes(graph: Graph, name: str) -> str:
    n, c, h, w = graph.shapes[name]
    return graph.reshape(graph.blocked(name), [n * graph.padded(c) // graph.block, 1, h, w, graph.block])


def _over_volumes(attributes: dict[str, Any]) -> dict[str, Any]:
    """A pool's attributes with a third axis along which the window does nothing."""
    pads = attributes.get("pads", [0] * 4)
    given = {name: [*attributes[name], 1] for name in ("kernel_shape", "strides", "dilations") if name in attributes}
    return given | {"pads": [*pads[:2], 0, *pads[2:], 0]}


def resize(graph: Graph, node: onnx.NodeProto) -> bool:
    """Every element repeated, as often along each axis as a whole number says."""
    attributes = attributes_of(node)
    how = [attributes.get(name) for name in ("mode", "coordinate_transformation_mode", "nearest_mode")]
    scales = graph.value(node.input[2]) if len(node.input) == 3 else None
    if how != [b"nearest", b"asymmetric", b"floor"] or scales is None or len(scales) != 4 or "axes" in attributes:
        return False
    if scales[:2] != [1, 1] or any(scale != int(scale) for scale in scales):
        return False
    repeated = graph.op(
        "Upsample", graph.blocked(node.input[0]), domain=DOMAIN, scales=list(map(int, scales)), mode="nearest"
    )
    graph.define(node.output[0], repeated)
    return True
