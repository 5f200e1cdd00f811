"""Matrix products."""

from __future__ import annotations

from ..rule import Backward, Gradients, rule
from ..tensor_types import Dim


@rule("Gemm")
def gemm(bw: Backward) -> Gradients:
    """Y = α·A'B' + β·C: dA' = α·dY·B'ᵀ, dB' = α·A'ᵀ·dY, transposed where A and B were."""
    a, b = bw.inputs[:2]
    ta, tb = bw.attribute("transA", 0), bw.attribute("transB", 0)
    alpha = bw.attribute("alpha", 1.0)
    da = db = dc = None
    if bw.needs[0]:
        da = (
            bw.op("Gemm", b, bw.dy, alpha=alpha, transA=tb, transB=1)
            if ta
            else bw.op("Gemm", bw.dy, b, alpha=alpha, transB=1 - tb)
        )
    if bw.needs[1]:
        db = (
            bw.op("Gemm", bw.dy, a, alpha=alpha, transA=1, transB=ta)
            if tb
            else bw.op("Gemm", a, bw.dy, alpha=alpha, transA=1 - ta)
        )
    if bw.has(2) and bw.needs[2]:
        beta = bw.attribute("beta", 1.0)
        dc = bw.unbroadcast(bw.dy if beta == 1 else bw.op("Mul", bw.dy, bw.scalar(beta)), 2)
    return [da, db, dc]


@rule("MatMul")
def matmul(bw: Backward) -> Gradients:
    """numpy.matmul: stacks of matrices broadcast, a vector is a matrix of one row or column."""
    ranks = bw.rank(bw.inputs[0]), bw.rank(bw.inputs[1])
    if ranks == (2, 2):
        return _product_of_matrices(bw, bw.inputs[0], bw.dy)
    if ranks[1] == 2 and ranks[0] > 2:
        return _stack_times_matrix(bw)
    return _product_of_stacks(bw)


def _product_of_matrices(bw: Backward, a: str, dy: str) -> Gradients:
    da = bw.op("Gemm", dy, bw.inputs[1], transB=1) if bw.needs[0] else None
    db = bw.op("Gemm", a, dy, transA=1) if bw.needs[1] else None
    return [da, db]


def _stack_times_matrix(bw: Backward) -> Gradients:
    """The stack is one tall matrix: one product sums the weight gradient over it."""
    a = bw.op("Flatten", bw.inputs[0], axis=bw.rank(bw.inputs[0]) - 1)
    da, db = _product_of_matrices(bw, a, bw.op("Flatten", bw.dy, axis=bw.rank(bw.y) - 1))
    return [bw.reshape_like(da, bw.inputs[0]) if da else None, db]


def _product_of_stacks(bw: Backward) -> Gradients:
    a, b = bw.inputs
    dims_a, dims_b = bw.dims(a), bw.dims(b)
    dy = bw.dy
    if len(dims_b) == 1:
        b, dims_b = bw.op("Unsqueeze", b, bw.ints([1])), (*dims_b, 1)
        dy = bw.op("Unsqueeze", dy, bw.ints([-1]))
    if len(dims_a) == 1:
        a, dims_a = bw.op("Unsqueeze", a, bw.ints([0])), (1, *dims_a)
        dy = bw.op("Unsqueeze", dy, bw.ints([-2]))
    stack = _stack(bw)
    da = db = None
    if bw.needs[0]:
        product = bw.op("MatMul", dy, _transposed(bw, b, len(dims_b)))
        da = _unstacked(bw, product, (*stack, *dims_a[-2:]), 0)
    if bw.needs[1]:
        product = bw.op("MatMul", _transposed(bw, a, len(dims_a)), dy)
        db = _unstacked(bw, product, (*stack, *dims_b[-2:]), 1)
    return [da, db]


def _stack(bw: Backward) -> tuple[Dim, ...]:
    """The broadcast leading sizes of the product."""
    matrix = sum(bw.rank(name) > 1 for name in bw.inputs)
    dims = bw.dims(bw.y)
    return dims[: len(dims) - matrix]


def _transposed(bw: Backward, matrix: str, rank: int) -> str:
    return bw.transpose(matrix, [*range(rank - 2), rank - 1, rank - 2])


def _unstacked(bw: Backward, product: str, dims: tuple[Dim, ...], index: int) -> str:
    """Sums a stack of gradients down to an input, which may be a vector."""
    name = bw.inputs[index]
    if bw.rank(name) > 1:
        return bw.sum_to(product, dims, name)
    return bw.reshape_like(bw.reduce_sum(product, list(range(len(dims) - 2))), name)
