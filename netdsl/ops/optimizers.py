"""The optimizers and schedules a `train` block may name, with their arguments. Imports neither onnx nor numpy."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from netdsl.ir.graph import Optimizer, Schedule
from netdsl.ops.arguments import FLAG, FRACTION, POSITIVE, Argument, Kind, is_int, is_number
from netdsl.ops.registry import OPERATORS


def _is_epoch_list(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(is_int(epoch) and epoch >= 1 for epoch in value)
        and all(a < b for a, b in pairwise(value))
    )


def _roles() -> set[str]:
    """What the operators call their parameters: `weight`, `bias`, `scale`, ..."""
    return {text.split()[0] for operator in OPERATORS.values() for text in operator.owns}


NOT_NEGATIVE = Kind("a number of at least 0", lambda v: is_number(v) and v >= 0)
EPOCHS = Kind("a rising list of epochs, each at least 1", _is_epoch_list)
MAYBE_EPOCHS = Kind("none, or a number of epochs above 0", lambda v: v is None or (is_number(v) and v > 0))
RATE = Kind(
    "a positive number, or a schedule such as step(0.1, at = [82, 123])",
    lambda v: isinstance(v, Schedule) or (is_number(v) and v > 0),
)
ROLES = Kind(
    'a list of what parameters are called in their layers, such as ["bias", "scale"]',
    lambda v: isinstance(v, list) and all(isinstance(role, str) and role in _roles() for role in v),
)

_WARMUP = Argument("warmup", NOT_NEGATIVE, 0, "epochs in which the rate first rises linearly from 0 to `start`")

#: Learning rates over time. `schedules.rate_at` says what each means.
SCHEDULES: Mapping[str, tuple[Argument, ...]] = {
    "constant": (Argument("start", POSITIVE, doc="the rate"),),
    "step": (
        Argument("start", POSITIVE, doc="the rate at first"),
        Argument("at", EPOCHS, doc="the epochs (counted from 0) from which on the rate is multiplied by `factor`"),
        Argument("factor", POSITIVE, 0.1, "what the rate is multiplied by"),
        _WARMUP,
    ),
    "cosine": (
        Argument("start", POSITIVE, doc="the greatest rate"),
        Argument("end", NOT_NEGATIVE, 0, "the rate at the end"),
        Argument("epochs", MAYBE_EPOCHS, None, "epochs until the end, warm-up included; none: all of the training"),
        _WARMUP,
    ),
}

_RATE = Argument("lr", RATE, doc="learning rate, or its schedule")
_BETAS = (
    Argument("beta1", FRACTION, 0.9, "decay of the mean of the gradients"),
    Argument("beta2", FRACTION, 0.999, "decay of the mean of their squares"),
    Argument("eps", POSITIVE, 1e-8, "added to the root of the mean square"),
)
_NO_DECAY = Argument("no_decay", ROLES, [], "the kinds of parameters that do not decay, such as bias and a bn's scale")

#: Optimizers. `optimizers.append_update` says what each computes.
OPTIMIZERS: Mapping[str, tuple[Argument, ...]] = {
    "sgd": (
        _RATE,
        Argument("momentum", FRACTION, 0.0, "share of the last change that is repeated"),
        Argument("weight_decay", NOT_NEGATIVE, 0.0, "L2 regularisation, added to the gradient"),
        Argument("nesterov", FLAG, False, "Nesterov's momentum: the gradient as if the last change were repeated already"),
        _NO_DECAY,
    ),
    "rmsprop": (
        _RATE,
        Argument("decay", FRACTION, 0.9, "decay of the mean of the squared gradients"),
        Argument("momentum", FRACTION, 0.0, "share of the last change that is repeated"),
        Argument("eps", POSITIVE, 1e-8, "added to the root of the mean square"),
        Argument("weight_decay", NOT_NEGATIVE, 0.0, "L2 regularisation, added to the gradient"),
        _NO_DECAY,
    ),
    "adam": (
        _RATE, *_BETAS,
        Argument("weight_decay", NOT_NEGATIVE, 0.0, "L2 regularisation, added to the gradient"),
        _NO_DECAY,
    ),
    "adamw": (
        _RATE, *_BETAS,
        Argument("weight_decay", NOT_NEGATIVE, 0.01, "decoupled decay: the weights shrink by lr times this"),
        _NO_DECAY,
    ),
}  # fmt: skip

#: what each is, and an example
DESCRIBED: Mapping[str, tuple[str, str]] = {
    "sgd": ("stochastic gradient descent, with momentum if that is given", "sgd(lr = 0.1, momentum = 0.9)"),
    "rmsprop": ("steps scaled by a running root mean square of the gradient (Tieleman & Hinton 2012)",
                "rmsprop(lr = 0.001)"),
    "adam": ("steps scaled by running means of the gradient and its square (Kingma & Ba 2015)", "adam(lr = 0.001)"),
    "adamw": ("adam with weight decay apart from the gradient (Loshchilov & Hutter 2019)", "adamw(lr = 0.001)"),
    "constant": ("the same rate all the time; a number alone means it too", "sgd(lr = constant(0.1))"),
    "step": ("the rate falls by a factor at given epochs (He et al. 2016)", "sgd(lr = step(0.1, at = [1, 2]))"),
    "cosine": ("half a cosine from the start to the end, after a warm-up (Loshchilov & Hutter 2017)",
               "sgd(lr = cosine(0.1, warmup = 1))"),
}  # fmt: skip


def as_schedule(value: float | Schedule) -> Schedule:
    """The schedule that an accepted `lr` stands for."""
    return value if isinstance(value, Schedule) else Schedule("constant", {"start": value})


def slots_of(optimizer: Optimizer) -> tuple[str, ...]:
    """The vectors, each as long as the parameters and zero at first, that the optimizer keeps between steps."""
    if optimizer.kind in ("adam", "adamw"):
        return ("first_moment", "second_moment")
    momentum = ("momentum",) if optimizer.arguments.get("momentum", 0) else ()
    return momentum if optimizer.kind == "sgd" else (*momentum, "mean_square")


def decays(parameter: str, optimizer: Optimizer) -> bool:
    """Whether weight decay acts on the parameter of this name: `no_decay` lists last parts of names."""
    return parameter.rpartition(".")[2] not in optimizer.arguments.get("no_decay", ())


def temporaries(optimizer: Optimizer) -> int:
    """How many vectors as long as the parameters an update takes at once, besides the gradient and what it writes."""
    a = optimizer.arguments
    if optimizer.kind == "sgd":
        return 2 if a["weight_decay"] or (a["nesterov"] and a["momentum"]) else 1
    if optimizer.kind == "rmsprop":
        return 3  # the square and both terms of its mean: the gradient is divided by the root later
    return 3 if optimizer.kind == "adamw" and a["weight_decay"] else 2  # the terms of a mean; parameters that have shrunk
