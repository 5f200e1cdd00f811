"""Trains a net: epochs, validation, checkpoints, a clean stop, and a resume that leaves no trace."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import numpy as np

from netdsl.diagnostics import CheckpointError, Diagnostic, TrainingError, counted
from netdsl.ir import Graph
from netdsl.lower import initial_parameters
from netdsl.runtime import checkpoint as checkpoints
from netdsl.runtime.data.dataset import Data, Samples
from netdsl.runtime.directory import BEST, LAST, make_directory, newest
from netdsl.runtime.divergence import Finding, diverged, find_first, find_vector
from netdsl.runtime.evaluation import Evaluator
from netdsl.runtime.feeding import Feed
from netdsl.runtime.history import EpochRecord, History
from netdsl.runtime.loop import Interrupt, interruptible, order
from netdsl.runtime.options import known_precision, parts_of, whole
from netdsl.runtime.placement import told
from netdsl.runtime.precision import require_precision
from netdsl.runtime.progress import Progress, Silence
from netdsl.runtime.session import Device, choose_device
from netdsl.runtime.state import checkpoint_of, environment, load_tensors, named_tensors, plain, refuse, restore
from netdsl.runtime.stepper import Stepper
from netdsl.runtime.transforms import Pipeline
from netdsl.training.scaling import SCALING
from netdsl.training.schedules import rate_at
from netdsl.training.step import build_evaluation, build_step, training_of

_MOST_SEED = 2**32 - 1
_LOOKED_AT = 16  # samples of each part that tell a data set from another
_CHECK_EVERY = 64  # steps between two looks at the loss where reading it means waiting for the device


class Trainer:
    """A run of training. `run` trains until the last epoch; `tensors` gives parameters and buffers as they are now.

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
        self.seed = whole("seed", seed, 0, _MOST_SEED)
        self.epochs = training.epochs if epochs is None else whole("epochs", epochs, 1)
        self.directory = None if directory is None else Path(directory)
        self.history = History(directory=None if directory is None else str(directory))
        self.progress = progress or Silence()
        self.device: Device = choose_device(device, threads)
        self.pipeline = Pipeline((*training.prepare, *training.augment))
        self._train = Feed(graph, data.train, self.pipeline, where="training samples")
        self._validation = Feed(graph, data.validation, self.pipeline, where="validation samples")
        self.batch = min(training.batch, len(self._train))
        self.steps_per_epoch = len(self._train) // self.batch
        self.parts = parts_of(accumulate, self.batch)
        self._data_mark = {"training": _mark(data.train), "validation": _mark(data.validation)}

        self._part = self.batch // self.parts  # samples that are computed at a time
        model = build_step(
            graph, batch=self._part, sizes=self._train.sizes, provider=self.device.provider, split=self.parts > 1,
            precision=known_precision(precision),
        )  # fmt: skip
        require_precision(model, self.device)
        evaluation = build_evaluation(graph, model, provider=self.device.provider)
        self._stepper = Stepper(model, self.device, seed=seed, parts=self.parts)
        self._evaluator = Evaluator(evaluation, self.device)
        if found := self._stepper.elsewhere():
            self.progress.message(told(found, self.device.provider))
        load_tensors(self._stepper, initial_parameters(graph, seed) | dict(weights or {}))
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
                while self._epoch < self.epochs and not self.history.stopped:
                    self._run_epoch(interrupt)
        finally:
            self.progress.close()
        return self.history

    def resume(self, path: str | os.PathLike[str] | None = None) -> None:
        """Go on where a checkpoint was written, by default the directory's last, or if that is damaged the best.

        Raises CheckpointError where it cannot be read or is of another net.
        """
        last = None if self.directory is None else self.directory / LAST
        if path is None:
            assert last is not None, "without a directory, a resume needs a path"
            found, path = newest(last.parent)
            if path != last:
                self.progress.message(f"note: {last} is damaged: going on from {path}, of epoch {found.progress.epoch}")
        else:
            found = checkpoints.load(path)
        at = found.progress
        totals = np.array(at.running.get("totals", []), np.float32)
        parts = at.running.get("accumulate", 1)
        fitting = totals.shape == (self._stepper.model.totals_size,) and isinstance(parts, int) and parts > 0
        if not fitting or at.running.get("batch") != self.batch:
            refuse(
                path, "it was trained with other metrics or another batch size", "use the file that it was trained with"
            )
        totals *= self.parts / parts  # they count parts
        epoch, done = at.epoch, at.position // self.batch
        if not at.dataset:  # of a `TrainingStep`, which knows of no data set
            epoch, done = divmod(at.step, self.steps_per_epoch)
        elif at.position % self.batch or done > self.steps_per_epoch or at.dataset != self.data.name:
            refuse(path, f"it was trained on other data: {at.dataset}", "give the data set that it was trained on")
        if at.running.get("data", self._data_mark) != self._data_mark:
            refuse(
                path,
                f"it was trained on other samples, though the data set is called {at.dataset} too",
                "give the data set that it was trained on, or start anew with --weights",
            )
        restore(self._stepper, found, path)
        self._warn_of_changes(at)
        self._stepper.load({"totals": totals})
        scaling = self._scaling()
        self._skipped = 0 if scaling is None else int(scaling[2])
        self.seed = at.seed
        self._stepper.seed = at.seed
        self._epoch, self._done, self._untold = epoch, done, done - int(totals[-1]) // self.parts
        self._fresh, self._saved = False, self._moment if path == last else ""
        try:
            self.history.epochs = History.from_dict(at.history).epochs
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
        checkpoints.save(path, checkpoint_of(self._stepper, vectors, self._progress(vectors["totals"])))

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
        self.progress.begin(self._epoch + 1, self.epochs, self._done, self.steps_per_epoch)
        if self._every > 1:
            self._checked = (self._done, self._stepper.vectors())
        self._train_steps(interrupt, began)
        self._check(began)
        speed = _rate((self._done - first) * self.batch, time.perf_counter() - began)
        result = None
        if not interrupt.asked:
            result = self._evaluator.run(
                self._stepper.current(), self._validation, self._part, stopped=lambda: interrupt.asked
            )
        if result is None:
            self._stop()
            return
        loss, metrics = result
        if not math.isfinite(loss):
            self._diverge(f"the validation loss is {loss}", self._bad_vector(self._stepper.vectors()))
        self._tell_of_skipped()
        means = self._means()
        rate = self._rate(self._step - 1)
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
        first = self._done
        samples = order(self.seed, self._epoch, len(self._train))[: self.steps_per_epoch * self.batch]
        names = dict(self._stepper.model.inputs) | dict(self._stepper.model.targets)
        augment = (self.seed, self._epoch) if self.training.augment else None
        samples = samples[first * self.batch :]
        for start, arrays in enumerate(self._train.batches(samples, self._part, augment=augment)):
            if interrupt.asked and self._at == 0:
                return
            for name, array in arrays.items():
                np.copyto(self._stepper.feeds[names[name]], array, casting="same_kind")
            self._samples = samples[start * self._part : (start + 1) * self._part]
            self._stepper.step(self._step, self._rate(self._step), self._at)
            self._at = (self._at + 1) % self.parts
            self._done += self._at == 0
            if self._every == 1 or (self._at == 0 and self._done % self._every == 0):
                self._check(began)
            if self._at == 0 and self.progress.due():
                speed = _rate((self._done - first) * self.batch, time.perf_counter() - began)
                self.progress.step(self._done, *self._means(), speed)

    @property
    def _step(self) -> int:
        """Steps so far, over all epochs."""
        return self._epoch * self.steps_per_epoch + self._done

    @property
    def _moment(self) -> str:
        """The state in words."""
        if self._done:
            return f"the state after step {self._done} of epoch {self._epoch + 1}"
        return f"the state after epoch {self._epoch}" if self._epoch else "the state before the first step"

    def _rate(self, step: int) -> float:
        schedule = self.training.optimizer.rate
        return rate_at(schedule, step=step, steps_per_epoch=self.steps_per_epoch, epochs=self.epochs)

    def _means(self) -> tuple[float, dict[str, float]]:
        """The means of the loss and of each metric over the steps of this epoch so far."""
        counted = self.parts * (self._done - self._untold)
        means = self._stepper.totals()[:-1].astype(np.float64) / max(1, counted)
        return float(means[0]), dict(zip(self.training.metrics, means[1:].tolist(), strict=True))

    def _check(self, began: float) -> None:
        """Look at how many batches were finite, and raise TrainingError (E0802) unless all were."""
        seen = self.parts * (self._done - self._untold) + self._at
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
        rate = self._rate(max(0, self._step - 1))
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
        where = f"stopped after step {self._done} of {self.steps_per_epoch} in epoch {self._epoch + 1}"
        if self.directory is None:
            self.progress.message(where)
            return
        self._keep(LAST)
        self.progress.message(f"{where}; saved as {self.directory / LAST}: --resume continues from there")

    def _progress(self, totals: np.ndarray) -> checkpoints.Progress:
        return checkpoints.Progress(
            net=self.graph.name,
            source_sha256=hashlib.sha256(self.graph.span.source.text.encode()).hexdigest(),
            hyperparameters=plain(self.graph.hyperparameters),
            seed=self.seed,
            step=self._step,
            epoch=self._epoch,
            position=self._done * self.batch,
            learning_rate=self._rate(self._step),
            history=self.history.to_dict(),
            running={
                "totals": totals.tolist(), "batch": self.batch, "accumulate": self.parts, "epochs": self.epochs,
                "data": self._data_mark, "precision": self._stepper.model.precision,
            },
            prepare=self.pipeline.to_json(),
            dataset=self.data.name,
            classes=None if self.data.classes is None else list(self.data.classes),
            environment=environment(self.device),
        )  # fmt: skip

    def _warn_of_changes(self, at: checkpoints.Progress) -> None:
        now = environment(self.device)
        changed = [
            f"{key} was {at.environment.get(key)}, is {now[key]}" for key in now if at.environment.get(key) != now[key]
        ]
        if at.source_sha256 and at.source_sha256 != hashlib.sha256(self.graph.span.source.text.encode()).hexdigest():
            changed.append("the file was edited")
        given = plain(self.graph.hyperparameters)
        changed += [
            f"{name} was {at.hyperparameters.get(name)}, is {given.get(name)}"
            for name in given | at.hyperparameters
            if at.hyperparameters.get(name) != given.get(name)
        ]
        before, precision = at.running.get("precision", "float32"), self._stepper.model.precision
        if before != precision:
            changed.append(f"precision was {before}, is {precision}")
        if at.running.get("accumulate", 1) != self.parts:
            changed.append(f"accumulate was {at.running.get('accumulate', 1)}, is {self.parts}")
        if at.running.get("epochs") != self.epochs and self.training.optimizer.rate.kind == "cosine":
            changed.append(f"the learning rate falls over {self.epochs} epochs, not {at.running.get('epochs')}")
        if changed:
            self.progress.message(f"note: this will not continue bit for bit: {'; '.join(changed)}")


def _mark(samples: Samples) -> dict[str, int | str]:
    """What tells samples from others: how many they are, and a hash of types, shapes and some rows all over them."""
    rows = np.unique(np.linspace(0, len(samples) - 1, _LOOKED_AT).astype(np.int64))
    digest = hashlib.sha256()
    for arrays in (samples.inputs, samples.targets):
        named = arrays if isinstance(arrays, Mapping) else {"": arrays}
        for name in sorted(named):
            array = np.asarray(named[name])
            digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
            digest.update(np.ascontiguousarray(array[rows]).tobytes())
    return {"samples": len(samples), "sha256": digest.hexdigest()}


def _best(history: History) -> EpochRecord:
    """The epoch with the highest validation accuracy where it is measured, else with the lowest validation loss."""

    def merit(record: EpochRecord) -> float:
        return record.validation_metrics.get("accuracy", -record.validation_loss)

    return max(history.epochs, key=merit)


def _rate(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0
