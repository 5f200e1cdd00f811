"""A training step from a file: what `netdsl compile --training` wrote, trained without the .net file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from netdsl.diagnostics import DataError, Diagnostic, NetError, TrainingError, did_you_mean
from netdsl.runtime import checkpoint as checkpoints
from netdsl.runtime.checkpoint import Progress
from netdsl.runtime.precision import require_precision
from netdsl.runtime.session import choose_device
from netdsl.runtime.state import checkpoint_of, environment, named_tensors, plain, restore
from netdsl.runtime.stepper import Stepper
from netdsl.training.portable import read_portable, refuse
from netdsl.training.schedules import rate_at


class StepResult(NamedTuple):
    """Loss and metrics of one batch, as they were before its update."""

    loss: float
    metrics: dict[str, float]


class TrainingStep:
    """A training step that `netdsl compile FILE --training -o step.onnx` wrote, with its state.

        step = netdsl.TrainingStep("step.onnx", steps_per_epoch=len(images) // 64)
        for rows in batches:
            loss, metrics = step.step({"image": images[rows], "label": labels[rows]})
        step.save("last.safetensors")

    `batch` is the number of samples that each step takes, `steps` how many were taken. Prepared samples are expected: the
    net's `prepare` is not applied, nor `augment`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        steps_per_epoch: int | None = None,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        """`steps_per_epoch` is what a learning rate that changes over epochs is counted by. `device`: auto, cpu or cuda;
        `threads` of the CPU, None for all.

        Raises TrainingError (E0808) where the file holds no training step, DeviceError (E0906) where the device has no
        kernels for the step's precision, or cannot be had.
        """
        if steps_per_epoch is not None and steps_per_epoch < 1:
            raise TrainingError(Diagnostic("E0807", f"steps_per_epoch is at least 1, not {steps_per_epoch}"))
        stored = read_portable(path)
        self.batch = stored.step.batch
        self.steps = 0
        self._steps_per_epoch, self._stored = steps_per_epoch, stored
        chosen = choose_device(device, threads)
        try:
            require_precision(stored.step, chosen)
            self._stepper = Stepper(stored.step, chosen, seed=stored.seed)
        except NetError:
            raise
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            refuse(path, f"ONNX Runtime does not take it: {str(error)[:200]}")
        self._stepper.load(stored.vectors)
        self._tensors = dict(stored.step.inputs) | dict(stored.step.targets)
        self._progress = Progress(net=stored.net, hyperparameters=plain(stored.hyperparameters), prepare=stored.prepare)

    def __repr__(self) -> str:
        inputs = ", ".join(f"{name}{list(self._stepper.feeds[tensor].shape)}" for name, tensor in self._tensors.items())
        return f"<training step of {self._stored.net}: {inputs}, {self.steps} steps taken>"

    def step(self, batch: Mapping[str, np.ndarray], lr: float | None = None) -> StepResult:
        """Update the parameters by one batch: arrays `[batch, ...]` by the names of the net's inputs and targets.

        `lr` replaces the rate that the net's schedule has for this step. Raises DataError (E0806) where the arrays do not
        fit, TrainingError (E0809) where the schedule counts in epochs and `steps_per_epoch` was not given.
        """
        rate = self._rate() if lr is None else lr
        self._fill(batch)
        self._stepper.step(self.steps, rate)
        self.steps += 1
        return StepResult(self._stepper.loss(), self._stepper.metrics())

    def parameters(self) -> dict[str, np.ndarray]:
        """Copies of all weights, frozen ones included, and buffers, by name."""
        return named_tensors(self._stepper)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint, from which `load` and `netdsl train --resume` go on; `compile --weights` takes it too.

        A resumed run takes these steps to be the first of its own, and goes on behind them. Raises CheckpointError (E0705)
        where it cannot be written.
        """
        stepper = self._stepper
        progress = replace(
            self._progress, seed=stepper.seed, step=self.steps, environment=environment(stepper.device),
            running={
                "totals": [0.0] * stepper.model.totals_size, "batch": self.batch, "epochs": self._stored.epochs,
                "precision": stepper.model.precision,
            },
        )  # fmt: skip
        checkpoints.save(path, checkpoint_of(stepper, stepper.vectors(), progress))

    def load(self, path: str | os.PathLike[str]) -> None:
        """Go on from a checkpoint of `save` or of `netdsl train`: parameters, buffers, optimizer, steps and seed.

        Raises CheckpointError where it cannot be read or is of another net or optimizer; nothing is changed then.
        """
        found = checkpoints.load(path)
        restore(self._stepper, found, path)
        self.steps, self._stepper.seed = found.progress.step, found.progress.seed
        # of the data set, which another step may not come from, nothing is passed on
        self._progress = replace(self._progress, history=found.progress.history, classes=found.progress.classes)

    def _rate(self) -> float:
        schedule = self._stored.optimizer.rate
        if self._steps_per_epoch is None and schedule.kind != "constant":
            message = f"the learning rate follows `{schedule.kind}`, which counts in epochs: how long are they?"
            help = "give `steps_per_epoch`, or the rate to `step`"
            raise TrainingError(Diagnostic("E0809", message, helps=(help,)))
        return rate_at(
            schedule, step=self.steps, steps_per_epoch=self._steps_per_epoch or 1, epochs=self._stored.epochs
        )

    def _fill(self, batch: Mapping[str, np.ndarray]) -> None:
        for name in batch:
            if name not in self._tensors:
                helps = did_you_mean(name, self._tensors)
                raise DataError(Diagnostic("E0806", f"the net has no input or target `{name}`", helps=helps))
        for name, tensor in self._tensors.items():
            feed = self._stepper.feeds[tensor]
            if name not in batch:
                raise DataError(Diagnostic("E0806", f"the batch has no `{name}` {list(feed.shape)}"))
            array = np.asarray(batch[name])
            if array.shape != feed.shape or not np.can_cast(array.dtype, feed.dtype, "same_kind"):
                message = (
                    f"`{name}` is {feed.dtype} {list(feed.shape)}, and the batch has {array.dtype} {list(array.shape)}"
                )
                raise DataError(Diagnostic("E0806", message))
            np.copyto(feed, array, casting="same_kind")
