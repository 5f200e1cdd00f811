"""The locally connected layer: a convolution whose weights are not shared over positions."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from netdsl.ir.graph import Init, Shape
from netdsl.ops.arguments import BIAS, COUNT, COUNTS, FLAG, INIT, PADDING, Argument
from netdsl.ops.operator import Operator, ParamSpec, Rule, Site, bias_of, elements
from netdsl.ops.reach import Reach, windows
from netdsl.ops.registry import operator
from netdsl.ops.spatial import pad_or_cut, per_axis, require_positive, spatial_rank, window_output, window_pads

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder

_OUT = {"same": "ceil(n / stride)...", "valid": "(n + 2 * pad - kernel) // stride + 1..."}


@operator
class LocallyConnected(Operator):
    """A convolution with weights and a bias of its own at every output position: Taigman et al., "DeepFace", CVPR 2014,
    section 3, for images that are aligned, where an eye is always at the same place.

    The bias is per position too.
    """

    name = "locally_connected"
    summary = "convolution with weights of its own at every position"
    example = "image[3, 12, 12] -> locally_connected(4, 3)"
    saves = ()
    rules = (
        Rule(f"[C, n...] -> [channels, {_OUT['same']}]", 'pad == "same"'),
        Rule(f"[C, n...] -> [channels, {_OUT['valid']}]", 'pad != "same"'),
    )
    owns = ("weight [output..., kernel..., C, channels]", "bias [channels, output...] where bias")
    windowed = True
    multiplies = "one per weight"
    cost = "one FLOP per output element for the bias"
    arguments = (
        Argument("channels", COUNT, doc="output channels"),
        Argument("kernel", COUNTS, doc="kernel size"),
        Argument("stride", COUNTS, 1, "step between windows"),
        Argument("pad", PADDING, 0, 'cells of zeros on each side; "same": output is ceil(input / stride)'),
        Argument("bias", BIAS, True, "whether one is added for each output element; an initialisation: how it starts"),
        Argument("init", INIT, Init("he"), "initialisation of the weights"),
        Argument("trainable", FLAG, True, "false freezes the layer"),
    )

    def resolve(self, site: Site) -> None:
        a, rank = site.args, spatial_rank(site, self.name)
        a.update({name: per_axis(site, name, rank) for name in ("kernel", "stride")})
        a["pads"] = window_pads(site, [k - 1 for k in a.kernel])
        _, *sizes = (site.fix(size, "every position has its own weights") for size in site.inputs[0].shape)
        a["dilation"] = (1,) * rank
        a["output"] = tuple(window_output(*axis) for axis in zip(sizes, a.kernel, a.stride, a.pads, strict=True))

    def shape(self, site: Site) -> Shape:
        a = site.args
        require_positive(site, (a.channels, *a.output), a.kernel, a.dilation)
        return (a.channels, *a.output)

    def parameters(self, site: Site) -> dict[str, ParamSpec]:
        a, channels_in = site.args, int(site.inputs[0].shape[0])
        cells = prod(a.kernel)
        # in the order in which the patches are multiplied: no other has to be made of it in every step
        weight = ParamSpec((*a.output, *a.kernel, channels_in, a.channels), a.init, channels_in * cells,
                           a.channels * cells, a.trainable)  # fmt: skip
        return {"weight": weight, **bias_of(a, a.channels, *a.output)}

    def macs(self, node: Node) -> int:
        return node.parameters["weight"].count

    def flops(self, node: Node) -> int:
        return elements(node.output.shape) if node.args.bias else 0

    def saved_besides(self, node: Node) -> int:
        """The patches that are multiplied by the weights."""
        a = node.args
        return 4 * prod(a.output) * prod(a.kernel) * int(node.inputs[0].shape[0]) if a.trainable else 0

    def reach(self, node: Node) -> tuple[Reach, ...]:
        return windows(node.args)

    def lower(self, node: Node, b: Builder) -> str:
        """Patches by slices, along one axis after the other, and a product of matrices for each position.

        The last axis of the patches is then (kernel..., C). On a CPU this is as fast as patches made by a convolution
        with unit vectors, and its gradient much faster; a gather takes three times as long.
        """
        a = node.args
        patches = pad_or_cut(b, b.value(node.inputs[0]), a.pads, 0.0)
        for axis in reversed(range(len(a.kernel))):
            patches = _windows(b, patches, 2 + axis, a.kernel[axis], a.stride[axis], a.output[axis])
        positions, taps = prod(a.output), prod(a.kernel) * int(node.inputs[0].shape[0])
        rows = b.op("Transpose", [b.op("Reshape", [patches, b.ints([0, taps, positions])])], perm=[2, 0, 1])
        weight = b.op("Reshape", [b.parameter(node.parameters["weight"]), b.ints([positions, taps, a.channels])])
        y = b.op("Transpose", [b.op("MatMul", [rows, weight])], perm=[1, 2, 0])
        y = b.op("Reshape", [y, b.ints([0, 0, *a.output])])
        return b.op("Add", [y, b.parameter(node.parameters["bias"])]) if a.bias else y


def _windows(b: Builder, x: str, axis: int, kernel: int, stride: int, count: int) -> str:
    """`count` windows of `kernel` cells along an axis: what the k-th cells of all windows hold is the k-th of `kernel`
    groups of channels."""

    def cells(k: int) -> str:
        bounds = [b.ints([bound]) for bound in (k, k + (count - 1) * stride + 1, axis)]
        return b.op("Slice", [x, *bounds, *([b.ints([stride])] if stride > 1 else [])])

    return b.op("Concat", [cells(k) for k in range(kernel)], axis=1)
