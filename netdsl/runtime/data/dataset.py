"""What a data source gives: samples, their split into training and validation, and the checks they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from netdsl.diagnostics import DataError, Diagnostic

Arrays = np.ndarray | dict[str, np.ndarray]

#: how much of a data set without a split of its own is validation: one sample in ten
VALIDATION_SHARE = 10


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs and targets, one row per sample.

    Images are uint8 or float32 `[n, C, H, W]`, labels int64 `[n]` (masks `[n, H, W]`), values float32. A network
    with several inputs (or targets) has a dict of arrays by name. `targets` is None where there are none.
    """

    inputs: Arrays
    targets: Arrays | None = None

    def __len__(self) -> int:
        return count(self.inputs)


@dataclass(frozen=True, eq=False)
class Data:
    """A data set. `split` is a sentence on how it was divided; `classes` are the names of the labels, if known."""

    train: Samples
    validation: Samples
    name: str
    split: str
    classes: tuple[str, ...] | None = None
    path: str | None = None


def fail(code: str, message: str, path: str | None = None, *, note: str = "", help: str = "") -> NoReturn:
    """Raise DataError with one diagnostic."""
    notes, helps = (note,) if note else (), (help,) if help else ()
    raise DataError(Diagnostic(code, message, notes=notes, helps=helps, path=path))


def count(arrays: Arrays) -> int:
    """The number of samples."""
    return len(next(iter(arrays.values())) if isinstance(arrays, Mapping) else arrays)


def take(samples: Samples, rows: slice | np.ndarray) -> Samples:
    """Some of the samples: a view for a slice."""

    def part(arrays: Arrays) -> Arrays:
        return {k: v[rows] for k, v in arrays.items()} if isinstance(arrays, dict) else arrays[rows]

    return Samples(part(samples.inputs), None if samples.targets is None else part(samples.targets))


def split_tail(samples: Samples, path: str) -> tuple[Samples, Samples, str]:
    """Training and validation samples by file order, the last tenth for validation, and the sentence that says so."""
    total = len(samples)
    if total < 2:
        fail("E0606", "there is only one sample: none is left for validation", path)
    held = max(1, total // VALIDATION_SHARE)
    train, validation = take(samples, slice(0, total - held)), take(samples, slice(total - held, total))
    sentence = f"by file order: the first {total - held:,} samples train, the last {held:,} validate"
    unseen = _unseen_labels(train.targets, validation.targets)
    if unseen:
        sentence += f" (label {unseen[0]} occurs in validation only: is the file sorted by label?)"
    return train, validation, sentence


def _unseen_labels(train: Arrays | None, validation: Arrays | None) -> list[int]:
    if not isinstance(train, np.ndarray) or not isinstance(validation, np.ndarray) or train.dtype != np.int64:
        return []
    return np.setdiff1d(validation, train).tolist() if train.ndim == 1 else []


def check_labels(
    samples: Samples, classes: int | None, ignore: int | None = None, *, target: str | None = None, where: str = "data set"
) -> None:  # fmt: skip
    """Raise DataError (E0607) unless every label is a whole number in `0 .. classes - 1`, or `ignore`.

    Without `classes` any whole number will do. `target` picks one of several targets, `where` says what the samples
    are ("training samples").
    """
    targets = samples.targets
    labels = targets.get(target or "") if isinstance(targets, Mapping) else targets
    if labels is None:
        fail("E0607", f"the {where} has no labels" + (f" `{target}`" if target else ""))
    if labels.dtype.kind not in "iu":
        fail("E0607", f"labels of the {where} must be whole numbers, but are {labels.dtype}")
    if classes is None:
        return
    bad = (labels < 0) | (labels >= classes)
    if ignore is not None:
        bad &= labels != ignore
    first = int(bad.argmax()) if bad.size else 0
    if not bad.size or not bad.flat[first]:
        return
    index = np.unravel_index(first, labels.shape)
    at = str(index[0]) if labels.ndim == 1 else f"{index[0]} at {[int(i) for i in index[1:]]}"
    wanted = f"0 to {classes - 1}" + ("" if ignore is None else f" (or {ignore}, which is ignored)")
    lowest, highest = int(labels.min()), int(labels.max())
    help = f"let the network have {highest + 1} classes" if lowest >= 0 else ""
    if lowest >= 1 and highest == classes:
        help = "labels count from 0: subtract 1 from each"
    fail(
        "E0607",
        f"label {labels[index]} of sample {at} in the {where} is out of range: the network takes {wanted}",
        note=f"labels run from {lowest} to {highest}; {int(bad.sum()):,} of {bad.size:,} are out of range",
        help=help,
    )
