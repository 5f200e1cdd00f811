"""Pooling."""

import numpy as np
import pytest
import torch
from autodiff_support import build, check, normal, session

from netdsl.autodiff import gradient

SPACES = {1: (9,), 2: (7, 8), 3: (4, 5, 4)}
POOLS = [
    (2, "kernel_shape=[2,2],strides=[2,2]"),
    (2, "kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1]"),
    (2, "kernel_shape=[3,3]"),
    (2, "kernel_shape=[2,3],strides=[3,3]"),
    (2, "kernel_shape=[3,2],strides=[2,3],pads=[1,0,0,1]"),
    (2, "kernel_shape=[2,2],strides=[2,2],ceil_mode=1"),
    (2, "kernel_shape=[3,3],strides=[2,2],dilations=[2,2]"),
    (2, 'kernel_shape=[3,3],strides=[2,2],auto_pad="SAME_UPPER"'),
    (1, "kernel_shape=[3],strides=[2]"),
    (1, "kernel_shape=[2],strides=[2],pads=[1,1]"),
    (3, "kernel_shape=[2,2,2],strides=[2,2,2]"),
    (3, "kernel_shape=[2,3,2],strides=[1,2,1],pads=[0,1,0,1,1,0]"),
]


@pytest.mark.parametrize(("rank", "attributes"), POOLS)
def test_average_pool(rank, attributes):
    x = {"x": normal(2, 3, *SPACES[rank])}
    static = "ceil_mode" in attributes or "auto_pad" in attributes
    space = SPACES[rank] if static else ["H", "W", "D"][:rank]
    check(f"y = AveragePool<{attributes}>(x)", x, symbolic={"x": ("N", 3, *space)})
    if "ceil_mode" not in attributes:
        check(f"y = AveragePool<{attributes},count_include_pad=1>(x)", x, symbolic={"x": ("N", 3, *SPACES[rank])})


@pytest.mark.parametrize(("rank", "attributes"), POOLS)
def test_max_pool(rank, attributes):
    """All elements differ, so a maximum tells by its value where it came from."""
    x = normal(2, 3, *SPACES[rank]).astype(np.float32)
    body = f"y = MaxPool<{attributes}>(x) z = Mul(y, y) of = ReduceSum<keepdims=0>(z)"
    for symbolic in (None, {"x": ("N", 3, *SPACES[rank])}):
        model = build(body, {"x": x}, dtype=np.float32, symbolic=symbolic)
        found = session(gradient(model, "of", ["x"])).run(["grad/x"], {"x": x})[0]
        y = session(build(body, {"x": x}, dtype=np.float32, outputs=["y"])).run(["y"], {"x": x})[0]
        expected = np.zeros_like(x)
        for entry in y.ravel():
            expected[x == entry] += 2 * entry
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_max_pool_with_its_indices_in_column_order():
    x = normal(1, 2, 4, 4).astype(np.float32)
    body = "y, i = MaxPool<kernel_shape=[2,2],strides=[2,2],storage_order=1>(x) of = ReduceSum<keepdims=0>(y)"
    found = session(gradient(build(body, {"x": x}, dtype=np.float32), "of", ["x"])).run(["grad/x"], {"x": x})[0]
    t = torch.tensor(x, requires_grad=True)
    torch.nn.functional.max_pool2d(t, 2).sum().backward()
    np.testing.assert_array_equal(found, t.grad)


