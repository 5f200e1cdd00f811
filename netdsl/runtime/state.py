"""The state of a training step as named tensors, and as a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import onnxruntime as ort

from netdsl.diagnostics import CheckpointError, Diagnostic
from netdsl.runtime import checkpoint as checkpoints
from netdsl.runtime.checkpoint import Checkpoint, Progress
from netdsl.runtime.session import Device
from netdsl.runtime.stepper import Stepper
from netdsl.training.scaling import SCALING
from netdsl.training.step import TENSORS, StepModel
from netdsl.version import __version__


def named_tensors(stepper: Stepper) -> dict[str, np.ndarray]:
    """Parameters, frozen ones included, and buffers by name, as they are now."""
    return _named(stepper.model, stepper.vectors())


def load_tensors(stepper: Stepper, tensors: Mapping[str, np.ndarray]) -> None:
    """Replace all parameters and buffers. Raises KeyError, ValueError on a misfit."""
    state = stepper.model.state
    stepper.load({name: state[name].pack(tensors) for name in TENSORS if name in state})


def checkpoint_of(stepper: Stepper, vectors: Mapping[str, np.ndarray], progress: Progress) -> Checkpoint:
    """A checkpoint of vectors that the stepper gave. A loss scale goes with what the optimizer keeps."""
    kept = [name for name in stepper.model.state if name not in TENSORS]
    optimizer = {name: stepper.model.state[name].unpack(vectors[name]) for name in kept}
    return Checkpoint(_named(stepper.model, vectors), optimizer, progress)


def restore(stepper: Stepper, found: Checkpoint, path: str | os.PathLike[str]) -> None:
    """Take parameters, buffers and the optimizer's vectors from a checkpoint, and the loss scale if both have one.

    Raises CheckpointError where it is of another net (E0704) or another optimizer (E0706); nothing is changed then.
    """
    state, slots = stepper.model.state, _slots(stepper.model)
    expected = {s.name: s.shape for name in TENSORS if name in state for s in state[name].slots}
    checkpoints.match(found.tensors, expected).require(path)
    if sorted(set(found.optimizer) - {SCALING}) != sorted(slots):
        refuse(path, "it was trained with another optimizer", "train with the optimizer that it was trained with")
    scaling = [SCALING] if SCALING in state and SCALING in found.optimizer else []
    for slot in (*slots, *scaling):
        checkpoints.match(found.optimizer[slot], {s.name: s.shape for s in state[slot].slots}).require(path)
    load_tensors(stepper, found.tensors)
    stepper.load({slot: state[slot].pack(found.optimizer[slot]) for slot in (*slots, *scaling)})
    if SCALING in state and not scaling:  # of a run in another precision
        stepper.load({SCALING: stepper.model.initial(SCALING)})


def environment(device: Device) -> dict[str, object]:
    """What a resume must share with the run it continues, to be the same bit for bit."""
    return {
        "netdsl": __version__,
        "onnxruntime": ort.__version__,
        "numpy": np.__version__,
        "provider": device.provider,
        "threads": device.threads or os.cpu_count(),
    }


def plain(hyperparameters: Mapping[str, Any]) -> dict[str, int | float | str]:
    """Hyperparameters as a checkpoint holds them: numbers, and texts of all else."""
    return {
        name: value if isinstance(value, (int, float, str)) else str(value) for name, value in hyperparameters.items()
    }


def refuse(path: str | os.PathLike[str], why: str, help: str) -> NoReturn:
    """Raise CheckpointError (E0706)."""
    message = "this checkpoint cannot be resumed here"
    raise CheckpointError(Diagnostic("E0706", message, notes=(why,), helps=(help,), path=os.fspath(path)))


def _slots(model: StepModel) -> Sequence[str]:
    """The optimizer's vectors."""
    return [name for name in model.state if name not in (*TENSORS, SCALING)]


def _named(model: StepModel, vectors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k: v for name in TENSORS if name in model.state for k, v in model.state[name].unpack(vectors[name]).items()}
