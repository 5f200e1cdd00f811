"""The command line: `netdsl COMMAND FILE[:NET] ...`. One file per command; this one joins them."""

from __future__ import annotations

import gc
import io
import sys

import click

from netdsl.cli.analyze import analyze
from netdsl.cli.check import check
from netdsl.cli.compile import compile_
from netdsl.cli.explain import explain
from netdsl.cli.fmt import fmt
from netdsl.cli.ops import ops
from netdsl.cli.run import run
from netdsl.cli.std import std
from netdsl.cli.train import train
from netdsl.version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="netdsl")
def main() -> None:
    """Networks described in a file: checked and analyzed, compiled to ONNX, trained on ONNX Runtime.

    Exit status: 0 fine, 1 the input is wrong (diagnostics on stderr), 2 the command line is wrong.
    """
    # trees and graphs are kept to the end: looking for garbage among them takes a tenth of the time of `analyze`
    gc.set_threshold(100_000)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a sign is no reason to fail
            stream.reconfigure(errors="backslashreplace")


for _command in (check, analyze, compile_, train, run, fmt, ops, explain, std):
    main.add_command(_command)
