"""The way back from a pool, to where its maxima stood."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from netdsl.ir.graph import DType, Shape
from netdsl.ir.size import Dim
from netdsl.ops.arguments import COUNTS, PADDING, Argument, optional
from netdsl.ops.axes import axis_word
from netdsl.ops.operator import Operator, Rule, Site, elements, show, show_size
from netdsl.ops.reach import UNSEEN, Reach, Unseen, transposed
from netdsl.ops.registry import operator
from netdsl.ops.spatial import Pads, pad_or_cut, per_axis, repeat_cells, spatial_rank, window_pads

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder


@operator
class Unpool(Operator):
    """Each value at the cell of its window where `max_pool(..., indices = true)` found the maximum, zeros elsewhere;
    where windows overlap, what meets at a cell is added (Zeiler, Taylor & Fergus 2011, Adaptive deconvolutional
    networks; DeconvNet, Noh et al. 2015; SegNet, Badrinarayanan et al. 2017).

    Kernel, stride and pad are those of the pool. Several input sizes are pooled to one, 45 and 46 to 23 with
    `ceil = true`: a third tensor, `like`, tells by its spatial size which of them comes back; without it the windows
    make the size, (n - 1) * stride + kernel less the padding.
    """

    name = "unpool"
    summary = "values back to where the maxima of a pool stood"
    example = "(image[8, 16, 16], int places[8, 16, 16]) -> unpool(2)"
    saves = ()
    rules = (
        Rule("[C, n...], [C, n...] -> [C, (n - 1) * stride + kernel - 2 * pad...]", 'pad != "same"'),
        Rule("[C, n...], [C, n...] -> [C, (n - 1) * stride + 1...]", 'pad == "same"'),
        Rule("[C, n...], [C, n...], [K, m...] -> [C, m...]"),
    )
    cost = "one FLOP per output element for each further window that may reach it, where windows overlap"
    arity = (2, 3)
    arguments = (
        Argument("kernel", COUNTS, doc="window size of the pool"),
        Argument("stride", optional(COUNTS), None, "the pool's step between windows; none: the kernel"),
        Argument("pad", PADDING, 0, "the pool's padding"),
    )

    def resolve(self, site: Site) -> None:
        a, rank = site.args, spatial_rank(site, self.name)
        x, where = (value.shape for value in site.inputs[:2])
        if len(x) != len(where) or not all(
            site.same(n, m, f"{site.labels[1]} locates {site.labels[0]}") for n, m in zip(x, where, strict=True)
        ):
            site.fail("E0322", f"{site.labels[1]} does not locate the values of {site.labels[0]}: they are {show(where)} "
                      f"and {show(x)}", helps=("both have the shape that the pool's outputs had",))  # fmt: skip
        if a.stride is None:
            a["stride"] = a.kernel
        a.update({name: per_axis(site, name, rank) for name in ("kernel", "stride")})
        a["pads"] = window_pads(site, [k - 1 for k in a.kernel])
        for kernel, pads in zip(a.kernel, a.pads, strict=True):
            if max(pads) >= kernel:
                site.fail("E0313", f"`pad = {max(pads)}` puts whole windows of {kernel} into the padding",
                          helps=(f"the padding can be at most {kernel - 1}",), at="pad")  # fmt: skip

    def check_inputs(self, site: Site) -> None:
        self.check_batches(site)
        wanted: tuple[DType, ...] = ("float32", "int64")
        for label, value, dtype in zip(site.labels, site.inputs, wanted, strict=False):
            if value.type.dtype != dtype:
                site.fail("E0320", f"`unpool` takes values (float32) and their places (int64), and {label} is "
                          f"{value.type.dtype}", helps=("`pooled, where = x -> max_pool(2, indices = true)` gives "
                          "places, for `(y, where) -> unpool(2)`",))  # fmt: skip

    def shape(self, site: Site) -> Shape:
        a, (channels, *sizes) = site.args, site.inputs[0].shape
        windows = list(zip(sizes, a.kernel, a.stride, a.pads, strict=True))
        if len(site.inputs) == 2:
            out = tuple((n - 1) * s + k - sum(pads) for n, k, s, pads in windows)
            if not all(map(site.exists, out)):
                site.fail("E0303", f"the padding leaves nothing of {site.labels[0]}, which is "
                          f"{show(site.inputs[0].shape)}", at="pad")  # fmt: skip
            return (channels, *out)
        like = site.inputs[2].shape
        if len(like) != len(site.inputs[0].shape):
            site.fail("E0301", f"`unpool` to the size of {site.labels[2]} needs as many spatial axes: {site.labels[0]} "
                      f"is {show(site.inputs[0].shape)} and {site.labels[2]} {show(like)}")  # fmt: skip
        for axis, (m, (n, k, s, pads)) in enumerate(zip(like[1:], windows, strict=True), start=1):
            # the last window starts inside, and another one would not fit
            least, most = (n - 1) * s - pads[0] + 1, n * s + k - 1 - sum(pads)
            why = f"unpools {site.labels[0]} to {site.labels[2]}"
            if not (site.at_least(m, least, why) and site.at_least(most, m, why)):
                word = axis_word(axis, len(like)) or "size"
                site.fail("E0322", f"cannot unpool {site.labels[0]} to {site.labels[2]}: {word} {show_size(n)} is pooled "
                          f"from {max(int(least), 1)} to {int(most)}, and {site.labels[2]} has {show_size(m)}",
                          helps=("kernel, stride and pad are those of the pool, and the third tensor has the size of "
                          "its input",))  # fmt: skip
        return (channels, *like[1:])

    def flops(self, node: Node) -> int:
        return (len(self._overlaps(node)) - 1) * elements(node.output.shape)

    def saved_besides(self, node: Node) -> int:
        """One bool for each cell of the blocks: whether the value stays there."""
        return len(self._overlaps(node)) * elements(node.inputs[0].shape) * elements(node.args.stride)

    def reaches(self, node: Node) -> tuple[tuple[Reach, ...] | Unseen | None, ...]:
        a = node.args
        axes = tuple(transposed(k, s, p[0]) for k, s, p in zip(a.kernel, a.stride, a.pads, strict=True))
        return (axes, axes, UNSEEN)[: len(node.inputs)]

    @staticmethod
    def _overlaps(node: Node) -> list[tuple[int, ...]]:
        """Windows cut into blocks of a stride, which lie side by side: the position of each block in the window."""
        axes = zip(node.args.kernel, node.args.stride, strict=True)
        return list(product(*(range(-(-k // s)) for k, s in axes)))

    def lower(self, node: Node, b: Builder) -> str:
        """Values and places are enlarged to blocks of a stride, and a value stays at the cell that has its place."""
        a, (x, where) = node.args, map(b.value, node.inputs[:2])
        values = repeat_cells(b, x, a.stride)
        places = repeat_cells(b, b.cast(where, "int32"), a.stride)
        repeats = b.dims(node.inputs[0].shape[1:], batch=False)
        parts = []
        for block in self._overlaps(node):
            cells = b.cast(b.op("Tile", [b.ints(self._cells(node, block)), repeats]), "int32")
            part = b.op("Where", [b.op("Equal", [places, cells]), values, b.floats(0.0)])
            parts.append(pad_or_cut(b, part, self._around(node, block), 0.0))
        y = b.op("Sum", parts) if len(parts) > 1 else parts[0]
        sizes = node.output.shape[1:]
        if all(isinstance(grown, int) for grown in self._growth(node)):
            return y
        axes = list(range(2, 2 + len(sizes)))
        return b.op("Slice", [y, b.ints([0] * len(sizes)), b.dims(sizes, batch=False), b.ints(axes)])

    @staticmethod
    def _growth(node: Node) -> list[Dim]:
        """By how much the output is longer than blocks for all values."""
        sizes = zip(node.inputs[0].shape[1:], node.output.shape[1:], node.args.stride, strict=True)
        return [out - n * s for n, out, s in sizes]

    def _around(self, node: Node, block: tuple[int, ...]) -> Pads:
        """Cells before and behind the blocks at a position; as many as there can be where that depends on sizes."""
        a, around = node.args, []
        for i, k, s, pads, grown in zip(block, a.kernel, a.stride, a.pads, self._growth(node), strict=True):
            begin = i * s - pads[0]
            around.append((begin, (grown if isinstance(grown, int) else k - 1 - sum(pads)) - begin))
        return tuple(around)

    @staticmethod
    def _cells(node: Node, block: tuple[int, ...]) -> list[Any]:
        """The number in its window of each cell of a block, nested by axis; -1 for one behind the window's end."""

        def cells(axis: int, number: int) -> Any:
            if axis == len(block):
                return number
            k, s = node.args.kernel[axis], node.args.stride[axis]
            taps = range(block[axis] * s, (block[axis] + 1) * s)
            return [cells(axis + 1, number * k + tap if number >= 0 and tap < k else -1) for tap in taps]

        nested: list[Any] = cells(0, 0)
        return nested
