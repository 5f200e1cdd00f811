"""Random arguments and sizes: an operator rejects them with a message, or makes what PyTorch makes."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from op_case import Case
from op_cases import conv, deconv
from op_running import applied, compiled, random_inputs, random_parameters, run

from netdsl.ir import Init, Node, Size, TensorType, Value
from netdsl.ops import INITIALIZERS, OPERATORS, REQUIRED, Args, Misfit, Site, elements
from netdsl.ops.arguments import (
    AXES,
    AXIS,
    BIAS,
    CONV_INIT,
    CONV_PADDING,
    COUNT,
    COUNTS,
    CROPS,
    FLAG,
    FRACTION,
    INIT,
    NATURAL,
    NUMBER,
    ODD,
    PADDING,
    POSITIVE,
    SCALAR,
    SHAPE,
    TABLE,
    UNIT,
    WHOLE,
)  # fmt: skip

SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=3)


def lists(items):
    return items | st.lists(items, min_size=1, max_size=3)


_NUMBERS = st.floats(-3.4e38, 3.4e38) | st.integers(-(10**6), 10**6)
_COUNTS = st.integers(1, 9) | st.integers(1, 2**31 - 1)
VALUES = {
    COUNT: _COUNTS,
    ODD: st.integers(0, 9).map(lambda n: 2 * n + 1),
    COUNTS: lists(_COUNTS),
    NATURAL: lists(st.integers(0, 9) | st.integers(0, 2**31 - 1)),
    WHOLE: st.integers(-9, 2**31 - 1),
    NUMBER: _NUMBERS,
    SCALAR: _NUMBERS | st.integers(1, 9).map(lambda n: Size.symbol("H", n)),
    POSITIVE: st.floats(1e-30, 3.4e38),
    FRACTION: st.floats(0, 1, exclude_max=True),
    UNIT: st.floats(0, 1),
    FLAG: st.booleans(),
    BIAS: st.booleans() | st.just(Init("ones")),
    CONV_INIT: st.sampled_from([Init("he"), Init("sobel"), Init("roberts"), Init("log_kernel", (1.0,))]),
    CONV_PADDING: st.sampled_from(["same", "causal"]) | lists(st.integers(0, 9)),
    PADDING: st.just("same") | lists(st.integers(0, 9) | st.integers(0, 2**31 - 1)),
    CROPS: lists(st.integers(-9, 9))
    | st.lists(st.lists(st.integers(-9, 9), min_size=2, max_size=2), min_size=1, max_size=3),
    SHAPE: st.lists(st.integers(1, 9) | st.just(-1), min_size=1, max_size=4).filter(lambda v: v.count(-1) < 2),
    INIT: st.sampled_from([Init("he"), Init("zeros"), Init("gaussian", (0.1,))]),
    TABLE: st.none() | st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=4), min_size=1, max_size=4),
    AXES: st.lists(st.integers(-1, 4) | st.sampled_from(["channel", "height", "width"]), min_size=1, max_size=3),
    AXIS: st.integers(-2, 5) | st.sampled_from(["channel", "depth", "height", "width"]),
}

#: for kinds that one operator alone has
OTHERS = [
    None, True, Init("he"), Init("ones"), 0, 2, -1, 7, 2**31 - 1, [0], [1, 2], [3, -1, 0], [[1, 2], [0.5, 4]],
    [Size.symbol("H", 5)], [0.5, 2, 1],
]  # fmt: skip


def values(kind):
    if kind in VALUES:
        return VALUES[kind]
    words = [word for word in re.findall(r'"(\w+)"', kind.wants) if kind.accepts(word)]
    if words:
        return st.sampled_from(words)
    inner = [k for k in VALUES if kind.wants == f"none or {k.wants}"]
    return st.none() | VALUES[inner[0]] if inner else st.sampled_from([value for value in OTHERS if kind.accepts(value)])


def dims():
    return st.integers(1, 12) | st.integers(1, 12).map(lambda n: Size.symbol("HW"[n % 2], n))


@st.composite
def applications(draw):
    op = OPERATORS[draw(st.sampled_from(sorted(OPERATORS)))]
    args = Args()
    for argument in op.arguments:
        given_ = argument.default is REQUIRED or draw(st.booleans())
        args[argument.name] = draw(values(argument.kind)) if given_ else argument.default
        assert argument.kind.check(args[argument.name]) is args[argument.name]
    least, most = op.arity
    count = draw(st.integers(least, most or 4))
    first = tuple(draw(st.lists(dims(), max_size=5)))
    inputs = []
    for i in range(count):
        shape = first if draw(st.booleans()) else tuple(draw(st.lists(dims(), max_size=5)))
        dtype = draw(st.sampled_from(["float32"] * 8 + ["int64", "bool"])) if op.style != "loss" or i == 0 else "int64"
        inputs.append(Value(f"x{i}", TensorType(shape, dtype, draw(st.integers(0, 9)) > 0)))
    return op.name, args, tuple(inputs)


@settings(max_examples=800, deadline=None)
@given(applications())
def test_rejects_or_infers(application):
    """Never a Python error, from whatever passes the kinds; shapes are positive, costs and reaches can be asked."""
    name, args, inputs = application
    op = OPERATORS[name]
    site = Site(args, inputs, tuple(f"`{v.name}`" for v in inputs))
    try:
        op.resolve(site)
        types = op.infer(site)
        specs = op.parameters(site)
    except Misfit as misfit:
        assert misfit.code.startswith("E03") and misfit.message and "  " not in misfit.message
        assert misfit.argument is None or misfit.argument in {a.name for a in op.arguments}
        return
    assert all(int(dim) >= 1 for type_ in types for dim in type_.shape)
    assert all(isinstance(dim, int) and dim >= 1 for spec in specs.values() for dim in spec.shape)
    for a, b, _ in site.joins:
        assert int(a) == int(b)
    parameters = {role: _Counted(spec.shape) for role, spec in specs.items()}
    node = Node("n", op, args, inputs, tuple(Value("y", t) for t in types), parameters, None)
    assert op.macs(node) >= 0 and op.flops(node) >= 0
    assert len(op.reaches(node)) == len(inputs)


class _Counted:
    """What costs ask of a parameter."""

    def __init__(self, shape):
        self.shape, self.count = shape, elements(shape)


def compare(case):
    """Ours against PyTorch's: the shape, and the numbers through ONNX Runtime."""
    try:
        b, node = applied(case.op, case.shapes, case.args)
    except Misfit:
        return
    parameters, inputs = random_parameters(node), random_inputs(case.shapes)
    try:
        expected = case.torch(
            {r: torch.from_numpy(p) for r, p in parameters.items()}, *map(torch.from_numpy, inputs)
        ).numpy()
    except RuntimeError as refusal:
        # some of PyTorch's kernels want an unpadded input as large as the window
        assert case.op == "avg_pool" and "smaller than kernel size" in str(refusal)
        return
    assert (3, *node.output.shape) == expected.shape
    np.testing.assert_allclose(run(compiled(b, node, parameters), inputs), expected, rtol=1e-4, atol=1e-4)


