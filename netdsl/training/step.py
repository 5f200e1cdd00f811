"""The training step as one ONNX model: forward, loss, backward, regularisation, optimizer, running statistics.

The state is a few flat float32 vectors, read as `state/<name>` and written as `next/<name>`:

    parameters         what is learned
    momentum | first_moment, second_moment      what the optimizer keeps, as long as `parameters`
    statistics         running means and variances
    fixed              frozen weights and fixed codes; read only
    totals             sums over batches of the loss and of each metric, and the count of those with finite gradients
    scaling            of a step in fp16: the loss scale and two counts, see `scaling.py`
    gradient           of a split step: the sum of gradients between its two models, as long as `parameters`

A vector that would be empty is left out. Besides these the model reads the inputs and targets of the net and three
scalars, `lr` (float32), `step` (int64, the count of steps before this one) and `seed` (int64), and writes the loss and
the metrics of this batch. `Layout` says where each tensor lies in its vector.

A step that is split is two models. The first computes gradients: it reads no `lr`, but `share` (float32), and adds
`share` times the gradient of the batch's loss to the vector `gradient`. The second updates the parameters by it. What
stands between them is up to the caller: sums over several batches, or over several machines. In fp16 these are gradients
of the scaled loss, and the second model divides them by the scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from netdsl.autodiff import GradientError, Target, extend_with_gradients
from netdsl.autodiff.dataflow import upstream
from netdsl.ir import Graph, Parameter, Training
from netdsl.lower import IR_VERSION, OPSET, Lowered, Provider, lower_graph
from netdsl.ops.optimizers import decays, slots_of
from netdsl.training import scaling
from netdsl.training.block import nothing_to_train, training_of
from netdsl.training.layout import Layout
from netdsl.training.mixed import HALVES, Precision, lower_precision, opset_for
from netdsl.training.origin import without_gradient
from netdsl.training.scaling import SCALING, Scale
from netdsl.training.update import append_new_state, append_totals, cut
from netdsl.training.writer import Writer

#: the vectors that hold parameters and buffers; the others are the optimizer's
TENSORS = ("parameters", "statistics", "fixed")


@dataclass(frozen=True, slots=True)
class StepModel:
    """A training step. `state` maps the name of each vector that outlives a step to its layout.

    `totals` (`totals_size` floats) and `gradient` come on top. `written` are the vectors of `state` that a step replaces.
    `update` is the second model of a step that is split, else None. The other fields name the inputs of `model`
    (`inputs` and `targets` by their names in the file) and its outputs; `rate` and `step` are inputs of `update` too.
    """

    model: onnx.ModelProto
    update: onnx.ModelProto | None
    batch: int
    state: Mapping[str, Layout]
    written: tuple[str, ...]
    inputs: Mapping[str, str]
    targets: Mapping[str, str]
    rate: str
    step: str
    seed: str
    share: str | None
    loss: str
    metrics: Mapping[str, str]
    precision: Precision = "float32"

    @property
    def totals_size(self) -> int:
        return len(self.metrics) + 2

    def initial(self, vector: str) -> np.ndarray:
        """What a vector holds before the first step, but for those of `TENSORS`, where these are zeros."""
        if vector == SCALING:
            return scaling.INITIAL.copy()
        return np.zeros(self.totals_size if vector == "totals" else self.state[vector].size, np.float32)


@dataclass(frozen=True, slots=True)
class EvaluationModel:
    """Loss and metrics of a batch of any size in inference mode, from state vectors that a step has, too."""

    model: onnx.ModelProto
    state: Mapping[str, Layout]
    inputs: Mapping[str, str]
    targets: Mapping[str, str]
    loss: str
    metrics: Mapping[str, str]


def build_step(
    graph: Graph,
    *,
    batch: int,
    sizes: Mapping[str, int] | None = None,
    provider: Provider = "cpu",
    split: bool = False,
    precision: Precision = "float32",
) -> StepModel:
    """The training step of a net for batches of `batch` samples, as one model, or split between gradients and update.

    All symbolic sizes are fixed, at `sizes` or else at their defaults. `precision`: what convolutions and products are
    computed in; parameters, and what `mixed.py` does not list, are float32 always. Raises TrainingError if the net has no `train`
    block (E0803) or nothing to train (E0805), or naming every operator without a gradient (E0801).
    """
    training = training_of(graph)
    lowered = lower_graph(graph, "training", batch=batch, provider=provider)
    assert lowered.loss is not None
    state = _layouts(graph, lowered, training)
    if precision == "fp16":
        state[SCALING] = scaling.LAYOUT
    w = _start(lowered, {name: state[name] for name in TENSORS if name in state})
    _fix_inputs(w, graph, batch, sizes or {})
    scale = scaling.read(w) if SCALING in state else None
    gradients = _append_backward(w, graph, lowered, state["parameters"], scale, provider, precision)
    rate, step, seed = _scalars(w, lowered)
    share = w.unused("share") if split else None

    gradient = _packed(w, state["parameters"], gradients)
    if "statistics" in state:
        _append_statistics(w, lowered, state["statistics"])
    results = (lowered.loss, *lowered.metrics.values())
    append_totals(w, results, gradient, scale)
    for name in results:
        w.output(name)
    update = w
    if share is not None:
        update, gradient = cut(w, gradient, share, step, state["parameters"].size)
        scale = None if scale is None else scaling.read(update)
    slots = append_new_state(update, training.optimizer, state, gradient, rate, step, scale)
    written = ("parameters", *slots, *(name for name in (SCALING, "statistics") if name in state))
    opset = opset_for(HALVES[precision]) if precision in HALVES else OPSET
    return StepModel(
        _model(w, opset), None if update is w else _model(update, opset), batch, state, written, lowered.inputs,
        lowered.targets, rate, step, seed, share, lowered.loss, lowered.metrics, precision,
    )  # fmt: skip


def build_evaluation(graph: Graph, step: StepModel, *, provider: Provider = "cpu") -> EvaluationModel:
    """The evaluation of the net that `step` trains."""
    lowered = lower_graph(graph, "evaluation", provider=provider)
    assert lowered.loss is not None
    state = {name: step.state[name] for name in TENSORS if name in step.state}
    w = _start(lowered, state)
    for name in (lowered.loss, *lowered.metrics.values()):
        w.output(name)
    return EvaluationModel(_model(w, OPSET), state, lowered.inputs, lowered.targets, lowered.loss, lowered.metrics)


def _layouts(graph: Graph, lowered: Lowered, training: Training) -> dict[str, Layout]:
    """The state vectors. A trainable parameter that the loss does not depend on counts as fixed."""
    assert lowered.loss is not None
    _, reached = upstream(lowered.graph.node, [lowered.loss])
    learned, fixed = [], []
    for parameter in lowered.parameters:
        if parameter.trainable and not parameter.buffer and parameter.name in reached:
            learned.append(parameter)
        elif parameter not in lowered.updates:
            fixed.append(parameter)
    if not learned:
        raise nothing_to_train(graph)
    learned.sort(key=lambda parameter: not decays(parameter.name, training.optimizer))
    state = {"parameters": Layout.of(learned)}
    state |= dict.fromkeys(slots_of(training.optimizer), state["parameters"])
    others: dict[str, Iterable[Parameter]] = {"statistics": lowered.updates, "fixed": fixed}
    return state | {name: Layout.of(members) for name, members in others.items() if members}


def _start(lowered: Lowered, state: Mapping[str, Layout]) -> Writer:
    """A graph that takes the parameters out of the state vectors, followed by the lowered nodes."""
    graph = onnx.GraphProto(name=lowered.graph.name)
    graph.input.extend(lowered.graph.input)  # the net's inputs, then its targets
    graph.initializer.extend(lowered.graph.initializer)
    w = Writer(graph, "step")
    for name, layout in state.items():
        w.input(f"state/{name}", shape=[layout.size])
        _append_unpacking(w, f"state/{name}", layout)
    graph.node.extend(lowered.graph.node)
    graph.value_info.extend(lowered.graph.value_info)
    return w


def _append_unpacking(w: Writer, vector: str, layout: Layout) -> None:
    sizes = w.constant([slot.size for slot in layout.slots], np.int64)
    flat = {slot.name: slot.name if len(slot.shape) == 1 else f"{vector}/{slot.name}" for slot in layout.slots}
    w.ops("Split", [vector, sizes], list(flat.values()), axis=0)
    for slot in layout.slots:
        if len(slot.shape) != 1:
            w.op("Reshape", [flat[slot.name], w.constant(slot.shape, np.int64)], into=slot.name)
        w.graph.value_info.append(helper.make_tensor_value_info(slot.name, TensorProto.FLOAT, slot.shape))


def _packed(w: Writer, layout: Layout, tensors: Mapping[str, str], into: str | None = None) -> str:
    """One flat vector of the tensors that stand for the layout's."""
    flat = [
        tensors[slot.name]
        if len(slot.shape) == 1
        else w.op("Reshape", [tensors[slot.name], w.constant([-1], np.int64)])
        for slot in layout.slots
    ]
    return w.op("Concat", flat, into=into, axis=0)


