"""The folder of a run: its last and its best checkpoint, and nothing else, whatever ended the run.

The last is there from before the first step on, so that a run can be resumed from its beginning, with its seed. A
checkpoint takes its place when it is whole (`files.atomic_write`), the best before the last: so the last is that of the
newest epoch that is over, or a resume comes to the same best again. Where the last is damaged, a resume comes to the same
end from the best.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from netdsl.diagnostics import CheckpointError, Diagnostic
from netdsl.files import remove_drafts
from netdsl.ir import Graph
from netdsl.runtime import checkpoint as checkpoints
from netdsl.runtime.checkpoint import Checkpoint

LAST, BEST = "last.safetensors", "best.safetensors"
_PROBE = ".probe."


def default_directory(graph: Graph) -> Path:
    """Where a run of the net keeps its checkpoints unless told otherwise."""
    return Path("runs") / graph.name


def guard_directory(directory: str | os.PathLike[str], *, resume: bool, overwrite: bool) -> None:
    """Raise CheckpointError (E0707) where a new run would replace another, or a resume finds nothing to go on with.

    A run that has not made a step yet is no loss.
    """
    last = Path(directory) / LAST
    if resume and not last.exists():
        message, help = "there is no run to resume", "train without --resume, or name the run's folder with --out"
    elif not resume and not overwrite and last.exists() and _has_begun(last):
        message = "there is a run in this folder already"
        help = "go on with it by --resume, start anew by --overwrite, or name another folder with --out"
    else:
        return
    raise CheckpointError(Diagnostic("E0707", message, helps=(help,), path=str(last)))


def _has_begun(last: Path) -> bool:
    try:
        return checkpoints.load_progress(last).step > 0
    except CheckpointError:  # whatever it is, somebody may want it
        return True


def newest(directory: Path) -> tuple[Checkpoint, Path]:
    """The last checkpoint of a run, or where it is damaged the best, and its path.

    Raises CheckpointError: E0702 where both are damaged, or there is no best yet.
    """
    last, best = directory / LAST, directory / BEST
    try:
        return checkpoints.load(last), last
    except CheckpointError as error:
        (damage,) = error.diagnostics
        if damage.code != "E0702":
            raise
    try:
        return checkpoints.load(best), best
    except CheckpointError:
        pass
    note = f"`{BEST}`, from which a resume could go on, is {'damaged too' if best.exists() else 'not there'}"
    helps = ("put a copy of one of them in its place", "start anew with --overwrite")
    raise CheckpointError(damage._replace(notes=(*damage.notes, note), helps=helps))


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
