"""CIFAR-10 and CIFAR-100 in their binary version: records of label bytes and 3 x 32 x 32 pixels.

https://www.cs.toronto.edu/~kriz/cifar.html , "Binary version".
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from netdsl.runtime.data.dataset import Data, Samples, fail, split_tail
from netdsl.runtime.data.limits import Budget

_PIXELS = 3 * 32 * 32


def load_cifar_folder(folder: Path, budget: Budget) -> Data | None:
    """The data set in a folder of CIFAR's binary files; None where there are no such files.

    CIFAR-100's labels are the fine ones. Raises DataError E0601 (unreadable), E0603 (damaged), E0604, E0606.
    """
    batches = sorted(folder.glob("data_batch_*.bin"), key=lambda path: [int(d) for d in re.findall(r"\d+", path.name)])
    if batches:
        return _load(folder, batches, folder / "test_batch.bin", 1, "batches.meta.txt", budget)
    if (folder / "train.bin").is_file():
        return _load(folder, [folder / "train.bin"], folder / "test.bin", 2, "fine_label_names.txt", budget)
    return None


def _load(folder: Path, batches: list[Path], test: Path, label_bytes: int, names: str, budget: Budget) -> Data:
    parts = [_read(path, label_bytes, budget) for path in batches]
    train = parts[0]
    if len(parts) > 1:
        budget.charge(sum(path.stat().st_size for path in batches), str(folder))
        train = Samples(
            *(np.concatenate(arrays) for arrays in zip(*((p.inputs, p.targets) for p in parts), strict=True))
        )
    if test.is_file():
        validation = _read(test, label_bytes, budget)
        split = f"by the files: `{test.name}` ({len(validation):,} samples) validates, the rest ({len(train):,}) trains"
    else:
        train, validation, split = split_tail(train, str(folder))
    return Data(train, validation, folder.name, split, _class_names(folder / names), str(folder))


def _read(path: Path, label_bytes: int, budget: Budget) -> Samples:
    record = label_bytes + _PIXELS
    try:
        size = path.stat().st_size
        budget.charge(size, str(path))
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        fail("E0601", f"cannot read the file: {error.strerror or error}", str(path))
    if not size:
        fail("E0606", "the file is empty", str(path))
    if len(data) % record:
        fail(
            "E0603",
            "the CIFAR file is cut short or of another format",
            str(path),
            note=f"its {len(data):,} bytes are not a multiple of {record:,}, the size of a record",
        )
    rows = data.reshape(-1, record)
    return Samples(rows[:, label_bytes:].reshape(-1, 3, 32, 32), rows[:, label_bytes - 1].astype(np.int64))


def _class_names(path: Path) -> tuple[str, ...] | None:
    if not path.is_file():
        return None
    with open(path, encoding="utf-8", errors="replace") as file:
        return tuple(file.read(1 << 16).split()) or None