def _append_backward(
    w: Writer, graph: Graph, lowered: Lowered, learned: Layout, scale: Scale | None, provider: Provider, precision: Precision
) -> dict[str, str]:  # fmt: skip
    """Append the backward pass, and bring both passes to half precision if asked to; return each parameter's gradient."""
    assert lowered.loss is not None
    loss = lowered.loss if scale is None else scale.scaled(w, lowered.loss)
    wanted = [slot.name for slot in learned.slots]
    try:
        gradients = extend_with_gradients(w.graph, loss, wanted, target=Target(provider))
    except GradientError as error:
        raise without_gradient(graph, error) from error
    if precision in HALVES:
        kept = (lowered.loss, *lowered.metrics.values(), *lowered.updates.values(), *gradients.values())
        lower_precision(w.graph, HALVES[precision], frozenset(kept))
    return gradients


def _scalars(w: Writer, lowered: Lowered) -> tuple[str, str, str]:
    """The inputs for learning rate, step and seed; the latter two are declared, which random numbers may have done."""
    rate, step, seed = w.unused("lr"), lowered.step or w.unused("step"), lowered.seed or w.unused("seed")
    if lowered.seed is None:
        w.input(step, TensorProto.INT64)
        w.input(seed, TensorProto.INT64)
    return rate, step, seed


