"""A batch of random inputs and targets that a net takes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from netdsl.ir import Graph, Target, Training, Value, value_at
from netdsl.runtime.feeding import classes_of, compared


def random_batch(graph: Graph, batch: int, rng: np.random.Generator, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Inputs and targets by name: normally distributed numbers, whole ones that the operators take, labels that are
    classes, and values that the loss takes."""
    assert graph.training is not None
    found = {value.name: _input(graph, value, _shape(value, batch, sizes), rng) for value in graph.inputs}
    for target in graph.training.targets:
        shape = _shape(target.value, batch, sizes)
        found[target.value.name] = _target(graph.training, target, shape, rng)
    return found


def _shape(value: Value, batch: int, sizes: Mapping[str, int]) -> tuple[int, ...]:
    shape = tuple(value_at(dim, sizes) for dim in value.shape)
    return (batch, *shape) if value.type.batched else shape


def _input(graph: Graph, value: Value, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if value.type.dtype == "float32":
        return rng.standard_normal(shape).astype(np.float32)
    assert graph.training is not None
    users = [(node.op.choices(node, node.inputs.index(value))) for node in (*graph.nodes, *graph.training.nodes)
             if value in node.inputs]  # fmt: skip
    return rng.integers(0, min((count for count in users if count is not None), default=2), shape)


def _target(training: Training, target: Target, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if target.kind == "class":
        return rng.integers(0, classes_of(training, target) or 2, shape)
    drawn = [op.targets.draw(rng, shape) for op, _ in compared(training, target) if op.targets is not None]
    return np.asarray(drawn[0] if drawn else rng.standard_normal(shape), np.float32)
