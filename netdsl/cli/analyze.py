"""`netdsl analyze`"""

from __future__ import annotations

import shutil
import sys
from typing import Any

import click

from netdsl.analysis import Facts, check_expectations
from netdsl.analysis import analyze as analyze_graph
from netdsl.cli.common import colour, elaborated, net_argument, print_json, reports_errors
from netdsl.ops.arguments import MOST_COUNT
from netdsl.report.conventions import CONVENTIONS

_HELP = "Shapes, parameters, MACs, FLOPs, memory, depth and receptive fields, from the text alone.\n\n" + "\n\n".join(
    f"{term}: {' '.join(text.split())}." for term, text in CONVENTIONS.items()
)


@click.command(help=_HELP, short_help="Print shapes, parameters, MACs, receptive fields.")
@net_argument
@click.option("--depth", type=click.IntRange(min=0), help="Levels of blocks to unfold in the table.")
@click.option("--batch", type=click.IntRange(min=1, max=MOST_COUNT),
              help="Add the memory of a training step of so many samples.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@reports_errors
def analyze(net: str, settings: dict[str, Any], depth: int | None, batch: int | None, as_json: bool) -> None:
    elaboration = elaborated(net, settings)
    facts = Facts(elaboration.graph)
    check_expectations(elaboration, facts)
    report = analyze_graph(elaboration.graph, facts, batch=batch)
    if as_json:
        print_json(report.to_dict())
        return
    from netdsl.report import table

    width = shutil.get_terminal_size((100, 24)).columns
    click.echo(table(report, depth, width, colour(sys.stdout)), color=True)
