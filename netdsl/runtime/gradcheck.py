"""Checks the gradients of a net's training step against finite differences of its loss.

Differences (f(θ + h) − f(θ − h)) / 2h and the gradients that they are compared with are computed in float64 with numpy,
where a step h of 1e-5 leaves some nine digits; of the float32 gradients that training uses, the distance to those in float64
is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from os import PathLike
from typing import Any, Literal

import numpy as np

from netdsl.diagnostics import DataError, Diagnostic
from netdsl.ir import Graph
from netdsl.runtime.data import Data
from netdsl.runtime.data.of_net import data_of_net
from netdsl.runtime.feeding import Feed
from netdsl.runtime.random_batch import random_batch
from netdsl.runtime.session import choose_device
from netdsl.runtime.state import load_tensors
from netdsl.runtime.stepper import Stepper
from netdsl.runtime.transforms import Pipeline
from netdsl.training.block import training_of
from netdsl.training.float64_step import Float64Step, Kink, Line
from netdsl.training.step import build_step

#: how far a parameter is moved, in turn, until difference and gradient agree: a shorter step meets fewer kinks, but more
#: of the loss's own rounding
STEPS = (1e-5, 1e-6, 1e-7, 1e-8, 1e-9)
#: rounding of the loss in float64, relative; a step is too short where that is more than VISIBLE of the difference
ROUNDING, VISIBLE = 2e-15, 1e-3
#: how far a parameter's float32 gradient is from that in float64, relative to its length: beyond the first it is called
#: imprecise, beyond the second wrong, since rounding that a net amplifies is no fault of the gradient
IMPRECISE, WRONG = 1e-2, 0.5
#: what is added to initial weights: biases of zero would put units that see nothing exactly on their kink
NOISE = 1e-2

Verdict = Literal["right", "kink", "wrong"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One number of a parameter: the derivative of the loss by it, and differences over `step` on both sides of it.

    `error` is |gradient − difference| / max(|gradient|, |difference|), of nothing less than what rounding allows to see.
    """

    index: tuple[int, ...]
    gradient: float
    difference: float
    left: float
    right: float
    step: float
    error: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Checked:
    """A parameter: its worst entry, how many a kink explains and the worst of these, the kinks between it and the loss."""

    name: str
    shape: tuple[int, ...]
    entries: int
    worst: Entry
    at_kinks: int
    kink: Entry | None
    kinks: tuple[Kink, ...]
    #: ‖float32 − float64‖ / ‖float64‖ of its whole gradient
    float32: float

    @property
    def verdict(self) -> Verdict:
        return "wrong" if self.float32 > WRONG else self.worst.verdict


@dataclass(frozen=True, slots=True)
class GradientCheck:
    """The outcome: parameters in the net's order, the loss at which they were compared."""

    net: str
    loss: float
    batch: int
    data: str
    seed: int
    tolerance: float
    provider: str
    parameters: tuple[Checked, ...]

    @property
    def right(self) -> bool:
        return all(parameter.verdict != "wrong" for parameter in self.parameters)

    @property
    def worst(self) -> Checked:
        """The parameter whose gradient is the most in doubt."""
        return max(self.parameters, key=lambda p: (p.verdict == "wrong", p.worst.verdict == "right", p.worst.error))

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        plain = {
            name: getattr(self, name) for name in ("net", "loss", "batch", "data", "seed", "tolerance", "provider")
        }
        parameters = [
            {"verdict": p.verdict, **asdict(p), "kinks": [k._asdict() for k in p.kinks]} for p in self.parameters
        ]
        return {
            **plain,
            "precision": "float64",
            "right": self.right,
            "worst": self.worst.name,
            "parameters": parameters,
        }


def check_gradients(
    graph: Graph,
    weights: Mapping[str, np.ndarray],
    *,
    feeds: Mapping[str, np.ndarray] | None = None,
    sizes: Mapping[str, int] | None = None,
    data: str = "random numbers",
    batch: int = 4,
    samples: int = 10,
    seed: int = 0,
    tolerance: float = 1e-4,
    noise: float = NOISE,
    device: str = "cpu",
    threads: int | None = None,
) -> GradientCheck:
    """Compare `samples` entries of every parameter: that of the largest gradient, and others drawn by `seed`.

    `weights` has all parameters and buffers by name; normally distributed `noise` of this deviation is added to what is
    learned. `feeds` are inputs and targets by name, random ones if None; `sizes` the symbolic sizes that these have. Random
    numbers of the step (dropout) are the same in every evaluation. Raises TrainingError as `build_step` does.
    """
    place, rng = choose_device(device, threads), np.random.default_rng(seed)
    step = build_step(graph, batch=batch, sizes=sizes, provider=place.provider, split=True)
    learned = {slot.name for slot in step.state["parameters"].slots}
    moved = {name: value + noise * rng.standard_normal(value.shape).astype(np.float32) if name in learned else value
             for name, value in weights.items()}  # fmt: skip
    stepper = Stepper(step, place, seed=seed)
    load_tensors(stepper, moved)
    given = random_batch(graph, batch, rng, sizes or {}) if feeds is None else feeds
    for name, tensor in (*step.inputs.items(), *step.targets.items()):
        if tensor in stepper.feeds:
            stepper.feeds[tensor][...] = given[name]
    stepper.step(0, 0.0)
    float32 = step.state["parameters"].unpack(stepper.gradient())
    double = Float64Step(step, stepper.last_feeds())
    floor = 1e-3 * float(np.sqrt(sum(np.square(g).sum() for g in double.gradients.values())))
    found = tuple(_checked(double, name, float32[name], floor, samples, tolerance, rng) for name in double.gradients)
    return GradientCheck(graph.name, double.loss, batch, data, seed, tolerance, place.provider, found)


