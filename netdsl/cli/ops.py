"""`netdsl ops`"""

from __future__ import annotations

import click

from netdsl.cli.common import print_json, reports_errors
from netdsl.diagnostics import Diagnostic, NetError, did_you_mean


@click.command(short_help="List all that a file may name; describe a name.")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, for editors and other programs.")
@reports_errors
def ops(name: str | None, as_json: bool) -> None:
    """List all operators, functions and other names of the language; or describe one, with an example."""
    from netdsl.elaborate.sources import std_names
    from netdsl.reference import as_dict, description, entries, listing

    known = entries()
    found = known if name is None else [entry for entry in known if name in entry.names]
    if name is not None and not found:
        helps = (*did_you_mean(name, [entry.name for entry in known]), "`netdsl ops` lists all names")
        if name in std_names():
            helps = (f"it is of the library: `netdsl std {name}` describes it",)
        raise NetError(Diagnostic("E0201", f"the language has no operator or function `{name}`", helps=helps))
    if as_json:
        print_json([as_dict(entry) for entry in found])
    elif name is None:
        click.echo("\n".join(listing(known)))
    else:
        click.echo("\n\n".join("\n".join(description(entry)) for entry in found))
