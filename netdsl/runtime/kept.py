"""Training steps as ONNX Runtime has optimised them, kept on disk: the second start of a net skips the work of the first.

What is kept is the step after netdsl's tuning and ONNX Runtime's optimisers: the same nodes, so the same numbers bit for
bit. An entry's name is a hash of all that it depends on: the portable step, the versions, this package's code that
tunes it, the provider, the threads and the instructions of the processor.

Entries lie in the user's cache folder (`NETDSL_CACHE` names another, `NETDSL_CACHE=off` keeps none), which nobody else may
write to: a model decides what a run computes. What is damaged, or of another step, is not read.
"""

from __future__ import annotations

import hashlib
import os
import platform
import stat
import sys
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path

import onnx
import onnxruntime as ort

from netdsl.files import atomic_write
from netdsl.runtime.session import Device
from netdsl.version import __version__

VARIABLE = "NETDSL_CACHE"
#: bytes of all entries together, beyond which those go that were used the longest ago; one entry has at most a quarter
MOST_BYTES = 1 << 29
_MAGIC = b"netdsl step 1\n"
_DIGEST = hashlib.sha256().digest_size


class Entry:
    """The place of one step in the cache."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path, self._key = path, key

    def read(self) -> tuple[int | None, bytes]:
        """The threads that the step is for, and its model. Raises OSError, ValueError where there is none, or none that
        is whole and this user's.
        """
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(self._path, flags), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or not _ours(found) or found.st_size > MOST_BYTES:
                raise ValueError("no file of this user's")
            head, digest, content = file.read(len(_MAGIC)), file.read(_DIGEST), file.read()
        if head != _MAGIC or digest != self._seal(content):
            raise ValueError("damaged, or of another step")
        with suppress(OSError):
            os.utime(self._path)  # what is used last goes last
        return int.from_bytes(content[:4], "little") or None, content[4:]

    def write(self, threads: int | None, model: bytes) -> None:
        """Keep a step, and remove those that were used the longest ago. Raises OSError."""
        content = (threads or 0).to_bytes(4, "little") + model
        if len(content) > MOST_BYTES // 4:
            return
        if self._path.is_symlink():  # it is not read, and would be written through
            self._path.unlink()
        with atomic_write(self._path) as file:
            file.write(_MAGIC + self._seal(content) + content)
        files = [
            (found.st_mtime, found.st_size, path) for path in self._path.parent.iterdir() if (found := path.lstat())
        ]
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total > MOST_BYTES and path != self._path:
                path.unlink(missing_ok=True)
                total -= size

    def _seal(self, content: bytes) -> bytes:
        return hashlib.sha256(self._key + content).digest()


def entry_for(model: onnx.ModelProto, device: Device) -> Entry | None:
    """The place of a portable step on a device; None where nothing is kept."""
    folder = _folder()
    if folder is None:
        return None
    key = _key(model, device)
    return Entry(folder / key.hex(), key)


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
