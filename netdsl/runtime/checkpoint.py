"""Checkpoints: parameters, buffers, the optimizer's state and where training stood, in one safetensors file.

Tensors are called as in the network (`stage1/basic.0/conv.weight`), the optimizer's `optimizer/SLOT/NAME`. The header's
metadata has the rest as JSON under `netdsl`, and under `netdsl.sha256` a digest of that and of the tensors: the format
itself does not tell a tensor from one with a bit flipped. https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NoReturn

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from netdsl.diagnostics import CheckpointError, Diagnostic, closest
from netdsl.files import atomic_write

#: of the metadata; a file of a later one is refused
FORMAT = 1
_KEY, _DIGEST, _PREFIX = "netdsl", "netdsl.sha256", "optimizer/"
_SHOWN = 5

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Progress:
    """All of a training run but its tensors; what is needed to go on as if it had never stopped.

    `step` counts updates, `epoch` finished epochs, `position` the samples of the running epoch that were used.
    `prepare` is `Pipeline.to_json()`, `environment` the versions, provider and threads that bit-for-bit resuming
    depends on, `running` what the loop has summed up within the epoch. Everything is plain JSON.
    """

    net: str = ""
    source_sha256: str = ""
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    step: int = 0
    epoch: int = 0
    position: int = 0
    learning_rate: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    running: dict[str, Any] = field(default_factory=dict)
    prepare: str = "[]"
    dataset: str = ""
    classes: list[str] | None = None
    environment: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """`tensors`: parameters and buffers by name. `optimizer`: by slot (`momentum`, ...), then by parameter name."""

    tensors: dict[str, np.ndarray]
    optimizer: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True)
class Match:
    """How a checkpoint's tensors differ from what a network wants, names in the network's (the file's) order."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshaped: tuple[tuple[str, Shape, Shape], ...]  #: name, shape in the checkpoint, shape wanted

    def __bool__(self) -> bool:
        return not (self.missing or self.unexpected or self.misshaped)

    def require(self, path: str | os.PathLike[str] | None = None) -> None:
        """Raise CheckpointError (E0704) that names the first tensors of each kind, unless all fit."""
        if self:
            return
        notes, helps = [], []
        if self.misshaped:
            notes.append(_listed("of another shape", [
                f"`{name}` is {list(found)}, the network wants {list(wanted)}" for name, found, wanted in self.misshaped
            ]))  # fmt: skip
        if self.missing:
            notes.append(_listed("missing", [f"`{name}`" for name in self.missing]))
        if self.unexpected:
            notes.append(_listed("not of this network", [f"`{name}`" for name in self.unexpected]))
        for name in self.missing[:_SHOWN]:
            match = closest(name, self.unexpected)
            if match:
                helps.append(f"was `{match}` renamed to `{name}`? A layer keeps its name with `@name`")
                break
        if not helps:
            helps.append("use the file and the --set values that the checkpoint was trained with")
        raise CheckpointError(
            Diagnostic(
                "E0704",
                "the checkpoint does not fit the network",
                notes=tuple(notes),
                helps=tuple(helps),
                path=_name(path),
            )
        )


def match(tensors: Mapping[str, np.ndarray], expected: Mapping[str, Sequence[int]]) -> Match:
    """Compare the names and shapes of tensors (`Checkpoint.tensors`, or a slot of its `optimizer`) with `expected`."""
    wanted = {name: tuple(shape) for name, shape in expected.items()}
    return Match(
        tuple(name for name in wanted if name not in tensors),
        tuple(name for name in tensors if name not in wanted),
        tuple(
            (name, tensors[name].shape, shape)
            for name, shape in wanted.items()
            if name in tensors and tensors[name].shape != shape
        ),
    )


def save(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a checkpoint whole or not at all: on any failure the file that stood there is intact.

    Raises CheckpointError (E0705) where it cannot be written, as on a full disk.
    """
    arrays = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in checkpoint.tensors.items()}
    for slot, state in checkpoint.optimizer.items():
        for name, array in state.items():
            arrays[f"{_PREFIX}{slot}/{name}"] = np.ascontiguousarray(array).reshape(array.shape)
    header = json.dumps({"format": FORMAT, "slots": list(checkpoint.optimizer), **asdict(checkpoint.progress)})
    data = safetensors.numpy.save(arrays, {_KEY: header, _DIGEST: _digest(header, arrays)})
    try:
        with atomic_write(path) as file:
            file.write(data)
    except OSError as error:
        notes = ["an earlier checkpoint of this name is unharmed"] if os.path.exists(path) else []
        helps = []
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            helps = [f"free {len(data):,} bytes, or write to another disk"]
        elif error.errno == errno.ENOENT:
            helps = ["create its folder first"]
        _fail("E0705", f"cannot write the checkpoint: {error.strerror or error}", path, notes, helps)


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint. Raises CheckpointError: unreadable (E0701), damaged (E0702), not one of netdsl's (E0703)."""
    tensors, metadata = _read(path)
    progress, slots = _parsed(metadata, path)
    optimizer: dict[str, dict[str, np.ndarray]] = {}
    for slot in slots:
        start = f"{_PREFIX}{slot}/"
        optimizer[slot] = {
            name.removeprefix(start): tensors.pop(name) for name in list(tensors) if name.startswith(start)
        }
    return Checkpoint(tensors, optimizer, progress)


def load_progress(path: str | os.PathLike[str]) -> Progress:
    """Where training stood, without reading the tensors, nor whether they are whole. Raises CheckpointError as `load`."""
    with _problems_told(path), safe_open(os.fspath(path), framework="numpy") as file:
        metadata = file.metadata() or {}
    return _parsed(metadata, path)[0]


def load_weights(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The parameters and buffers in a checkpoint, or all tensors of another safetensors file.

    Raises CheckpointError (E0701, E0702).
    """
    tensors, metadata = _read(path)
    return load(path).tensors if _KEY in metadata else tensors


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """All tensors and the metadata of a safetensors file."""
    with _problems_told(path), safe_open(os.fspath(path), framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        metadata = file.metadata() or {}
    if metadata.get(_DIGEST) not in (None, _digest(metadata.get(_KEY, ""), tensors)):
        _fail("E0702", "the checkpoint is damaged", path, ["its contents are not those of its checksum"])
    return tensors, metadata


def _parsed(metadata: Mapping[str, str], path: str | os.PathLike[str]) -> tuple[Progress, list[str]]:
    """What the metadata say, and the optimizer's slots."""
    if _KEY not in metadata:
        note = "it is a safetensors file with tensors alone"
        _fail(
            "E0703", "not a checkpoint of netdsl", path, [note], ["its weights can be used where weights are asked for"]
        )
    try:
        header = json.loads(metadata[_KEY])
        if header["format"] > FORMAT:
            note = f"its format is {header['format']}, this version reads up to {FORMAT}"
            _fail("E0703", "the checkpoint was written by a later version of netdsl", path, [note])
        slots = [str(slot) for slot in header["slots"]]
        progress = Progress(**{f.name: header[f.name] for f in fields(Progress)})
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        _fail("E0702", "the checkpoint's metadata is damaged", path, [f"{type(error).__name__}: {error}"[:200]])
    problem = _wrong_type(progress)
    if problem:
        _fail("E0702", "the checkpoint's metadata is damaged", path, [problem])
    return progress, slots


@contextmanager
def _problems_told(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what goes wrong in reading a safetensors file into a CheckpointError."""
    try:
        with open(path, "rb"):  # safetensors' own message for a missing file lacks the reason
            pass
        yield
    except SafetensorError as error:
        _fail("E0702", "the checkpoint is damaged, cut short, or no safetensors file", path, [str(error)[:200]])
    except OSError as error:
        _fail("E0701", f"cannot read the checkpoint: {error.strerror or error}", path)
    except MemoryError:
        _fail("E0701", "there is not enough memory for the checkpoint", path)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        _fail("E0702", "the checkpoint holds numbers of a type that is not read", path, [str(error)[:200]])


def _digest(header: str, arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of the metadata and of the tensors: their names, types, shapes and values."""
    digest = hashlib.sha256(header.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\0{name}\0{array.dtype.str}{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _wrong_type(progress: Progress) -> str:
    """What is wrong with the types of the metadata's values, in words; empty where nothing is."""
    kinds = {
        "hyperparameters": dict, "running": dict, "environment": dict, "history": list, "seed": int, "step": int,
        "epoch": int, "position": int, "net": str, "source_sha256": str, "prepare": str, "dataset": str,
        "learning_rate": (float, int, type(None)), "classes": (list, type(None)),
    }  # fmt: skip
    for name, kind in kinds.items():
        value = getattr(progress, name)
        if not isinstance(value, kind) or isinstance(value, bool):  # type: ignore[arg-type]
            return f"`{name}` cannot be {value!r:.100}"
        if isinstance(value, int) and name in ("step", "epoch", "position") and value < 0:
            return f"`{name}` cannot be {value}"
    return ""


def _listed(what: str, items: list[str]) -> str:
    more = f", and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return f"{what} ({len(items)}): " + "; ".join(items[:_SHOWN]) + more


def _name(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else str(os.fspath(path))


def _fail(
    code: str, message: str, path: str | os.PathLike[str], notes: Sequence[str] = (), helps: Sequence[str] = ()
) -> NoReturn:
    raise CheckpointError(Diagnostic(code, message, notes=tuple(notes), helps=tuple(helps), path=_name(path)))
