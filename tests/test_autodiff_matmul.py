"""Matrix products."""

import pytest
from autodiff_support import check, normal


@pytest.mark.parametrize("ta", [0, 1])
@pytest.mark.parametrize("tb", [0, 1])
@pytest.mark.parametrize("c", [(4,), (3, 1), (3, 4), ()])
def test_gemm(ta, tb, c):
    a, b = normal(*((5, 3) if ta else (3, 5))), normal(*((4, 5) if tb else (5, 4)), seed=1)
    body = f"y = Gemm<transA={ta},transB={tb},alpha=0.5,beta=2.0>(a, b, c)"
    check(
        body, {"a": a, "b": b, "c": normal(*c, seed=2)}, symbolic=None if ta else {"a": ("N", 5)} if c == (4,) else None
    )


def test_gemm_without_bias():
    check("y = Gemm(a, b)", {"a": normal(3, 5), "b": normal(5, 4, seed=1)}, symbolic={"a": ("N", 5)})


SHAPES = [
    ((3, 5), (5, 4)), ((2, 3, 5), (5, 4)), ((2, 3, 5), (2, 5, 4)), ((2, 1, 3, 5), (6, 5, 4)), ((3, 5), (2, 5, 4)),
    ((5,), (5,)), ((5,), (5, 4)), ((3, 5), (5,)), ((2, 3, 5), (5,)), ((5,), (2, 5, 4)), ((2, 6, 3, 5), (5, 4)),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_matmul(a, b):
    symbolic = {"a": ("N", *a[1:])} if len(a) > 1 and len(a) >= len(b) and (len(b) < 3) else None
    check("y = MatMul(a, b)", {"a": normal(*a), "b": normal(*b, seed=1)}, symbolic=symbolic)
