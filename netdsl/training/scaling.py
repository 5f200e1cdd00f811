"""Dynamic loss scaling: float16 gradients would vanish, so the loss is multiplied before the way back.

Micikevicius et al., "Mixed Precision Training" (ICLR 2018), section 3.2, with the rule and the numbers of PyTorch's
GradScaler: after a step whose gradients are not all finite, which is left out, the scale is halved; after 2,000 steps
without one it is doubled. The state is a vector of its own:

    loss_scale      what the loss is multiplied by
    good_steps      steps since the scale was last changed
    skipped_steps   steps that were left out since training began: an optimizer that counts steps does not count these
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from netdsl.training.layout import Layout, Slot
from netdsl.training.writer import Writer

SCALING = "scaling"
LAYOUT = Layout(tuple(Slot(name, at, ()) for at, name in enumerate(("loss_scale", "good_steps", "skipped_steps"))))
START, GROWTH, BACKOFF, INTERVAL = 65536.0, 2.0, 0.5, 2000
#: Where the scale stays. Gradients that are not finite at the smallest are not the scale's fault.
SMALLEST, LARGEST = 2.0**-14, 2.0**24
#: the vector at first
INITIAL = np.array([START, 0, 0], np.float32)


@dataclass(frozen=True, slots=True)
class Scale:
    """The three numbers of the state as ONNX tensors [1]."""

    scale: str
    good: str
    skipped: str

    def scaled(self, w: Writer, loss: str) -> str:
        """The loss [] times the scale."""
        return w.op("Mul", [loss, w.op("Reshape", [self.scale, w.constant([], np.int64)])])

    def unscaled(self, w: Writer, gradient: str) -> str:
        return w.op("Mul", [gradient, w.op("Reciprocal", [self.scale])])  # exact: the scale is a power of two

    def steps_taken(self, w: Writer, step: str) -> str:
        """How many of `step` steps (int64 []) were not left out."""
        skipped = w.op("Reshape", [self.skipped, w.constant([], np.int64)])
        return w.op("Sub", [step, w.op("Cast", [skipped], to=TensorProto.INT64)])

    def can_fall(self, w: Writer) -> str:
        """Whether the scale is not the smallest yet, bool [1]."""
        return w.op("Greater", [self.scale, w.constant([SMALLEST])])

    def append_update(self, w: Writer, finite: str) -> None:
        """Append the state behind a step whose gradients are all finite, or not (bool [1])."""
        zero, one = w.constant([0]), w.constant([1])
        good = w.op("Where", [finite, w.op("Add", [self.good, one]), zero])
        grown = w.op("Min", [w.op("Mul", [self.scale, w.constant([GROWTH])]), w.constant([LARGEST])])
        fallen = w.op("Max", [w.op("Mul", [self.scale, w.constant([BACKOFF])]), w.constant([SMALLEST])])
        grows = w.op("Equal", [good, w.constant([INTERVAL])])
        scale = w.op("Where", [finite, w.op("Where", [grows, grown, self.scale]), fallen])
        skipped = w.op("Where", [finite, self.skipped, w.op("Add", [self.skipped, one])])
        w.op("Concat", [scale, w.op("Where", [grows, zero, good]), skipped], into=f"next/{SCALING}", axis=0)


def read(w: Writer) -> Scale:
    """Declare the state's vector and take it apart."""
    vector = w.input(f"state/{SCALING}", shape=[LAYOUT.size])
    numbers = [f"step/{slot.name}" for slot in LAYOUT.slots]
    w.ops("Split", [vector, w.constant([1, 1, 1], np.int64)], numbers, axis=0)
    return Scale(*numbers)
