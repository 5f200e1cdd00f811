"""Brings a model into the form that is differentiated: opset 18 or later, no functions where simpler operators do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from onnx import defs, helper, inliner, version_converter

from .errors import GradientError
from .rule import is_standard, rule_for
from .tensor_types import TensorType, infer_types, is_onnx

_SMALLEST_OPSET = 18  # reductions take their axes as an input, Split its num_outputs, from here on
_ROUNDING_OPSET = 22  # before it, ONNX and ONNX Runtime do not agree on the size of a pool that rounds up
_DOMAIN = "netdsl.expanded"


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without local functions, of an opset that the rules are written for.

    Raises GradientError where an older opset cannot be converted.
    """
    version, wanted = opset_of(model), _ROUNDING_OPSET if _rounds_up(model) else _SMALLEST_OPSET
    if version < wanted:
        try:
            model = version_converter.convert_version(model, wanted)
        except Exception as error:  # a RuntimeError of the converter, or what C++ calls its own
            raise GradientError(
                f"the model uses opset {version}, and cannot be converted to opset {wanted}: {error}"
            ) from error
        del model.graph.value_info[:]  # the converter's own, of the old opset
    if model.functions:
        return inliner.inline_local_functions(model)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _rounds_up(model: onnx.ModelProto) -> bool:
    """Whether there is a pool with ceil_mode."""
    nodes = [node for part in (model.graph, *model.functions) for node in part.node]
    return any(a.name == "ceil_mode" and a.i for node in nodes if is_standard(node) for a in node.attribute)


def opset_of(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that a model uses."""
    return next((int(o.version) for o in model.opset_import if is_onnx(o.domain)), 0)


def expanded(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> onnx.ModelProto | None:
    """`model` with those of its `nodes` that have no rule replaced by the simpler operators that ONNX defines them by.

    None if there are no such nodes.
    """
    version, types = opset_of(model), infer_types(model.graph, model.opset_import)
    wanted = {output for node in nodes if rule_for(node) is None for output in node.output if output}
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for node in copy.graph.node:
        body = None if wanted.isdisjoint(node.output) else _body(node, types, version)
        if body is not None:
            body.domain, body.name = _DOMAIN, f"{node.op_type}_{len(copy.functions)}"
            node.domain, node.op_type = body.domain, body.name
            copy.functions.append(body)
    if not copy.functions:
        return None
    copy.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    result = inliner.inline_local_functions(copy)
    kept = [entry for entry in result.opset_import if entry.domain != _DOMAIN]
    del result.opset_import[:]
    result.opset_import.extend(kept)
    return result


def _body(node: onnx.NodeProto, types: Mapping[str, TensorType], version: int) -> onnx.FunctionProto | None:
    """The function that ONNX defines an operator by; its node gets the attributes that it leaves at their defaults."""
    if not is_standard(node) or not defs.has(node.op_type, version):
        return None
    schema: Any = defs.get_schema(node.op_type, version)  # its stubs lack functions
    given = {attribute.name for attribute in node.attribute}
    node.attribute.extend(
        a.default_value for name, a in schema.attributes.items() if name not in given and a.default_value.name
    )
    text = b""
    if fitting := _newest(schema.function_opset_versions, version):
        text = schema.get_function_with_opset_version(fitting)
    elif fitting := _newest(schema.context_dependent_function_opset_versions, version):
        inputs = [_type(types.get(name)) for name in node.input]
        text = schema.get_context_dependent_function_with_opset_version(fitting, node.SerializeToString(), inputs)
    if not text:
        return None
    body = onnx.FunctionProto()
    body.ParseFromString(text)
    del body.opset_import[:]
    body.opset_import.append(helper.make_opsetid("", version))
    return body


def _newest(versions: Sequence[int], version: int) -> int:
    return max((v for v in versions if v <= version), default=0)


def _type(known: TensorType | None) -> bytes:
    if known is None:
        return bytes(onnx.TypeProto().SerializeToString())
    return bytes(helper.make_tensor_type_proto(known.element, known.dims).SerializeToString())
