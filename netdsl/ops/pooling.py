"""Pools over windows and over whole maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.ir.graph import Shape, TensorType
from netdsl.ops.arguments import COUNTS, FLAG, PADDING, Argument, optional
from netdsl.ops.operator import Locality, Operator, Rule, Site, elements
from netdsl.ops.reach import Reach, window
from netdsl.ops.registry import operator
from netdsl.ops.spatial import (
    Pads,
    half_pads,
    onnx_pads,
    pad_tensor,
    paddings,
    per_axis,
    require_positive,
    spatial_rank,
    window_output,
)

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder

_KERNEL = Argument("kernel", COUNTS, doc="window size")
_STRIDE = Argument("stride", optional(COUNTS), None, "step between windows; none: the kernel, windows side by side")
_PAD = Argument("pad", PADDING, 0, 'cells on each side; "same": output is ceil(input / stride)')
_DILATION = Argument("dilation", COUNTS, 1, "distance between window elements")
_CEIL = Argument("ceil", FLAG, False, "round sizes up: the last window may hang over the end, but starts before it")
#: takes part in a maximum without ever being it
_LOWEST = -3.4028234663852886e38


def _rules(window: str) -> tuple[Rule, ...]:
    """The shape rules of a pool over windows of so many cells."""
    less = f"- {window}" if " + " not in window else "- " + window.replace(" + ", " - ")
    return (
        Rule(f"[C, n...] -> [C, (n + 2 * pad {less}) // stride + 1...]", 'pad != "same" and not ceil'),
        Rule(f"[C, n...] -> [C, (n + pad + min(pad + stride {less}, 0) - 1) // stride + 1...]",
             'pad != "same" and ceil'),
        Rule("[C, n...] -> [C, ceil(n / stride)...]", 'pad == "same" and not ceil'),
    )  # fmt: skip


class _Pool(Operator):
    """What the window pools share: `pads` are the given paddings, `reaching` those with ceil's overhang."""

    cost = "one FLOP per window element and output element"
    locality = "window"

    def resolve(self, site: Site) -> None:
        a, rank = site.args, spatial_rank(site, self.name)
        if a.stride is None:
            a["stride"] = a.kernel
        a.setdefault("dilation", 1)
        a.update({name: per_axis(site, name, rank) for name in ("kernel", "stride", "dilation")})
        spans = [d * (k - 1) for k, d in zip(a.kernel, a.dilation, strict=True)]
        if a.pad == "same":
            a["pads"] = tuple(half_pads(span) for span in spans)
        else:
            a["pads"] = paddings(site, "pad", rank)
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
        a = node.args
        axes = zip(a.kernel, a.stride, a.pads, a.dilation, strict=True)
        return tuple(window(k, s, p[0], d) for k, s, p, d in axes)


@operator
class MaxPool(_Pool):
    """The greatest element of each window; padding never wins.

    With `indices` there is a second output, where in its window each maximum stands: the number of the cell, row by
    row from 0, int64. It depends on nothing but the window, so it may be cropped, sliced and batched with the maps. A
    2 x 2 window needs 2 bits for it, as SegNet counts (Badrinarayanan et al. 2017, section III.A); Zeiler & Fergus
    (2014) call them switches. `unpool` puts values back there.
    """

    name = "max_pool"
    summary = "maximum over windows"
    example = "image[3, 32, 32] -> max_pool(2)"
    rules = _rules("dilation * (kernel - 1) + 1")
    arguments = (_KERNEL, _STRIDE, _PAD, _CEIL, _DILATION,
                 Argument("indices", FLAG, False, "give also where each maximum stands, for `unpool`"))  # fmt: skip

    def locality_of(self, node: Node) -> Locality | None:
        return None if node.args.indices else self.locality  # places are those of one geometry, which `unpool` has too

    def infer(self, site: Site) -> tuple[TensorType, ...]:
        (pooled,) = super().infer(site)
        if not site.args.indices:
            return (pooled,)
        if max(site.args.dilation) > 1:
            site.fail("E0322", "`indices` are for `unpool`, which undoes windows without `dilation`", at="dilation")
        return pooled, TensorType(pooled.shape, "int64", pooled.batched)

    def lower(self, node: Node, b: Builder) -> str | tuple[str, ...]:
        a, x = node.args, b.value(node.inputs[0])
        pads = a.reaching
        # ONNX Runtime refuses a padding as large as the undilated kernel
        if any(max(p) >= k for p, k in zip(pads, a.kernel, strict=True)):
            x = pad_tensor(b, x, pads, _LOWEST)
            pads = ((0, 0),) * len(pads)
        options = {"kernel_shape": list(a.kernel), "strides": list(a.stride), "pads": onnx_pads(pads)}
        if a.indices:
            y, flat = b.ops("MaxPool", [x], 2, **options)
            return y, self._within_windows(node, b, flat)
        return b.op("MaxPool", [x], dilations=list(a.dilation), **options)

    @staticmethod
    def _within_windows(node: Node, b: Builder, flat: str) -> str:
        """ONNX counts through the whole batch: position within the map, less where each window starts."""
        a, sizes, steps = node.args, node.inputs[0].shape[1:], node.output.shape[1:]
        rank, weight, total = len(sizes), 1, ""
        for axis in reversed(range(rank)):
            kernel, stride, (pad, _) = a.kernel[axis], a.stride[axis], a.pads[axis]
            size = b.dims([sizes[axis]], batch=False)
            rows = b.op("Div", [flat, size])
            place = b.op("Sub", [flat, b.op("Mul", [rows, size])])
            end = b.op("Squeeze", [b.dims([steps[axis] * stride - pad], batch=False)])
            starts = b.op("Range", [b.ints(-pad), end, b.ints(stride)])
            if axis < rank - 1:
                starts = b.op("Unsqueeze", [starts, b.ints(list(range(1, rank - axis)))])
            # where nothing is greatest (a window of NaN) ONNX Runtime's position is no cell of it
            cell = b.op("Clip", [b.op("Sub", [place, starts]), b.ints(0), b.ints(kernel - 1)])
            total = b.op("Add", [total, b.op("Mul", [cell, b.ints(weight)])]) if total else cell
            flat, weight = rows, weight * kernel
        return total


