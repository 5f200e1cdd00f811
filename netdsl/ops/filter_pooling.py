"""Pools that weigh the cells of a window: by a power, or by a fixed filter."""

from __future__ import annotations

from itertools import product
from math import exp, prod
from typing import TYPE_CHECKING

from netdsl.ops.arguments import POSITIVE, Argument, Kind, is_number, optional
from netdsl.ops.operator import Site, elements, float_bytes
from netdsl.ops.registry import operator
from netdsl.ops.spatial import onnx_pads
from netdsl.ops.window_pool import (
    CEIL,
    DILATION,
    KERNEL,
    PAD,
    STRIDE,
    WindowPool,
    fix_summed,
    window_means,
    window_rules,
)

if TYPE_CHECKING:
    from netdsl.ir.graph import Node, Value
    from netdsl.ops.builder import Builder

#: the smallest normal float32, for practical purposes zero
_TINY = 1.1754944e-38
_DEGREE = Kind("a number of at least 1", lambda v: is_number(v) and v >= 1)


@operator
class LpPool(WindowPool):
    """(sum of |x| ** p) ** (1 / p) over each window, padding as zeros: L2 pooling with p = 2 (Sermanet et al. 2012,
    Convolutional neural networks applied to house numbers digit classification), between the sum at p = 1 and the
    maximum. Where all of a window is zero, the gradient is taken as zero.
    """

    name = "lp_pool"
    summary = "length of each window: L2 pooling"
    example = "image[3, 32, 32] -> lp_pool(2)"
    rules = window_rules("dilation * (kernel - 1) + 1")
    cost = "one FLOP per window element and output element, and one for each power and root"
    arguments = (KERNEL, STRIDE, PAD, CEIL, Argument("p", _DEGREE, 2, "the power"), DILATION)

    def resolve(self, site: Site) -> None:
        super().resolve(site)
        fix_summed(site)

    def flops(self, node: Node) -> int:
        return super().flops(node) + elements(node.inputs[0].shape) + elements(node.output.shape)

    def saved(self, node: Node) -> tuple[Value, ...]:
        return (*node.inputs, node.output) if node.args.p == 2 else node.inputs

    def saved_besides(self, node: Node) -> int:
        return 0 if node.args.p in (1, 2) else float_bytes(node.inputs[0], node.output, node.output)

    def lower(self, node: Node, b: Builder) -> str:
        """Not by ONNX's LpPool: ONNX Runtime has no CUDA kernel for it, and its CPU kernel takes 80 times as long."""
        a, x = node.args, b.value(node.inputs[0])
        powers = b.op("Mul", [x, x]) if a.p == 2 else b.op("Abs", [x])
        if a.p not in (1, 2):
            powers = b.op("Pow", [powers, b.floats(float(a.p))])
        means = window_means(node, b, powers, int(node.inputs[0].shape[0]), a.reaching)
        sums = b.op("Mul", [means, b.floats(float(elements(a.kernel)))])
        if a.p == 1:
            return sums
        if a.p == 2:
            return b.op("Sqrt", [sums])
        # below it the gradient is 0, as that of Sqrt is at 0, where the power's would be infinite
        return b.op("Pow", [b.op("Clip", [sums, b.floats(_TINY)]), b.floats(1 / float(a.p))])


@operator
class GaussianPool(WindowPool):
    """Each channel smoothed by a Gaussian, then every `stride`-th cell taken: the fixed-filter pooling of the lectures,
    and what lets a strided net keep still when the image moves (Zhang 2019, Making convolutional networks
    shift-invariant again). The weights are exp(-d^2 / 2 sigma^2) at distance d from the window's centre, scaled to
    sum 1; padding is zeros.
    """

    name = "gaussian_pool"
    summary = "Gaussian filter on each channel, then a stride"
    example = "image[3, 32, 32] -> gaussian_pool(5, stride = 2, pad = 2)"
    saves = ()
    rules = window_rules("dilation * (kernel - 1) + 1")
    keeps_zeros = True
    cost = "two FLOPs per window element and output element (a weighted sum)"
    arguments = (
        KERNEL, STRIDE, PAD, CEIL,
        Argument("sigma", optional(POSITIVE), None, "standard deviation in cells; none: a quarter of the kernel"), DILATION,
    )  # fmt: skip

    def resolve(self, site: Site) -> None:
        super().resolve(site)
        site.fix(site.inputs[0].shape[0], "channels decide the filter")

    def flops(self, node: Node) -> int:
        return 2 * super().flops(node)

    def lower(self, node: Node, b: Builder) -> str:
        a, channels = node.args, int(node.inputs[0].shape[0])
        filters = [self._filter(k, float(a.sigma) if a.sigma else k / 4) for k in a.kernel]
        weight = b.floats([prod(cell) for cell in product(*filters)] * channels, (channels, 1, *a.kernel))
        return b.op("Conv", [b.value(node.inputs[0]), weight], kernel_shape=list(a.kernel), strides=list(a.stride),
                    dilations=list(a.dilation), pads=onnx_pads(a.reaching), group=channels)  # fmt: skip

    @staticmethod
    def _filter(kernel: int, sigma: float) -> list[float]:
        """Along one axis; the products along all axes are the filter."""
        squares = [(i - (kernel - 1) / 2) ** 2 for i in range(kernel)]
        # from the nearest cell on, so that not all of a narrow one vanishes
        weights = [exp(-(square - min(squares)) / sigma / sigma / 2) for square in squares]
        return [weight / sum(weights) for weight in weights]
