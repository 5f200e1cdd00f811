"""`netdsl compile`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netdsl.cli.common import FilePath, elaborated, net_argument, reports_errors
from netdsl.cli.train import precision_option

if TYPE_CHECKING:
    from netdsl.lower import Provider


@click.command("compile", short_help="Write an ONNX model, or the training step as one.")
@net_argument
@click.option("-o", "--output", "path", type=FilePath(),
              help="Where to write; NET.onnx if not given, or NET.step.onnx with --training.")  # fmt: skip
@click.option("--weights", type=FilePath(), help="A checkpoint (safetensors) to take the weights from.")
@click.option("--seed", type=click.IntRange(min=0, max=2**32 - 1), default=0, show_default=True,
              help="Seed of the initial weights; with --training, also of dropout.")  # fmt: skip
@click.option("--fold-bn", is_flag=True, help="Fold batch normalisations into the layers before them.")
@click.option("--training", is_flag=True, help="The training step instead: forward, loss, backward and update.")
@click.option(
    "--split", is_flag=True, help="With --training: two models, OUTPUT.gradients.onnx and OUTPUT.update.onnx."
)
@click.option("--provider", type=click.Choice(["cpu", "cuda"]),
              help="With --training: what it is to be run on; the CPU if not given.")  # fmt: skip
@precision_option
@reports_errors
def compile_(
    net: str, settings: dict[str, Any], path: str | None, weights: str | None, seed: int, fold_bn: bool, training: bool,
    split: bool, provider: Provider | None, precision: str,
) -> None:  # fmt: skip
    """Compile a net to an ONNX model for inference: dynamic batch, weights inside, names from the block paths.

    With --training it is a model for training with plain ONNX Runtime, of the train block's batch size.
    """
    from netdsl.api import Net

    if training and fold_bn:
        raise click.UsageError("--fold-bn is for inference: leave out --training")
    if not training and (split or provider or precision != "float32"):
        raise click.UsageError("--split, --provider and --precision go with --training")
    loaded = Net(elaborated(net, settings))
    if training:
        from netdsl.training.portable import paths_of

        target = f"{loaded.graph.name}.step.onnx" if path is None else path
        models = loaded.compile_training(
            target, split=split, provider=provider or "cpu", precision=precision, weights=weights, seed=seed
        )
        targets = paths_of(target, split=split)
    else:
        target = f"{loaded.graph.name}.onnx" if path is None else path
        models, targets = [loaded.compile(target, weights=weights, seed=seed, fold_bn=fold_bn)], [Path(target)]
    origin = weights or f"initial weights of seed {seed}"
    for model, written in zip(models, targets, strict=True):
        size = written.stat().st_size
        click.echo(f"wrote {written}: {len(model.graph.node)} nodes, {size:,} bytes, {origin}", err=True)
