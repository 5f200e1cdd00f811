"""Normalisations of each sample by itself, the same in training and inference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.ir.graph import Shape
from netdsl.ops.affine import OWNED, TRAINABLE, affine_parameters, fix_channels, scale_and_shift
from netdsl.ops.arguments import COUNT, POSITIVE, Argument
from netdsl.ops.operator import Operator, ParamSpec, Rule, Site, elements, float_bytes, require_channels
from netdsl.ops.reach import Reach
from netdsl.ops.registry import operator
from netdsl.ops.spatial import spatial_rank

if TYPE_CHECKING:
    from netdsl.ir.graph import Node, Value
    from netdsl.ops.builder import Builder

_EPS = Argument("eps", POSITIVE, 1e-5, "added to the variance")


class _SampleNorm(Operator):
    """What they share: (x - mean) / sqrt(variance + eps), then a learned scale and bias per channel."""

    rules = (Rule("[C, ...] -> [C, ...]"),)
    owns = OWNED
    cost = "seven FLOPs per output element (mean, centring, squares, their mean, quotient, scale, shift)"
    arguments: tuple[Argument, ...] = (_EPS, TRAINABLE)

    def resolve(self, site: Site) -> None:
        fix_channels(site, self.name)

    def parameters(self, site: Site) -> dict[str, ParamSpec]:
        return affine_parameters(site)

    def flops(self, node: Node) -> int:
        return 7 * elements(node.output.shape)

    def reach(self, node: Node) -> tuple[Reach, ...] | None:
        return None


@operator
class InstanceNorm(_SampleNorm):
    """Each channel of each sample to mean 0 and variance 1 over its positions, then a learned scale and bias per
    channel (Ulyanov et al. 2016, Instance normalization: the missing ingredient for fast stylization)."""

    name = "instance_norm"
    summary = "normalisation of each channel of each sample"
    example = "image[3, 32, 32] -> instance_norm"
    rules = (Rule("[C, n...] -> [C, n...]"),)

    def resolve(self, site: Site) -> None:
        spatial_rank(site, self.name, "`layer_norm` normalises a vector")
        super().resolve(site)

    def lower(self, node: Node, b: Builder) -> str:
        scale, bias = (b.parameter(p) for p in node.parameters.values())
        return b.op("InstanceNormalization", [b.value(node.inputs[0]), scale, bias], epsilon=float(node.args.eps))


@operator
class GroupNorm(_SampleNorm):
    """Groups of adjacent channels of each sample to mean 0 and variance 1 over channels and positions, then a learned
    scale and bias per channel (Wu & He 2018, Group normalization). `groups = 1` normalises the whole sample."""

    name = "group_norm"
    summary = "normalisation of groups of channels of each sample"
    example = "image[32, 28, 28] -> group_norm(8)"
    arguments = (Argument("groups", COUNT, doc="how many groups of channels; they divide the channels"), _EPS, TRAINABLE)

    def resolve(self, site: Site) -> None:
        super().resolve(site)
        channels, groups = int(site.inputs[0].shape[0]), site.args.groups
        if channels % groups:
            site.fail("E0304", f"`groups = {groups}` does not divide the channels: {site.labels[0]} has {channels} "
                      "channels", helps=(f"use a divisor of {channels}",), at="groups")  # fmt: skip

    def saved_besides(self, node: Node) -> int:
        return float_bytes(node.output) if node.args.trainable else 0  # for the gradient of the scale

    def lower(self, node: Node, b: Builder) -> str:
        """As instances, which have kernels everywhere: a group is one channel."""
        x, groups = b.value(node.inputs[0]), node.args.groups
        ones, zeros = b.floats([1.0] * groups), b.floats([0.0] * groups)
        grouped = b.op("Reshape", [x, b.ints([0, groups, -1])])
        y = b.op("InstanceNormalization", [grouped, ones, zeros], epsilon=float(node.args.eps))
        return scale_and_shift(node, b, b.op("Reshape", [y, b.op("Shape", [x])]))


@operator
class LayerNorm(_SampleNorm):
    """The channels at each position to mean 0 and variance 1, then a learned scale and bias per channel (Ba et al.
    2016, Layer normalization; over the channels only, as in ConvNeXt). A vector is normalised as a whole."""

    name = "layer_norm"
    summary = "normalisation over the channels at each position"
    example = "vector[64] -> layer_norm"
    locality = "position"

    def reach(self, node: Node) -> tuple[Reach, ...]:
        return tuple(Reach() for _ in node.output.shape[1:])

    def saved(self, node: Node) -> tuple[Value, ...]:
        return node.inputs if len(node.inputs[0].shape) == 1 else ()

    def saved_besides(self, node: Node) -> int:
        return 0 if len(node.inputs[0].shape) == 1 else 2 * float_bytes(node.output)

    def lower(self, node: Node, b: Builder) -> str:
        x, eps = b.value(node.inputs[0]), float(node.args.eps)
        if len(node.inputs[0].shape) == 1:
            scale, bias = (b.parameter(p) for p in node.parameters.values())
            return b.op("LayerNormalization", [x, scale, bias], axis=-1, epsilon=eps)
        # ONNX normalises the last axes; means over the first are faster than moving it there and back
        centred = b.op("Sub", [x, b.op("ReduceMean", [x, b.ints([1])])])
        variance = b.op("ReduceMean", [b.op("Mul", [centred, centred]), b.ints([1])])
        deviation = b.op("Sqrt", [b.op("Add", [variance, b.floats(eps)])])
        return scale_and_shift(node, b, b.op("Div", [centred, deviation]))


@operator
class L2Norm(Operator):
    """The channels at each position as a vector of length 1: x / max(||x||, eps) (Liu et al. 2016, ParseNet, section
    3.3; behind it `scale_shift` learns a scale per channel). A vector shorter than `eps` is divided by `eps`."""

    name = "l2_norm"
    summary = "the channels at each position to length 1"
    example = "features[64] -> l2_norm"
    rules = (Rule("[C, ...] -> [C, ...]"),)
    cost = "three FLOPs per output element (squares, their sum, quotient)"
    arguments = (Argument("eps", POSITIVE, 1e-5, "the least length that is divided by"),)
    locality = "position"
    saves = ("inputs", "outputs")

    def shape(self, site: Site) -> Shape:
        require_channels(site, self.name)
        return site.inputs[0].shape

    def flops(self, node: Node) -> int:
        return 3 * elements(node.output.shape)

    def lower(self, node: Node, b: Builder) -> str:
        x = b.value(node.inputs[0])
        length = b.op("ReduceL2", [x, b.ints([1])])
        return b.op("Div", [x, b.op("Max", [length, b.floats(float(node.args.eps))])])
