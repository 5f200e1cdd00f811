"""`netdsl run`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netdsl.cli.common import FilePath, elaborated, net_argument, print_json, reports_errors
from netdsl.cli.train import device_options
from netdsl.diagnostics import CheckpointError, Diagnostic


@click.command(short_help="Predict with a trained checkpoint.")
@net_argument
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--weights", type=FilePath(), metavar="CHECKPOINT",
              help="The trained checkpoint; runs/NET/best.safetensors if not given.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the predictions as JSON.")
@device_options
@reports_errors
def run(
    net: str, settings: dict[str, Any], inputs: tuple[str, ...], weights: str | None, as_json: bool, device: str,
    threads: int | None,
) -> None:  # fmt: skip
    """Predict with a trained checkpoint on images, folders of images, IDX or .npz files."""
    from netdsl.api import Net
    from netdsl.runtime.directory import BEST, default_directory
    from netdsl.runtime.predict import describe_predictions

    loaded = Net(elaborated(net, settings))
    checkpoint = Path(weights) if weights else default_directory(loaded.graph) / BEST
    if not weights and not checkpoint.exists():
        helps = ("`netdsl train FILE --data DATA` makes it", "`--weights` names another checkpoint")
        raise CheckpointError(Diagnostic("E0701", "the net has no checkpoint here yet", helps=helps, path=str(checkpoint)))
    predictor = loaded.predictor(checkpoint, device=device, threads=threads)
    predictions = predictor.predict_files(inputs)
    if as_json:
        print_json(predictions.to_dict())
    else:
        click.echo(describe_predictions(predictions))