def _append_statistics(w: Writer, lowered: Lowered, layout: Layout) -> None:
    """The running means and variances behind the batch."""
    new = {parameter.name: tensor for parameter, tensor in lowered.updates.items()}
    _packed(w, layout, new, into="next/statistics")
    w.output("next/statistics", [layout.size])


def _fix_inputs(w: Writer, graph: Graph, batch: int, sizes: Mapping[str, int]) -> None:
    """Make every dimension of the inputs and targets a number: static sizes allow faster gradients."""
    assert graph.training is not None
    values = (*graph.inputs, *(target.value for target in graph.training.targets))
    for info, value in zip(w.graph.input, values, strict=False):
        dims = [dim if isinstance(dim, int) else dim.at(sizes) for dim in value.shape]
        for place, dim in zip(
            info.type.tensor_type.shape.dim, [batch, *dims] if value.type.batched else dims, strict=True
        ):
            place.dim_value = dim


def _model(w: Writer, opset: int) -> onnx.ModelProto:
    """The model of what the outputs need: a net's outputs that no loss reads are not computed in a step."""
    graph = w.graph
    nodes, needed = upstream(graph.node, [value.name for value in graph.output])
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    # types of intermediate tensors served the differentiation; ONNX Runtime infers its own
    del graph.value_info[:]
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION, producer_name="netdsl")
