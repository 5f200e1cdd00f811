"""`netdsl fmt`"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import click

from netdsl.cli.common import number, reports_errors, tell
from netdsl.diagnostics import Diagnostic, NetError, Source
from netdsl.elaborate import read_source
from netdsl.elaborate.sources import read_stream
from netdsl.files import atomic_write
from netdsl.format import format_source

_STDIN = "-"


@click.command(short_help="Format files in the one style.")
@click.argument("paths", metavar="FILE...", nargs=-1, required=True)
@click.option("--check", is_flag=True, help="Write nothing; name the files that are not formatted, and exit with 1.")
@click.option("--diff", is_flag=True, help="Write nothing; print what would change, and exit with 1 if anything would.")
@reports_errors
def fmt(paths: tuple[str, ...], check: bool, diff: bool) -> None:
    """Format files in place, in the one style there is.

    A folder stands for all .net files below it, `-` for stdin and stdout. Comments stay, and what a file means stays
    the same. A comma behind the last item of a bracket keeps it broken over lines; a line break before `->` is kept.
    Lines end in a line feed, also where they had a carriage return too.

    A file with a syntax error is left as it is, and the others are formatted.
    """
    run = _Run(check, diff)
    files = [file for path in paths for file in run.files(path)]
    for file in dict.fromkeys(files):
        try:
            run.format(file)
        except NetError as error:
            run.failed += 1
            run.diagnostics += error.diagnostics
    tell(run.diagnostics, run.remarks())
    if run.diagnostics or (run.changed and (check or diff)):
        raise SystemExit(1)


class _Run:
    """What is done with each file, and what there is to say at the end."""

    def __init__(self, check: bool, diff: bool) -> None:
        self.check, self.diff = check, diff
        self.changed = self.unchanged = self.failed = 0
        self.diagnostics: list[Diagnostic] = []
        self.empty: list[str] = []

    def files(self, path: str) -> Iterator[str]:
        """The .net files below a folder, without hidden ones; any other path as it is."""
        if not os.path.isdir(path):
            yield path
            return
        found = False
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if name.endswith(".net") and not name.startswith("."):
                    found = True
                    yield os.path.normpath(os.path.join(folder, name))
        if not found:
            self.empty.append(path)

    def format(self, path: str) -> None:
        stdin = path == _STDIN
        source = read_stream(sys.stdin.buffer, "<stdin>") if stdin else read_source(path)
        text = format_source(source)
        if self.check or self.diff:
            self._tell_change(source, text)
        elif stdin:
            click.echo(text.encode(), nl=False)
            return
        elif text != source.text:
            _write(path, text)
        self.changed += text != source.text
        self.unchanged += text == source.text

    def _tell_change(self, source: Source, text: str) -> None:
        if self.diff:
            from netdsl.format.diff import unified_diff

            for line in unified_diff(source.path, source.text, text):
                click.echo(line.encode())
        elif text != source.text:
            click.echo(f"would reformat: {source.path}")

    def remarks(self) -> Iterator[str]:
        """How many files were formatted, in ruff's words."""
        yield from (f"{folder}: no .net files" for folder in self.empty)
        counts = (
            (self.changed, "would be reformatted" if self.check or self.diff else "reformatted"),
            (self.unchanged, "already formatted" if self.check or self.diff else "left unchanged"),
            (self.failed, "could not be formatted"),
        )
        if parts := [f"{number(count, 'file')} {what}" for count, what in counts if count]:
            yield ", ".join(parts)


def _write(path: str, text: str) -> None:
    try:
        with open(path, "r+b"):
            pass  # a file that may not be written is not replaced either
        with atomic_write(path) as file:
            file.write(text.encode())
    except OSError as error:
        message = f"the file cannot be written: {error.strerror or error}"
        raise NetError(Diagnostic("E0903", message, path=path)) from None
