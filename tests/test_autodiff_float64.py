"""The float64 kernels: against ONNX Runtime in float32, over geometries."""

import numpy as np
import pytest
from autodiff_support import build, normal, session
from onnx import TensorProto

from netdsl.autodiff.float64 import evaluator

SPACES = {1: (9,), 2: (7, 8), 3: (4, 5, 4)}
WINDOWS = [
    (2, "strides=[2,2]"), (2, "strides=[2,3],pads=[1,0,1,1]"), (2, "dilations=[2,1]"), (1, "strides=[2]"), (3, ""),
    (2, 'auto_pad="SAME_UPPER",strides=[2,2]'), (2, 'auto_pad="SAME_LOWER"'), (2, 'auto_pad="VALID",strides=[3,1]'),
]  # fmt: skip
CEILED = [
    "strides=[2,2],ceil_mode=1",
    "strides=[3,2],pads=[1,1,1,1],ceil_mode=1",
    "strides=[3,3],pads=[1,1,0,0],ceil_mode=1",
]


def _compare(body, feeds, outputs=("y",), opset=21):
    narrow = {name: value.astype(np.float32) for name, value in feeds.items()}
    expected = session(_untyped(body, narrow, outputs, np.float32, opset)).run(list(outputs), narrow)
    found = evaluator(_untyped(body, feeds, outputs, np.float64, opset)).run(list(outputs), feeds)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype != np.float32
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def _untyped(body, feeds, outputs, dtype, opset):
    model = build(body, feeds, dtype=dtype, outputs=outputs, opset=opset)
    for value in model.graph.output:
        if value.name == "i":
            value.type.tensor_type.elem_type = TensorProto.INT64
    return model


@pytest.mark.parametrize(("rank", "attributes"), WINDOWS)
@pytest.mark.parametrize("group", [1, 2])
def test_convolution(rank, attributes, group):
    feeds = {
        "x": normal(2, 4, *SPACES[rank]),
        "w": normal(6, 4 // group, *[3, 2, 2][:rank], seed=1),
        "b": normal(6, seed=2),
    }
    _compare(f"y = Conv<{','.join(filter(None, [attributes, f'group={group}']))}>(x, w, b)", feeds)


@pytest.mark.parametrize(("rank", "attributes"), [*WINDOWS, (2, "strides=[2,2],output_padding=[1,0]"),
                                                  (2, "strides=[2,2],output_shape=[15,14]")])  # fmt: skip
@pytest.mark.parametrize("group", [1, 2])
def test_transposed_convolution(rank, attributes, group):
    feeds = {
        "x": normal(2, 4, *SPACES[rank]),
        "w": normal(4, 3, *[3, 2, 2][:rank], seed=1),
        "b": normal(3 * group, seed=2),
    }
    _compare(f"y = ConvTranspose<{','.join(filter(None, [attributes, f'group={group}']))}>(x, w, b)", feeds)


@pytest.mark.parametrize(("rank", "attributes"), [*WINDOWS, *((2, text) for text in CEILED)])
def test_pools(rank, attributes):
    kernel = f"kernel_shape={[3, 2, 2][:rank]}"
    text, x = ",".join(filter(None, [kernel, attributes])), {"x": normal(2, 3, *SPACES[rank])}
    _compare(f"y, i = MaxPool<{text}>(x)", x, ("y", "i"))
    _compare(f"y, i = MaxPool<{text},storage_order=1>(x)", x, ("y", "i"))
    for include in (0, 1):
        _compare(f"y = AveragePool<{text},count_include_pad={include}>(x)", x)
    for p in (1, 3):
        _compare(f"y = LpPool<{text},p={p}>(x)", x)


def test_norms():
    _compare("y = LRN<size=3,alpha=0.3,beta=0.6,bias=1.5>(x)", {"x": normal(2, 7, 3, 2)})
    _compare(
        "y = LayerNormalization<axis=1>(x, s, b)",
        {"x": normal(2, 3, 4), "s": normal(3, 4, seed=1), "b": normal(4, seed=2)},
    )
    _compare("y = LpNormalization<p=1,axis=1>(x)", {"x": normal(2, 3, 4)})
    _compare("y = GlobalLpPool<p=3>(x)", {"x": normal(2, 3, 4)})


def test_error_functions():
    _compare("y = Erf(x)", {"x": normal(20)})
    for approximate in ("none", "tanh"):
        _compare(f'y = Gelu<approximate="{approximate}">(x)', {"x": 2 * normal(20)})


def test_max_unpool():
    """Where a shape is given, too, which is not a multiple of the window."""
    x, places = normal(1, 1, 2, 2), np.array([0, 5, 14, 11]).reshape(1, 1, 2, 2)
    for shape in ("", ", s"):
        body = f"s = Constant<value_ints=[1,1,5,5]>() y = MaxUnpool<kernel_shape=[2,2],strides=[2,2]>(x, i{shape})"
        wide, narrow = (
            build(body, {"x": x, "i": places}, dtype=dtype, outputs=["y"], opset=21)
            for dtype in (np.float64, np.float32)
        )
        expected = session(narrow).run(["y"], {"x": x.astype(np.float32), "i": places})[0]
        np.testing.assert_allclose(evaluator(wide).run(["y"], {"x": x, "i": places})[0], expected, rtol=1e-6)
