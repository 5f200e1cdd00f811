"""Training steps as ONNX Runtime has optimised them, kept on disk: the second start of a net skips the work of the first.

What is kept is the step after netdsl's tuning and ONNX Runtime's optimisers: the same nodes, so the same numbers bit for
bit. An entry's name is a hash of all that it depends on: the portable step, the versions, this package's code that
tunes it, the provider, the threads and the instructions of the processor.

Entries lie in the user's cache folder (`NETDSL_CACHE` names another, `NETDSL_CACHE=off` keeps none), which nobody else may
write to: a model decides what a run computes. What is damaged, of another key or refused by ONNX Runtime is made anew.
Nothing here fails a run: where the disk is full or the folder is not to be had, steps are tuned as at the first start.
"""

from __future__ import annotations

import hashlib
import os
import platform
import stat
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import onnx
import onnxruntime as ort

from netdsl.files import atomic_write
from netdsl.runtime.session import Device, open_session, reopen_session
from netdsl.version import __version__

VARIABLE = "NETDSL_CACHE"
#: bytes of all entries together, beyond which those go that were used the longest ago; one entry has at most a quarter
MOST_BYTES = 1 << 29
#: nodes below which ONNX Runtime optimises as fast as a file is read
_WORTH = 200
_MAGIC = b"netdsl step 1\n"
_DIGEST = hashlib.sha256().digest_size

#: from a portable step and the device asked for to the form that is the fastest there, and the device with its threads
Tune = Callable[[onnx.ModelProto, Device], tuple[onnx.ModelProto, Device]]


def open_kept(
    model: onnx.ModelProto, device: Device, tune: Tune, *, profile: str | None = None
) -> tuple[ort.InferenceSession, Device]:
    """A session for the step, tuned for the device, from the cache where it has one; and the device as tuned.

    Raises what `tune` and `open_session` do.
    """
    folder = _folder() if device.provider == "cpu" and len(model.graph.node) >= _WORTH else None
    if folder is None:
        tuned, narrowed = tune(model, device)
        return open_session(tuned, narrowed, profile=profile), narrowed
    key = _key(model, device)
    entry = folder / key.hex()
    with suppress(
        Exception
    ):  # ONNX Runtime's exceptions share no base class; whatever it is, the model can be made anew
        threads, optimised = _read(entry, key)
        narrowed = replace(device, threads=threads or None)
        session = reopen_session(optimised, narrowed, profile=profile)
        if _interface(session) == [value.name for value in (*model.graph.input, *model.graph.output)]:
            return session, narrowed
    tuned, narrowed = tune(model, device)
    with suppress(Exception), tempfile.TemporaryDirectory(prefix="netdsl-") as drafts:
        draft = Path(drafts, "step.onnx")
        session = open_session(tuned, narrowed, profile=profile, optimised=str(draft))
        with suppress(OSError):
            _keep(entry, key, narrowed.threads or 0, draft)
        return session, narrowed
    # there was no place for the draft, or what went wrong is told here
    return open_session(tuned, narrowed, profile=profile), narrowed


def _read(entry: Path, key: bytes) -> tuple[int, bytes]:
    """The threads and the model of an entry. Raises OSError, ValueError where it is not whole, or not ours."""
    with open(os.open(entry, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or not _ours(found) or found.st_size > MOST_BYTES:
            raise ValueError("no file of this user's")
        head, digest = file.read(len(_MAGIC)), file.read(_DIGEST)
        content = file.read()
    if head != _MAGIC or digest != hashlib.sha256(key + content).digest():
        raise ValueError("damaged, or of another step")
    with suppress(OSError):
        os.utime(entry)  # used last goes last
    return int.from_bytes(content[:4], "little"), content[4:]


def _keep(entry: Path, key: bytes, threads: int, draft: Path) -> None:
    """Write an entry, and remove those that were used the longest ago. Raises OSError."""
    if draft.stat().st_size > MOST_BYTES // 4:
        return
    if entry.is_symlink():  # it is not read, and would be written through
        entry.unlink()
    content = threads.to_bytes(4, "little") + draft.read_bytes()
    with atomic_write(entry) as file:
        file.write(_MAGIC + hashlib.sha256(key + content).digest() + content)
    files = [(found.st_mtime, found.st_size, path) for path in entry.parent.iterdir() if (found := path.lstat())]
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total > MOST_BYTES and path != entry:
            path.unlink(missing_ok=True)
            total -= size


def _key(model: onnx.ModelProto, device: Device) -> bytes:
    """A hash of all that the tuned step depends on."""
    digest = hashlib.sha256(repr((sorted(asdict(device).items()), os.cpu_count(), _surroundings())).encode())
    digest.update(model.SerializeToString(deterministic=True))
    return digest.digest()


@cache
def _surroundings() -> tuple[str, ...]:
    """Versions, the code that tunes, and the processor."""
    code = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):  # a changed pass has not always a new version
        code.update(path.read_bytes())
    return (__version__, ort.__version__, ort.get_build_info(), code.hexdigest(), sys.platform, platform.machine(),
            platform.processor(), _instructions())  # fmt: skip


def _instructions() -> str:
    """What the processor can do, as Linux lists it; elsewhere the processor's name says as much."""
    with suppress(OSError), open("/proc/cpuinfo") as lines:
        return "".join(next((line for line in lines if line.startswith(word)), "") for word in ("flags", "Features"))
    return ""


def _folder() -> Path | None:
    """The folder of entries, made where there was none; None: keep none, or somebody else could write there."""
    wanted = os.environ.get(VARIABLE)
    if wanted == "off":
        return None
    try:
        folder = Path(wanted) if wanted else _user_cache() / "netdsl"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = os.stat(folder)
    except (OSError, RuntimeError):  # no permission; no home
        return None
    others_write = os.name == "posix" and bool(found.st_mode & 0o022)
    return folder if _ours(found) and not others_write else None


def _user_cache() -> Path:
    named = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(named):
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")


def _ours(found: os.stat_result) -> bool:
    return os.name != "posix" or found.st_uid == os.geteuid()


def _interface(session: ort.InferenceSession) -> list[str]:
    return [value.name for value in (*session.get_inputs(), *session.get_outputs())]
