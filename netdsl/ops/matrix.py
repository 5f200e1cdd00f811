"""Products of matrices that are computed from the input, as in attention. Weights are multiplied by `dense` and `conv`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

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
    least: ClassVar[int]

    def resolve(self, site: Site) -> None:
        for label, value in zip(site.labels, site.inputs, strict=True):
            if len(value.shape) < self.least:
                site.fail("E0301", f"`{self.name}` needs [rows, columns], and {label} is {show(value.shape)}",
                          helps=("`reshape` gives it another shape",))  # fmt: skip

    def reach(self, node: Node) -> None:
        return None


@operator
class MatMul(_Matrices):
    """The matrix product of each sample, [..., N, K] times [..., K, M]; axes before the last two agree.

    A vector [K] is a column behind a matrix and a row before one. A factor without a batch axis, such as
    `param([N, K])`, is the same for every sample.
    """

    name = "matmul"
    summary = "matrix product of two tensors, sample by sample"
    example = "matmul(rows[16, 8], columns[8, 10])"
    arity = (2, 2)
    least = 1
    rules = (Rule("[..., N, K], [..., K, M] -> [..., N, M]"), Rule("[N, K], [K] -> [N]"), Rule("[K], [K, M] -> [M]"))
    multiplies = "K per output element"
    cost = "none"

    def shape(self, site: Site) -> Shape:
        first, second = (value.shape for value in site.inputs)
        *stack, n, k = first if len(first) > 1 else (1, *first)
        *stack_b, k_b, m = second if len(second) > 1 else (*second, 1)
        a, b = site.labels
        why = f"matrix product of {a} and {b}"
        shapes = f"{a} is {show(site.inputs[0].shape)}, {b} is {show(site.inputs[1].shape)}"
        if len(stack) != len(stack_b) or not all(site.same(i, j, why) for i, j in zip(stack, stack_b, strict=True)):
            site.fail("E0311", f"cannot multiply {a} and {b}: the axes before the last two differ", notes=(shapes,))
        if not site.same(k, k_b, why):
            helps = (f"`transpose` exchanges the rows and columns of {b}",) if len(second) > 1 and int(k) == int(m) else ()
            site.fail("E0311", f"cannot multiply {a} and {b}: rows of {show_size(k)} meet columns of {show_size(k_b)}",
                      notes=(shapes,), helps=helps)  # fmt: skip
        return (*stack, *([n] if len(first) > 1 else []), *([m] if len(second) > 1 else []))

    def macs(self, node: Node) -> int:
        return elements(node.output.shape) * int(node.inputs[0].shape[-1])

    def flops(self, node: Node) -> int:
        return 0

    def lower(self, node: Node, b: Builder) -> str:
        x, y = (b.value(value) for value in node.inputs)
        row, column = (len(value.shape) == 1 for value in node.inputs)
        batched = [value.type.batched for value in node.inputs]
        if row and column:
            return b.op("ReduceSum", [b.op("Mul", [x, y]), b.ints([-1])], keepdims=0)
        if column and batched == [False, True]:  # one product of two matrices for the whole batch
            return b.op("MatMul", [y, b.op("Transpose", [x], perm=[1, 0])])
        if (row or column) and all(batched):  # ONNX takes a batch of vectors for a matrix
            axis = b.ints([2 if column else 1])
            x, y = (x, b.op("Unsqueeze", [y, axis])) if column else (b.op("Unsqueeze", [x, axis]), y)
            return b.op("Squeeze", [b.op("MatMul", [x, y]), axis])
        return b.op("MatMul", [x, y])


@operator
class Transpose(_Matrices):
    """Rows and columns of each matrix exchanged: the last two axes."""

    name = "transpose"
    least = 2
    summary = "the last two axes exchanged"
    example = "transpose(rows[16, 8])"
    saves = ()
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
