"""Products of matrices that are computed from the input, as in attention. Weights are multiplied by `dense` and `conv`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.ir.graph import Shape
from netdsl.ops.operator import Operator, Rule, Site, elements, show, show_size
from netdsl.ops.registry import operator

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder


class _Matrices(Operator):
    """What both share: the last two axes are rows and columns, those before them count matrices."""

    style = "function"
    batched = False

    def resolve(self, site: Site) -> None:
        for label, value in zip(site.labels, site.inputs, strict=True):
            if len(value.shape) < 2:
                site.fail("E0301", f"`{self.name}` needs [rows, columns], and {label} is {show(value.shape)}",
                          helps=("`reshape` gives it another shape",))  # fmt: skip

    def reach(self, node: Node) -> None:
        return None


@operator
class MatMul(_Matrices):
    """The matrix product of each sample, [..., N, K] times [..., K, M]; axes before the last two agree.

    A factor without a batch axis, such as `param([N, K])`, is the same for every sample.
    """

    name = "matmul"
    summary = "matrix product of two tensors, sample by sample"
    example = "matmul(rows[16, 8], columns[8, 10])"
    arity = (2, 2)
    rules = (Rule("[..., N, K], [..., K, M] -> [..., N, M]"),)
    multiplies = "K per output element"
    cost = "none"

    def shape(self, site: Site) -> Shape:
        (*stack, n, k), (*stack_b, k_b, m) = (value.shape for value in site.inputs)
        a, b = site.labels
        why = f"matrix product of {a} and {b}"
        shapes = f"{a} is {show(site.inputs[0].shape)}, {b} is {show(site.inputs[1].shape)}"
        if len(stack) != len(stack_b) or not all(site.same(i, j, why) for i, j in zip(stack, stack_b, strict=True)):
            site.fail("E0311", f"cannot multiply {a} and {b}: the axes before the last two differ", notes=(shapes,))
        if not site.same(k, k_b, why):
            helps = (f"`transpose` exchanges the rows and columns of {b}",) if int(k) == int(m) else ()
            site.fail("E0311", f"cannot multiply {a} and {b}: rows of {show_size(k)} meet columns of {show_size(k_b)}",
                      notes=(shapes,), helps=helps)  # fmt: skip
        return (*stack, n, m)

    def macs(self, node: Node) -> int:
        return elements(node.output.shape) * int(node.inputs[0].shape[-1])

    def flops(self, node: Node) -> int:
        return 0

    def lower(self, node: Node, b: Builder) -> str:
        return b.op("MatMul", [b.value(value) for value in node.inputs])


@operator
class Transpose(_Matrices):
    """Rows and columns of each matrix exchanged: the last two axes."""

    name = "transpose"
    summary = "the last two axes exchanged"
    example = "transpose(rows[16, 8])"
    rules = (Rule("[..., N, M] -> [..., M, N]"),)
    cost = "none"
    dtypes = frozenset({"float32", "int64", "bool"})

    def shape(self, site: Site) -> Shape:
        *stack, n, m = site.inputs[0].shape
        return (*stack, m, n)

    def flops(self, node: Node) -> int:
        return 0

    def lower(self, node: Node, b: Builder) -> str:
        rank = node.output.type.batched + len(node.output.shape)
        return b.op("Transpose", [b.value(node.inputs[0])], perm=[*range(rank - 2), rank - 1, rank - 2])
