"""`netdsl convert`"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click

from netdsl.cli.common import FilePath, Range, elaborated, net_argument, print_json, reports_errors


def _strides(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    """`LAYER` or `LAYER=STRIDE` to strides by layer."""
    strides = {}
    for text in values:
        name, equals, number = text.rpartition("=")
        if equals and not (number.isascii() and number.isdecimal() and 0 < int(number) < 10**6):
            raise click.BadParameter(f"{text!r}: the stride that is left is a whole number of at least 1")
        strides[name if equals else text] = int(number) if equals else 1
    return strides


@click.command(short_help="Make a net fully convolutional, atrous, shorter.")
@net_argument
@click.option("-o", "--output", "path", type=FilePath(), help="Where to write the ONNX model; NET.onnx if not given.")
@click.option("--out-weights", type=FilePath(), metavar="FILE.safetensors",
              help="Write the converted weights too, under the names that the layers have.")  # fmt: skip
@click.option("--weights", type=FilePath(), help="A checkpoint (safetensors) to take the weights from.")
@click.option("--seed", type=click.IntRange(min=0, max=2**32 - 1), default=0, show_default=True,
              help="Seed of the initial weights.")  # fmt: skip
@click.option("--chop", multiple=True, metavar="LAYER",
              help="The net up to this layer, as a feature extractor. Several may be given.")  # fmt: skip
@click.option("--prune-edges", type=Range(0, 1), metavar="THRESHOLD",
              help="Drop inputs of sums whose weights are, in mean square, below this part (0 to 1) of the strongest beside "
              "them.")  # fmt: skip
@click.option("--fully-convolutional", is_flag=True,
              help="Dense layers become convolutions, so that the net runs on larger images.")  # fmt: skip
@click.option("--atrous", multiple=True, metavar="LAYER[=STRIDE]", callback=_strides,
              help="Take out a layer's stride (or leave STRIDE), and dilate all behind it. Several may be given.")  # fmt: skip
@click.option("--fold-bn", is_flag=True, help="Fold batch normalisations into the layers before them.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@reports_errors
def convert(
    net: str, settings: dict[str, Any], path: str | None, out_weights: str | None, weights: str | None, seed: int,
    chop: tuple[str, ...], prune_edges: float | None, fully_convolutional: bool, atrous: dict[str, int], fold_bn: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Convert a net, in this order: --chop, --prune-edges, --fully-convolutional, --atrous, --fold-bn.

    What each does to the numbers is in docs/convert.md. Writes an ONNX model, and prints what was done and the figures
    before and after.
    """
    if not (chop or fully_convolutional or atrous or fold_bn) and prune_edges is None:
        raise click.UsageError("say what to do: --chop, --prune-edges, --fully-convolutional, --atrous or --fold-bn")
    from netdsl.api import Net
    from netdsl.report.conversion import changes, compared

    loaded = Net(elaborated(net, settings))
    converted = loaded.convert(chop=chop, prune_edges=prune_edges, fully_convolutional=fully_convolutional,
                               atrous=atrous, fold_bn=fold_bn, weights=weights, seed=seed)  # fmt: skip
    target = f"{loaded.graph.name}.onnx" if path is None else path
    model = converted.compile(target)
    if out_weights is not None:
        converted.save(out_weights)
    before, after = loaded.analyze(), converted.analyze()
    if as_json:
        print_json(changes(before, after, converted.remarks))
    else:
        click.echo(compared(before, after, converted.remarks, shutil.get_terminal_size((100, 24)).columns))
    origin = weights or f"initial weights of seed {seed}"
    click.echo(f"wrote {target}: {len(model.graph.node)} nodes, {Path(target).stat().st_size:,} bytes, {origin}", err=True)
    if out_weights is not None:
        click.echo(f"wrote {out_weights}: {len(converted.parameters())} tensors", err=True)
