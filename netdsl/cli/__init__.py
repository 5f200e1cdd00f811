"""The command line: `netdsl COMMAND FILE[:NET] ...`. One file per command; this one joins them."""

from __future__ import annotations

import gc
import io
import sys
from importlib import import_module
from typing import Any

import click

from netdsl.version import __version__

_COMMANDS = ("check", "analyze", "compile", "convert", "train", "gradcheck", "run", "fmt", "ops", "std", "explain")


class _Commands(click.Group):
    """The commands, each imported when it is called: to import all of them takes as long as to check a file."""

    def invoke(self, ctx: click.Context) -> Any:
        # modules, trees and graphs are kept to the end: looking for garbage among them takes a tenth of the time
        gc.set_threshold(100_000)
        return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"netdsl.cli.{cmd_name}")
        command: click.Command = getattr(module, f"{cmd_name}_" if cmd_name == "compile" else cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from netdsl.diagnostics import closest

            if meant := closest(args[0], _COMMANDS):
                error.message += f" Did you mean '{meant}'?"
            raise


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="netdsl")
def main() -> None:
    """Networks described in a file: checked and analyzed, compiled to ONNX, trained on ONNX Runtime.

    Exit status: 0 fine, 1 the input is wrong (diagnostics on stderr), 2 the command line is wrong.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a sign is no reason to fail
            stream.reconfigure(errors="backslashreplace")
