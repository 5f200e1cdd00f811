"""Comparisons, which make bool tensors, logic on these, and `where`, which chooses by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.ir.graph import DType
from netdsl.ops.arguments import SCALAR, Argument, optional
from netdsl.ops.elementwise import COMBINE, Binary, Elementwise, number_like
from netdsl.ops.operator import Rule, Site
from netdsl.ops.registry import operator

if TYPE_CHECKING:
    from netdsl.ir.graph import Node, Value
    from netdsl.ops.builder import Builder


def _alike(site: Site, op: Elementwise, first: int) -> None:
    """Reject operands of different element types, from the first on, and fractions beside whole numbers."""
    values = site.inputs[first:]
    for label, value in zip(site.labels[first:], values, strict=True):
        if value.type.dtype != values[0].type.dtype:
            site.fail("E0320", f"cannot {op.verb} {site.labels[first]} and {label}: {values[0].type.dtype} and "
                      f"{value.type.dtype}")  # fmt: skip
    if values and values[0].type.dtype == "int64":
        for name in filter(None, op.numbers):
            if isinstance(site.args[name], float) and not site.args[name].is_integer():
                site.fail("E0320", f"{site.labels[first]} holds whole numbers, and {site.args[name]} is none", at=name)
            if not -(2**63) <= int(site.args[name] or 0) < 2**63:
                site.fail("E0320", f"{site.labels[first]} holds int64 numbers, and {site.args[name]} is beyond them", at=name)


class _Comparison(Binary):
    """True where the relation holds."""

    verb = "compare"
    dtypes = frozenset({"float32", "int64"})

    def dtype(self, site: Site) -> DType:
        _alike(site, self, 0)
        return "bool"


@operator
class Less(_Comparison):
    """a < b, element by element."""

    name, symbol, onnx = "less", "<", "Less"
    summary = "where a tensor is less than another, or than a number"
    example = "left[8, 16, 16] < right[8, 16, 16]"


@operator
class LessEqual(_Comparison):
    """a <= b, element by element."""

    name, symbol, onnx = "less_equal", "<=", "LessOrEqual"
    summary = "where a tensor is at most another, or a number"
    example = "left[8, 16, 16] <= right[8, 16, 16]"


@operator
class Greater(_Comparison):
    """a > b, element by element."""

    name, symbol, onnx = "greater", ">", "Greater"
    summary = "where a tensor is greater than another, or than a number"
    example = "image[3, 32, 32] > 0.5"


@operator
class GreaterEqual(_Comparison):
    """a >= b, element by element."""

    name, symbol, onnx = "greater_equal", ">=", "GreaterOrEqual"
    summary = "where a tensor is at least another, or a number"
    example = "image[3, 32, 32] >= 0.5"


@operator
class Equal(_Comparison):
    """a == b, element by element."""

    name, symbol, onnx = "equal", "==", "Equal"
    summary = "where a tensor equals another, or a number"
    example = "left[8, 16, 16] == right[8, 16, 16]"


@operator
class NotEqual(_Comparison):
    """a != b, element by element."""

    name, symbol, onnx = "not_equal", "!=", "Equal"
    summary = "where a tensor differs from another, or from a number"
    example = "left[8, 16, 16] != right[8, 16, 16]"

    def lower(self, node: Node, b: Builder) -> str:
        return b.op("Not", [super().lower(node, b)])


class _Logic(Elementwise):
    """Bool tensors of bool tensors."""

    verb = "combine"
    dtypes = frozenset({"bool"})


@operator
class And(_Logic):
    """True where both are. `a < x < b` is `a < x and x < b`."""

    name, symbol, onnx = "and", "and", "And"
    summary = "where both bool tensors are true"
    example = "(left[8, 16, 16] > 0) and (right[8, 16, 16] > 0)"
    arity = (2, 2)
    rules = COMBINE


@operator
class Or(_Logic):
    """True where one is, or both are."""

    name, symbol, onnx = "or", "or", "Or"
    summary = "where one of two bool tensors is true"
    example = "(left[8, 16, 16] > 0) or (right[8, 16, 16] > 0)"
    arity = (2, 2)
    rules = COMBINE


@operator
class Not(_Logic):
    """True where the tensor is false."""

    name, symbol, onnx = "not", "not", "Not"
    summary = "where a bool tensor is false"
    example = "not (image[3, 32, 32] > 0.5)"


@operator
class Where(Elementwise):
    """Element by element, what the second operand says where the condition holds, and else what the third says.

    No gradient reaches the condition; each of the others gets it where it was chosen.
    """

    name, onnx, verb = "where", "Where", "choose between"
    reserved = False  # it is also what the places of a `max_pool` are called: `pooled, where = x -> max_pool(2, indices = true)`
    summary = "one of two tensors or numbers, by a condition"
    example = "where(mask[3, 32, 32] > 0, image[3, 32, 32], 0)"
    rules = (Rule("[...], [...], [...] -> [...]"),)
    arity = (1, 3)
    dtypes = frozenset({"float32", "int64", "bool"})
    numbers = (None, "chosen", "otherwise")
    arguments = (
        Argument("chosen", optional(SCALAR), None, "the number in place of the second operand"),
        Argument("otherwise", optional(SCALAR), None, "the number in place of the third operand"),
    )

    def resolve(self, site: Site) -> None:
        numbers = [n for n in (site.args.chosen, site.args.otherwise) if n is not None]
        if len(site.inputs) + len(numbers) != 3:
            site.fail("E0309", "`where` takes a condition and two tensors or numbers: `where(x > 0, x, 0)`")

    def dtype(self, site: Site) -> DType:
        if site.inputs[0].type.dtype != "bool":
            site.fail("E0320", f"`where` chooses by a condition, and {site.labels[0]} is {site.inputs[0].type.dtype}",
                      helps=("a comparison makes one: `where(x > 0, a, b)`",))  # fmt: skip
        _alike(site, self, 1)
        kind = site.inputs[1].type.dtype if len(site.inputs) > 1 else "float32"
        if kind == "bool":
            site.fail("E0320", f"`where` chooses between numbers, and {site.labels[1]} is bool",
                      helps=("write `c and a or not c and b`",))  # fmt: skip
        return kind

    def saved(self, node: Node) -> tuple[Value, ...]:
        return node.inputs[:1]

    def lower(self, node: Node, b: Builder) -> str:
        operands, a = self.operands(node, b), node.args
        for place, number in ((1, a.chosen), (2, a.otherwise)):
            if number is not None:
                operands.insert(place, number_like(node, number, b))
        return b.op(self.onnx, operands)
