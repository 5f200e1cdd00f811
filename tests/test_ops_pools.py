"""Pools by powers, filters and bins: their gradients at zero, and sizes that are known at run time only."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from graph_builder import NetBuilder
from onnx import TensorProto, helper
from op_running import applied, compiled, run, session

from netdsl.analysis.receptive import fields_of, summary
from netdsl.autodiff import gradient
from netdsl.lower import compile_model


@pytest.mark.parametrize("provider", ["cpu", "cuda"])
@pytest.mark.parametrize("op, args", [("lp_pool", {"kernel": 2}), ("lp_pool", {"kernel": 2, "p": 3}),
                                      ("lp_pool", {"kernel": 2, "p": 1}), ("feature_pool", {"kernel": 2, "mode": "l2"}),
                                      ("l2_norm", {})])  # fmt: skip
def test_the_gradient_is_finite_where_all_is_zero(op, args, provider):
    """In one sample a window of zeros among others, in the other nothing but zeros."""
    b, node = applied(op, [(4, 4)], args)
    model = compiled(b, node, {}, provider)
    model.graph.node.append(helper.make_node("ReduceSum", ["y"], ["of"], keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info("of", TensorProto.FLOAT, ()))
    x = np.random.default_rng(0).standard_normal((2, 4, 4)).astype(np.float32)
    x[0, :2, :2] = 0
    x[1] = 0
    y, found = session(gradient(model, "of", ["x0"])).run(["y", "grad/x0"], {"x0": x})
    assert np.isfinite(y).all() and np.isfinite(found).all()
    if op != "l2_norm":  # whose slope there is 1 / eps
        np.testing.assert_array_equal(found[1], 0)
        assert (found[0, 2:, 2:] != 0).all()


@pytest.mark.parametrize("sigma", [1e-38, 1e-4, 1e30])
@pytest.mark.parametrize("kernel", [2, 3])
def test_a_gaussian_of_any_width(kernel, sigma):
    """A narrow one takes the middle, or the mean of the two cells there; a wide one is a mean."""
    b, node = applied("gaussian_pool", [(1, kernel)], {"kernel": kernel, "sigma": sigma})
    x = np.arange(1, 1 + kernel, dtype=np.float32).reshape(1, 1, kernel) ** 2
    wide = kernel == 2 or sigma > 1
    np.testing.assert_allclose(run(compiled(b, node, {}), [x]), [[[x.mean() if wide else 4]]], rtol=1e-6)


@pytest.mark.parametrize("kind", ["max", "avg"])
@pytest.mark.parametrize("size", [(1, 1), (3, 8), (7, 7), (13, 29)])
def test_one_model_has_bins_for_any_size(kind, size):
    """Values and gradients as PyTorch's, also with more bins than cells."""
    b = NetBuilder()
    y = b.apply(f"adaptive_{kind}_pool", b.input("x", 2, ("H", 20), ("W", 20)), size=[7, 3])
    assert y.shape == (2, 7, 3)
    model = compile_model(b.graph(y=y), {})
    model.graph.node.append(helper.make_node("ReduceSumSquare", ["y"], ["of"], keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info("of", TensorProto.FLOAT, ()))
    x = np.random.default_rng(0).standard_normal((3, 2, *size)).astype(np.float32)
    t = torch.tensor(x, requires_grad=True)
    expected = getattr(F, f"adaptive_{kind}_pool2d")(t, (7, 3))
    expected.square().sum().backward()
    found, slope = session(gradient(model, "of", ["x"])).run(["y", "grad/x"], {"x": x})
    np.testing.assert_allclose(found, expected.detach(), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(slope, t.grad, rtol=1e-5, atol=1e-5)


def test_bins_behind_a_convolution_see_what_they_cover():
    """4 bins over 10 cells start at 0, 2, 5, 7 and end at 3, 5, 8, 10; a 3 x 3 convolution before adds one on each side."""
    b = NetBuilder()
    x = b.input("x", 1, 10)
    node = b.node("adaptive_avg_pool", b.apply("conv", x, channels=1, kernel=3), size=4)
    field = summary(fields_of(b.inputs, b.nodes)[node.output][x])
    assert field is not None and (field.size, field.start) == ((5,), (-1,))
