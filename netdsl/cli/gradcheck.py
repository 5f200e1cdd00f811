"""`netdsl gradcheck`"""

from __future__ import annotations

from typing import Any

import click

from netdsl.cli.common import FilePath, Range, elaborated, net_argument, print_json, reports_errors
from netdsl.cli.train import device_options


@click.command(short_help="Check gradients against finite differences.")
@net_argument
@click.option(
    "--data", metavar="DATA", help="What `netdsl train --data` takes; random inputs and targets if not given."
)
@click.option("--batch", type=click.IntRange(min=1), default=4, show_default=True, help="Samples that the loss is of.")
@click.option("--samples", type=click.IntRange(min=1), default=10, show_default=True,
              help="Entries of each parameter: that of the largest gradient, and others at random.")  # fmt: skip
@click.option("--tolerance", type=Range(min=0, min_open=True), default=1e-4, show_default=True,
              help="The largest relative error that is right.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0, max=2**32 - 1), default=0, show_default=True,
              help="Seed of weights, inputs, entries, and of dropout.")  # fmt: skip
@click.option("--weights", type=FilePath(), metavar="CHECKPOINT", help="Check at these weights; initial ones, with a "
              "little noise, if not given.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@device_options
@reports_errors
def gradcheck(net: str, settings: dict[str, Any], as_json: bool, **options: Any) -> None:
    """Compare the gradients of a net's training step with finite differences of its loss; exit with 1 if one is wrong.

    Says which parameter is the worst, with both values, and where a kink (of relu, abs, max, max_pool ...) explains a
    difference.
    """
    from netdsl.api import Net
    from netdsl.report.gradcheck import outcome
    from netdsl.runtime.gradcheck import IMPRECISE

    check = Net(elaborated(net, settings)).check_gradients(**options)
    if as_json:
        print_json(check.to_dict())
    else:
        click.echo(outcome(check, IMPRECISE))
    if not check.right:
        raise SystemExit(1)
