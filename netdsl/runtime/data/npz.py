"""NumPy's `.npz` archives: reading them safely, and finding inputs, targets and the split among their arrays."""

from __future__ import annotations

import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

import numpy as np
from numpy.lib import format as npy

from netdsl.diagnostics import closest
from netdsl.runtime.data.dataset import Arrays, Data, Samples, fail, split_tail
from netdsl.runtime.data.limits import MOST_EXPANSION, Budget

#: per-sample shapes of the network's inputs (or targets) by name
Wanted = Mapping[str, tuple[int, ...]]

_DAMAGE = (
    ValueError, OSError, EOFError, RuntimeError, NotImplementedError, OverflowError, KeyError, TypeError, SyntaxError,
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
)  # fmt: skip
#: what an only input (or target) may also be called: Keras' and MedMNIST's names
_INPUT_ALIASES, _TARGET_ALIASES = ("x", "images"), ("y", "labels")
_TRAIN, _VALIDATION = ("train",), ("validation", "val", "valid", "test")


def read_npz(path: Path, budget: Budget, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an archive (those in `names`, or all), without pickle.

    Sizes in headers are held against what the archive holds and against the budget before memory is taken.
    Raises DataError: unreadable (E0601), damaged or of objects (E0603), larger than the budget (E0604).
    """
    with _opened(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        chosen = [name for name in members if names is None or name in names]
        return {name: _read_member(archive, members[name], path, budget) for name in chosen}


def names_in(path: Path) -> list[str]:
    """The names of the arrays in an archive, from its directory alone."""
    with _opened(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        fail("E0603", "the `.npz` archive is damaged or cut short", str(path), note=str(error)[:200])
    except OSError as error:
        fail("E0601", f"cannot read the file: {error.strerror or error}", str(path))


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, budget: Budget) -> np.ndarray:
    name = info.filename.removesuffix(".npy")
    try:
        with archive.open(info) as file:
            shape, dtype = _header(file)
            size = math.prod(shape) * dtype.itemsize
            held = _most_bytes(info) - file.tell()
        if dtype.hasobject:
            fail("E0603", f"array `{name}` holds Python objects, which are not read", str(path))
        if size > held:
            said = f"its header announces {list(shape)} {dtype}, {size:,} bytes; the archive holds {max(held, 0):,}"
            fail("E0603", f"array `{name}` is cut short", str(path), note=said)
        budget.charge(size, str(path), f"array `{name}`")
        with archive.open(info) as file:
            return npy.read_array(file, allow_pickle=False)
    except _DAMAGE as error:
        fail("E0603", f"array `{name}` cannot be read: the archive is damaged", str(path), note=str(error)[:200])


def _most_bytes(info: zipfile.ZipInfo) -> int:
    """The most that a member can hold: what its entry says, and no more than its compression allows."""
    expansion = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: MOST_EXPANSION}.get(info.compress_type)
    return info.file_size if expansion is None else min(info.file_size, info.compress_size * expansion)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the .npy format")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        shape, _, dtype = read(file)
    except Exception as error:  # NumPy parses Python text, by a tokenizer too, which may raise nearly anything
        raise ValueError(f"the header of the .npy format: {error}") from error
    if any(extent < 0 for extent in shape):
        raise ValueError(f"a negative size in {shape}")
    return shape, dtype


def load_npz(path: Path, budget: Budget, inputs: Wanted, targets: Wanted) -> Data:
    """The data set in an archive whose arrays are called as in the network, or `x` and `y`, plain or with `_train` etc.

    With one input (target) the samples have an array, with several a dict by name.
    Raises DataError as `read_npz`, and E0605 (counts differ), E0606 (empty), E0609 (names or types do not fit).
    """
    present = names_in(path)
    input_names, target_names = list(inputs) or ["x"], list(targets) or ["y"]
    plan = _plan(present, input_names, target_names)
    if plan is None:
        _explain(path, present, input_names, target_names)
    train_keys, validation_keys = plan
    arrays = read_npz(path, budget, {*train_keys.values(), *validation_keys.values()})
    train = _samples(arrays, train_keys, inputs, targets, path)
    if not validation_keys:
        train, validation, split = split_tail(train, str(path))
    else:
        validation = _samples(arrays, validation_keys, inputs, targets, path)
        listed = " and ".join(f"`{key}`" for key in validation_keys.values())
        split = f"by the file: {listed} ({len(validation):,} samples) validate, the rest ({len(train):,}) train"
    return Data(train, validation, path.stem, split, None, str(path))


def load_npz_inputs(path: Path, budget: Budget, inputs: Wanted) -> tuple[Arrays, str]:
    """The inputs in an archive to predict on, and the name of the first array: plain, or held out, or for training."""
    present = names_in(path)
    names = list(inputs) or ["x"]
    for affixes in ((), *((word,) for word in _VALIDATION), _TRAIN):
        keys = _keys(present, names, _INPUT_ALIASES, affixes)
        if keys:
            break
    else:
        keys = dict(zip(names, present, strict=True)) if len(present) == len(names) == 1 else {}
    if not keys:
        _explain(path, present, names, [])
    arrays = read_npz(path, budget, set(keys.values()))
    samples = _samples(arrays, keys, inputs, {}, path)
    return samples.inputs, next(iter(keys.values()))


def _plan(present: list[str], inputs: list[str], targets: list[str]) -> tuple[dict[str, str], dict[str, str]] | None:
    """The array for each input and target, in training and (empty where there is none) in validation."""

    def keys(affixes: Sequence[str]) -> dict[str, str]:
        first = _keys(present, inputs, _INPUT_ALIASES, affixes)
        second = _keys(present, targets, _TARGET_ALIASES, affixes)
        return {**first, **second} if first and second else {}

    train = keys(_TRAIN) or keys(())
    held_out = (keys((word,)) for word in _VALIDATION)
    return (train, next(filter(None, held_out), {})) if train else None


def _keys(present: list[str], names: list[str], aliases: Sequence[str], affixes: Sequence[str]) -> dict[str, str]:
    """For each name the array it is found under, `name` or `name_train` or `train_name`; empty if one is missing."""
    found = {}
    for name in names:
        bases = [name, *aliases] if len(names) == 1 else [name]
        spelt = [form for base in bases for word in affixes for form in (f"{base}_{word}", f"{word}_{base}")]
        key = next((form for form in (spelt if affixes else bases) if form in present), None)
        if key is None:
            return {}
        found[name] = key
    return found


def _explain(path: Path, present: list[str], inputs: list[str], targets: list[str]) -> NoReturn:
    wanted = [*inputs, *targets]
    missing = next((name for name in wanted if name not in present), wanted[0])
    match = closest(missing, present)
    shown = ", ".join(f"`{name}`" for name in present[:12]) or "no arrays"
    fail(
        "E0609",
        "the `.npz` archive has no arrays for " + " and ".join(f"`{name}`" for name in wanted),
        str(path),
        note=f"it holds {shown}" + (f" and {len(present) - 12} more" if len(present) > 12 else ""),
        help=(f"is `{match}` meant for `{missing}`? " if match else "")
        + "call them so, or x_train, y_train, x_test and y_test where the network has one input and one target",
    )


def _samples(
    arrays: dict[str, np.ndarray], keys: dict[str, str], inputs: Wanted, targets: Wanted, path: Path
) -> Samples:
    """The arrays under `keys`, converted; the names of `targets` (or `y`) are targets, the others inputs."""
    target_names = set(targets) or {"y"}
    lengths: dict[str, int] = {}
    fed: dict[str, np.ndarray] = {}
    wanted: dict[str, np.ndarray] = {}
    for name, key in keys.items():
        array = arrays[key]
        if array.ndim == 0 or array.dtype.kind not in "biuf":
            fail(
                "E0609", f"array `{key}` must be an array of numbers, not {array.dtype} {list(array.shape)}", str(path)
            )
        lengths[key] = len(array)
        if name in target_names and name not in inputs:
            wanted[name] = as_target(array, targets.get(name))
        else:
            fed[name] = as_input(array, inputs.get(name))
    (first, length), *others = lengths.items()
    for key, other in others:
        if other != length:
            fail("E0605", f"`{first}` has {length:,} rows, `{key}` {other:,}", str(path))
    if not length:
        fail("E0606", f"`{first}` has no rows", str(path))
    return Samples(_single(fed), _single(wanted) if wanted else None)


def _single(arrays: dict[str, np.ndarray]) -> Arrays:
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays


def as_input(array: np.ndarray, shape: tuple[int, ...] | None) -> np.ndarray:
    """An input array as uint8, int64 or float32, channels first.

    `[n, H, W]` gets a channel axis; `[n, H, W, C]` (as Keras has it) is turned where `shape`, the network's, or
    without it a last axis of 1, 3 or 4, says that channels come last. Where both fit, they come first.
    """
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
    elif array.dtype != np.uint8:
        array = array.astype(np.uint8 if array.dtype.kind == "b" else np.int64, copy=False)
    if array.ndim == 3 and (len(shape) == 3 if shape else array.dtype == np.uint8):
        return array[:, None]
    if array.ndim == 4 and (shape is None or len(shape) == 3):
        channels = (shape[0],) if shape else (1, 3, 4)
        if array.shape[3] in channels and array.shape[1] not in channels:
            return np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    return array


def as_target(array: np.ndarray, shape: tuple[int, ...] | None) -> np.ndarray:
    """A target array as int64 or float32; labels `[n, 1]` become `[n]`, values `[n]` become
    `[n, 1]`, where the network wants them so.
    """
    array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64, copy=False)
    if array.ndim == 1 and shape == (1,):
        return array[:, None]
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 and not shape else array
