"""`netdsl train`"""

from __future__ import annotations

import sys
from typing import Any

import click

from netdsl.cli.common import FilePath, elaborated, net_argument, reports_errors
from netdsl.diagnostics import counted


def device_options(function: Any) -> Any:
    """`--device` and `--threads`."""
    function = click.option(
        "--threads", type=click.IntRange(min=1), help="Threads on the CPU; one per core if not given."
    )(function)
    return click.option(
        "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
        help="Where to run: auto is CUDA where it works, else the CPU.",
    )(function)  # fmt: skip


def precision_option(function: Any) -> Any:
    """`--precision`."""
    return click.option(
        "--precision", type=click.Choice(["float32", "fp16", "bf16"]), default="float32", show_default=True,
        help="Mixed precision: compute convolutions and products in half precision, where the device has kernels for it.",
    )(function)  # fmt: skip


@click.command(short_help="Train a net as its `train` block says.")
@net_argument
@click.option("--data", required=True, metavar="DATA", help="digits (built in), fashion-mnist, mnist, a folder (IDX, "
              "CIFAR's binary files, or images by class), or an .npz file.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs in all; the file's if not given.")
@click.option("--seed", type=click.IntRange(min=0, max=2**32 - 1), default=0, show_default=True,
              help="Seed of the weights, the order of the samples, dropout and augmentation.")  # fmt: skip
@click.option("--out", type=FilePath(file_okay=False), metavar="DIR", help="The run's folder; runs/NET if not given.")
@click.option("--weights", type=FilePath(), help="A checkpoint to take initial weights from, by name.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder, bit for bit as if it had not stopped.")
@click.option("--overwrite", is_flag=True, help="Start anew in a folder that has a run.")
@click.option("--accumulate", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
              help="Compute each batch in N parts, one after the other, to save memory.")  # fmt: skip
@precision_option
@device_options
@reports_errors
def train(net: str, settings: dict[str, Any], **options: Any) -> None:
    """Train a net as its `train` block says. Ctrl-C stops after the step and saves; --resume goes on."""
    from netdsl.api import Net
    from netdsl.runtime.progress import progress_on

    if options["resume"] and options["weights"]:
        raise click.UsageError("--resume takes its weights from the run's folder: leave out --weights")
    loaded = Net(elaborated(net, settings))
    trainer = loaded.trainer(progress=progress_on(sys.stderr), **options)
    plan, say = trainer.plan, trainer.progress.message
    say(f"{loaded.graph.name} on {plan.data.name}: {len(plan.data.train):,} training and {len(plan.data.validation):,} validation "
        f"samples, {plan.data.split}")  # fmt: skip
    parts = "" if plan.parts == 1 else f" in {plan.parts} parts"
    precision = "" if plan.precision == "float32" else f" in {plan.precision}"
    say(f"batches of {plan.batch}{parts}, {counted(plan.epochs, 'epoch')}, seed {plan.seed}, on {plan.device.provider}"
        f"{precision}, checkpoints in {trainer.directory}")  # fmt: skip
    history = trainer.run()
    if history.stopped:
        raise SystemExit(130)
    if history.epochs:
        last = history.epochs[-1]
        figures = [f"loss {last.validation_loss:.4f}", *(f"{k} {v:.2%}" for k, v in last.validation_metrics.items())]
        say(f"after epoch {last.epoch}, on the validation samples: {', '.join(figures)}")
