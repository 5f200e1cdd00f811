"""Convolutions and transposed convolutions, against finite differences and PyTorch."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from autodiff_support import build, check, ints, normal, session
from hypothesis import given, settings
from hypothesis import strategies as st

from netdsl.autodiff import gradient

# rank, channels in, out, group, kernel, size, then attributes
CASES = [
    (2, 3, 4, 1, 3, 6, "pads=[1,1,1,1]"),
    (2, 3, 4, 1, 3, 7, "strides=[2,2]"),
    (2, 3, 4, 1, 3, 8, "strides=[2,2],pads=[1,1,1,1]"),
    (2, 4, 6, 2, 3, 5, "pads=[1,0,2,1]"),
    (2, 4, 4, 4, 3, 6, "pads=[1,1,1,1]"),
    (2, 3, 6, 3, 2, 6, "strides=[2,1]"),
    (2, 3, 2, 1, 3, 9, "dilations=[2,2],strides=[2,2],pads=[2,2,2,2]"),
    (2, 3, 5, 1, 1, 4, ""),
    (2, 4, 6, 2, 1, 5, "strides=[2,2]"),
    (2, 2, 3, 1, 2, 3, "pads=[3,3,3,3]"),
    (2, 2, 3, 1, 3, 8, 'auto_pad="SAME_UPPER",strides=[2,2]'),
    (2, 2, 3, 1, 4, 7, 'auto_pad="SAME_LOWER"'),
    (2, 2, 3, 1, 3, 7, 'auto_pad="VALID",strides=[3,3]'),
    (2, 2, 3, 1, 5, 5, ""),
    (1, 3, 4, 1, 3, 8, "strides=[2],pads=[1,0]"),
    (1, 4, 4, 2, 3, 8, "dilations=[2]"),
    (3, 2, 3, 1, 2, 4, "strides=[1,2,1],pads=[1,0,0,0,1,1]"),
    (3, 4, 4, 2, 3, 4, "pads=[1,1,1,1,1,1]"),
]


@pytest.mark.parametrize(("rank", "c", "k", "group", "kernel", "size", "attributes"), CASES)
def test_convolution(rank, c, k, group, kernel, size, attributes):
    inputs = {
        "x": normal(2, c, *[size, size + 1, size][:rank]),
        "w": normal(k, c // group, *[kernel] * rank, seed=1),
        "b": normal(k, seed=2),
    }
    body = f"y = Conv<group={group}{',' if attributes else ''}{attributes}>(x, w, b)"
    space = inputs["x"].shape[2:]
    check(body, inputs, symbolic={"x": ("N", c, *space)})
    if "SAME" not in attributes:
        check(body, inputs, symbolic={"x": ("N", c, *["H", "W", "D"][:rank])})


def test_wide_convolution():
    """Wide enough for the forms that are meant for many channels."""
    for attributes in (
        "pads=[1,1,1,1]",
        "pads=[1,1,1,1],strides=[2,2]",
        "pads=[2,1,0,3]",
        "pads=[2,2,2,2],dilations=[2,2]",
    ):
        inputs = {"x": normal(2, 16, 8, 8), "w": normal(16, 16, 3, 3, seed=1), "b": normal(16, seed=2)}
        check(f"y = Conv<{attributes}>(x, w, b)", inputs, symbolic={"x": ("N", 16, 8, 8)})


TRANSPOSED = [
    (2, 3, 4, 1, 2, 4, "strides=[2,2]"),
    (2, 3, 4, 1, 3, 4, "strides=[2,2],pads=[1,1,1,1],output_padding=[1,1]"),
    (2, 4, 6, 2, 3, 5, "pads=[1,0,1,2]"),
    (2, 4, 4, 4, 4, 3, "strides=[2,2],pads=[1,1,1,1]"),
    (2, 3, 2, 1, 3, 4, "dilations=[2,2]"),
    (2, 3, 5, 1, 1, 4, ""),
    (2, 2, 3, 1, 3, 4, "strides=[2,2],output_shape=[9,8]"),
    (2, 2, 3, 1, 3, 4, 'strides=[2,2],auto_pad="SAME_UPPER"'),
    (1, 3, 4, 1, 4, 5, "strides=[3],pads=[1,2],output_padding=[2]"),
    (3, 2, 2, 1, 2, 3, "strides=[2,2,2]"),
]


@pytest.mark.parametrize(("rank", "c", "k", "group", "kernel", "size", "attributes"), TRANSPOSED)
def test_transposed_convolution(rank, c, k, group, kernel, size, attributes):
    inputs = {
        "x": normal(2, c, *[size] * rank),
        "w": normal(c, k // group, *[kernel] * rank, seed=1),
        "b": normal(k, seed=2),
    }
    body = f"y = ConvTranspose<group={group}{',' if attributes else ''}{attributes}>(x, w, b)"
    named = "output_shape" in attributes or "auto_pad" in attributes
    space = [size] * rank if named else ["H", "W", "D"][:rank]
    check(body, inputs, symbolic={"x": ("N", c, *space)})


@dataclass(frozen=True)
class Geometry:
    batch: int
    group: int
    inputs: int
    outputs: int
    kernel: tuple[int, int]
    stride: int
    dilation: int
    pads: tuple[int, int, int, int]
    size: tuple[int, int]

    @property
    def fits(self):
        return all(
            size + self.pads[a] + self.pads[a + 2] >= (k - 1) * self.dilation + 1
            for a, (size, k) in enumerate(zip(self.size, self.kernel, strict=True))
        )


GEOMETRIES = st.builds(
    Geometry,
    batch=st.sampled_from([1, 2, 5]),
    group=st.sampled_from([1, 1, 2]),
    inputs=st.sampled_from([1, 3, 8, 16]),
    outputs=st.sampled_from([1, 4, 16, 17]),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
    size=st.tuples(st.integers(3, 12), st.integers(3, 12)),
).filter(lambda g: g.fits)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(GEOMETRIES)
def test_convolution_equals_pytorch(g):
    x = normal(g.batch, g.inputs * g.group, *g.size).astype(np.float32)
    w = normal(g.outputs * g.group, g.inputs, *g.kernel, seed=1).astype(np.float32)
    tx, tw = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
    padded = torch.nn.functional.pad(tx, (g.pads[1], g.pads[3], g.pads[0], g.pads[2]))
    y = torch.nn.functional.conv2d(padded, tw, stride=g.stride, dilation=g.dilation, groups=g.group)
    r = normal(*y.shape, seed=2).astype(np.float32)
    y.backward(torch.tensor(r))
    body = (
        f"y = Conv<group={g.group},strides=[{g.stride},{g.stride}],dilations=[{g.dilation},{g.dilation}],"
        f"pads=[{','.join(map(str, g.pads))}]>(x, w) z = Mul(y, r) of = ReduceSum<keepdims=0>(z)"
    )
    model = gradient(build(body, {"x": x, "w": w}, {"r": r}, dtype=np.float32), "of", ["x", "w"])
    dx, dw = session(model).run(["grad/x", "grad/w"], {"x": x, "w": w})
    np.testing.assert_allclose(dx, tx.grad, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(dw, tw.grad, rtol=1e-4, atol=1e-4 * np.sqrt(y.numel()))


@pytest.mark.parametrize("attributes", ["", "strides=[2,1],pads=[1,0,1,2]", "dilations=[2,1]"])
def test_columns_to_image(attributes):
    """As many columns as `unfold` makes of the image."""
    node = f"Conv<{attributes}>(i, w)" if attributes else "Conv(i, w)"
    taps = session(
        build(f"y = {node}", {"i": normal(1, 1, 5, 6), "w": normal(1, 1, 2, 3)}, dtype=np.float32, outputs=["y"])
    )
    feeds = {"i": normal(1, 1, 5, 6).astype(np.float32), "w": normal(1, 1, 2, 3).astype(np.float32)}
    positions = taps.run(["y"], feeds)[0].size
    body = f"y = Col2Im<{attributes}>(x, i, b)" if attributes else "y = Col2Im(x, i, b)"
    check(body, {"x": normal(2, 3 * 6, positions)}, {"i": ints(5, 6), "b": ints(2, 3)})


@pytest.mark.parametrize("shape", [(7, 9), (8, 8), (10, 7)])
def test_transposed_convolution_to_a_shape(shape):
    """Smaller and larger than what the windows reach."""
    feeds = {"x": normal(2, 3, 3, 4), "w": normal(3, 2, 3, 3, seed=1), "b": normal(2, seed=2)}
    check(f"y = ConvTranspose<strides=[3,2],output_shape=[{shape[0]},{shape[1]}]>(x, w, b)", feeds)
