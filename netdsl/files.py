"""Writing files whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file to write to, which takes the place of `path` when the block ends.

    Until then, and when the block or the disk fails, what stood at `path` stays as it was and nothing else is left.
    A file that is replaced passes on its permissions. A link is followed; what is no regular file (a device, a pipe)
    is written to directly. Raises OSError.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        with open(target, "wb") as device:
            yield device
        return
    draft = target.with_name(f"{_draft(target)}{secrets.token_hex(4)}.tmp")
    try:
        with open(draft, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with suppress(OSError):  # there is none, or the file system has no permissions
            os.chmod(draft, stat.S_IMODE(target.stat().st_mode))
        os.replace(draft, target)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    _sync_folder(target.parent)


def remove_drafts(path: str | os.PathLike[str]) -> None:
    """Remove what processes that were killed in the midst of an `atomic_write` to `path` have left. Raises OSError."""
    target = Path(os.path.realpath(path))
    for draft in target.parent.iterdir():
        if re.fullmatch(re.escape(_draft(target)) + r"[0-9a-f]{8}\.tmp", draft.name):
            draft.unlink(missing_ok=True)


def _draft(target: Path) -> str:
    """What the names of drafts begin with."""
    return f".{target.name[:64]}."


def _sync_folder(folder: Path) -> None:
    """Make a rename in the folder last through a power cut, where the system can (Windows cannot)."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
