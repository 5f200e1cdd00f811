"""Batch normalization."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from autodiff_support import build, check, normal, positive, session

from netdsl.autodiff import gradient


@pytest.mark.parametrize("space", [(), (5,), (3, 4), (2, 3, 2)])
def test_inference_mode(space: tuple[int, ...]) -> None:
    inputs = {
        "x": normal(4, 3, *space), "s": normal(3, seed=1), "b": normal(3, seed=2),
        "m": normal(3, seed=3), "v": positive(3),
    }  # fmt: skip
    check("y = BatchNormalization(x, s, b, m, v)", inputs, symbolic={"x": ("N", 3, *["H", "W", "D"][: len(space)])})


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("space", [(), (5,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_training_mode_equals_pytorch(momentum: float, space: tuple[int, ...], offset: float) -> None:
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
def test_lrn(size: int) -> None:
    """Also over an even number of channels, for which ONNX Runtime has no kernel."""
    x = {"x": normal(2, 6, 3, 4)}
    body = f"y = LRN<size={size}, alpha=0.7, beta=0.6, bias=1.5>(x)"
    check(body, x, symbolic={"x": ("N", 6, "H", "W")}, run_float32=size % 2 == 1)


@pytest.mark.parametrize("space", [(5,), (3, 4), (2, 3, 2)])
def test_instance_normalization(space: tuple[int, ...]) -> None:
    inputs = {"x": normal(2, 3, *space), "s": normal(3, seed=1), "b": normal(3, seed=2)}
    symbolic = {"x": ("N", 3, *["H", "W", "D"][: len(space)])}
    check("y = InstanceNormalization<epsilon=0.01>(x, s, b)", inputs, symbolic=symbolic)


@pytest.mark.parametrize(("axis", "scale"), [(-1, (4,)), (1, (3, 4)), (1, (4,)), (2, (1,))])
def test_layer_normalization(axis: int, scale: tuple[int, ...]) -> None:
    inputs = {"x": normal(2, 3, 4), "s": normal(*scale, seed=1), "b": normal(*scale, seed=2)}
    check(f"y = LayerNormalization<axis={axis}, epsilon=0.01>(x, s, b)", inputs, symbolic={"x": ("N", 3, 4)})
    check(f"y = LayerNormalization<axis={axis}>(x, s)", {name: inputs[name] for name in "xs"})
