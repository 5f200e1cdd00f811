"""Pools over windows and over whole maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.ir.graph import Shape, TensorType
from netdsl.ops.arguments import FLAG, Argument
from netdsl.ops.operator import Locality, Operator, Rule, Site, elements, float_bytes
from netdsl.ops.registry import operator
from netdsl.ops.spatial import onnx_pads, pad_tensor, spatial_rank
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
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder

#: takes part in a maximum without ever being it
_LOWEST = -3.4028234663852886e38


@operator
class MaxPool(WindowPool):
    """The greatest element of each window; padding never wins.

    With `indices` there is a second output, where in its window each maximum stands: the number of the cell, row by
    row from 0, int64. It depends on nothing but the window, so it may be cropped, sliced and batched with the maps. A
    2 x 2 window needs 2 bits for it, as SegNet counts (Badrinarayanan et al. 2017, section III.A); Zeiler & Fergus
    (2014) call them switches. `unpool` puts values back there.
    """

    name = "max_pool"
    summary = "maximum over windows"
    example = "image[3, 32, 32] -> max_pool(2)"
    saves = ()
    rules = window_rules("dilation * (kernel - 1) + 1")
    keeps_zeros = True
    arguments = (KERNEL, STRIDE, PAD, CEIL, DILATION,
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

    def saved_besides(self, node: Node) -> int:
        return 2 * float_bytes(node.output)  # places are int64

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
class AvgPool(WindowPool):
    """The mean of each window: over the cells inside the input, or with `count_pad` over the padding zeros too."""

    name = "avg_pool"
    summary = "mean over windows"
    example = "image[3, 32, 32] -> avg_pool(2)"
    saves = ()
    rules = window_rules("dilation * (kernel - 1) + 1")
    keeps_zeros = True
    arguments = (KERNEL, STRIDE, PAD, CEIL, Argument("count_pad", FLAG, False, "count padding zeros in the mean"),
                 DILATION)  # fmt: skip

    def resolve(self, site: Site) -> None:
        super().resolve(site)
        fix_summed(site)

    def lower(self, node: Node, b: Builder) -> str:
        a, x = node.args, b.value(node.inputs[0])
        pads, counted = a.reaching, a.count_pad and any(map(any, a.pads))
        if counted:
            # Padding counts and ceil's overhang does not: make cells of the one, leave the other to the pool.
            x = pad_tensor(b, x, a.pads, 0.0)
            pads = tuple((0, end - given) for (_, end), (_, given) in zip(a.reaching, a.pads, strict=True))
        if all(d == 1 for d in a.dilation):
            return b.op("AveragePool", [x], kernel_shape=list(a.kernel), strides=list(a.stride), pads=onnx_pads(pads))
        total = window_means(node, b, x, int(node.inputs[0].shape[0]), pads)
        if not any(map(any, pads)):
            return total
        ones = b.op("Expand", [b.floats(1.0), b.dims((1, 1, *node.inputs[0].shape[1:]), batch=False)])
        if counted:
            ones = pad_tensor(b, ones, a.pads, 1.0)
        return b.op("Div", [total, window_means(node, b, ones, 1, pads)])


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
    saves = ()


@operator
class GlobalMaxPool(_GlobalPool):
    """The greatest element of each channel's map."""

    name = "global_max_pool"
    summary = "maximum of each channel's map, [C, H, W] to [C]"
    example = "image[3, 32, 32] -> global_max_pool"
    onnx = "GlobalMaxPool"
