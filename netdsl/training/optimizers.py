"""Optimizers as a few ONNX operators on flat vectors: all parameters at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from netdsl.ir.graph import Optimizer
from netdsl.training.writer import Writer


@dataclass(frozen=True, slots=True)
class Tensors:
    """The ONNX tensors that an update reads and writes, by name.

    `parameters` and `gradient` are flat float32 vectors; `lr` is a float32 scalar, `step` the int64 count of the steps
    before this one. `slots` maps each of `slots_of` to the vector read, `new` each of them and `parameters` to the
    vector written.
    """

    parameters: str
    gradient: str
    lr: str
    step: str
    slots: Mapping[str, str]
    new: Mapping[str, str]
    #: a vector that is 1 where weight decay acts and 0 where it does not; None: it acts on all
    decaying: str | None = None


def append_update(w: Writer, optimizer: Optimizer, t: Tensors) -> None:
    """Append the optimizer's update of all parameters."""
    {"sgd": _append_sgd, "rmsprop": _append_rmsprop}.get(optimizer.kind, _append_adam)(w, optimizer, t)


def _append_sgd(w: Writer, optimizer: Optimizer, t: Tensors) -> None:
    """Gradient descent by gradient + weight_decay · parameters, with momentum, or Nesterov's (Sutskever et al. 2013)."""
    a = optimizer.arguments
    _append_momentum(w, t, _decayed(w, t, a["weight_decay"]), a["momentum"], a.get("nesterov", False))


def _append_rmsprop(w: Writer, optimizer: Optimizer, t: Tensors) -> None:
    """RMSprop (Tieleman & Hinton 2012), as PyTorch computes it: the gradient by the root of its mean square, plus eps."""
    a = optimizer.arguments
    gradient = _decayed(w, t, a["weight_decay"])
    _append_mean(w, t.slots["mean_square"], w.op("Mul", [gradient, gradient]), a["decay"], t.new["mean_square"])
    spread = w.op("Add", [w.op("Sqrt", [t.new["mean_square"]]), w.constant(a["eps"])])
    _append_momentum(w, t, w.op("Div", [gradient, spread]), a["momentum"])


def _append_momentum(w: Writer, t: Tensors, direction: str, momentum: float, nesterov: bool = False) -> None:
    """Δ ← momentum · Δ − lr · direction; parameters ← parameters + Δ, or + momentum · Δ − lr · direction (Nesterov).

    Where the rate changes, this differs from PyTorch's form, which multiplies the momentum by the new rate.
    """
    change = w.op("Mul", [direction, t.lr])
    if "momentum" not in t.slots:
        w.op("Sub", [t.parameters, change], into=t.new["parameters"])
        return
    moved = w.op("Sub", [w.op("Mul", [t.slots["momentum"], w.constant(momentum)]), change], into=t.new["momentum"])
    if nesterov:
        moved = w.op("Sub", [w.op("Mul", [moved, w.constant(momentum)]), change])
    w.op("Add", [t.parameters, moved], into=t.new["parameters"])


def _append_adam(w: Writer, optimizer: Optimizer, t: Tensors) -> None:
    """Adam (Kingma & Ba 2015, algorithm 1), AdamW (Loshchilov & Hutter 2019, algorithm 2), as PyTorch computes them."""
    a, parameters, gradient = optimizer.arguments, t.parameters, t.gradient
    if optimizer.kind == "adam":
        gradient = _decayed(w, t, a["weight_decay"])
    elif a["weight_decay"]:
        shrink = w.op("Sub", [w.constant(1), w.op("Mul", [t.lr, _decay(w, t, a["weight_decay"])])])
        parameters = w.op("Mul", [parameters, shrink])
    first, second = t.new["first_moment"], t.new["second_moment"]
    _append_mean(w, t.slots["first_moment"], gradient, a["beta1"], first)
    _append_mean(w, t.slots["second_moment"], w.op("Mul", [gradient, gradient]), a["beta2"], second)
    count = w.op("Add", [w.op("Cast", [t.step], to=TensorProto.DOUBLE), w.constant(1, np.float64)])
    rate = w.op("Div", [t.lr, _bias(w, a["beta1"], count)])
    root = w.op("Sqrt", [_bias(w, a["beta2"], count)])
    spread = w.op("Add", [w.op("Div", [w.op("Sqrt", [second]), root]), w.constant(a["eps"])])
    change = w.op("Mul", [w.op("Div", [first, spread]), rate])
    w.op("Sub", [parameters, change], into=t.new["parameters"])


def _decayed(w: Writer, t: Tensors, decay: float) -> str:
    """The gradient with that of decay / 2 · |parameters|² added."""
    return w.op("Add", [t.gradient, w.op("Mul", [t.parameters, _decay(w, t, decay)])]) if decay else t.gradient


def _decay(w: Writer, t: Tensors, decay: float) -> str:
    """The decay of each parameter: a number, or a vector of it and of zeros."""
    return w.op("Mul", [t.decaying, w.constant(decay)]) if t.decaying else w.constant(decay)


def _append_mean(w: Writer, mean: str, value: str, beta: float, into: str) -> None:
    """beta · mean + (1 − beta) · value."""
    kept, added = w.op("Mul", [mean, w.constant(beta)]), w.op("Mul", [value, w.constant(1 - beta)])
    w.op("Add", [kept, added], into=into)


def _bias(w: Writer, beta: float, count: str) -> str:
    """1 − beta^count, in float64: float32 would lose four digits in the first steps of beta = 0.999."""
    power = w.op("Pow", [w.constant(beta, np.float64), count])
    return w.op("Cast", [w.op("Sub", [w.constant(1, np.float64), power])], to=TensorProto.FLOAT)
