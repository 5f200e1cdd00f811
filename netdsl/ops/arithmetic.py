"""Element-wise arithmetic on tensors and numbers.

Shapes: equal ranks, and only size 1 stretches; a `[C]` operand among maps acts per channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.ir.graph import Shape
from netdsl.ir.size import Dim
from netdsl.ops.arguments import NUMBER, Argument, optional
from netdsl.ops.axes import difference, reconcile
from netdsl.ops.operator import Operator, Rule, Site, elements, show
from netdsl.ops.reach import Reach, Unseen
from netdsl.ops.registry import operator

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder


_COMBINE = (
    Rule("[...], [...] -> [...]"),
    Rule("[C, ...], [1, ...] -> [C, ...]"),
    Rule("[C, n...], [C] -> [C, n...]"),
)


class _Elementwise(Operator):
    """What operators on several tensors share: how their shapes combine. `verb` is what they do to them."""

    style = "function"
    batched = False
    locality = "element"
    verb: str

    def shape(self, site: Site) -> Shape:
        shapes = [value.shape for value in site.inputs]
        widest = max(range(len(shapes)), key=lambda i: len(shapes[i]))
        rank = len(shapes[widest])
        for i, shape in enumerate(shapes):
            if len(shape) != rank and not (len(shape) == 1 and site.inputs[i].type.batched):
                a, b = sorted((widest, i))
                self._reject(site, a, b, f"they have {len(shapes[a])} and {len(shapes[b])} axes",
                             ("only a vector [C] and maps combine, per channel",))  # fmt: skip
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
                ranks = [len(site.inputs[j].shape) for j in (first, i)]
                helps = reconcile(site, first, i, axis) if min(ranks) > 1 else ()
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
            if len(value.shape) < rank:
                name = b.op("Unsqueeze", [name, b.ints(list(range(2, 1 + rank)))])
            names.append(name)
        return names


class _Several(_Elementwise):
    """One result from any number of tensors."""

    arity = (1, None)
    rules = _COMBINE
    cost = "one FLOP per output element and input after the first"
    onnx: str

    def flops(self, node: Node) -> int:
        return elements(node.output.shape) * (len(node.inputs) - 1)

    def lower(self, node: Node, b: Builder) -> str:
        return b.op(self.onnx, self.operands(node, b))


@operator
class Sum(_Several):
    """The sum of all inputs."""

    name, onnx, verb = "sum", "Sum", "add"
    summary = "sum of several tensors"
    example = "sum(left[8, 16, 16], middle[8, 16, 16], right[8, 16, 16])"


@operator
class Mean(_Several):
    """The mean of all inputs."""

    name, onnx, verb = "mean", "Mean", "average"
    summary = "mean of several tensors"
    example = "mean(left[8, 16, 16], middle[8, 16, 16], right[8, 16, 16])"
    cost = "one FLOP per output element and input"

    def flops(self, node: Node) -> int:
        return elements(node.output.shape) * len(node.inputs)


@operator
class Max(_Several):
    """The greatest of all inputs, element by element (Goodfellow et al. 2013, Maxout)."""

    name, onnx, verb = "max", "Max", "compare"
    summary = "element-wise maximum of several tensors"
    example = "max(left[8, 16, 16], right[8, 16, 16])"


@operator
class Min(_Several):
    """The smallest of all inputs, element by element."""

    name, onnx, verb = "min", "Min", "compare"
    summary = "element-wise minimum of several tensors"
    example = "min(left[8, 16, 16], right[8, 16, 16])"


class _Binary(_Elementwise):
    """Two operands, one of which may be a number: then `left` or `right` holds it, and there is one input."""

    arity = (1, 2)
    rules = _COMBINE
    onnx: str
    arguments = (
        Argument("left", optional(NUMBER), None, "the number that stands left of the sign"),
        Argument("right", optional(NUMBER), None, "the number that stands right of the sign"),
    )

    def resolve(self, site: Site) -> None:
        numbers = [n for n in (site.args.left, site.args.right) if n is not None]
        if len(site.inputs) + len(numbers) != 2:
            site.fail("E0309", f"`{self.symbol}` has two operands, and here are {len(site.inputs) + len(numbers)}")

    def lower(self, node: Node, b: Builder) -> str:
        operands, a = self.operands(node, b), node.args
        if a.left is not None:
            operands.insert(0, b.floats(float(a.left)))
        if a.right is not None:
            operands.append(b.floats(float(a.right)))
        return b.op(self.onnx, operands)


@operator
class Add(_Binary):
    """a + b."""

    name, symbol, onnx, verb = "add", "+", "Add", "add"
    summary = "sum of two tensors, or of a tensor and a number"
    example = "left[8, 16, 16] + right[8, 16, 16]"


@operator
class Sub(_Binary):
    """a - b."""

    name, symbol, onnx, verb = "sub", "-", "Sub", "subtract"
    summary = "difference of two tensors, or of a tensor and a number"
    example = "left[8, 16, 16] - right[8, 16, 16]"


@operator
class Mul(_Binary):
    """a * b, element by element."""

    name, symbol, onnx, verb = "mul", "*", "Mul", "multiply"
    summary = "element-wise product of two tensors, or of a tensor and a number"
    example = "map[8, 16, 16] * gate[8]"


@operator
class Div(_Binary):
    """a / b, element by element."""

    name, symbol, onnx, verb = "div", "/", "Div", "divide"
    summary = "element-wise quotient of two tensors, or of a tensor and a number"
    example = "image[3, 32, 32] / 255"

    def resolve(self, site: Site) -> None:
        super().resolve(site)
        if site.args.right == 0:
            site.fail("E0318", f"{site.labels[0]} is divided by zero", at="right")


@operator
class Neg(_Elementwise):
    """-a."""

    name, verb = "neg", "negate"
    summary = "the tensor with the opposite sign"
    example = "-image[3, 32, 32]"

    def lower(self, node: Node, b: Builder) -> str:
        return b.op("Neg", self.operands(node, b))
