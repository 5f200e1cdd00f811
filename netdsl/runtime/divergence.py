"""Where training came upon numbers that are not finite: the batch is run again, and every tensor looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper

from netdsl.diagnostics import Diagnostic, Frame, Label, Span
from netdsl.ir import Graph, Node, Training, parameters_of
from netdsl.runtime.session import Device, open_session
from netdsl.runtime.stepper import Stepper
from netdsl.training.origin import Origins, is_backward
from netdsl.training.step import StepModel

_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


class Finding(NamedTuple):
    """The first value that was not finite, in words; `span` is the layer's in the file, if it has one there."""

    note: str
    span: Span | None = None
    chain: tuple[Frame, ...] = ()
    label: str = ""
    in_data: bool = False


def find_first(graph: Graph, stepper: Stepper, samples: np.ndarray) -> Finding:
    """Where in its last run `stepper` first came upon a value that is not finite: an input, a parameter, a layer.

    `samples` are the indices `[batch]` of that run's samples. The run is repeated with the step's portable form.
    """
    model, feeds = stepper.model, stepper.last_feeds()
    for name, tensor in {**model.inputs, **model.targets}.items():
        wrong = np.flatnonzero(~np.isfinite(feeds[tensor].reshape(len(feeds[tensor]), -1)).all(axis=1))
        if len(wrong):
            at = f"sample {samples[wrong[0]]} of the training samples"
            return Finding(f"`{name}` of {at} holds values that are not finite, behind `prepare`", in_data=True)
    vectors = {name.removeprefix("state/"): array for name, array in feeds.items() if name.startswith("state/")}
    return find_vector(graph, model, vectors, "before this step") or _find_node(graph, model, feeds, stepper.device)


def find_vector(graph: Graph, model: StepModel, vectors: Mapping[str, np.ndarray], when: str) -> Finding | None:
    """The first parameter or buffer, or what the optimizer keeps of one, that holds a value that is not finite."""
    spans = {parameter.name: parameter.span for parameter in parameters_of(graph.all_nodes)}
    for vector, layout in model.state.items():
        for slot in layout.slots if vector in vectors else ():
            values = vectors[vector][slot.start : slot.end]
            count = int((~np.isfinite(values)).sum())
            if count:
                kept = "" if vector in ("parameters", "statistics", "fixed") else f"the optimizer's {vector} of "
                note = f"{count:,} of the {slot.size:,} values of {kept}`{slot.name}` are not finite {when}"
                return Finding(note, spans.get(slot.name), label=f"{kept}`{slot.name}` is not finite any more")
    return None


def diverged(
    message: str, training: Training, first: Finding | None, rate: float, kept: str, half: str = ""
) -> Diagnostic:
    """The diagnostic (E0802). `kept` says what was saved before, `half` is the precision if it is not float32."""
    place = first.span if first is not None and first.span is not None else None
    label = Label(training.span, "trained here") if place is None or first is None else Label(place, first.label)
    helps = [
        f"use a lower learning rate, such as lr = {rate / 10:.2g}",
        "look for samples that are not scaled to a small range",
    ]
    if half:
        helps.insert(0, "use --precision float32" + (", or bf16, which holds larger numbers" if half == "fp16" else ""))
    if first is not None and first.in_data:
        helps = ["mend the data, or look at what `prepare` makes of them: it may divide by zero"]
    notes = (kept,) if first is None else (first.note, kept)
    return Diagnostic("E0802", message, (label,), notes, tuple(helps), () if first is None else first.chain)


def _find_node(graph: Graph, model: StepModel, feeds: Mapping[str, np.ndarray], device: Device) -> Finding:
    """The first ONNX node on the way to the loss, or else to the new state, that made what is not finite of what is."""
    nodes = list(model.model.graph.node)
    wrong = _not_finite(model.model, feeds, device)
    made = {output: index for index, node in enumerate(nodes) for output in node.output}
    ends = [model.loss] if model.loss in wrong else [v.name for v in model.model.graph.output if v.name in wrong]
    # an infinity that stays without consequence, such as that of a mask, is not on the way
    pending, first, seen = [made[end] for end in ends], len(nodes), set[int]()
    while pending:
        index = pending.pop()
        if index in seen:
            continue
        seen.add(index)
        causes = [made[name] for name in nodes[index].input if name in wrong and name in made]
        pending += causes
        if not causes:
            first = min(first, index)
    if first == len(nodes):
        return Finding(
            "all values of this batch are finite in a second run: they are at the edge of what float32 holds"
        )
    node = nodes[first]
    (output, *_) = (name for name in node.output if name in wrong)
    values = _values(model.model, feeds, [output, *node.input], device)
    return _described(node, Origins(graph).of(node.name), values.pop(output), values)


def _described(
    node: onnx.NodeProto, origin: Node | None, output: np.ndarray, inputs: Mapping[str, np.ndarray]
) -> Finding:
    """What an ONNX node, lowered from `origin`, made of its inputs."""
    count = int((~np.isfinite(output)).sum())
    reads = [f"{_called(name)} up to {np.abs(value).max():.2g}" for name, value in inputs.items() if value.size]
    of = "the optimizer's update" if origin is None else f"`{origin.name}`"
    if is_backward(node.name):
        of = f"the gradient through {of}"
    note = f"the first values that are not finite: {count:,} of the {output.size:,} of {of}"
    if reads:
        note += f", made of {' and '.join(reads)}"
    if origin is None:
        return Finding(note)
    label = "the gradient through this is not finite" if is_backward(node.name) else "this is not finite"
    return Finding(note, origin.span, origin.chain, label)


def _called(tensor: str) -> str:
    """A tensor in words: those of the way back, and within a layer, have names of no use to the reader."""
    if tensor.startswith("grad/"):
        return "a gradient"
    return "an intermediate value" if ":" in tensor else f"`{tensor}`"


def _not_finite(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray], device: Device) -> set[str]:
    """The tensors of the model that hold a value that is not finite, computed in one run without keeping any of them."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    graph = watched.graph
    marks = {}
    for index, name in enumerate(_float_outputs(model)):
        difference, mark = f"watch/{index}", f"watch/{index}:sum"
        graph.node.add(op_type="Sub", input=[name, name], output=[difference])  # 0, or NaN
        graph.node.append(helper.make_node("ReduceSum", [difference], [mark], keepdims=0))
        graph.output.add(name=mark)
        marks[mark] = name
    results = open_session(watched, device).run(list(marks), dict(feeds))
    return {name for name, result in zip(marks.values(), results, strict=True) if not np.isfinite(result)}


def _values(
    model: onnx.ModelProto, feeds: Mapping[str, np.ndarray], wanted: Iterable[str], device: Device
) -> dict[str, np.ndarray]:
    """Those of the tensors that nodes compute, float ones."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    floats, given = set(_float_outputs(model)), {value.name for value in model.graph.output}
    names = [name for name in dict.fromkeys(wanted) if name in floats]
    for name in names:
        if name not in given:
            exposed.graph.output.add(name=name)
    found = dict(zip(names, open_session(exposed, device).run(names, dict(feeds)), strict=True)) if names else {}
    return found | {name: feeds[name] for name in wanted if name in feeds and feeds[name].dtype.kind == "f"}


def _float_outputs(model: onnx.ModelProto) -> list[str]:
    """The floating-point tensors that nodes compute, in their order."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*inferred.value_info, *inferred.output)}
    return [name for node in model.graph.node for name in node.output if types.get(name) in _FLOATS]
