"""What pools over windows share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.ir.graph import Shape
from netdsl.ops.arguments import COUNTS, FLAG, PADDING, Argument, optional
from netdsl.ops.operator import Operator, Rule, Site, elements
from netdsl.ops.reach import Reach, windows
from netdsl.ops.spatial import Pads, onnx_pads, per_axis, require_positive, spatial_rank, window_output, window_pads

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder

KERNEL = Argument("kernel", COUNTS, doc="window size")
STRIDE = Argument("stride", optional(COUNTS), None, "step between windows; none: the kernel, windows side by side")
PAD = Argument("pad", PADDING, 0, 'cells on each side; "same": output is ceil(input / stride)')
DILATION = Argument("dilation", COUNTS, 1, "distance between window elements")
CEIL = Argument("ceil", FLAG, False, "round sizes up: the last window may hang over the end, but starts before it")


def window_rules(window: str) -> tuple[Rule, ...]:
    """The shape rules of a pool over windows of so many cells."""
    less = f"- {window}" if " + " not in window else "- " + window.replace(" + ", " - ")
    return (
        Rule(f"[C, n...] -> [C, (n + 2 * pad {less}) // stride + 1...]", 'pad != "same" and not ceil'),
        Rule(f"[C, n...] -> [C, (n + pad + min(pad + stride {less}, 0) - 1) // stride + 1...]",
             'pad != "same" and ceil'),
        Rule("[C, n...] -> [C, ceil(n / stride)...]", 'pad == "same" and not ceil'),
    )  # fmt: skip


class WindowPool(Operator):
    """What the window pools share: `pads` are the given paddings, `reaching` those with ceil's overhang."""

    cost = "one FLOP per window element and output element"
    locality = "window"
    windowed = True

    def resolve(self, site: Site) -> None:
        a, rank = site.args, spatial_rank(site, self.name)
        if a.stride is None:
            a["stride"] = a.kernel
        a.setdefault("dilation", 1)
        a.update({name: per_axis(site, name, rank) for name in ("kernel", "stride", "dilation")})
        spans = [d * (k - 1) for k, d in zip(a.kernel, a.dilation, strict=True)]
        a["pads"] = window_pads(site, spans)
        # Rounding up is a longer padding at the end: one stride less a cell, but no window may start behind the input.
        a["reaching"] = tuple(
            (begin, min(end + s - 1, span)) if a.ceil else (begin, end)
            for (begin, end), s, span in zip(a.pads, a.stride, spans, strict=True)
        )
        for axis, (pads, span, d) in enumerate(zip(a.pads, spans, a.dilation, strict=True)):
            size = site.inputs[0].shape[1 + axis]
            if max(pads) > span:
                site.fail("E0313", f"`pad = {max(pads)}` puts whole windows of {span + 1} into the padding",
                          helps=(f"the padding can be at most {span}",), at="pad")  # fmt: skip
            if max(pads) > 0 and d > 1 and not site.at_least(size, d, f"`dilation = {d}` of `{self.name}`"):
                site.fail("E0313", f"windows with `dilation = {d}` step over all {int(size)} cells of {site.labels[0]}",
                          at="dilation")  # fmt: skip

    def shape(self, site: Site) -> Shape:
        a, (channels, *sizes) = site.args, site.inputs[0].shape
        axes = zip(sizes, a.kernel, a.stride, a.reaching, a.dilation, strict=True)
        out = (channels, *(window_output(size, k, s, p, d) for size, k, s, p, d in axes))
        require_positive(site, out, a.kernel, a.dilation)
        return out

    def flops(self, node: Node) -> int:
        return elements(node.output.shape) * elements(node.args.kernel)

    def reach(self, node: Node) -> tuple[Reach, ...]:
        return windows(node.args)


def fix_summed(site: Site) -> None:
    """Fix the channels where `window_means` needs them: they decide the convolution that a dilated sum is."""
    if max(site.args.dilation) > 1:
        site.fix(site.inputs[0].shape[0], "dilated windows are summed by a filter for each channel")


def window_means(node: Node, b: Builder, x: str, channels: int, pads: Pads) -> str:
    """Each channel's sum over the cells of each window, padding as zeros, divided by the number of the window's cells."""
    a = node.args
    options = {"kernel_shape": list(a.kernel), "strides": list(a.stride), "pads": onnx_pads(pads)}
    if all(d == 1 for d in a.dilation):
        return b.op("AveragePool", [x], count_include_pad=1, **options)
    # ONNX Runtime's CUDA kernel knows no dilation, the CPU's no padding as large as the kernel: a convolution does
    count = elements(a.kernel)
    weight = b.floats([1 / count] * (channels * count), (channels, 1, *a.kernel))
    return b.op("Conv", [x, weight], dilations=list(a.dilation), group=channels, **options)