def test_ties_go_to_the_first_maximum():
    x = np.zeros((1, 1, 4, 4), np.float32)
    body = "y = MaxPool<kernel_shape=[3,3],strides=[1,1]>(x) of = ReduceSum<keepdims=0>(y)"
    found = session(gradient(build(body, {"x": x}, dtype=np.float32), "of", ["x"])).run(["grad/x"], {"x": x})[0]
    t = torch.tensor(x, requires_grad=True)
    torch.nn.functional.max_pool2d(t, 3, 1).sum().backward()
    np.testing.assert_array_equal(found, t.grad)


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("opset", [18, 20, 22])
def test_average_pool_equals_pytorch(kernel, include, size, opset):
    """Rounded up, with and without the padding counted."""
    x = normal(2, 3, size, size).astype(np.float32)
    body = (
        f"y = AveragePool<kernel_shape=[{kernel},{kernel}],strides=[2,2],pads=[1,1,1,1],ceil_mode=1,"
        f"count_include_pad={include}>(x)"
        " z = Mul(y, y) of = ReduceSum<keepdims=0>(z)"
    )
    t = torch.tensor(x, requires_grad=True)
    torch.nn.functional.avg_pool2d(
        t, kernel, 2, 1, ceil_mode=True, count_include_pad=bool(include)
    ).square().sum().backward()
    found = session(gradient(build(body, {"x": x}, dtype=np.float32, opset=opset), "of", ["x"])).run(
        ["grad/x"], {"x": x}
    )[0]
    np.testing.assert_allclose(found, t.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_global_average_pool(rank):
    symbolic = {"x": ("N", 3, *["H", "W", "D"][:rank])}
    check("y = GlobalAveragePool(x)", {"x": normal(2, 3, *SPACES[rank])}, symbolic=symbolic)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_global_max_pool(rank):
    x = normal(2, 3, *SPACES[rank]).astype(np.float32)
    body = "y = GlobalMaxPool(x) z = Mul(y, y) of = ReduceSum<keepdims=0>(z)"
    largest = x.max(axis=tuple(range(2, rank + 2)), keepdims=True)
    for symbolic in (None, {"x": ("N", 3, *["H", "W", "D"][:rank])}):
        model = build(body, {"x": x}, dtype=np.float32, symbolic=symbolic)
        found = session(gradient(model, "of", ["x"])).run(["grad/x"], {"x": x})[0]
        np.testing.assert_allclose(found, np.where(x == largest, 2 * x, 0), rtol=1e-6)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize(("rank", "attributes"), POOLS)
def test_lp_pool(rank, attributes, p):
    check(f"y = LpPool<{attributes},p={p}>(x)", {"x": normal(2, 3, *SPACES[rank])}, run_float32=p != 1)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_global_lp_pool(p):
    check(f"y = GlobalLpPool<p={p}>(x)", {"x": normal(2, 3, 4, 5)}, symbolic={"x": ("N", 3, "H", "W")}, opset=20)


def test_lp_pool_of_zeros_has_a_gradient_of_zero():
    x = np.zeros((1, 1, 4, 4), np.float32)
    body = "y = LpPool<kernel_shape=[2,2],strides=[2,2]>(x) of = ReduceSum<keepdims=0>(y)"
    found = session(gradient(build(body, {"x": x}, dtype=np.float32), "of", ["x"])).run(["grad/x"], {"x": x})[0]
    np.testing.assert_array_equal(found, x)


def test_max_unpool_equals_pytorch():
    """An odd size, which the output shape restores."""
    image, x = normal(2, 3, 5, 7).astype(np.float32), normal(2, 3, 2, 3).astype(np.float32)
    where = torch.nn.functional.max_pool2d(torch.tensor(image), 2, return_indices=True)[1]
    t, r = torch.tensor(x, requires_grad=True), normal(2, 3, 5, 7, seed=3).astype(np.float32)
    (torch.nn.functional.max_unpool2d(t, where, 2, output_size=[5, 7]) * torch.tensor(r)).sum().backward()
    # ONNX counts positions over all planes
    planes = (np.arange(6) * 35).reshape(2, 3, 1, 1)
    body = "y = MaxUnpool<kernel_shape=[2,2],strides=[2,2]>(x, i, s) v = Reshape(y, s) z = Mul(v, r) of = ReduceSum<keepdims=0>(z)"
    feeds = {"x": x, "i": where.numpy() + planes}
    model = build(body, feeds, {"s": np.array([2, 3, 5, 7]), "r": r}, dtype=np.float32)
    found = session(gradient(model, "of", ["x"])).run(["grad/x"], feeds)[0]
    np.testing.assert_allclose(found, t.grad, rtol=1e-6)
