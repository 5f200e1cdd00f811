"""Forms that ONNX Runtime's CUDA provider runs on the GPU, in place of those that it hands back to the CPU."""

from __future__ import annotations

import numpy as np
from onnx import GraphProto, NodeProto, numpy_helper

_TO_THE_END = 2**63 - 1


def symmetric_transposed_convolutions(graph: GraphProto) -> None:
    """Give every ConvTranspose with different pads at begin and end equal ones, and cut off the rest with a Slice.

    cuDNN knows symmetric pads only. Works on any ONNX graph in place, on gradients too.
    """
    nodes: list[NodeProto] = []
    changed = False
    for node in graph.node:
        nodes.append(node)
        pads = next((a for a in node.attribute if a.name == "pads"), None) if node.op_type == "ConvTranspose" else None
        if pads is None:
            continue
        rank = len(pads.ints) // 2
        begins, ends = np.array(pads.ints[:rank]), np.array(pads.ints[rank:])
        if (begins == ends).all():
            continue
        kept = np.minimum(begins, ends)
        pads.ints[:] = [*kept.tolist(), *kept.tolist()]
        nodes.append(_slice(graph, node, begins - kept, ends - kept))
        changed = True
    if changed:
        copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)


def _slice(graph: GraphProto, node: NodeProto, begins: np.ndarray, ends: np.ndarray) -> NodeProto:
    """Crop the node's output, which gets another name, by so many cells along each spatial axis."""
    output = node.output[0]
    node.output[0] = f"{output}:uncropped"
    bounds = {
        "starts": begins,
        "ends": np.where(ends > 0, -ends, _TO_THE_END),
        "axes": np.arange(2, 2 + len(begins)),
    }
    names = [f"{output}:{what}" for what in bounds]
    for name, values in zip(names, bounds.values(), strict=True):
        graph.initializer.append(numpy_helper.from_array(values.astype(np.int64), name))
    crop = NodeProto(name=f"{node.name}:crop", op_type="Slice", input=[node.output[0], *names], output=[output])
    crop.metadata_props.extend(node.metadata_props)
    return crop
