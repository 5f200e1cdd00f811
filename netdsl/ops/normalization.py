"""Normalisation and per-channel affine maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.ops.affine import (
    ONES,
    OWNED,
    TRAINABLE,
    ZEROS,
    affine_parameters,
    fix_channels,
    per_channel,
    scale_and_shift,
)  # fmt: skip
from netdsl.ops.arguments import FLAG, POSITIVE, UNIT, Argument
from netdsl.ops.operator import Operator, ParamSpec, Rule, Site, elements
from netdsl.ops.registry import operator

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder


@operator
class BatchNorm(Operator):
    """Batch normalisation per channel over batch and positions (Ioffe & Szegedy 2015).

    In training with the batch's mean and (biased) variance; the running statistics follow by
    running = (1 - momentum) * running + momentum * batch, the running variance with the unbiased n / (n - 1).
    Frozen, it uses the running statistics in training too and leaves them as they are.
    """

    name = "bn"
    summary = "batch normalisation"
    example = "image[3, 32, 32] -> bn"
    saves_for_parameters = True
    locality = "position"
    rules = (Rule("[C, ...] -> [C, ...]"),)
    owns = (*OWNED, "running_mean [C]", "running_var [C]")
    cost = "two FLOPs per output element (scale and shift at inference)"
    arguments = (
        Argument("eps", POSITIVE, 1e-5, "added to the variance"),
        Argument("momentum", UNIT, 0.1, "weight of a batch in the running statistics"),
        Argument("trainable", FLAG, True, "false freezes the layer, running statistics included"),
    )

    def resolve(self, site: Site) -> None:
        fix_channels(site, self.name)

    def parameters(self, site: Site) -> dict[str, ParamSpec]:
        shape = (int(site.inputs[0].shape[0]),)
        return {
            **affine_parameters(site),
            "running_mean": ParamSpec(shape, ZEROS, trainable=False, buffer=True),
            "running_var": ParamSpec(shape, ONES, trainable=False, buffer=True),
        }

    def flops(self, node: Node) -> int:
        return 2 * elements(node.output.shape)

    def lower(self, node: Node, b: Builder) -> str:
        a, x = node.args, b.value(node.inputs[0])
        scale, bias, mean, var = (b.parameter(p) for p in node.parameters.values())
        if not (b.training and a.trainable):
            return b.op("BatchNormalization", [x, scale, bias, mean, var], epsilon=float(a.eps))
        normalise = self._decomposed if b.provider == "cuda" else self._fused
        y, batch_mean, batch_var = normalise(node, b, x, scale, bias)
        self._follow(node, b, x, (mean, batch_mean), (var, batch_var))
        return y

    def _fused(self, node: Node, b: Builder, x: str, scale: str, bias: str) -> tuple[str, ...]:
        """With momentum 0 the operator returns the batch's statistics; what it is given is scratch that the CPU
        kernel overwrites, so each node has its own."""
        channels = node.parameters["scale"].shape
        scratch = [b.scratch(channels), b.scratch(channels)]
        return b.ops("BatchNormalization", [x, scale, bias, *scratch], 3, epsilon=float(node.args.eps), momentum=0.0,
                     training_mode=1)  # fmt: skip

    def _decomposed(self, node: Node, b: Builder, x: str, scale: str, bias: str) -> tuple[str, ...]:
        """ONNX Runtime's CUDA provider has no training mode: means over the positions first, then over the batch."""
        rank = len(node.inputs[0].shape)
        batch_mean = self._mean(b, x, rank)
        centred = b.op("Sub", [x, per_channel(b, batch_mean, rank)])
        batch_var = self._mean(b, b.op("Mul", [centred, centred]), rank)
        deviation = b.op("Sqrt", [b.op("Add", [batch_var, b.floats(float(node.args.eps))])])
        factor = per_channel(b, b.op("Div", [scale, deviation]), rank)
        y = b.op("Add", [b.op("Mul", [centred, factor]), per_channel(b, bias, rank)])
        return y, batch_mean, batch_var

    @staticmethod
    def _mean(b: Builder, x: str, rank: int) -> str:
        if rank > 1:
            x = b.op("ReduceMean", [x, b.ints(list(range(2, rank + 1)))], keepdims=0)
        return b.op("ReduceMean", [x, b.ints([0])], keepdims=0)

    @staticmethod
    def _follow(node: Node, b: Builder, x: str, mean: tuple[str, str], var: tuple[str, str]) -> None:
        momentum, channels = float(node.args.momentum), node.parameters["scale"].shape[0]
        count = b.op("Div", [b.cast(b.op("Size", [x]), "float32"), b.floats(float(channels))])
        # one value per channel has no unbiased variance: the biased one, zero, is taken
        rest = b.op("Max", [b.op("Sub", [count, b.floats(1.0)]), b.floats(1.0)])
        unbiased = b.op("Mul", [var[1], b.op("Div", [count, rest])])
        for role, running, batch in (("running_mean", mean[0], mean[1]), ("running_var", var[0], unbiased)):
            kept = b.op("Mul", [running, b.floats(1 - momentum)])
            b.update(node.parameters[role], b.op("Add", [kept, b.op("Mul", [batch, b.floats(momentum)])]))


@operator
class ScaleShift(Operator):
    """a_c x + b_c with a learned factor and shift per channel: LeNet-5's subsampling layers are `avg_pool(2)`, this,
    and an activation (LeCun et al. 1998, section II.B)."""

    name = "scale_shift"
    summary = "learned factor and shift per channel"
    example = "image[3, 32, 32] -> scale_shift"
    saves_for_parameters = True
    locality = "position"
    rules = (Rule("[C, ...] -> [C, ...]"),)
    owns = OWNED
    cost = "two FLOPs per output element"
    arguments = (TRAINABLE,)

    def resolve(self, site: Site) -> None:
        fix_channels(site, self.name)

    def parameters(self, site: Site) -> dict[str, ParamSpec]:
        return affine_parameters(site)

    def flops(self, node: Node) -> int:
        return 2 * elements(node.output.shape)

    def lower(self, node: Node, b: Builder) -> str:
        return scale_and_shift(node, b, b.value(node.inputs[0]))
