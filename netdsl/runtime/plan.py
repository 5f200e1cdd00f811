"""What is settled of a run before its first step: checkpoints tell it, and a resume is held against it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from netdsl.ir import Graph, Training
from netdsl.runtime.checkpoint import Progress
from netdsl.runtime.data.dataset import Data, Samples
from netdsl.runtime.history import History
from netdsl.runtime.options import known_precision, parts_of, whole
from netdsl.runtime.session import Device
from netdsl.runtime.state import environment, plain, refuse
from netdsl.runtime.transforms import Pipeline
from netdsl.training.block import training_of
from netdsl.training.mixed import Precision
from netdsl.training.schedules import rate_at

_MOST_SEED = 2**32 - 1
_LOOKED_AT = 16  # samples of each part that tell a data set from another


class Position(NamedTuple):
    """How far a run has come: finished epochs, steps of the running one, and the step's totals over these."""

    epoch: int
    done: int
    totals: np.ndarray


@dataclass(frozen=True, slots=True)
class Plan:
    """A run of `epochs` times `steps_per_epoch` steps of `batch` samples, each computed in `parts`.

    `data_mark` tells the samples of training and validation from others.
    """

    graph: Graph
    data: Data
    data_mark: Mapping[str, object]
    pipeline: Pipeline
    device: Device
    seed: int
    epochs: int
    batch: int
    parts: int
    steps_per_epoch: int
    precision: Precision

    @staticmethod
    def of(
        graph: Graph, data: Data, pipeline: Pipeline, device: Device, samples: int, *,
        seed: int, epochs: int | None, accumulate: int, precision: str,
    ) -> Plan:  # fmt: skip
        """The plan for `samples` training samples; `epochs` None: the file's.

        Raises TrainingError (E0807) for an option that is out of its range.
        """
        training = training_of(graph)
        batch = min(training.batch, samples)
        return Plan(
            graph, data, {"training": _mark(data.train), "validation": _mark(data.validation)}, pipeline, device,
            seed=whole("seed", seed, 0, _MOST_SEED),
            epochs=training.epochs if epochs is None else whole("epochs", epochs, 1),
            batch=batch, parts=parts_of(accumulate, batch), steps_per_epoch=samples // batch,
            precision=known_precision(precision),
        )  # fmt: skip

    @property
    def training(self) -> Training:
        """The net's `train` block."""
        return training_of(self.graph)

    @property
    def part(self) -> int:
        """The samples that are computed at a time."""
        return self.batch // self.parts

    def rate(self, step: int) -> float:
        """The learning rate of the step that has `step` before it, over all epochs."""
        schedule = self.training.optimizer.rate
        return rate_at(schedule, step=step, steps_per_epoch=self.steps_per_epoch, epochs=self.epochs)

    def progress(self, at: Position, history: History) -> Progress:
        """What a checkpoint of this moment tells besides its tensors."""
        step = at.epoch * self.steps_per_epoch + at.done
        return Progress(
            net=self.graph.name,
            source_sha256=self._source_sha256,
            hyperparameters=plain(self.graph.hyperparameters),
            seed=self.seed,
            step=step,
            epoch=at.epoch,
            position=at.done * self.batch,
            learning_rate=self.rate(step),
            history=history.to_dict(),
            running={
                "totals": at.totals.tolist(), "batch": self.batch, "accumulate": self.parts, "epochs": self.epochs,
                "data": self.data_mark, "precision": self.precision,
            },
            prepare=self.pipeline.to_json(),
            dataset=self.data.name,
            classes=None if self.data.classes is None else list(self.data.classes),
            environment=environment(self.device),
        )  # fmt: skip

    def position(self, found: Progress, path: str | os.PathLike[str], totals_size: int) -> Position:
        """Where the run of a checkpoint stood, as this one counts.

        Raises CheckpointError (E0706) where it had other data, metrics or another batch size.
        """
        totals = np.array(found.running.get("totals", []), np.float32)
        parts = found.running.get("accumulate", 1)
        fitting = totals.shape == (totals_size,) and isinstance(parts, int) and parts > 0
        if not fitting or found.running.get("batch") != self.batch:
            refuse(
                path, "it was trained with other metrics or another batch size", "use the file that it was trained with"
            )
        epoch, done = found.epoch, found.position // self.batch
        if not found.dataset:  # of a `TrainingStep`, which knows of no data set
            epoch, done = divmod(found.step, self.steps_per_epoch)
        elif found.position % self.batch or done > self.steps_per_epoch or found.dataset != self.data.name:
            refuse(path, f"it was trained on other data: {found.dataset}", "give the data set that it was trained on")
        if found.running.get("data", self.data_mark) != self.data_mark:
            refuse(
                path,
                f"it was trained on other samples, though the data set is called {found.dataset} too",
                "give the data set that it was trained on, or start anew with --weights",
            )
        return Position(epoch, done, totals * (self.parts / parts))  # totals count parts

    def changes(self, since: Progress) -> list[str]:
        """What differs from the run of a checkpoint so that going on is not exact to the bit, in words."""
        now, before = environment(self.device), since.environment
        changed = [f"{key} was {before.get(key)}, is {now[key]}" for key in now if before.get(key) != now[key]]
        if since.source_sha256 and since.source_sha256 != self._source_sha256:
            changed.append("the file was edited")
        given = plain(self.graph.hyperparameters)
        changed += [
            f"{name} was {since.hyperparameters.get(name)}, is {given.get(name)}"
            for name in given | since.hyperparameters
            if since.hyperparameters.get(name) != given.get(name)
        ]
        was = {"precision": "float32", "accumulate": 1} | since.running
        for name, value in {"precision": self.precision, "accumulate": self.parts}.items():
            if was[name] != value:
                changed.append(f"{name} was {was[name]}, is {value}")
        if was.get("epochs") != self.epochs and self.training.optimizer.rate.kind == "cosine":
            changed.append(f"the learning rate falls over {self.epochs} epochs, not {was.get('epochs')}")
        return changed

    @property
    def _source_sha256(self) -> str:
        return hashlib.sha256(self.graph.span.source.text.encode()).hexdigest()


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
