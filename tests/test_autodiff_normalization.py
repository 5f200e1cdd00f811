"""Normalization over the batch, and of each sample by itself."""

import numpy as np
import pytest
import torch
from autodiff_support import build, check, normal, positive, session

from netdsl.autodiff import gradient


@pytest.mark.parametrize("space", [(), (5,), (3, 4), (2, 3, 2)])
def test_inference_mode(space):
    inputs = {
        "x": normal(4, 3, *space), "s": normal(3, seed=1), "b": normal(3, seed=2),
        "m": normal(3, seed=3), "v": positive(3),
    }  # fmt: skip
    check("y = BatchNormalization(x, s, b, m, v)", inputs, symbolic={"x": ("N", 3, *["H", "W", "D"][: len(space)])})


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("space", [(), (5,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_training_mode_equals_pytorch(momentum, space, offset):
    x = (normal(4, 3, *space) + offset).astype(np.float32)
    s, b = normal(3, seed=1).astype(np.float32), normal(3, seed=2).astype(np.float32)
    tx, ts, tb = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (x, s, b))
    y = torch.nn.functional.batch_norm(tx, None, None, ts, tb, training=True)
    r = normal(*y.shape, seed=4).astype(np.float32)
    y.backward(torch.tensor(r, dtype=torch.float64))
    body = (
        f"y, rm, rv = BatchNormalization<training_mode=1,momentum={momentum}>(x, s, b, m, v)"
        " z = Mul(y, r) of = ReduceSum<keepdims=0>(z)"
    )
    for symbolic in (None, {"x": ("N", 3, *["H", "W", "D"][: len(space)])}):
        # The kernel overwrites its running statistics: they are constants of this one node.
        constants = {"r": r, "m": np.zeros(3), "v": np.full(3, 2.0)}
        model = gradient(
            build(body, {"x": x, "s": s, "b": b}, constants, dtype=np.float32, symbolic=symbolic), "of", ["x", "s", "b"]
        )
        found = session(model).run(["grad/x", "grad/s", "grad/b"], {"x": x, "s": s, "b": b})
        for value, t in zip(found, (tx, ts, tb), strict=True):
            np.testing.assert_allclose(value, t.grad, rtol=2e-3 if offset else 1e-4, atol=2e-4 if offset else 2e-5)


@pytest.mark.parametrize("size", [1, 4, 5])
def test_lrn(size):
    """Also over an even number of channels, for which ONNX Runtime has no kernel."""
    x = {"x": normal(2, 6, 3, 4)}
    body = f"y = LRN<size={size}, alpha=0.7, beta=0.6, bias=1.5>(x)"
    check(body, x, symbolic={"x": ("N", 6, "H", "W")}, run_float32=size % 2 == 1)


@pytest.mark.parametrize("space", [(5,), (3, 4), (2, 3, 2)])
def test_instance_normalization(space):
    inputs = {"x": normal(2, 3, *space), "s": normal(3, seed=1), "b": normal(3, seed=2)}
    symbolic = {"x": ("N", 3, *["H", "W", "D"][: len(space)])}
    check("y = InstanceNormalization<epsilon=0.01>(x, s, b)", inputs, symbolic=symbolic)


@pytest.mark.parametrize(("axis", "scale"), [(-1, (4,)), (1, (3, 4)), (1, (4,)), (2, (1,))])
def test_layer_normalization(axis, scale):
    inputs = {"x": normal(2, 3, 4), "s": normal(*scale, seed=1), "b": normal(*scale, seed=2)}
    check(f"y = LayerNormalization<axis={axis}, epsilon=0.01>(x, s, b)", inputs, symbolic={"x": ("N", 3, 4)})
    check(f"y = LayerNormalization<axis={axis}>(x, s)", {name: inputs[name] for name in "xs"})


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("space", [(5,), (3, 4)])
def test_group_normalization_equals_pytorch(groups, space):
    feeds = {"x": normal(2, 6, *space), "s": normal(6, seed=1), "b": normal(6, seed=2)}
    tensors = [torch.tensor(value, requires_grad=True) for value in feeds.values()]
    y = torch.nn.functional.group_norm(tensors[0], groups, *tensors[1:], 1e-3)
    r = normal(*y.shape, seed=4)
    (y * torch.tensor(r)).sum().backward()
    body = f"y = GroupNormalization<num_groups={groups},epsilon=0.001>(x, s, b) z = Mul(y, r) of = ReduceSum<keepdims=0>(z)"
    narrow = {name: value.astype(np.float32) for name, value in feeds.items()}
    for symbolic in (None, {"x": ("N", 6, *["H", "W"][: len(space)])}):
        model = gradient(build(body, feeds, {"r": r}, dtype=np.float32, symbolic=symbolic), "of", list(feeds))
        found = session(model).run([f"grad/{name}" for name in feeds], narrow)
        for value, tensor in zip(found, tensors, strict=True):
            np.testing.assert_allclose(value, tensor.grad, rtol=1e-4, atol=1e-4)


def test_group_normalization_of_opset_18_scales_groups():
    """The same as with each group's scale and bias given to all its channels."""
    feeds = {"x": normal(2, 6, 4), "s": normal(2, seed=1), "b": normal(2, seed=2)}
    whole = {"x": feeds["x"], "s": np.repeat(feeds["s"], 3), "b": np.repeat(feeds["b"], 3)}
    body = "y = GroupNormalization<num_groups=2>(x, s, b) z = Mul(y, r) of = ReduceSum<keepdims=0>(z)"
    found = []
    for inputs, opset in ((feeds, 18), (whole, 22)):
        model = build(body, inputs, {"r": normal(2, 6, 4, seed=3)}, dtype=np.float32, opset=opset)
        extended = gradient(model, "of", list(inputs))
        extended.opset_import[0].version = 22
        if opset == 18:  # no kernel runs the deprecated version, which the gradient does not need
            kept = [node for node in extended.graph.node if node.name.startswith("grad/") or "grad/" in node.output[0]]
            del extended.graph.node[:]
            extended.graph.node.extend(kept)
            del extended.graph.output[0]
        narrow = {name: value.astype(np.float32) for name, value in inputs.items()}
        found.append(session(extended).run([f"grad/{name}" for name in inputs], narrow))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-4, atol=1e-5)
    for by_group, by_channel in zip(found[0][1:], found[1][1:], strict=True):
        np.testing.assert_allclose(by_group, by_channel.reshape(2, 3).sum(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_rms_normalization_equals_pytorch(axis):
    shape = (2, 3, 4, 5)
    x, s = normal(*shape), normal(*shape[axis:], seed=1)
    tx, ts = torch.tensor(x, requires_grad=True), torch.tensor(s, requires_grad=True)
    y = torch.nn.functional.rms_norm(tx, shape[axis:], ts, 1e-3)
    r = normal(*shape, seed=4)
    (y * torch.tensor(r)).sum().backward()
    body = f"y = RMSNormalization<axis={axis},epsilon=0.001>(x, s) z = Mul(y, r) of = ReduceSum<keepdims=0>(z)"
    model = gradient(build(body, {"x": x, "s": s}, {"r": r}, dtype=np.float32, opset=23), "of", ["x", "s"])
    feeds = {"x": x.astype(np.float32), "s": s.astype(np.float32)}
    for value, tensor in zip(session(model).run(["grad/x", "grad/s"], feeds), (tx, ts), strict=True):
        np.testing.assert_allclose(value, tensor.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [1, -1])
def test_lp_normalization(p, axis):
    check(f"y = LpNormalization<p={p},axis={axis}>(x)", {"x": normal(2, 3, 4)}, symbolic={"x": ("N", 3, 4)})


def test_lp_normalization_of_zeros():
    model = build("y = LpNormalization(x) of = ReduceSum<keepdims=0>(y)", {"x": normal(2, 3)}, dtype=np.float32)
    found = session(gradient(model, "of", ["x"])).run(["grad/x"], {"x": np.zeros((2, 3), np.float32)})[0]
    assert np.isfinite(found).all()
