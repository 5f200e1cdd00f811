"""What commands share: FILE[:NET] and --set, and how errors leave the program."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import click

from netdsl.diagnostics import Diagnostic, NetError, Source
from netdsl.elaborate import Elaboration, elaborate, read_source

P = ParamSpec("P")
R = TypeVar("R")

_COLUMNS = 80  # of a terminal that does not say


class Range(click.FloatRange):
    """A number of the range. NaN, which click lets pass, is in none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = super().convert(value, param, ctx)
        if number != number:
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return float(number)


class FilePath(click.Path):
    """A path. The empty one, which click lets pass, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("an empty path.", param, ctx)
        return super().convert(value, param, ctx)


def net_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """`FILE[:NET]` and `--set name=value`, given to the command as `net` (a path) and `settings`."""
    return click.argument("net", metavar="FILE[:NET]")(settings_option(function))


def settings_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--set name=value`, given to the command as `settings`."""
    return click.option(
        "--set", "settings", multiple=True, metavar="NAME=VALUE", callback=_settings,
        help="A hyperparameter or a named size, as it is written in a file: --set n=9, --set widths='[16, 32]', --set H=480.",
    )(function)  # fmt: skip


def _settings(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Source]:
    settings = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier() or not value.strip():
            raise click.BadParameter(f"{text!r} is not NAME=VALUE")
        settings[name.strip()] = Source(f"--set {name.strip()}", value)
    return settings


def elaborated(net: str, settings: dict[str, Source]) -> Elaboration:
    """The net that the command line names."""
    from netdsl.api import split_path

    file, name = split_path(net)
    return elaborate(read_source(file), name, settings)


def colour(stream: Any) -> bool:
    """Whether to write colours to a stream: a terminal, and NO_COLOR (https://no-color.org) is not set."""
    return (
        stream is not None and stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def reports_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Print diagnostics to stderr and exit with 1 where the input is wrong; never a traceback for bad input."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except NetError as error:
            tell(error.diagnostics)
        except MemoryError:
            tell([Diagnostic("E0902", "out of memory", helps=("use a smaller batch or a smaller network",))])
        except BrokenPipeError:
            # the reader of our output is gone (`| head`): leave quietly, also at the interpreter's last flush
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            # of the output, such as a full disk: what is read and written elsewhere has diagnostics of its own
            tell([Diagnostic("E0903", f"the output cannot be written: {error.strerror or error}", path=error.filename)])
        finally:
            _drop_unwritable_stderr()
        raise SystemExit(1)

    return wrapped


def _drop_unwritable_stderr() -> None:
    """Forget what stderr could not take: the interpreter's last flush would turn it into an exit code of 120."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def tell(diagnostics: Sequence[Diagnostic], remarks: Iterable[str] = ()) -> None:
    """Print diagnostics for the user, remarks, and how many diagnostics there are, if anyone can read them."""
    from netdsl.diagnostics.text import render

    with suppress(OSError):
        for diagnostic in diagnostics:
            click.echo(render(diagnostic, colour(sys.stderr), _columns(sys.stderr)) + "\n", err=True, color=True)
        for remark in remarks:
            click.echo(remark, err=True)
        if last := "; ".join([*_counts(diagnostics), *_more(diagnostics)]):
            click.echo(last, err=True)


def _counts(diagnostics: Sequence[Diagnostic]) -> Iterator[str]:
    """`3 errors, 1 warning`, where there are several"""
    counts = [(sum(d.severity == kind for d in diagnostics), kind) for kind in ("error", "warning", "note")]
    if len(diagnostics) > 1:
        yield ", ".join(number(count, kind) for count, kind in counts if count)


def _more(diagnostics: Sequence[Diagnostic]) -> Iterator[str]:
    """Where to read more on the first of them: on a note there is no need to."""
    codes = [d.code for d in diagnostics if d.severity != "note"]
    if codes:
        yield f"for more: netdsl explain {codes[0]}"


def number(count: int, of: str) -> str:
    """`1 error`, `2 errors`"""
    return f"{count} {of}{'' if count == 1 else 's'}"


def _columns(stream: Any) -> int | None:
    """The width of a terminal, None where the stream is none."""
    if stream is None or not stream.isatty():
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or _COLUMNS
    except OSError:
        return _COLUMNS


def print_json(value: Any) -> None:
    import json

    click.echo(json.dumps(value, indent=2))
