"""Operators that move or pick elements, and Resize."""

import numpy as np
import pytest
import torch
from autodiff_support import build, check, ints, normal, session

from netdsl.autodiff import gradient


def test_reshapes():
    x = {"x": normal(2, 3, 4)}
    n = {"x": ("N", 3, 4)}
    check("y = Reshape(x, s)", x, {"s": ints(0, -1)}, symbolic=n)
    check("y = Flatten<axis=2>(x)", x, symbolic=n)
    check("a = Unsqueeze(x, i) y = Squeeze(a, j)", x, {"i": ints(0, 2), "j": ints(0)}, symbolic=n)
    check("y = Squeeze(x)", {"x": normal(1, 3, 1)})
    check(
        "s = Shape(x) y = Reshape(z, s)", {"x": normal(2, 3), "z": normal(6)}, symbolic={"x": ("N", "M"), "z": ("K",)}
    )


def test_transpose():
    check("y = Transpose(x)", {"x": normal(2, 3, 4)})
    check("y = Transpose<perm=[1,2,0]>(x)", {"x": normal(2, 3, 4)}, symbolic={"x": ("N", 3, 4)})


def test_expand_and_tile():
    check("y = Expand(x, s)", {"x": normal(3, 1)}, {"s": ints(2, 1, 4)})
    check("y = Tile(x, n)", {"x": normal(2, 3)}, {"n": ints(2, 3)})


def test_concat_and_split():
    two = {"a": normal(2, 3), "b": normal(2, 1, seed=1)}
    check("y = Concat<axis=-1>(a, b)", two, symbolic={"a": ("N", 3), "b": ("N", 1)})
    check("y = Concat<axis=0>(a, b)", {"a": normal(2, 3), "b": normal(4, 3)}, symbolic={"a": ("N", 3), "b": ("M", 3)})
    check("y, z = Split<axis=1>(x, s)", {"x": normal(2, 5)}, {"s": ints(2, 3)}, symbolic={"x": ("N", 5)})
    check("a, b, c = Split<axis=0,num_outputs=3>(x) y = Mul(a, c)", {"x": normal(6, 2)})


SLICES = [
    ([1], [3], [0], [1]), ([0, 1], [2, -1], [0, 2], [1, 1]), ([-3], [1000], [1], [1]), ([0], [1000], [2], [2]),
    ([1], [5], [2], [3]), ([-1], [-1000], [2], [-1]), ([4, 0], [0, 3], [2, 1], [-2, 2]), ([2], [2], [1], [1]),
]  # fmt: skip


@pytest.mark.parametrize(("starts", "ends", "axes", "steps"), SLICES)
@pytest.mark.parametrize("computed", [False, True])
def test_slice(starts, ends, axes, steps, computed):
    constants = {"s": ints(*starts), "e": ints(*ends), "a": ints(*axes), "t": ints(*steps), "z": ints(0)}
    body = "y = Slice(x, u, e, a, t)" if computed else "y = Slice(x, s, e, a, t)"
    body = "u = Add(s, z) " + body if computed else body
    check(body, {"x": normal(4, 4, 5)}, constants, symbolic={"x": ("N", 4, 5)})


def test_slice_without_axes():
    check("y = Slice(x, s, e)", {"x": normal(4, 5)}, {"s": ints(1, 0), "e": ints(3, 4)})


@pytest.mark.parametrize("pads", [(0, 1, 0, 2), (1, 0, 2, 0)])
def test_pad(pads):
    check("y = Pad(x, p)", {"x": normal(4, 5)}, {"p": ints(*pads)}, symbolic={"x": ("N", 5)})


@pytest.mark.parametrize("pads", [(0, -1, 0, 2), (-1, -1, -1, 0), (-2, 3, 1, -1)])
def test_negative_pads_equal_pytorch(pads):
    """The reference evaluator has no negative pads."""
    x = normal(4, 5).astype(np.float32)
    body = "y = Pad(x, p) z = Mul(y, y) of = ReduceSum<keepdims=0>(z)"
    found = session(gradient(build(body, {"x": x}, {"p": ints(*pads)}, dtype=np.float32), "of", ["x"])).run(
        ["grad/x"], {"x": x}
    )
    t = torch.tensor(x, requires_grad=True)
    torch.nn.functional.pad(t, (pads[1], pads[3], pads[0], pads[2])).square().sum().backward()
    np.testing.assert_array_equal(found[0], t.grad)


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
def test_pad_by_repetition(mode):
    check(f'y = Pad<mode="{mode}">(x, p)', {"x": normal(2, 4, 5)}, {"p": ints(0, 1, 2, 0, 2, 3)})
    check(f'y = Pad<mode="{mode}">(x, p, , a)', {"x": normal(2, 4)}, {"p": ints(2, 1), "a": ints(-1)})


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("indices", [[0, 2, 2, -1], [[1, 0], [1, 1]], 2])
def test_gather(axis, indices):
    rows = np.array(indices, np.int64)
    check(f"y = Gather<axis={axis}>(x, i)", {"x": normal(3, 4, 5)}, {"i": rows})
    if axis:
        check(f"y = Gather<axis={axis}>(x, i)", {"x": normal(3, 4, 5)}, {"i": rows}, symbolic={"x": ("N", 4, 5)})


