"""`netdsl explain`"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator

import click

from netdsl.cli.common import colour, reports_errors
from netdsl.diagnostics import Diagnostic, NetError, catalogue, did_you_mean

_WIDEST = 100
_KINDS = {"fail": "this fails:", "ok": "this does not:"}

Paint = Callable[[str, str], str]


@click.command(short_help="Say what the code of a message means.")
@click.argument("code", required=False)
@reports_errors
def explain(code: str | None) -> None:
    """Say what the CODE of a message means, with an example and how it is mended; or list all codes."""
    known = catalogue.codes()
    if code is None:
        click.echo("\n".join(_listing(known)))
        return
    name = code.upper()
    if name not in known:
        helps = (*did_you_mean(name, known), "`netdsl explain` lists all codes")
        raise NetError(Diagnostic("E0201", f"there is no code `{code}`", helps=helps))
    coloured = colour(sys.stdout)

    def paint(text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if coloured else text

    click.echo("\n".join(page(catalogue.text(name), _width(), paint)).rstrip(), color=coloured)


def _listing(codes: Iterable[str]) -> Iterator[str]:
    before = None
    for code in codes:
        family = catalogue.family(code)
        if family != before:
            if before is not None:
                yield ""
            yield f"{catalogue.FAMILIES[family]}:"
        before = family
        yield f"  {code}  {catalogue.title(code)}"


def _width() -> int:
    from shutil import get_terminal_size

    return min(_WIDEST, get_terminal_size().columns)


def page(text: str, width: int, paint: Paint) -> Iterator[str]:
    """The lines of a page of the catalogue for a terminal: paragraphs filled, code indented under what it shows."""
    from textwrap import wrap

    for index, part in enumerate(text.split("```")):
        if index % 2:
            info, _, code = part.partition("\n")
            yield paint(_heading(info), "1")
            yield ""
            yield from (f"    {line}" if line else "" for line in code.rstrip().split("\n"))
            yield ""
            continue
        for paragraph in filter(None, part.strip().split("\n\n")):
            if paragraph.startswith("# "):
                yield paint(paragraph.removeprefix("# "), "1")
            elif paragraph.startswith("- "):
                for item in paragraph.removeprefix("- ").split("\n- "):
                    yield from wrap(item, width, initial_indent="- ", subsequent_indent="  ")
            else:
                yield from wrap(paragraph, width)
            yield ""


def _heading(info: str) -> str:
    """What a block of code shows, from the words behind its fence."""
    language, *words = info.split()
    for word in words:
        if word.startswith("file="):
            return f"{word.removeprefix('file=')}:"
        if word in _KINDS:
            return _KINDS[word]
    return f"with this {language}:"
