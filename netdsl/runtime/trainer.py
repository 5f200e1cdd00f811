"""Trains a net: epochs, validation, checkpoints, a clean stop, and a resume that leaves no trace."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from netdsl.diagnostics import CheckpointError, Diagnostic, TrainingError, counted
from netdsl.ir import Graph
from netdsl.lower import initial_parameters
from netdsl.runtime import checkpoint as checkpoints
from netdsl.runtime.data.dataset import Data
from netdsl.runtime.directory import BEST, LAST, make_directory, newest
from netdsl.runtime.divergence import Finding, diverged, find_first, find_vector
from netdsl.runtime.evaluation import Evaluator
from netdsl.runtime.feeding import Feed
from netdsl.runtime.history import EpochRecord, History
from netdsl.runtime.loop import Interrupt, interruptible, order
from netdsl.runtime.options import more_parts
from netdsl.runtime.placement import told
from netdsl.runtime.plan import Plan, Position
from netdsl.runtime.precision import require_precision
from netdsl.runtime.progress import Progress, Silence
from netdsl.runtime.session import Device, choose_device
from netdsl.runtime.state import checkpoint_of, load_tensors, named_tensors, restore
from netdsl.runtime.stepper import Stepper
from netdsl.runtime.transforms import Pipeline
from netdsl.training.block import training_of
from netdsl.training.scaling import SCALING
from netdsl.training.step import build_evaluation, build_step

_CHECK_EVERY = 64  # steps between two looks at the loss where reading it means waiting for the device


class Trainer:
    """A run of training. `run` trains until the last epoch; `tensors` gives parameters and buffers as they are now; `plan`
    has the seed, the sizes and counts that the run goes by.

    Every epoch sees the samples in an order of its own, in whole batches: the samples that do not fill one are left
    out of this epoch, and others will be in the next. Validation sees every sample. The state after so many steps is a
    function of the file, the data and `seed`, on the same machine, versions and number of threads, no matter
    how often the run was stopped and resumed.
    """

    def __init__(
        self,
        graph: Graph,
        data: Data,
        *,
        directory: str | os.PathLike[str] | None,
        device: str = "auto",
        threads: int | None = None,
        seed: int = 0,
        epochs: int | None = None,
        accumulate: int = 1,
        precision: str = "float32",
        weights: Mapping[str, np.ndarray] | None = None,
        progress: Progress | None = None,
    ):
        """`directory` keeps `last.safetensors` and `best.safetensors`; None keeps nothing. `epochs`: else the file's.

        `accumulate`: in how many parts each batch is computed, one after the other, their gradients averaged. `precision`:
        float32, fp16 or bf16, see `build_step`. `weights` replace initial values by name. Raises TrainingError, DataError,
        DeviceError, CheckpointError.
        """
        training = training_of(graph)
        self.graph, self.data, self.training = graph, data, training
        self.directory = None if directory is None else Path(directory)
        self.history = History(directory=None if directory is None else str(directory))
        self.progress = progress or Silence()
        self.device: Device = choose_device(device, threads)
        pipeline = Pipeline((*training.prepare, *training.augment))
        self._train = Feed(graph, data.train, pipeline, where="training samples")
        self._validation = Feed(graph, data.validation, pipeline, where="validation samples")
        self.plan = Plan.of(
            graph, data, pipeline, self.device, len(self._train),
            seed=seed, epochs=epochs, accumulate=accumulate, precision=precision,
        )  # fmt: skip
        self._stepper, self._evaluator = self._compiled()
        load_tensors(self._stepper, initial_parameters(graph, self.plan.seed) | dict(weights or {}))
        self._epoch = 0  # finished epochs
        self._done = 0  # steps of the running epoch
        self._at = 0  # parts of the running step that are done
        self._untold = 0  # steps of the running epoch that the totals do not know of
        self._fresh = True  # until the run has begun or is resumed
        self._saved = ""  # the state that the directory's last checkpoint holds, in words
        # reading totals means waiting for the device, where it is not the CPU
        self._every = 1 if self.device.provider == "cpu" else _CHECK_EVERY
        self._checked: tuple[int, dict[str, np.ndarray]] = (0, {})
        self._samples = np.zeros(0, np.int64)  # those of the last batch
        self._skipped = 0  # steps left out for their gradients that were told of

    def _compiled(self) -> tuple[Stepper, Evaluator]:
        """The sessions of the step and of the evaluation. Tells of operators that the device has no kernels for."""
        plan, device = self.plan, self.device
        model = build_step(
            self.graph, batch=plan.part, sizes=self._train.sizes, provider=device.provider, split=plan.parts > 1,
            precision=plan.precision,
        )  # fmt: skip
        require_precision(model, device)
        evaluation = build_evaluation(self.graph, model, provider=device.provider)
        way_out = more_parts(plan.batch, plan.parts)
        stepper = Stepper(model, device, seed=plan.seed, parts=plan.parts, way_out=way_out)
        evaluator = Evaluator(evaluation, device, way_out)
        if found := stepper.elsewhere():
            self.progress.message(told(found, device.provider))
        return stepper, evaluator

    def run(self) -> History:
        """Train to the last epoch, or until Ctrl-C: then `history.stopped` is set, and `resume` goes on from there.

        Raises TrainingError (E0802) if the loss is not finite, CheckpointError (E0705) where a checkpoint cannot be
        written, as on a full disk; the checkpoints of before stay.
        """
        if self.directory is not None:
            make_directory(self.directory, anew=self._fresh)
            self._fresh = False
            if not self._saved:
                self._keep(LAST)
        self.history.stopped = False
        try:
            with interruptible() as interrupt:
                while self._epoch < self.plan.epochs and not self.history.stopped:
                    self._run_epoch(interrupt)
        finally:
            self.progress.close()
        return self.history

    def resume(self) -> None:
        """Go on from the directory's last checkpoint, or if that is damaged from the best.

        Raises CheckpointError where there is none that can be read, or it is of another net, optimizer or data set.
        """
        assert self.directory is not None, "a run without a directory has no checkpoints"
        last = self.directory / LAST
        found, path = newest(self.directory)
        before, stepper = found.progress, self._stepper
        if path != last:
            self.progress.message(f"note: {last} is damaged: going on from {path}, of epoch {before.epoch}")
        at = self.plan.position(before, path, stepper.model.totals_size)
        restore(stepper, found, path)
        if changed := self.plan.changes(before):
            self.progress.message(f"note: this will not continue bit for bit: {'; '.join(changed)}")
        stepper.load({"totals": at.totals})
        scaling = self._scaling()
        self._skipped = 0 if scaling is None else int(scaling[2])
        self.plan = replace(self.plan, seed=before.seed)
        stepper.seed = before.seed
        self._epoch, self._done = at.epoch, at.done
        self._untold = at.done - int(at.totals[-1]) // self.plan.parts
        self._fresh, self._saved = False, self._moment if path == last else ""
        try:
            self.history.epochs = History.from_dict(before.history).epochs
        except TypeError as error:
            raise CheckpointError(Diagnostic("E0702", "the checkpoint's history is damaged", path=str(path))) from error

    def tensors(self) -> dict[str, np.ndarray]:
        """Parameters, frozen ones included, and buffers by name, as they are now."""
        return named_tensors(self._stepper)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint of this moment. Raises CheckpointError where it cannot be written."""
        vectors = self._stepper.vectors()
        if self._step and not np.isfinite(vectors["parameters"]).all():  # of what it began with the first step tells
            self._diverge("a parameter is no longer finite", self._bad_vector(vectors))
        progress = self.plan.progress(Position(self._epoch, self._done, vectors["totals"]), self.history)
        checkpoints.save(path, checkpoint_of(self._stepper, vectors, progress))

    def _keep(self, name: str) -> None:
        """Save in the run's folder. Raises CheckpointError (E0705) that says from where the run can go on."""
        assert self.directory is not None
        try:
            self.save(self.directory / name)
        except CheckpointError as error:
            (failure,) = error.diagnostics
            if self._saved:
                notes, helps = (self._kept,), (*failure.helps, "then go on with --resume; the run's folder can be moved")
                failure = failure._replace(notes=notes, helps=helps)
            raise CheckpointError(failure) from error
        if name == LAST:
            self._saved = self._moment

    @property
    def _kept(self) -> str:
        """What there is of the run on disk, in words."""
        if self.directory is None or not self._saved:
            return "no checkpoint was written"
        return f"{self.directory / LAST} holds {self._saved}"

    def _run_epoch(self, interrupt: Interrupt) -> None:
        """Train, validate, record and save one epoch, or what is left of it; or save in its midst if interrupted."""
        began, first = time.perf_counter(), self._done
        self.progress.begin(self._epoch + 1, self.plan.epochs, self._done, self.plan.steps_per_epoch)
        if self._every > 1:
            self._checked = (self._done, self._stepper.vectors())
        self._train_steps(interrupt, began)
        self._check(began)
        speed = _rate((self._done - first) * self.plan.batch, time.perf_counter() - began)
        result = None
        if not interrupt.asked:
            result = self._evaluator.run(
                self._stepper.current(), self._validation, self.plan.part, stopped=lambda: interrupt.asked
            )
        if result is None:
            self._stop()
            return
        loss, metrics = result
        if not math.isfinite(loss):
            self._diverge(f"the validation loss is {loss}", self._bad_vector(self._stepper.vectors()))
        self._tell_of_skipped()
        means = self._means()
        rate = self.plan.rate(self._step - 1)
        self._epoch, self._done, self._untold = self._epoch + 1, 0, 0
        record = EpochRecord(self._epoch, means[0], means[1], loss, metrics, rate, speed)
        self.history.epochs.append(record)
        self._stepper.clear_totals()
        self.progress.end(record)
        if self.directory is not None:
            if _best(self.history) is record:
                self._keep(BEST)
            self._keep(LAST)  # after the best: a resume does not come back to a finished epoch

    def _train_steps(self, interrupt: Interrupt, began: float) -> None:
        plan, first = self.plan, self._done
        samples = order(plan.seed, self._epoch, len(self._train))[: plan.steps_per_epoch * plan.batch]
        names = dict(self._stepper.model.inputs) | dict(self._stepper.model.targets)
        augment = (plan.seed, self._epoch) if self.training.augment else None
        samples = samples[first * plan.batch :]
        for start, arrays in enumerate(self._train.batches(samples, plan.part, augment=augment)):
            if interrupt.asked and self._at == 0:
                return
            for name, array in arrays.items():
                np.copyto(self._stepper.feeds[names[name]], array, casting="same_kind")
            self._samples = samples[start * plan.part : (start + 1) * plan.part]
            self._stepper.step(self._step, plan.rate(self._step), self._at)
            self._at = (self._at + 1) % plan.parts
            self._done += self._at == 0
            if self._every == 1 or (self._at == 0 and self._done % self._every == 0):
                self._check(began)
            if self._at == 0 and self.progress.due():
                speed = _rate((self._done - first) * plan.batch, time.perf_counter() - began)
                self.progress.step(self._done, *self._means(), speed)

    @property
    def _step(self) -> int:
        """Steps so far, over all epochs."""
        return self._epoch * self.plan.steps_per_epoch + self._done

    @property
    def _moment(self) -> str:
        """The state in words."""
        if self._done:
            return f"the state after step {self._done} of epoch {self._epoch + 1}"
        return f"the state after epoch {self._epoch}" if self._epoch else "the state before the first step"

    def _means(self) -> tuple[float, dict[str, float]]:
        """The means of the loss and of each metric over the steps of this epoch so far."""
        counted = self.plan.parts * (self._done - self._untold)
        means = self._stepper.totals()[:-1].astype(np.float64) / max(1, counted)
        return float(means[0]), dict(zip(self.training.metrics, means[1:].tolist(), strict=True))

    def _check(self, began: float) -> None:
        """Look at how many batches were finite, and raise TrainingError (E0802) unless all were."""
        seen = self.plan.parts * (self._done - self._untold) + self._at
        if int(self._stepper.totals()[-1]) == seen:
            if self._every > 1:
                self._checked = (self._done, self._stepper.vectors())
            return
        if self._every > 1:
            # which of the steps since the last look it was, and from which state, another run of them tells
            self._every, (self._done, vectors) = 1, self._checked
            self._stepper.load(vectors)
            self._train_steps(Interrupt(), began)
        loss = self._stepper.loss()
        what = (
            f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient of a loss of {loss:.4g} is not finite"
        )
        scale = self._scaling()
        if scale is not None and math.isfinite(loss):
            what += f", and the loss scale has fallen to {scale[0]:.2g}"
        self._done += self._at > 0  # the step that it is in
        self._diverge(what, find_first(self.graph, self._stepper, self._samples))

    def _diverge(self, what: str, first: Finding | None = None) -> NoReturn:
        rate = self.plan.rate(max(0, self._step - 1))
        place = f"step {self._done} of epoch {self._epoch + 1}" if self._done else f"the end of epoch {self._epoch}"
        message = f"{what} at {place}, at a learning rate of {rate:.3g}"
        half = self._stepper.model.precision
        raise TrainingError(
            diverged(message, self.training, first, rate, self._kept, "" if half == "float32" else half)
        )

    def _scaling(self) -> np.ndarray | None:
        """The loss scale, steps since it was changed, and steps left out; None where the loss is not scaled."""
        return self._stepper.current()[SCALING].numpy() if SCALING in self._stepper.model.state else None

    def _tell_of_skipped(self) -> None:
        scaling = self._scaling()
        if scaling is not None and scaling[2] > self._skipped:
            steps = counted(int(scaling[2]) - self._skipped, "step")
            self.progress.message(f"note: {steps} left out, where fp16 gradients overflowed; the loss scale is {scaling[0]:g}")
            self._skipped = int(scaling[2])

    def _bad_vector(self, vectors: Mapping[str, np.ndarray]) -> Finding | None:
        return find_vector(self.graph, self._stepper.model, vectors, "behind this step")

    def _stop(self) -> None:
        self.history.stopped = True
        where = f"stopped after step {self._done} of {self.plan.steps_per_epoch} in epoch {self._epoch + 1}"
        if self.directory is None:
            self.progress.message(where)
            return
        self._keep(LAST)
        self.progress.message(f"{where}; saved as {self.directory / LAST}: --resume continues from there")


def _best(history: History) -> EpochRecord:
    """The epoch with the highest validation accuracy where it is measured, else with the lowest validation loss."""

    def merit(record: EpochRecord) -> float:
        return record.validation_metrics.get("accuracy", -record.validation_loss)

    return max(history.epochs, key=merit)


def _rate(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0
