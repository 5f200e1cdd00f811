"""`netdsl compile`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netdsl.cli.common import elaborated, net_argument, reports_errors


@click.command("compile")
@net_argument
@click.option("-o", "--output", "path", type=click.Path(), help="Where to write; NET.onnx if not given.")
@click.option("--weights", type=click.Path(), help="A checkpoint (safetensors) to take the weights from.")
@click.option("--seed", type=click.IntRange(min=0, max=2**32 - 1), default=0, show_default=True,
              help="Seed of the initial weights.")  # fmt: skip
@click.option("--fold-bn", is_flag=True, help="Fold batch normalisations into the layers before them.")
@reports_errors
def compile_(
    net: str, settings: dict[str, Any], path: str | None, weights: str | None, seed: int, fold_bn: bool
) -> None:
    """Compile a net to an ONNX model for inference: dynamic batch, weights inside, names from the block paths."""
    from netdsl.api import Net

    loaded = Net(elaborated(net, settings))
    target = f"{loaded.graph.name}.onnx" if path is None else path
    model = loaded.compile(target, weights=weights, seed=seed, fold_bn=fold_bn)
    size = Path(target).stat().st_size
    origin = weights or f"initial weights of seed {seed}"
    click.echo(f"wrote {target}: {len(model.graph.node)} nodes, {size:,} bytes, {origin}", err=True)
