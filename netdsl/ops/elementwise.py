"""What element-wise operators share: how the shapes of their operands combine.

Ranks are equal, and only size 1 stretches; a vector `[C]` among maps acts per channel. A tensor without a batch axis (a
`param`, a `constant`) is the same for every sample, and one without any axis is a number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.ir.graph import Shape
from netdsl.ir.size import Dim, Size
from netdsl.ops.arguments import SCALAR, Argument, optional
from netdsl.ops.axes import difference, reconcile
from netdsl.ops.operator import Operator, Rule, Site, show
from netdsl.ops.reach import Reach, Unseen

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder


COMBINE = (
    Rule("[...], [...] -> [...]"),
    Rule("[C, ...], [1, ...] -> [C, ...]"),
    Rule("[C, n...], [C] -> [C, n...]"),
)


class Elementwise(Operator):
    """An operator on one or several tensors, lowered to `onnx`. `verb` is what it does to them, for messages."""

    style = "function"
    batched = False
    locality = "element"
    verb: str
    onnx: str

    def shape(self, site: Site) -> Shape:
        shapes = [value.shape for value in site.inputs]
        widest = max(range(len(shapes)), key=lambda i: len(shapes[i]))
        rank = len(shapes[widest])
        for i, shape in enumerate(shapes):
            if len(shape) not in (1, rank) and (shape or site.inputs[i].type.batched):
                a, b = sorted((widest, i))
                way_out = "only a vector [C] and maps combine, per channel"
                if shape == shapes[widest][1:]:
                    written = ", ".join(map(str, (1, *shape)))
                    way_out = f"`reshape({site.labels[i].strip('`')}, [{written}])` gives it a channel axis"
                self._reject(site, a, b, f"they have {len(shapes[a])} and {len(shapes[b])} axes", (way_out,))
        return tuple(self._size(site, axis, [i for i, s in enumerate(shapes) if axis < len(s)]) for axis in range(rank))

    def _size(self, site: Site, axis: int, members: list[int]) -> Dim:
        """The size along an axis: what all that are not 1 agree on."""
        sizes = {i: site.inputs[i].shape[axis] for i in members}
        wide = [i for i in members if sizes[i] != 1]
        if not wide:
            return 1
        first = wide[0]
        for i in wide[1:]:
            if not site.same(sizes[first], sizes[i], f"{self.name} of {site.labels[first]} and {site.labels[i]}"):
                types = [site.inputs[j].type for j in (first, i)]
                ranks = [len(type_.shape) for type_ in types]
                maps = min(ranks) > 1 and all(type_.batched for type_ in types)
                helps = reconcile(site, first, i, axis) if maps else ()
                self._reject(site, first, i, difference(max(ranks), axis, sizes[first], sizes[i]), helps)
        return next((sizes[i] for i in wide if isinstance(sizes[i], int)), sizes[first])

    def _reject(self, site: Site, i: int, j: int, why: str, helps: tuple[str, ...]) -> None:
        a, b = site.labels[i], site.labels[j]
        shapes = f"{a} is {show(site.inputs[i].shape)}, {b} is {show(site.inputs[j].shape)}"
        site.fail("E0311", f"cannot {self.verb} {a} and {b}: {why}", notes=(shapes,), helps=helps)

    def reaches(self, node: Node) -> tuple[tuple[Reach, ...] | Unseen | None, ...]:
        out = node.output.shape
        found: list[tuple[Reach, ...] | None] = []
        for value in node.inputs:
            if len(value.shape) < len(out):
                found.append(None)  # the same vector at every position
            else:
                sizes = zip(value.shape[1:], out[1:], strict=True)
                found.append(tuple(Reach(0) if int(have) == 1 < int(size) else Reach() for have, size in sizes))
        return tuple(found)

    def operands(self, node: Node, b: Builder) -> list[str]:
        """The inputs as tensors that ONNX broadcasts: a vector among maps gets axes of size 1."""
        rank = len(node.output.shape)
        names = []
        for value in node.inputs:
            name = b.value(value)
            if len(value.shape) == 1 < rank:
                begin = 1 + value.type.batched
                name = b.op("Unsqueeze", [name, b.ints(list(range(begin, begin + rank - 1)))])
            names.append(name)
        return names

    def lower(self, node: Node, b: Builder) -> str:
        return b.op(self.onnx, self.operands(node, b))


class Binary(Elementwise):
    """Two operands, one of which may be a number: then `left` or `right` holds it, and there is one input."""

    arity = (1, 2)
    rules = COMBINE
    numbers = ("left", "right")
    arguments = (
        Argument("left", optional(SCALAR), None, "the number that stands left of the sign"),
        Argument("right", optional(SCALAR), None, "the number that stands right of the sign"),
    )

    def resolve(self, site: Site) -> None:
        numbers = [n for n in (site.args.left, site.args.right) if n is not None]
        if len(site.inputs) + len(numbers) != 2:
            site.fail("E0309", f"`{self.symbol}` has two operands, and here are {len(site.inputs) + len(numbers)}")

    def lower(self, node: Node, b: Builder) -> str:
        operands, a = self.operands(node, b), node.args
        if a.left is not None:
            operands.insert(0, number_like(node, a.left, b))
        if a.right is not None:
            operands.append(number_like(node, a.right, b))
        return b.op(self.onnx, operands)


def number_like(node: Node, number: float | Size, b: Builder) -> str:
    """A number of the element type of the node's last input; a symbolic size as it is at run time."""
    whole = node.inputs[-1].type.dtype == "int64"
    if isinstance(number, Size):
        size = b.op("Squeeze", [b.dims((number,), batch=False)])
        return size if whole else b.cast(size, "float32")
    return b.ints(int(number)) if whole else b.floats(float(number))