def first_samples(graph: Graph, spec: str | PathLike[str] | Data, batch: int) -> dict[str, Any]:
    """The first training samples of a data set as arguments of `check_gradients`; raises DataError."""
    training = training_of(graph)
    data = data_of_net(graph, spec)
    feed = Feed(graph, data.train, Pipeline(training.prepare), where="training samples")
    if len(feed) < batch:
        raise DataError(Diagnostic("E0806", f"there are {len(feed)} training samples, which is less than a batch of {batch}",
                                   helps=(f"use a batch of {len(feed)}",)))  # fmt: skip
    return {"feeds": feed.batch(np.arange(batch)), "sizes": feed.sizes, "data": data.name}


def _checked(
    double: Float64Step,
    name: str,
    float32: np.ndarray,
    floor: float,
    samples: int,
    tolerance: float,
    rng: np.random.Generator,
) -> Checked:
    gradient, line = double.gradients[name], double.along(name)
    entries = [_entry(double, line, name, index, tolerance) for index in _chosen(gradient, samples, rng)]
    distance = float(np.linalg.norm(float32 - gradient)) / max(float(np.linalg.norm(gradient)), floor, 1e-30)
    worst = max(entries, key=lambda e: (e.verdict == "wrong", e.error))
    at_kinks = [entry for entry in entries if entry.verdict == "kink"]
    kink = max(at_kinks, key=lambda e: e.error, default=None)
    return Checked(name, gradient.shape, len(entries), worst, len(at_kinks), kink, tuple(line.kinks), distance)


def _chosen(gradient: np.ndarray, samples: int, rng: np.random.Generator) -> Iterator[tuple[int, ...]]:
    """The entry of the largest gradient, and others at random."""
    largest = int(np.abs(gradient).argmax())
    others = [int(i) for i in rng.permutation(gradient.size) if i != largest]
    for flat in [largest, *others[: samples - 1]]:
        yield tuple(int(i) for i in np.unravel_index(flat, gradient.shape))


def _entry(double: Float64Step, line: Line, name: str, index: tuple[int, ...], tolerance: float) -> Entry:
    """Compared over ever shorter steps until it agrees: what a longer step alone sees is a kink beside the point."""
    gradient, value = float(double.gradients[name][index]), double.values[name]
    longest, tried = STEPS[0] * max(1.0, abs(float(value[index]))), list[Entry]()
    for step in STEPS:
        h = longest * step / STEPS[0]
        rounding = ROUNDING * max(1.0, abs(double.loss)) / h
        if tried and rounding > VISIBLE * abs(gradient):
            break
        left, right = _slopes(double, line, value, index, h)
        difference = (left + right) / 2
        error = abs(gradient - difference) / max(abs(gradient), abs(difference), rounding / tolerance)
        agrees = error <= tolerance
        verdict: Verdict = "wrong" if not agrees else "kink" if tried and line.kinks else "right"
        tried.append(
            Entry(index, gradient, difference, left, right, h, error if np.isfinite(error) else np.inf, verdict)
        )
        if agrees:
            return tried[-1]
    last = tried[-1]
    corner = bool(line.kinks) and _is_corner(last, _slopes(double, line, value, index, 10 * last.step), tolerance)
    return replace(last, verdict="kink") if corner else tried[0]


def _slopes(double: Float64Step, line: Line, value: np.ndarray, index: tuple[int, ...], h: float) -> tuple[float, float]:
    """The differences on both sides of an entry."""
    below, above = (line.loss(_moved(value, index, sign * h)) for sign in (-1, 1))
    return (double.loss - below) / h, (above - double.loss) / h


def _is_corner(entry: Entry, farther: tuple[float, float], tolerance: float) -> bool:
    """Whether the slopes on both sides are not the same, and no nearer to each other than over a step ten times as long:
    curvature would have brought them together."""
    gap = abs(entry.right - entry.left)
    visible = (tolerance + VISIBLE) * max(abs(entry.left), abs(entry.right))
    return gap > visible and gap > 0.3 * abs(farther[1] - farther[0])


def _moved(value: np.ndarray, index: tuple[int, ...], by: float) -> np.ndarray:
    moved = value.copy()
    moved[index] += by
    return moved
