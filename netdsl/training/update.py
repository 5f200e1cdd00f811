"""What follows the backward pass of a training step: sums for the host, the update, and between them the cut of a step
that is split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto

from netdsl.ir import Optimizer
from netdsl.ops.optimizers import decays, slots_of
from netdsl.training.layout import Layout
from netdsl.training.optimizers import Tensors, append_update
from netdsl.training.scaling import SCALING, Scale
from netdsl.training.writer import Writer


def append_totals(w: Writer, results: Sequence[str], gradient: str, scale: Scale | None) -> None:
    """totals + [loss, metrics..., 1 if loss and gradient are finite]: what the host reads now and then. The loss is the first
    of `results`, the metrics are the others.

    A gradient that is not finite is what a loss scale is lowered for, as far as it can be.
    """
    size = len(results) + 1
    w.input("state/totals", shape=[size])
    one = w.constant([1], np.int64)
    values = [w.op("Reshape", [name, one]) for name in results]
    total = w.op("ReduceSum", [gradient], keepdims=1)
    if scale is None:
        finite = _finite(w, w.op("Add", [values[0], total]))
    else:
        finite = w.op("And", [_finite(w, values[0]), w.op("Or", [_finite(w, total), scale.can_fall(w)])])
    counted = w.op("Cast", [finite], to=TensorProto.FLOAT)
    w.op("Add", ["state/totals", w.op("Concat", [*values, counted], axis=0)], into="next/totals")
    w.output("next/totals", [size])


def cut(w: Writer, gradient: str, share: str, step: str, size: int) -> tuple[Writer, str]:
    """End the first model of a split step by gradient + share · the batch's: gradients of several batches sum up.

    Returns the second model as it begins, and the gradient that it reads.
    """
    w.input(share)
    w.input("state/gradient", shape=[size])
    w.op("Add", ["state/gradient", w.op("Mul", [gradient, share])], into="next/gradient")
    w.output("next/gradient", [size])
    update = Writer(onnx.GraphProto(name=w.graph.name), "step")
    for vector in ("state/parameters", "state/gradient"):
        update.input(vector, shape=[size])
    update.input(step, TensorProto.INT64)
    return update, "state/gradient"


def append_new_state(
    w: Writer,
    optimizer: Optimizer,
    state: Mapping[str, Layout],
    gradient: str,
    rate: str,
    step: str,
    scale: Scale | None,
) -> tuple[str, ...]:
    """Replace the parameters and what the optimizer keeps, whose vectors are returned.

    With a loss scale: by the gradient divided by it, and only if that is finite; the scale itself is replaced too.
    """
    slots = slots_of(optimizer)
    names = ("parameters", *slots)
    for slot in slots:
        w.input(f"state/{slot}", shape=[state[slot].size])
    w.input(rate)
    new = {name: f"next/{name}" for name in names}
    if scale is not None:
        finite = _finite(w, w.op("ReduceSum", [gradient], keepdims=1))
        gradient, step = scale.unscaled(w, gradient), scale.steps_taken(w, step)
        scale.append_update(w, finite)
        w.output(f"next/{SCALING}", [state[SCALING].size])
        new = {name: f"step/{name}" for name in names}
    append_update(w, optimizer, Tensors(
        parameters="state/parameters", gradient=gradient, lr=rate, step=step,
        slots={slot: f"state/{slot}" for slot in slots}, new=new, decaying=_decaying(w, state["parameters"], optimizer),
    ))  # fmt: skip
    for name in names:
        if scale is not None:
            w.op("Where", [finite, new[name], f"state/{name}"], into=f"next/{name}")
        w.output(f"next/{name}", [state[name].size])
    return slots


def _decaying(w: Writer, layout: Layout, optimizer: Optimizer) -> str | None:
    """`Tensors.decaying`: the parameters that do not decay lie behind those that do."""
    size = next((slot.start for slot in layout.slots if not decays(slot.name, optimizer)), layout.size)
    if size == layout.size:
        return None
    parts = [(size, 1.0), (layout.size - size, 0.0)]
    return w.op("Concat", [w.op("Expand", [w.constant(v), w.constant([n], np.int64)]) for n, v in parts], axis=0)


def _finite(w: Writer, value: str) -> str:
    """Whether a number is finite; a sum is only if all its terms are."""
    return w.op("Equal", [w.op("Sub", [value, value]), w.constant([0])])  # x - x is 0 for a finite x alone
