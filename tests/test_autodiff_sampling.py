"""Resize, and the samplers of spatial transformers."""

import numpy as np
import pytest
import torch
from autodiff_support import build, check, ints, normal, session

from netdsl.autodiff import GradientError, gradient
from netdsl.autodiff.float64 import evaluator

MODES = [
    'mode="nearest"', 'mode="nearest",nearest_mode="ceil",coordinate_transformation_mode="asymmetric"', 'mode="linear"',
    'mode="linear",coordinate_transformation_mode="align_corners"', 'mode="cubic"', 'mode="cubic",cubic_coeff_a=-0.5',
    'mode="linear",coordinate_transformation_mode="half_pixel_symmetric"', 'mode="cubic",exclude_outside=1',
    'mode="linear",antialias=1', 'mode="cubic",antialias=1',
]  # fmt: skip


@pytest.mark.parametrize("attributes", MODES)
@pytest.mark.parametrize("scales", [(1, 1, 2, 3), (1, 1, 0.6, 1.7)])
def test_resize_by_scales(attributes, scales):
    symbolic = {"x": ("N", 2, "H", "W")}
    body = f"s = Constant<value_floats=[{', '.join(map(str, map(float, scales)))}]>() y = Resize<{attributes}>(x, , s)"
    # where the scales are fractions, the reference evaluator aligns other corners than ONNX Runtime and PyTorch
    same = "align_corners" not in attributes or scales[3] == 3
    check(body, {"x": normal(2, 2, 5, 4)}, symbolic=symbolic, run_float32=same)


@pytest.mark.parametrize("attributes", MODES)
def test_resize_to_sizes_of_a_symbolic_image(attributes):
    check(f"y = Resize<{attributes}>(x, , , s)", {"x": normal(2, 2, 4, 5)}, {"s": ints(2, 2, 7, 3)},
          symbolic={"x": (2, 2, "H", "W")})  # fmt: skip


def test_resize_of_listed_axes_and_volumes():
    check(
        'y = Resize<mode="linear",axes=[2]>(x, , , s)',
        {"x": normal(2, 2, 4)},
        {"s": ints(7)},
        symbolic={"x": ("N", 2, "W")},
    )
    check('y = Resize<mode="linear">(x, , , s)', {"x": normal(1, 2, 3, 4, 3)}, {"s": ints(1, 2, 5, 3, 4)})


@pytest.mark.parametrize("extrapolation", [0, 10])
def test_crop_and_resize(extrapolation):
    """A region that reaches beyond the image; what lies there does not depend on it."""
    roi = "region = Constant<value_floats=[0.0, 0.0, 0.2, -0.3, 1.0, 1.0, 0.9, 0.7]>()"
    attributes = (
        f'mode="linear",coordinate_transformation_mode="tf_crop_and_resize",extrapolation_value={extrapolation}.0'
    )
    check(f"{roi} y = Resize<{attributes}>(x, region, , s)", {"x": normal(1, 2, 5, 6)}, {"s": ints(1, 2, 4, 3)})


def test_resize_that_keeps_the_ratio_is_refused():
    body = 'y = Resize<keep_aspect_ratio_policy="not_larger",axes=[2,3]>(x, , , s) of = ReduceSum<keepdims=0>(y)'
    with pytest.raises(GradientError, match="keep_aspect_ratio_policy"):
        gradient(build(body, {"x": normal(1, 1, 4, 4)}, {"s": ints(7, 9)}), "of", ["x"])


@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("aligned", [0, 1])
def test_grid_sample_equals_pytorch(mode, padding, aligned):
    """Positions well beyond the image, too, in float64."""
    feeds = {"x": normal(2, 3, 5, 4), "g": np.random.default_rng(1).uniform(-2.5, 2.5, (2, 3, 6, 2))}
    torch_mode = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    _compare_grids(feeds, mode, torch_mode, padding, aligned, {"x": ("N", 3, "H", "W"), "g": ("N", "P", "Q", 2)})


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_volumetric_grid_sample_equals_pytorch(mode, padding):
    feeds = {"x": normal(1, 2, 3, 4, 5), "g": np.random.default_rng(1).uniform(-1.5, 1.5, (1, 2, 3, 2, 3))}
    _compare_grids(feeds, mode, {"linear": "bilinear"}.get(mode, mode), padding, 0, {"x": (1, 2, "D", "H", "W")})


def _compare_grids(feeds, mode, torch_mode, padding, aligned,
                   symbolic):  # fmt: skip
    x, g = (torch.tensor(value, requires_grad=True) for value in feeds.values())
    y = torch.nn.functional.grid_sample(x, g, torch_mode, padding, bool(aligned))
    r = normal(*y.shape, seed=5)
    (y * torch.tensor(r)).sum().backward()
    node = f'GridSample<mode="{mode}",padding_mode="{padding}",align_corners={aligned}>(x, g)'
    body = f"y = {node} w = Mul(y, r) of = ReduceSum<keepdims=0>(w)"
    for shapes in (None, symbolic):
        model = gradient(build(body, feeds, {"r": r}, symbolic=shapes), "of", ["x", "g"])
        found = evaluator(model).run(["grad/x", "grad/g"], feeds)
        for value, tensor in zip(found, (x, g), strict=True):
            np.testing.assert_allclose(value, tensor.grad, atol=1e-12)
    model = gradient(build(body, feeds, {"r": r}, dtype=np.float32), "of", ["x", "g"])
    narrow = session(model).run(["grad/x", "grad/g"], {name: value.astype(np.float32) for name, value in feeds.items()})
    for value, tensor in zip(narrow, (x, g), strict=True):
        np.testing.assert_allclose(value, tensor.grad, atol=2e-5 * float(tensor.grad.abs().max()) + 1e-6)


@pytest.mark.parametrize("aligned", [0, 1])
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (2, 3, 2, 4, 3)])
def test_affine_grid_equals_pytorch(size, aligned):
    rank = len(size) - 2
    theta, r = normal(2, rank, rank + 1), normal(2, *size[2:], rank, seed=1)
    t = torch.tensor(theta, requires_grad=True)
    (torch.nn.functional.affine_grid(t, list(size), bool(aligned)) * torch.tensor(r)).sum().backward()
    body = f"y = AffineGrid<align_corners={aligned}>(x, s) w = Mul(y, r) of = ReduceSum<keepdims=0>(w)"
    for shape in (None, {"x": ("N", rank, rank + 1)}):
        model = build(body, {"x": theta}, {"s": ints(*size), "r": r}, dtype=np.float32, symbolic=shape)
        found = session(gradient(model, "of", ["x"])).run(["grad/x"], {"x": theta.astype(np.float32)})[0]
        np.testing.assert_allclose(found, t.grad, rtol=1e-5, atol=1e-5)
