"""`netdsl std`"""

from __future__ import annotations

from collections.abc import Iterator

import click

from netdsl.cli.common import reports_errors
from netdsl.diagnostics import Diagnostic, NetError, Source, did_you_mean
from netdsl.elaborate.sources import std_modules, std_names, std_source
from netdsl.syntax import parse
from netdsl.syntax import tree as t
from netdsl.syntax.comments import documentation


@click.command(short_help="List the library of connection patterns.")
@click.argument("name", metavar="[MODULE | BLOCK | MODULE.BLOCK]", required=False)
@reports_errors
def std(name: str | None) -> None:
    """List the blocks of the library, or describe a module, or print one block as it stands in the library."""
    if name is None:
        lines = _listing()
    elif name.removeprefix("std.") in std_modules():
        lines = _module(name.removeprefix("std."))
    else:
        lines = _block(*_found(name.removeprefix("std.")))
    click.echo("\n".join(lines))


def _read(module: str) -> t.File:
    return parse(std_source(module))


def _head(source: Source) -> list[str]:
    """What the comment at the top of a file says."""
    lines = source.text.split("\n")
    return [line.removeprefix("#").removeprefix(" ") for line in lines[: lines.index("")]]


def _signature(block: t.Function) -> str:
    return block.span.text.partition("{")[0].strip()


def _listing() -> Iterator[str]:
    width = max(map(len, std_names()))
    for module in std_modules():
        file = _read(module)
        yield f"std.{module}: {_head(file.source)[0]}"
        for block in file.functions:
            title, *_ = documentation(block).split("\n")
            yield f"  {block.name:<{width}}  {title}"
        yield ""
    yield "`netdsl std MODULE` shows the pictures, `netdsl std BLOCK` one block with its text;"
    yield "a file uses a block after `from std.MODULE import BLOCK`."


def _module(name: str) -> Iterator[str]:
    file = _read(name)
    yield from _head(file.source)
    for block in file.functions:
        yield ""
        yield _signature(block)
        yield ""
        for line in documentation(block).split("\n"):
            yield f"    {line}".rstrip()
    yield ""
    yield f"from std.{name} import {', '.join(block.name for block in file.functions)}"


def _found(name: str) -> tuple[str, str]:
    """The module and the block that a name means. Raises NetError where there is none."""
    known = std_names()
    module, dot, block = name.rpartition(".")
    if block in known and (not dot or known[block] == module):
        return known[block], block
    if block in known:
        helps: tuple[str, ...] = (f"did you mean `{known[block]}.{block}`?",)
    elif dot:
        helps = did_you_mean(name, [f"{where}.{what}" for what, where in known.items()])
    else:
        helps = did_you_mean(name, [*known, *std_modules()])
    raise NetError(Diagnostic("E0201", f"`std` has no module or block `{name}`",
                              helps=(*helps, "`netdsl std` lists all")))  # fmt: skip


def _block(module: str, name: str) -> Iterator[str]:
    file = _read(module)
    block = next(block for block in file.functions if block.name == name)
    yield f"from std.{module} import {name}"
    yield ""
    for line in documentation(block).split("\n"):
        yield f"# {line}".rstrip()
    yield from block.span.text.split("\n")