@operator
class AvgPool(_Pool):
    """The mean of each window: over the cells inside the input, or with `count_pad` over the padding zeros too."""

    name = "avg_pool"
    summary = "mean over windows"
    example = "image[3, 32, 32] -> avg_pool(2)"
    rules = _rules("dilation * (kernel - 1) + 1")
    arguments = (_KERNEL, _STRIDE, _PAD, _CEIL, Argument("count_pad", FLAG, False, "count padding zeros in the mean"),
                 _DILATION)  # fmt: skip

    def lower(self, node: Node, b: Builder) -> str:
        a, x = node.args, b.value(node.inputs[0])
        pads, counted = a.reaching, a.count_pad and any(map(any, a.pads))
        if counted:
            # Padding counts and ceil's overhang does not: make cells of the one, leave the other to the pool.
            x = pad_tensor(b, x, a.pads, 0.0)
            pads = tuple((0, end - given) for (_, end), (_, given) in zip(a.reaching, a.pads, strict=True))
        if all(d == 1 for d in a.dilation):
            return b.op("AveragePool", [x], kernel_shape=list(a.kernel), strides=list(a.stride), pads=onnx_pads(pads))
        # ONNX Runtime's CUDA kernel knows no dilation, the CPU's no padding as large as the kernel: a convolution does
        total = self._convolved(node, b, x, int(node.inputs[0].shape[0]), pads)
        if not any(map(any, pads)):
            return total
        ones = b.op("Expand", [b.floats(1.0), b.dims((1, 1, *node.inputs[0].shape[1:]), batch=False)])
        if counted:
            ones = pad_tensor(b, ones, a.pads, 1.0)
        return b.op("Div", [total, self._convolved(node, b, ones, 1, pads)])

    @staticmethod
    def _convolved(node: Node, b: Builder, x: str, channels: int, pads: Pads) -> str:
        """Each channel's sum over the window, divided by the number of its cells."""
        a = node.args
        count = elements(a.kernel)
        weight = b.floats([1 / count] * (channels * count), (channels, 1, *a.kernel))
        return b.op("Conv", [x, weight], kernel_shape=list(a.kernel), strides=list(a.stride),
                    dilations=list(a.dilation), pads=onnx_pads(pads), group=channels)  # fmt: skip


class _GlobalPool(Operator):
    """What the pools over whole maps share: [C, ...] becomes [C]."""

    cost = "one FLOP per input element"
    rules = (Rule("[C, n...] -> [C]"),)
    onnx: str

    def resolve(self, site: Site) -> None:
        spatial_rank(site, self.name)

    def shape(self, site: Site) -> Shape:
        return site.inputs[0].shape[:1]

    def flops(self, node: Node) -> int:
        return elements(node.inputs[0].shape)

    def reach(self, node: Node) -> None:
        return None

    def lower(self, node: Node, b: Builder) -> str:
        return b.op("Flatten", [b.op(self.onnx, [b.value(node.inputs[0])])], axis=1)


@operator
class GlobalAvgPool(_GlobalPool):
    """The mean of each channel's map (Lin et al. 2014, Network in Network)."""

    name = "global_avg_pool"
    summary = "mean of each channel's map, [C, H, W] to [C]"
    example = "image[3, 32, 32] -> global_avg_pool"
    onnx = "GlobalAveragePool"


@operator
class GlobalMaxPool(_GlobalPool):
    """The greatest element of each channel's map."""

    name = "global_max_pool"
    summary = "maximum of each channel's map, [C, H, W] to [C]"
    example = "image[3, 32, 32] -> global_max_pool"
    onnx = "GlobalMaxPool"