RUNS = settings(max_examples=60, deadline=None)


def pooled(kind, rank):
    return getattr(F, f"{kind}_pool{rank}d")


@RUNS
@given(SIZES, st.integers(1, 5), st.none() | st.integers(1, 4), st.integers(0, 2), st.booleans(), st.integers(1, 3))
def test_max_pool(sizes, kernel, stride, pad, ceil, dilation):
    if pad > kernel // 2:
        return  # PyTorch refuses
    args = {"kernel": kernel, "stride": stride, "pad": pad, "ceil": ceil, "dilation": dilation}
    compare(Case("max_pool", ((2, *sizes),),
                 lambda _, x: pooled("max", len(sizes))(x, kernel, stride, pad, dilation, ceil), args))  # fmt: skip


@RUNS
@given(SIZES, st.integers(1, 5), st.none() | st.integers(1, 4), st.integers(0, 2), st.booleans(), st.booleans())
def test_avg_pool(sizes, kernel, stride, pad, ceil, count):
    if pad > kernel // 2:
        return
    args = {"kernel": kernel, "stride": stride, "pad": pad, "ceil": ceil, "count_pad": count}
    compare(Case("avg_pool", ((2, *sizes),),
                 lambda _, x: pooled("avg", len(sizes))(x, kernel, stride, pad, ceil, count), args))  # fmt: skip


