"""What a training run did: one record per epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One finished epoch. `loss` and `metrics` are means over its training batches, as they were when each was seen;
    the `validation_` ones are over all validation samples after it. `lr` is the rate of its last step.
    """

    epoch: int
    loss: float
    metrics: Mapping[str, float]
    validation_loss: float
    validation_metrics: Mapping[str, float]
    lr: float
    images_per_second: float


@dataclass(slots=True)
class History:
    """The epochs of a run, those before a resume included. `stopped`: it was interrupted and can be resumed."""

    epochs: list[EpochRecord] = field(default_factory=list)
    stopped: bool = False
    directory: str | None = None

    def to_dict(self) -> list[dict[str, Any]]:
        return [asdict(record) for record in self.epochs]

    @staticmethod
    def from_dict(records: list[dict[str, Any]]) -> History:
        return History([EpochRecord(**record) for record in records])

    def __repr__(self) -> str:
        lines = [describe(record) for record in self.epochs]
        return "\n".join(lines) or "no epoch finished"


def describe(record: EpochRecord) -> str:
    """The record as one line of text."""
    parts = [f"epoch {record.epoch}", f"loss {record.loss:.4f}"]
    parts += [f"{name} {value:.4f}" for name, value in record.metrics.items()]
    parts.append(f"validation loss {record.validation_loss:.4f}")
    parts += [f"{name} {value:.4f}" for name, value in record.validation_metrics.items()]
    parts += [f"lr {record.lr:.3g}", f"{record.images_per_second:,.0f} images/s"]
    return ", ".join(parts)