def test_gather_elements_and_nd():
    check("y = GatherElements<axis=1>(x, i)", {"x": normal(2, 4)}, {"i": np.array([[0, 0, 3], [1, 2, 1]])})
    for indices in ([[0], [-1], [3]], [[0], [2], [3]]):
        check("y = GatherElements<axis=1>(x, i)", {"x": normal(3, 4)}, {"i": np.array(indices, np.int32)})
    check("y = GatherND(x, i)", {"x": normal(2, 4)}, {"i": np.array([[0, 0], [1, 2], [0, 0]])})


def test_gather_elements_of_some_lines_equals_pytorch():
    """The reference evaluator wants indices for every line."""
    x, i = normal(3, 4).astype(np.float32), np.array([[0], [3]])
    body = "y = GatherElements<axis=1>(x, i) z = Mul(y, y) of = ReduceSum<keepdims=0>(z)"
    model = gradient(build(body, {"x": x}, {"i": i}, dtype=np.float32), "of", ["x"])
    t = torch.tensor(x, requires_grad=True)
    t.gather(1, torch.tensor(i)).square().sum().backward()
    np.testing.assert_array_equal(session(model).run(["grad/x"], {"x": x})[0], t.grad)


def test_integers_stop_the_gradient():
    body = "s = Shape(x) f = Cast<to=11>(s) g = ReduceSum(f) i = ArgMax<axis=1>(x) j = Cast<to=11>(i)"
    check(f"{body} a = Mul(x, j) y = Mul(a, g)", {"x": normal(2, 4)}, run_float32=False)


NEAREST = [
    ("asymmetric", "floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
    ("align_corners", "ceil"),
]


@pytest.mark.parametrize(("transformation", "rounding"), NEAREST)
@pytest.mark.parametrize("scale", [(2.0, 3.0), (1.0, 2.0), (0.5, 1.5)])
def test_resize_nearest(transformation, rounding, scale):
    attributes = f'coordinate_transformation_mode="{transformation}",nearest_mode="{rounding}"'
    scales = {"s": np.array([1, 1, *scale], np.float32)}
    _check_resize(attributes, normal(2, 3, 4, 4), scales)


def _check_resize(attributes, x, scales):
    """The scales stay float32 whatever the type of the data."""
    text = ", ".join(str(float(s)) for s in scales["s"])
    check(
        f"s = Constant<value_floats=[{text}]>() y = Resize<{attributes}>(x, , s)",
        {"x": x},
        symbolic={"x": ("N", *x.shape[1:])},
    )


@pytest.mark.parametrize("transformation", ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"])
@pytest.mark.parametrize("scale", [(2.0, 2.0), (3.0, 1.0), (0.5, 0.5)])
def test_resize_linear(transformation, scale):
    attributes = f'mode="linear",coordinate_transformation_mode="{transformation}"'
    _check_resize(attributes, normal(2, 3, 4, 6), {"s": np.array([1, 1, *scale])})


@pytest.mark.parametrize("rank", [1, 3])
def test_resize_other_ranks(rank):
    x = normal(2, 2, *[3, 4, 2][:rank])
    _check_resize(
        'mode="nearest",coordinate_transformation_mode="asymmetric",nearest_mode="floor"',
        x,
        {"s": np.array([1, 1] + [2] * rank)},
    )
    _check_resize('mode="linear"', x, {"s": np.array([1, 1] + [2] * rank)})


def test_repetition_of_symbolic_sizes():
    attributes = 'mode="nearest",coordinate_transformation_mode="asymmetric",nearest_mode="floor"'
    body = f"s = Constant<value_floats=[1.0, 1.0, 2.0, 3.0]>() y = Resize<{attributes}>(x, , s)"
    check(body, {"x": normal(2, 3, 4, 5)}, symbolic={"x": ("N", 3, "H", "W")})


def test_resize_to_sizes():
    check('y = Resize<mode="linear">(x, , , s)', {"x": normal(2, 3, 4, 4)}, {"s": ints(2, 3, 7, 5)})


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("block", [2, 3])
def test_depth_to_space(mode, block):
    body = f'y = DepthToSpace<blocksize={block},mode="{mode}">(x)'
    check(body, {"x": normal(2, 2 * block**2, 3, 2)}, symbolic={"x": ("N", 2 * block**2, "H", "W")})


@pytest.mark.parametrize("block", [2, 3])
def test_space_to_depth(block):
    x = {"x": normal(2, 3, 2 * block, block)}
    check(f"y = SpaceToDepth<blocksize={block}>(x)", x, symbolic={"x": ("N", 3, "H", "W")})


def test_pad_by_computed_amounts():
    """Negative pads too, which the reference evaluator lacks."""
    x = normal(3, 4).astype(np.float32)
    body = "q = Identity(p) y = Pad(x, q) z = Mul(y, y) of = ReduceSum<keepdims=0>(z)"
    model = build(body, {"x": x, "p": ints(1, -1, 0, 2)}, dtype=np.float32)
    found = session(gradient(model, "of", ["x"])).run(["grad/x"], {"x": x, "p": ints(1, -1, 0, 2)})[0]
    expected = 2 * x
    expected[:, 0] = 0
    np.testing.assert_allclose(found, expected)
