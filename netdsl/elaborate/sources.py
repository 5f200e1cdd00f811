"""Reading .net files: the one that is named, and those it imports."""

from __future__ import annotations

import os
import re
from functools import cache
from typing import BinaryIO

from netdsl.diagnostics import Diagnostic, Source, SourceError, closest, did_you_mean

_MOST_BYTES = 16_000_000
#: the library, `std`: files in the language itself
_STD = os.path.join(os.path.dirname(os.path.dirname(__file__)), "std")


def read_source(path: str | os.PathLike[str], shown: str | None = None) -> Source:
    """The text of a .net file, reported under `shown`. Raises SourceError where there is none."""
    try:
        with open(path, "rb") as file:
            return read_stream(file, shown or str(path))
    except FileNotFoundError:
        folder, name = os.path.split(path)
        try:
            names = [entry for entry in os.listdir(folder or ".") if entry.endswith(".net")]
        except OSError:
            raise _unreadable(path, f"there is no such file, nor a folder `{folder}`") from None
        near = closest(str(name), names)
        helps = [f"did you mean `{os.path.join(folder, near)}`?"] if near else []
        raise _unreadable(path, "there is no such file", *helps) from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise _unreadable(path, f"the file cannot be read: {getattr(error, 'strerror', None) or error}") from None


def read_stream(file: BinaryIO, shown: str) -> Source:
    """The text in the bytes of a .net file, reported under `shown`. Raises SourceError where they are none."""
    data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise _unreadable(shown, f"the file is larger than {_MOST_BYTES:,} bytes: it is not read as a .net file")
    try:
        return Source(shown, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _unreadable(shown, f"byte {error.start} is not UTF-8 text: this is not a .net file") from None


def _unreadable(path: str | os.PathLike[str], message: str, *helps: str) -> SourceError:
    return SourceError(Diagnostic("E0100", message, path=str(path), helps=helps))


def std_modules() -> list[str]:
    """The names of the library's files: `residual`, ..."""
    return sorted(name.removesuffix(".net") for name in os.listdir(_STD) if name.endswith(".net"))


def std_source(module: str) -> Source:
    """The text of one of the library's files."""
    return read_source(_std_path(module), f"std/{module}.net")


def _std_path(module: str) -> str:
    return os.path.join(_STD, f"{module}.net")


@cache
def std_names() -> dict[str, str]:
    """What the library declares, and in which module: for did-you-mean, so the files are searched, not parsed."""
    declared = re.compile(r"^(?:block|net)[ \t]+(\w+)", re.MULTILINE)
    return {name: module for module in std_modules() for name in declared.findall(std_source(module).text)}


def imported_source(path: str, relative: bool, importer: Source) -> tuple[str, Source]:
    """The identity and the text of an imported file. Raises SourceError, without a place, where it cannot be had."""
    if not relative:
        return _std_source(path)
    problem = ""
    if os.path.isabs(path):
        problem = "an import is relative to the file that it stands in"
    elif not path.endswith(".net"):
        problem = "what is imported is a .net file"
    if problem:
        raise SourceError(Diagnostic("E0109", f'"{path}" cannot be imported: {problem}',
                                     helps=('write `from "blocks/mine.net" import name`',)))  # fmt: skip
    shown = os.path.normpath(os.path.join(os.path.dirname(importer.path), path))
    if os.path.exists(shown) and not os.path.isfile(shown):  # a pipe would be waited for without end
        raise SourceError(Diagnostic("E0109", f'"{path}" cannot be imported: `{shown}` is not a file'))
    try:
        source = read_source(shown)
    except SourceError as error:
        (why,) = error.diagnostics
        note = (f"it is looked for at `{shown}`, relative to `{importer.path}`",)
        raise SourceError(Diagnostic("E0109", f'"{path}" cannot be imported: {why.message}', notes=note,
                                     helps=why.helps)) from None  # fmt: skip
    return os.path.realpath(shown), source


def _std_source(path: str) -> tuple[str, Source]:
    first, _, module = path.partition(".")
    known = std_modules()
    if first != "std":
        helps = did_you_mean(path, [f"std.{name}" for name in known])
        raise SourceError(Diagnostic("E0109", f"there is no library `{first}`: there is `std`", helps=(
            *helps, f'a file of your own is imported by its path: `from "{path.replace(".", "/")}.net" import ...`')))  # fmt: skip
    if module not in known:
        what = f"`std` has no module `{module}`" if module else "`std` is a folder of modules: which one?"
        helps = did_you_mean(module, known) if module else ("write `from std.residual import basic`",)
        raise SourceError(Diagnostic("E0109", what, notes=("it has " + ", ".join(known),), helps=helps))
    return os.path.realpath(_std_path(module)), std_source(module)
