"""A learned scale and bias per channel, as normalisations have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.ir.graph import Init
from netdsl.ops.arguments import FLAG, Argument
from netdsl.ops.operator import ParamSpec, Site, require_channels

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder

ZEROS = Init("zeros")
ONES = Init("ones")

OWNED = ("scale [C]", "bias [C]")
TRAINABLE = Argument("trainable", FLAG, True, "false freezes the layer")


def fix_channels(site: Site, what: str) -> None:
    """Fix the number of channels, which decides the parameters."""
    require_channels(site, what)
    site.fix(site.inputs[0].shape[0], "channels decide the parameters")


def affine_parameters(site: Site) -> dict[str, ParamSpec]:
    """The scale, ones at first, and the bias, zeros."""
    shape = (int(site.inputs[0].shape[0]),)
    trainable = site.args.trainable
    return {"scale": ParamSpec(shape, ONES, trainable=trainable), "bias": ParamSpec(shape, ZEROS, trainable=trainable)}


def per_channel(b: Builder, vector: str, rank: int) -> str:
    """[C] as [C, 1, ...], to stretch over a batched tensor of `rank` axes without the batch."""
    return b.op("Unsqueeze", [vector, b.ints(list(range(1, rank)))]) if rank > 1 else vector


def scale_and_shift(node: Node, b: Builder, x: str) -> str:
    """Emit scale_c x + bias_c."""
    rank = len(node.inputs[0].shape)
    scale, bias = (per_channel(b, b.parameter(p), rank) for p in node.parameters.values())
    return b.op("Add", [b.op("Mul", [x, scale]), bias])