@pytest.mark.parametrize("kernel, stride", [(2, 2), (3, 2), (5, 3), (4, 1)])
@pytest.mark.parametrize("op", ["max_pool", "avg_pool"])
def test_same_pools_make_ceil_of_size_by_stride(op, kernel, stride):
    for size in range(1, 20):
        _, node = applied(op, [(1, size)], {"kernel": kernel, "stride": stride, "pad": "same"})
        assert node.output.shape == (1, -(-size // stride))


@RUNS
@given(SIZES, st.integers(1, 5), st.integers(1, 3), st.integers(0, 3), st.integers(1, 3))
def test_conv(sizes, kernel, stride, pad, dilation):
    args = {"channels": 2, "kernel": kernel, "stride": stride, "pad": pad, "dilation": dilation}
    truth = conv(len(sizes), [(pad, pad)] * len(sizes), stride=stride, dilation=dilation)
    compare(Case("conv", ((2, *sizes),), truth, args))


@RUNS
@given(SIZES, st.integers(1, 5), st.integers(1, 3), st.integers(0, 3), st.integers(0, 2), st.integers(1, 3))
def test_deconv(sizes, kernel, stride, pad, extra, dilation):
    args = {"channels": 2, "kernel": kernel, "stride": stride, "pad": pad, "output_pad": extra, "dilation": dilation}
    truth = deconv(
        len(sizes), [(0, 0)] * len(sizes), stride=stride, padding=pad, output_padding=extra, dilation=dilation
    )
    compare(Case("deconv", ((2, *sizes),), truth, args))


@RUNS
@given(SIZES, st.integers(1, 5), st.integers(1, 3), st.integers(1, 3))
def test_deconv_same_makes_size_times_stride(sizes, kernel, stride, dilation):
    total = dilation * (kernel - 1) + 1 - stride
    crops = (total // 2, total - total // 2) if total >= 0 else (0, total)
    args = {"channels": 2, "kernel": kernel, "stride": stride, "dilation": dilation}
    truth = deconv(len(sizes), [crops] * len(sizes), stride=stride, dilation=dilation)
    compare(Case("deconv", ((2, *sizes),), truth, args))
    _, node = applied("deconv", [(2, *sizes)], args)
    assert node.output.shape == (2, *(size * stride for size in sizes))


@RUNS
@given(SIZES, st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=3, max_size=3))
def test_pad(sizes, cells):
    cells = cells[: len(sizes)]

    def truth(_, x):
        grow = [max(c, 0) for pair in reversed(cells) for c in pair]
        x = F.pad(x, grow, value=2.0)
        for axis, (before, after) in enumerate(cells, start=2):
            x = x.narrow(axis, max(-before, 0), x.shape[axis] - max(-before, 0) - max(-after, 0))
        return x

    compare(Case("pad", ((2, *sizes),), truth, {"cells": [list(pair) for pair in cells], "value": 2.0}))


@RUNS
@given(SIZES, st.integers(1, 4), st.booleans())
def test_upsample(sizes, factor, smooth):
    mode = ["linear", "bilinear", "trilinear"][len(sizes) - 1] if smooth else "nearest"
    args = {"factor": factor, "mode": "linear" if smooth else "nearest"}
    compare(Case("upsample", ((2, *sizes),), lambda _, x: F.interpolate(x, scale_factor=factor, mode=mode), args))


@RUNS
@given(
    st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=3),
    st.lists(st.sampled_from([1, 2, 3, 4, 6, -1]), min_size=1, max_size=3).filter(lambda v: v.count(-1) < 2),
)
def test_reshape(sizes, shape):
    torch_accepts = True
    try:
        torch.zeros(1, *sizes).reshape(1, *shape)
    except RuntimeError:
        torch_accepts = False
    try:
        applied("reshape", [sizes], {"shape": shape})
        assert torch_accepts
    except Misfit:
        assert not torch_accepts
    compare(
        Case("reshape", (tuple(sizes),), lambda _, x: x.reshape(-1 if -1 not in shape else 3, *shape), {"shape": shape})
    )


def test_reshape_keeps_symbolic_sizes():
    """A channel shuffle, and a size left to follow from a symbolic count."""
    h, w = Size.symbol("H", 8), Size.symbol("W", 10)
    site = Site(Args(shape=[2, 3, h, w]), (Value("x", TensorType((6, h, w))),), ("`x`",))
    assert OPERATORS["reshape"].shape(site) == (2, 3, h, w)
    assert not site.fixes and not site.joins
    site = Site(Args(shape=[3, -1, w]), (Value("x", TensorType((6, h, w))),), ("`x`",))
    assert OPERATORS["reshape"].shape(site) == (3, 2 * h, w)
    assert not site.fixes and not site.joins
    site = Site(Args(shape=[4, -1]), (Value("x", TensorType((3, h))),), ("`x`",))
    assert OPERATORS["reshape"].shape(site) == (4, 3 * h // 4)
    assert site.joins, "3 H must be a multiple of 4"
    site = Site(Args(shape=[-1]), (Value("x", TensorType((6, h, w))),), ("`x`",))
    assert OPERATORS["reshape"].shape(site) == (480,)
    assert [size for size, _ in site.fixes] == [h, w]


def test_symbolic_joins_are_recorded():
    h = Size.symbol("H", 8)
    shapes = [(3, h), (3, 2 * (h // 2))]
    for op in ("concat", "add", "mean_squared_error"):
        inputs = tuple(Value(f"x{i}", TensorType(s)) for i, s in enumerate(shapes))
        site = Site(Args({a.name: a.default for a in OPERATORS[op].arguments}), inputs, ("`a`", "`b`"))
        OPERATORS[op].resolve(site)
        OPERATORS[op].infer(site)
        assert [(a, b) for a, b, _ in site.joins] == [(h, 2 * (h // 2))]


def test_initializers_have_signatures():
    assert all(initializer.doc and all(a.doc for a in initializer.arguments) for initializer in INITIALIZERS.values())
