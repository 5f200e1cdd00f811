"""Pools to a size that does not depend on the input's."""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING

from netdsl.ir.graph import Shape
from netdsl.ir.size import Dim
from netdsl.ops.arguments import COUNTS, Argument
from netdsl.ops.operator import Operator, Rule, Site, elements, float_bytes
from netdsl.ops.reach import Reach
from netdsl.ops.registry import operator
from netdsl.ops.spatial import per_axis, reshape_tensor, spatial_rank

if TYPE_CHECKING:
    from netdsl.ir.graph import Node, Value
    from netdsl.ops.builder import Builder


class _AdaptivePool(Operator):
    """What they share. Along an axis of n cells, bin i of k has those from floor(i n / k) up to, without,
    ceil((i + 1) n / k), as in PyTorch: neighbours overlap by one cell where k does not divide n."""

    rules = (Rule("[C, n...] -> [C, size...]"),)
    cost = "one FLOP per cell of a bin and output element"
    saves = ()
    arguments = (Argument("size", COUNTS, doc="cells of the output, whatever the input's size"),)
    onnx: str

    def resolve(self, site: Site) -> None:
        site.args["size"] = per_axis(site, "size", spatial_rank(site, self.name))

    def shape(self, site: Site) -> Shape:
        return (site.inputs[0].shape[0], *site.args.size)

    def flops(self, node: Node) -> int:
        """All cells once, and again those that two bins share: between i and i + 1 there is one unless k divides (i + 1) n."""
        count = int(node.inputs[0].shape[0])
        for n, bins in zip(map(int, node.inputs[0].shape[1:]), node.args.size, strict=True):
            count *= n + bins - gcd(n, bins)
        return count

    def reach(self, node: Node) -> tuple[Reach, ...] | None:
        """The hull over the bins, at the default sizes; of a single cell all of the map.

        Bin i starts (i n mod k) / k before i n / k, and that remainder is at most k - gcd(n, k); its end likewise.
        """
        if set(node.args.size) == {1}:
            return None
        from fractions import Fraction  # it takes 6 ms to import

        axes = []
        for n, bins in zip(map(int, node.inputs[0].shape[1:]), node.args.size, strict=True):
            common = gcd(n, bins)
            axes.append(Reach(Fraction(n, bins), Fraction(common - bins, bins), Fraction(n - common, bins)))
        return tuple(axes)

    def lower(self, node: Node, b: Builder) -> str:
        """A plain pool where the bins are known to be equal, else one axis after the other."""
        x, sizes, counts = b.value(node.inputs[0]), node.inputs[0].shape[1:], node.args.size
        if self._equal_bins(node):
            windows = [n // k for n, k in zip(sizes, counts, strict=True)]
            return b.op(self.onnx, [x], kernel_shape=windows, strides=windows)
        for axis in reversed(range(len(sizes))):
            x = self._along(node, b, x, axis)
        return x

    @staticmethod
    def _equal_bins(node: Node) -> bool:
        """Whether the bins are known to be equal."""
        sizes = zip(node.inputs[0].shape[1:], node.args.size, strict=True)
        return all(isinstance(n, int) and n % bins == 0 for n, bins in sizes)

    def _along(self, node: Node, b: Builder, x: str, axis: int) -> str:
        """Pool one spatial axis; those behind it have been."""
        raise NotImplementedError

    @staticmethod
    def _edges(b: Builder, size: Dim, count: int) -> tuple[str, str]:
        """The bins' starts and ends [count], computed at run time."""
        n = b.dims([size], batch=False)
        starts = b.op("Div", [b.op("Mul", [b.ints(list(range(count))), n]), b.ints(count)])
        behind = b.op("Add", [b.op("Mul", [b.ints(list(range(1, count + 1))), n]), b.ints(count - 1)])
        return starts, b.op("Div", [behind, b.ints(count)])


@operator
class AdaptiveMaxPool(_AdaptivePool):
    """The greatest element of each of `size` bins: maps of any size to one size, as for the spatial pyramid of He et al.
    (2014). Bin i of k over n cells has those from floor(i n / k) up to, without, ceil((i + 1) n / k), as in PyTorch."""

    name, onnx = "adaptive_max_pool", "MaxPool"
    summary = "maxima over a fixed number of bins"
    example = "image[3, 32, 32] -> adaptive_max_pool(4)"

    def saved(self, node: Node) -> tuple[Value, ...]:
        return () if self._equal_bins(node) else (node.output,)

    def saved_besides(self, node: Node) -> int:
        """Places of int64; or, axis by axis, what was gathered for the bins, and its maxima."""
        if self._equal_bins(node):
            return 2 * float_bytes(node.output)
        (channels, *sizes), total = map(int, node.inputs[0].shape), 0
        for axis in reversed(range(len(sizes))):
            n, bins = sizes[axis], node.args.size[axis]
            sizes[axis] = bins
            longest = max(-(-(i + 1) * n // bins) - i * n // bins for i in range(bins))
            total += channels * elements(tuple(sizes)) * (longest + (axis > 0))
        return 4 * total

    def _along(self, node: Node, b: Builder, x: str, axis: int) -> str:
        """Every bin's cells by their number, the last one again where a bin is shorter than the longest."""
        size, count = node.inputs[0].shape[1 + axis], node.args.size[axis]
        starts, ends = self._edges(b, size, count)
        longest = b.op("ReduceMax", [b.op("Sub", [ends, starts])], keepdims=0)
        steps = b.op("Range", [b.ints(0), longest, b.ints(1)])
        column = [b.op("Unsqueeze", [edge, b.ints([1])]) for edge in (starts, b.op("Sub", [ends, b.ints(1)]))]
        cells = b.op("Min", [b.op("Add", [column[0], steps]), column[1]])
        return b.op("ReduceMax", [b.op("Gather", [x, cells], axis=2 + axis), b.ints([3 + axis])], keepdims=0)


@operator
class AdaptiveAvgPool(_AdaptivePool):
    """The mean of each of `size` bins: maps of any size to one size. Bin i of k over n cells has those from
    floor(i n / k) up to, without, ceil((i + 1) n / k), as in PyTorch."""

    name, onnx = "adaptive_avg_pool", "AveragePool"
    summary = "means over a fixed number of bins"
    example = "image[3, 32, 32] -> adaptive_avg_pool(4)"

    def _along(self, node: Node, b: Builder, x: str, axis: int) -> str:
        """A product with the matrix of each cell's share in each bin."""
        sizes, counts = node.inputs[0].shape[1:], node.args.size
        cells = b.op("Range", [b.ints(0), b.op("Squeeze", [b.dims([sizes[axis]], batch=False)]), b.ints(1)])
        starts, ends = self._edges(b, sizes[axis], counts[axis])
        starts, ends = (b.op("Unsqueeze", [edge, b.ints([1])]) for edge in (starts, ends))
        inside = b.op("And", [b.op("GreaterOrEqual", [cells, starts]), b.op("Less", [cells, ends])])
        lengths = b.cast(b.op("Sub", [ends, starts]), "float32")
        shares = b.op("Div", [b.cast(inside, "float32"), lengths])  # [bins, cells]
        if axis == len(sizes) - 1:
            return b.op("MatMul", [x, b.op("Transpose", [shares], perm=[1, 0])])
        if axis == len(sizes) - 2:
            return b.op("MatMul", [shares, x])
        channels = node.inputs[0].shape[0]
        planes = reshape_tensor(b, x, (channels, sizes[axis], counts[1] * counts[2]))
        return reshape_tensor(b, b.op("MatMul", [shares, planes]), (channels, *counts))
