"""Which nodes of a session do not run on its device: ONNX Runtime gives those it has no kernel for to the CPU, silently."""

from __future__ import annotations

import onnx
import onnxruntime as ort

from netdsl.autodiff.tensor_types import FLOATS

#: of `SessionOptions`: without it a session does not know where its nodes run
RECORDED = ("session.record_ep_graph_assignment_info", "1")
_COPIES = frozenset(("MemcpyFromHost", "MemcpyToHost"))
#: what computes sizes where ONNX Runtime has put in nodes of its own, whose types are not known here
_SIZES = frozenset(
    ("Cast", "Concat", "Constant", "Gather", "Identity", "Reshape", "Shape", "Size", "Slice", "Squeeze", "Unsqueeze")
)
_SHOWN = 5


def elsewhere(session: ort.InferenceSession, model: onnx.ModelProto, provider: str) -> dict[str, list[str]]:
    """The nodes that `provider` (`CUDAExecutionProvider`) does not run: their names by operator.

    Nodes that compute sizes and shapes belong on the CPU, where they are read, and are not counted; nor are copies
    between the two. The session has to be opened with `RECORDED`; empty where the version of ONNX Runtime does not tell.
    """
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return {}
    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    floats = {value.name for value in values if value.type.tensor_type.elem_type in FLOATS}
    floats |= {tensor.name for tensor in inferred.initializer if tensor.data_type in FLOATS}
    ours = {node.name: node for node in model.graph.node}

    def is_of_sizes(operator: str, name: str) -> bool:
        if operator in ("Shape", "Size") or name not in ours:
            return operator in _SIZES
        return floats.isdisjoint((*ours[name].input, *ours[name].output))

    found: dict[str, list[str]] = {}
    for part in session.get_provider_graph_assignment_info():
        for node in part.get_nodes() if part.ep_name != provider else ():
            if node.op_type not in _COPIES and not is_of_sizes(node.op_type, node.name):
                found.setdefault(node.op_type, []).append(node.name)
    return found


def told(found: dict[str, list[str]], device: str) -> str:
    """What is said of nodes that run elsewhere."""
    counted = sorted(found.items(), key=lambda item: -len(item[1]))
    shown = [f"{len(names)} {operator} ({names[0]}{', ...' if len(names) > 1 else ''})" for operator, names in counted[:_SHOWN]]
    more = f", and {len(counted) - _SHOWN} more operators" if len(counted) > _SHOWN else ""
    total = sum(map(len, found.values()))
    return f"warning: {total} nodes of the step run on the CPU, with copies between: {', '.join(shown)}{more}; ONNX Runtime " \
           f"{ort.__version__} has no {device.upper()} kernel for them"  # fmt: skip
