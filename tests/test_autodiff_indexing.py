"""Operators that write and select elements by index, Einsum, and sequences."""

import numpy as np
import pytest
import torch
from autodiff_support import build, check, ints, normal, positive, session

from netdsl.autodiff import GradientError, gradient


@pytest.mark.parametrize("reduction", ["none", "add"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_scatter_elements(axis, reduction):
    """Distinct places, some counted from the end; twice the same where updates are added."""
    places = np.argsort(normal(3, 3, 3), axis)
    places[places == 1] -= 3
    if reduction == "add":
        places = np.zeros_like(places)
    body = f'y = ScatterElements<axis={axis},reduction="{reduction}">(x, i, u)'
    check(body, {"x": normal(3, 3, 3), "i": places, "u": normal(3, 3, 3, seed=1)}, symbolic={"x": ("N", 3, 3)})


@pytest.mark.parametrize("reduction", ["none", "add"])
@pytest.mark.parametrize(
    ("places", "updates"), [([[0], [2]], (2, 4, 5)), ([[1, 3], [0, -1]], (2, 5)), ([[[2, 0, 1]]], (1, 1))]
)
def test_scatter_nd(places, updates, reduction):
    feeds = {"x": normal(3, 4, 5), "u": normal(*updates, seed=1)}
    check(
        f'y = ScatterND<reduction="{reduction}">(x, i, u)', feeds, {"i": np.array(places)}, symbolic={"x": ("N", 4, 5)}
    )


@pytest.mark.parametrize("operator", ["ScatterND", "ScatterElements"])
def test_a_scatter_that_multiplies_is_refused(operator):
    body = f'y = {operator}<reduction="mul">(x, i, x) of = ReduceSum<keepdims=0>(y)'
    model = build(body, {"x": normal(2)}, {"i": np.zeros((2, 1) if operator == "ScatterND" else 2, np.int64)})
    with pytest.raises(GradientError, match=f"{operator}.*reduction mul"):
        gradient(model, "of", ["x"])


@pytest.mark.parametrize("batch", [1, 2])
def test_gather_nd_within_a_batch(batch):
    places = np.random.default_rng(0).integers(0, 2, (2, 3, 2, 1))
    check(
        f"y = GatherND<batch_dims={batch}>(x, i)",
        {"x": normal(2, 3, 4, 2)},
        {"i": places},
        symbolic={"x": ("N", 3, 4, 2)},
    )


@pytest.mark.parametrize(("axis", "largest"), [(0, 1), (-1, 0), (1, 1)])
def test_top_k(axis, largest):
    check(
        f"y, i = TopK<axis={axis},largest={largest}>(x, k)",
        {"x": normal(3, 4, 5)},
        {"k": ints(2)},
        symbolic={"x": ("N", 4, 5)},
    )


def test_compress():
    condition = {"c": np.array([True, False, True])}
    check("y = Compress<axis=-2>(x, c)", {"x": normal(2, 3, 4)}, condition, symbolic={"x": ("N", 3, 4)})
    check("y = Compress(x, c)", {"x": normal(2, 3)}, condition)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_one_hot_values(axis):
    check(
        f"y = OneHot<axis={axis}>(i, d, v)",
        {"v": normal(2)},
        {"i": np.array([[0, 2, -1], [5, 1, 1]]), "d": np.array(3)},
    )


EQUATIONS = [
    ("ij,jk->ik", [(3, 4), (4, 5)]), ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]), ("ij->ji", [(3, 4)]), ("ij->", [(3, 4)]),
    ("ij->i", [(3, 4)]), ("ii->i", [(3, 3)]), ("ii->", [(3, 3)]), ("iij->j", [(3, 3, 2)]), ("i,j->ij", [(3,), (4,)]),
    ("i,i,i->", [(3,), (3,), (3,)]), ("...ij,...jk->...ik", [(2, 3, 4), (1, 4, 5)]), ("bij , bkj", [(2, 3, 4), (2, 5, 4)]),
    ("...i,...i->...", [(2, 1, 3), (1, 4, 3)]), ("bhqd,bhkd->bhqk", [(1, 2, 3, 4), (1, 2, 5, 4)]), ("i->", [(3,)]),
]  # fmt: skip


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS)
def test_einsum(equation, shapes):
    names = "abc"[: len(shapes)]
    feeds = {name: normal(*shape, seed=i) for i, (name, shape) in enumerate(zip(names, shapes, strict=True))}
    body = f'y = Einsum<equation="{equation}">({", ".join(names)})'
    symbolic = {name: ("N", *shape[1:]) for name, shape in zip(names, shapes, strict=True)}
    plain = equation.startswith("bij,")
    check(body, feeds, symbolic=symbolic if plain else None)
    if "," in equation and "->" in equation:
        tensors = [torch.tensor(value, requires_grad=True) for value in feeds.values()]
        torch.einsum(equation, *tensors).square().sum().backward()
        model = build(f"{body} z = Mul(y, y) of = ReduceSum<keepdims=0>(z)", feeds, dtype=np.float32)
        narrow = {name: value.astype(np.float32) for name, value in feeds.items()}
        found = session(gradient(model, "of", list(feeds))).run([f"grad/{name}" for name in feeds], narrow)
        for value, tensor in zip(found, tensors, strict=True):
            np.testing.assert_allclose(value, tensor.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("k", [None, -1, 2])
def test_trilu(upper, k):
    body = f"y = Trilu<upper={upper}>(x{', k' if k is not None else ''})"
    check(body, {"x": normal(2, 3, 4)}, {"k": np.array(k or 0)}, symbolic={"x": ("N", 3, 4)})


@pytest.mark.parametrize(("time", "batch"), [(0, 1), (1, 0)])
def test_reverse_sequence(time, batch):
    body = f"y = ReverseSequence<time_axis={time},batch_axis={batch}>(x, n)"
    check(body, {"x": normal(3, 3, 2)}, {"n": ints(1, 3, 2)})


def test_range():
    """The reference evaluator has no float64 here: y = [start, start + delta, start + 2 delta]."""
    feeds = {"a": np.float32(1), "d": np.float32(0.5)}
    model = build("y = Range(a, l, d) z = Mul(y, r) of = ReduceSum<keepdims=0>(z)", {k: np.array(v) for k, v in feeds.items()},
                  {"l": np.array(2.4), "r": np.array([1.0, 10, 100])}, dtype=np.float32)  # fmt: skip
    found = session(gradient(model, "of", ["a", "d"])).run(
        ["grad/a", "grad/d"], {k: np.array(v) for k, v in feeds.items()}
    )
    np.testing.assert_allclose(found, [111, 210])


def test_mod():
    feeds = {"a": normal(3, 4) * 3, "b": positive(4)}
    check("y = Mod<fmod=1>(a, b)", feeds, symbolic={"a": ("N", 4)})
