"""`netdsl check`"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import click

from netdsl.analysis import check_expectations
from netdsl.analysis.sizes import statements
from netdsl.cli.common import number, print_json, reports_errors, settings_option, tell
from netdsl.diagnostics import Diagnostic, NetError
from netdsl.elaborate import Elaboration, elaborate, elaborate_all, read_source

_SEVERITIES = ("error", "warning", "note")


@click.command(short_help="Check shapes, names and `expect` lines; lint.")
@click.argument("paths", metavar="FILE[:NET]...", nargs=-1, required=True)
@settings_option
@click.option("--strict", is_flag=True, help="Take warnings for errors.")
@click.option("--format", "form", type=click.Choice(["text", "json", "github", "sarif"]), show_default="text",
              help="How to print the diagnostics: text on stderr, all else on stdout.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@reports_errors
def check(paths: tuple[str, ...], settings: dict[str, Any], strict: bool, form: str | None, as_json: bool) -> None:
    """Check nets: syntax, names, shapes, and their `expect` lines; warn of what is likely a slip.

    Of a FILE all nets are checked. Says little where all is well: how large each net is, and at which sizes of its
    input it fits.
    """
    if settings and len(paths) > 1:
        raise click.UsageError("--set is for the hyperparameters of one net: give one FILE[:NET]")
    if as_json and form not in (None, "json"):
        raise click.UsageError(f"--json is --format json: leave out one of --json and --format {form}")
    found = _Found()
    for path in paths:
        found.check(path, settings)
    diagnostics = found.sorted(strict)
    _print("json" if as_json else form or "text", diagnostics, found)
    if any(d.severity == "error" for d in diagnostics):
        raise SystemExit(1)


class _Found:
    """What there is to say about all that was checked."""

    def __init__(self) -> None:
        self.well_formed: list[Elaboration] = []
        self.without_net: list[str] = []
        self._diagnostics: dict[tuple[Any, ...], Diagnostic] = {}

    def check(self, path: str, settings: dict[str, Any]) -> None:
        from netdsl.api import split_path
        from netdsl.lint import lint, lint_text
        from netdsl.syntax import parse

        file, net = split_path(path)
        try:
            source = read_source(file)
            if net is None and not settings:
                elaborations = elaborate_all(source)
            else:
                elaborations = [elaborate(source, net, settings)]
        except NetError as error:
            self._add(error.diagnostics)
            return
        if not elaborations:
            self.without_net.append(file)
            self._add(lint_text(parse(source)))
            return
        for elaboration in elaborations:
            try:
                check_expectations(elaboration)
                self.well_formed.append(elaboration)
            except NetError as error:
                self._add(error.diagnostics)
        self._add(lint(*elaborations))

    def _add(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Keep diagnostics; what several nets have in common is said once."""
        for d in diagnostics:
            self._diagnostics.setdefault((d.code, d.message, d.path, *(str(label.span) for label in d.labels)), d)

    def nets(self) -> list[dict[str, Any]]:
        """The nets that are well formed, for programs."""
        graphs = [elaboration.graph for elaboration in self.well_formed]
        return [{"net": g.name, "file": g.path, "constraints": list(statements(g))} for g in graphs]

    def remarks(self) -> Iterator[str]:
        """The nets that are well formed, for people, each with the sizes at which it fits."""
        for elaboration in self.well_formed:
            graph, expected = elaboration.graph, elaboration.expectations
            held = f", {number(len(expected), 'expectation')} met" if expected else ""
            yield f"{graph.path}: {graph.name} is well formed: {number(len(graph.nodes), 'layer')}{held}"
            yield from (f"  {statement}" for statement in statements(graph))
        for file in self.without_net:
            yield f"{file}: no net; the names in its blocks are defined"

    def sorted(self, strict: bool) -> list[Diagnostic]:
        """Errors first, then warnings, then notes."""
        diagnostics = list(self._diagnostics.values())
        if strict:
            diagnostics = [d._replace(severity="error") if d.severity == "warning" else d for d in diagnostics]
        return sorted(diagnostics, key=lambda d: _SEVERITIES.index(d.severity))


def _print(form: str, diagnostics: list[Diagnostic], found: _Found) -> None:
    if form == "text":
        tell(diagnostics, found.remarks())
    elif form == "json":
        from netdsl.diagnostics.as_json import to_dict

        ok = all(d.severity != "error" for d in diagnostics)
        print_json({"ok": ok, "diagnostics": [to_dict(d) for d in diagnostics], "nets": found.nets()})
    elif form == "github":
        from netdsl.diagnostics.github import workflow_command

        for diagnostic in diagnostics:
            click.echo(workflow_command(diagnostic))
    else:
        from netdsl.diagnostics.sarif import sarif

        print_json(sarif(diagnostics))
