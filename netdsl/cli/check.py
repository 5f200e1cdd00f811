"""`netdsl check`"""

from __future__ import annotations

from typing import Any

import click

from netdsl.analysis import check_expectations
from netdsl.cli.common import diagnostics_json, elaborated, net_argument, print_json, reports_errors, tell
from netdsl.diagnostics import NetError


@click.command()
@net_argument
@click.option("--json", "as_json", is_flag=True, help="Print the diagnostics as JSON on stdout.")
@reports_errors
def check(net: str, settings: dict[str, Any], as_json: bool) -> None:
    """Check a net: syntax, names, shapes, and its `expect` lines. Says nothing where all is well but that."""
    try:
        elaboration = elaborated(net, settings)
        check_expectations(elaboration)
    except NetError as error:
        if not as_json:
            raise
        print_json({"ok": False, "diagnostics": diagnostics_json(error.diagnostics)})
        raise SystemExit(1) from None
    graph = elaboration.graph
    if as_json:
        print_json({"ok": True, "diagnostics": diagnostics_json(list(elaboration.notes))})
        return
    tell(list(elaboration.notes))
    count = len(elaboration.expectations)
    held = f", {count} expectation{'s' if count != 1 else ''} met" if count else ""
    click.echo(f"{graph.path}: {graph.name} is well formed: {len(graph.nodes)} layers{held}", err=True)
