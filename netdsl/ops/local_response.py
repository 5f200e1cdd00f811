"""Normalisation by the activity of neighbouring channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.ir.graph import Shape
from netdsl.ops.arguments import ODD, POSITIVE, Argument
from netdsl.ops.operator import Operator, Rule, Site, elements, float_bytes, require_channels
from netdsl.ops.registry import operator

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder


@operator
class LocalResponseNorm(Operator):
    """x / (k + alpha / size * s) ** beta, s the sum of the squares of the `size` channels around each, at the same
    position (Krizhevsky et al. 2012, ImageNet Classification with Deep Convolutional Neural Networks, section 3.3).

    The paper does not divide alpha by the size; Caffe, PyTorch and ONNX do, and so does this: the paper's alpha = 1e-4
    over 5 channels is 5e-4 here.
    """

    name = "lrn"
    summary = "local response normalisation over neighbouring channels"
    example = "image[96, 55, 55] -> lrn(alpha = 5e-4, k = 2)"
    rules = (Rule("[C, ...] -> [C, ...]"),)
    cost = "size + 4 FLOPs per output element (squares, their sum, scale, shift, power, quotient)"
    locality = "position"
    keeps_zeros = True
    arguments = (
        Argument("size", ODD, 5, "how many channels are summed over"),
        Argument("alpha", POSITIVE, 1e-4, "factor on the mean square of the channels"),
        Argument("beta", POSITIVE, 0.75, "exponent"),
        Argument("k", POSITIVE, 1, "what is added to the mean square"),
    )

    def shape(self, site: Site) -> Shape:
        require_channels(site, self.name)
        return site.inputs[0].shape

    def flops(self, node: Node) -> int:
        return (int(node.args.size) + 4) * elements(node.output.shape)

    def gradient_workspace(self, node: Node, batch: int) -> int:
        """Sums over neighbouring channels, of one tensor for each."""
        return (int(node.args.size) + 3) * batch * float_bytes(node.output)

    def lower(self, node: Node, b: Builder) -> str:
        a, x = node.args, b.value(node.inputs[0])
        options = {"size": a.size, "alpha": float(a.alpha), "beta": float(a.beta), "bias": float(a.k)}
        if len(node.inputs[0].shape) == 3:
            return b.op("LRN", [x], **options)
        # ONNX Runtime's kernels take images only
        y = b.op("LRN", [b.op("Reshape", [x, b.ints([0, 0, -1, 1])])], **options)
        return b.op("Reshape", [y, b.op("Shape", [x])])
