"""Pools that tell where their maxima stood, and the way back, as in SegNet and DeconvNet."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from graph_builder import NetBuilder
from net_text import graph
from onnx import TensorProto, helper, numpy_helper
from op_running import session

from netdsl.analysis import analyze
from netdsl.autodiff import gradient
from netdsl.lower import compile_model

SIZES = [(45, 46), (46, 45), (2, 3), (8, 8)]


def there_and_back(b, x, **pool):
    """x * 0.5 behind the pool, back where it came from, in x's size."""
    pooled, where = b.node("max_pool", x, indices=True, **pool).outputs
    half = b.apply("mul", pooled, right=0.5)
    windows = {name: value for name, value in pool.items() if name in ("kernel", "stride", "pad")}
    return b.apply("unpool", half, where, x, **windows)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pool", [{"kernel": 2, "ceil": True}, {"kernel": 2}, {"kernel": 2, "pad": "same"}], ids=str)
def test_a_symbolic_size_comes_back_as_in_torch(pool, size):
    """45 -> 23 -> 45 and 46 -> 23 -> 46 by one model, with gradients; what the pool left out is zero."""
    b = NetBuilder()
    image = b.input("x", 3, ("H", 45), ("W", 45))
    y = there_and_back(b, image, **pool)
    assert y.shape == image.shape
    model = compile_model(b.graph(y=y), {})
    x = np.random.default_rng(0).standard_normal((4, 3, *size)).astype(np.float32)
    t = torch.tensor(x, requires_grad=True)
    small, flat = F.max_pool2d(t, 2, ceil_mode="ceil" in pool or "pad" in pool, return_indices=True)
    expected = F.max_unpool2d(small * 0.5, flat, 2, output_size=size)
    np.testing.assert_array_equal(session(model).run(["y"], {"x": x})[0], expected.detach())

    weights = np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    (expected * torch.from_numpy(weights)).sum().backward()
    model.graph.initializer.append(numpy_helper.from_array(weights, "weights"))
    model.graph.node.append(helper.make_node("Mul", ["y", "weights"], ["weighted"]))
    model.graph.node.append(helper.make_node("ReduceSum", ["weighted"], ["of"], keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info("of", TensorProto.FLOAT, ()))
    found = session(gradient(model, "of", ["x"])).run(["grad/x"], {"x": x})[0]
    np.testing.assert_allclose(found, t.grad, rtol=1e-6, atol=1e-6)


def test_a_sample_has_the_same_places_in_any_batch():
    b = NetBuilder()
    _, where = b.node("max_pool", b.input("x", 3, 8, 9), kernel=3, stride=2, pad=1, indices=True).outputs
    running = session(compile_model(b.graph(where=where), {}))
    x = np.random.default_rng(0).standard_normal((5, 3, 8, 9)).astype(np.float32)
    together = running.run(None, {"x": x})[0]
    assert together.dtype == np.int64 and together.min() >= 0 and together.max() < 9
    alone = [running.run(None, {"x": x[i : i + 1]})[0] for i in range(5)]
    np.testing.assert_array_equal(together, np.concatenate(alone))


def test_places_stay_within_the_window_whatever_the_numbers():
    """ONNX Runtime's position of the greatest of NaN or of negative infinities is no cell."""
    b = NetBuilder()
    y = there_and_back(b, b.input("x", 2, 4, 4), kernel=2)
    running = session(compile_model(b.graph(y=y), {}))
    for filling in (np.nan, -np.inf):
        found = running.run(None, {"x": np.full((2, 2, 4, 4), filling, np.float32)})[0]
        assert (found != 0).sum() == 16 and np.count_nonzero(found == 0) == 48


SEGNET = """
net tiny : image[3, H = 45, W = 46] -> scores {
    x = image -> conv(8, 3) -> relu
    small, where = x -> max_pool(2, ceil = true, indices = true)
    y = small -> conv(8, 3) -> relu
    scores = (y, where, x) -> unpool(2) -> conv(4, 3)

    expect scores.shape == [4, H, W]
}
"""


def test_the_report_has_both_outputs():
    report = analyze(graph(SEGNET))
    pool, unpool = (next(layer for layer in report.layers if layer.op == op) for op in ("max_pool", "unpool"))
    assert [(t.shape, t.dtype) for t in pool.outputs] == [((8, 23, 23), "float32"), ((8, 23, 23), "int64")]
    assert unpool.output.shape == (8, 45, 46) and len(unpool.inputs) == 3
    # by hand: 3 + 1 in front of the pool, 4 + 2 * 2 behind the second convolution; the way through the places sees 4
    assert [pool.fields["image"].size, unpool.fields["image"].size] == [(4, 4), (8, 8)]
    listed = next(layer for layer in report.to_dict()["layers"] if layer["op"] == "max_pool")
    assert [tensor["dtype"] for tensor in listed["outputs"]] == ["float32", "int64"]
