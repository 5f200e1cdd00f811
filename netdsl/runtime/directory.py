"""The folder of a run: its last and its best checkpoint, and nothing else, whatever ended the run.

A checkpoint takes its place when it is whole (`files.atomic_write`), the best before the last: so the last is that of the
newest epoch that is over, or a resume comes to the same best again.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from netdsl.diagnostics import CheckpointError, Diagnostic
from netdsl.files import remove_drafts
from netdsl.ir import Graph

LAST, BEST = "last.safetensors", "best.safetensors"
_PROBE = ".probe."


def default_directory(graph: Graph) -> Path:
    """Where a run of the net keeps its checkpoints unless told otherwise."""
    return Path("runs") / graph.name


def guard_directory(directory: str | os.PathLike[str], *, resume: bool, overwrite: bool) -> None:
    """Raise CheckpointError (E0707) where a new run would replace another, or a resume finds nothing to go on with."""
    last = Path(directory) / LAST
    if resume and not last.exists():
        message, help = "there is no run to resume", "train without --resume, or name the run's folder with --out"
    elif not resume and not overwrite and last.exists():
        message = "there is a run in this folder already"
        help = "go on with it by --resume, start anew by --overwrite, or name another folder with --out"
    else:
        return
    raise CheckpointError(Diagnostic("E0707", message, helps=(help,), path=str(last)))


def make_directory(directory: Path, *, anew: bool) -> None:
    """Make the folder, and see that files can be written in it: better now than after an epoch.

    What a run left unfinished when it was killed is removed, and where a run starts `anew`, the checkpoints of the one
    before: they would be taken for its own until it has some. Raises CheckpointError (E0705).
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"the folder of the run cannot be made: {error.strerror or error}"
        raise CheckpointError(Diagnostic("E0705", message, path=str(directory))) from error
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix=_PROBE):
            pass
        for name in (LAST, BEST):  # the last first: without it there is no run in the folder
            remove_drafts(directory / name)
            if anew:
                (directory / name).unlink(missing_ok=True)
    except OSError as error:
        message = f"the folder of the run cannot be written in: {error.strerror or error}"
        raise CheckpointError(Diagnostic("E0705", message, path=str(directory))) from error
    for probe in directory.glob(f"{_PROBE}*"):
        with suppress(OSError):
            probe.unlink()
