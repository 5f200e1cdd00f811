"""`netdsl run`"""

from __future__ import annotations

from typing import Any

import click

from netdsl.cli.common import elaborated, net_argument, print_json, reports_errors
from netdsl.cli.train import device_options


@click.command(short_help="Predict with a trained checkpoint.")
@net_argument
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--weights", type=click.Path(), metavar="CHECKPOINT",
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
    checkpoint = weights or default_directory(loaded.graph) / BEST
    predictor = loaded.predictor(checkpoint, device=device, threads=threads)
    predictions = predictor.predict_files(inputs)
    if as_json:
        print_json(predictions.to_dict())
    else:
        click.echo(describe_predictions(predictions))
