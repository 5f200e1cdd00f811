"""Arithmetic, functions of one variable, activations, softmax, reductions, losses."""

import numpy as np
import pytest
import torch
from autodiff_support import build, check, ints, normal, positive, session
from onnx import TensorProto, helper

from netdsl.autodiff import gradient

UNARY = {
    "Neg": "", "Exp": "", "Abs": "", "Tanh": "", "Sigmoid": "", "Identity": "", "Sin": "", "Cos": "",
    "Relu": "", "LeakyRelu": "alpha=0.2", "Elu": "alpha=1.5", "Celu": "alpha=0.7", "Selu": "", "Softplus": "",
    "Softsign": "", "HardSigmoid": "alpha=0.6,beta=0.4", "HardSwish": "", "Mish": "", "Gelu": 'approximate="tanh"',
    "Softmax": "axis=1", "LogSoftmax": "axis=0", "Tan": "", "Sinh": "", "Cosh": "", "Atan": "", "Asinh": "", "Erf": "",
    "ThresholdedRelu": "alpha=0.3", "Shrink": "lambd=0.4,bias=0.2",
}  # fmt: skip


@pytest.mark.parametrize("op", UNARY)
def test_function_of_one_variable(op):
    check(
        f"y = {op}<{UNARY[op]}>(x)" if UNARY[op] else f"y = {op}(x)", {"x": 2 * normal(4, 5)}, symbolic={"x": ("N", 5)}
    )


@pytest.mark.parametrize("op", ["Asin", "Acos", "Atanh"])
def test_function_of_a_variable_below_one(op):
    check(f"y = {op}(x)", {"x": np.tanh(normal(3, 4))})


def test_function_of_a_variable_above_one():
    check("y = Acosh(x)", {"x": 1 + positive(3, 4)})


@pytest.mark.parametrize("op", ["Log", "Sqrt", "Reciprocal"])
def test_function_of_a_positive_variable(op):
    check(f"y = {op}(x)", {"x": positive(3, 4)})


def test_the_length_of_a_zero_vector_has_no_slope():
    """A subgradient, as of ReduceL2; an infinite slope times 0 would be NaN."""
    model = build("s = Mul(x, x) t = ReduceSum(s, axis) y = Sqrt(t) of = ReduceSum<keepdims = 0>(y)",
                  {"x": np.zeros((2, 3))}, {"axis": ints(1)}, dtype=np.float32)  # fmt: skip
    x = np.array([[0, 0, 0], [3, 0, 4]], np.float32)
    (found,) = session(gradient(model, "of", ["x"])).run(["grad/x"], {"x": x})
    np.testing.assert_allclose(found, [[0, 0, 0], [0.6, 0, 0.8]], rtol=1e-6)


@pytest.mark.parametrize(("body", "function"), [
    ("y = Erf(x)", torch.erf),
    ("y = Gelu(x)", torch.nn.functional.gelu),
    ('y = Gelu<approximate="tanh">(x)', lambda x: torch.nn.functional.gelu(x, approximate="tanh")),
])  # fmt: skip
def test_error_function_equals_pytorch(body, function):
    x = (3 * normal(50)).astype(np.float32)
    model = build(body + " of = ReduceSum<keepdims=0>(y)", {"x": x}, dtype=np.float32)
    found = session(gradient(model, "of", ["x"])).run(["grad/x"], {"x": x})[0]
    t = torch.tensor(x, requires_grad=True)
    function(t).sum().backward()
    np.testing.assert_allclose(found, t.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Min", "Sum"])
@pytest.mark.parametrize(
    "shapes", [((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (4,)), ((2, 1, 4), (3, 1)), ((), (2, 3)), ((1,), (3, 2))]
)
def test_two_operands_broadcast(op, shapes):
    a, b = normal(*shapes[0]), positive(*shapes[1], seed=1)
    check(f"y = {op}(a, b)", {"a": a, "b": b})


@pytest.mark.parametrize("op", ["Max", "Min", "Sum", "Mean"])
def test_n_operands(op):
    check(f"y = {op}(a, b, c)", {"a": normal(2, 3), "b": normal(3, seed=1), "c": normal(2, 1, seed=2)})
    check(f"y = {op}(a)", {"a": normal(2, 3)})


def test_symbolic_batch_broadcasts():
    check("y = Mul(a, b)", {"a": normal(3, 4), "b": normal(4, seed=1)}, symbolic={"a": ("N", 4)})
    check("y = Add(a, b)", {"a": normal(3, 4), "b": normal(3, 1, seed=1)}, symbolic={"a": ("N", 4), "b": ("N", 1)})


def test_a_tensor_used_several_times_accumulates():
    check("a = Mul(x, x) b = Add(a, x) c = Sub(b, x) y = Mul(c, x)", {"x": normal(3, 4)})


@pytest.mark.parametrize("exponent", [2.0, 3.0, 0.5, -1.0])
def test_power_with_a_constant_exponent(exponent):
    check("y = Pow(x, p)", {"x": positive(3, 4)}, {"p": np.array(exponent)})


def test_power_of_variables():
    check("y = Pow(x, p)", {"x": positive(3, 4), "p": normal(4, seed=1)})
    check("y = Pow(x, p)", {"x": normal(3, 4)}, {"p": ints(3)})


def test_power_at_zero():
    model = build("s = Pow(x, p) of = ReduceSum<keepdims=0>(s)", {"x": normal(3), "p": normal(3)}, dtype=np.float32)
    x, p = np.zeros(3, np.float32), np.array([0, 1, 2], np.float32)
    dx, dp = session(gradient(model, "of", ["x", "p"])).run(["grad/x", "grad/p"], {"x": x, "p": p})
    np.testing.assert_array_equal(dx, [0, 1, 0])
    np.testing.assert_array_equal(dp, [0, 0, 0])


def test_ties_of_a_maximum_share():
    model = build("m = Max(a, b) of = ReduceSum<keepdims=0>(m)", {"a": normal(2), "b": normal(2)}, dtype=np.float32)
    feeds = {"a": np.array([1, 2], np.float32), "b": np.array([1, 3], np.float32)}
    da, db = session(gradient(model, "of", ["a", "b"])).run(["grad/a", "grad/b"], feeds)
    np.testing.assert_array_equal([da, db], [[0.5, 0], [0.5, 1]])


def test_relu_at_its_kink_and_in_its_tails():
    x = np.array([-np.inf, -1, -1e-38, 0, -0.0, 1.2e-38, 1e-20, 1, 3e38, np.inf], np.float32)
    model = build("a = Relu(x) of = ReduceSum<keepdims=0>(a)", {"x": x}, dtype=np.float32)
    found = session(gradient(model, "of", ["x"])).run(["grad/x"], {"x": x})[0]
    np.testing.assert_array_equal(found, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1])


def test_clip():
    check("y = Clip(x, low, high)", {"x": normal(30), "low": np.array(-0.5), "high": np.array(0.7)})
    check("y = Clip(x, low)", {"x": normal(30)}, {"low": np.array(-0.5)})
    check("y = Clip(x, , high)", {"x": normal(30)}, {"high": np.array(0.5)})
    check("y = Clip(x)", {"x": normal(5)})


def test_clip_with_a_minimum_above_the_maximum():
    """All is the maximum then."""
    check("y = Clip(x, low, high)", {"x": 2 * normal(30), "low": np.array(0.5), "high": np.array(-0.5)})


def test_clip_includes_its_bounds():
    x = np.array([-1, 0, 3, 6, 7], np.float32)
    model = build(
        "a = Clip(x, l, h) of = ReduceSum<keepdims=0>(a)",
        {"x": x},
        {"l": np.array(0.0), "h": np.array(6.0)},
        dtype=np.float32,
    )
    np.testing.assert_array_equal(session(gradient(model, "of", ["x"])).run(["grad/x"], {"x": x})[0], [0, 1, 1, 1, 0])


def test_prelu():
    check("y = PRelu(x, s)", {"x": normal(2, 3, 4), "s": positive(3, 1)})


def test_where():
    check(
        "c = Greater(a, b) y = Where(c, a, d)", {"a": normal(3, 4), "b": normal(4, seed=1), "d": normal(3, 1, seed=2)}
    )


def test_where_keeps_infinities_out():
    x = np.array([0, 1], np.float32)
    model = build(
        "z = Equal(x, o) l = Log(x) w = Where(z, x, l) of = ReduceSum<keepdims=0>(w)",
        {"x": x},
        {"o": np.array(1.0)},
        dtype=np.float32,
    )
    assert np.isinf(session(gradient(model, "of", ["x"])).run(["grad/x"], {"x": x})[0][0])  # the chosen branch's own


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_cumulative_sum(exclusive, reverse):
    check(
        f"y = CumSum<exclusive={exclusive},reverse={reverse}>(x, axis)",
        {"x": normal(2, 4)},
        {"axis": np.array(1)},
        run_float32=True,
    )


def test_cast_passes_the_gradient_in_the_source_type():
    x = np.arange(3, dtype=np.float32)
    model = build(
        "a = Cast<to=11>(x) b = Mul(a, a) c = Cast<to=1>(b) of = ReduceSum<keepdims=0>(c)", {"x": x}, dtype=np.float32
    )
    np.testing.assert_array_equal(session(gradient(model, "of", ["x"])).run(["grad/x"], {"x": x})[0], 2 * x)


@pytest.mark.parametrize(
    "op",
    ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceLogSumExp"],
)
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axes", [(1,), (0, -1), None])
def test_reductions(op, keepdims, axes):
    x = {"x": normal(3, 4, 2)}
    if axes is None:
        check(f"y = {op}<keepdims={keepdims}>(x)", x, symbolic={"x": ("N", 4, "T")})
    else:
        check(f"y = {op}<keepdims={keepdims}>(x, axes)", x, {"axes": ints(*axes)}, symbolic={"x": ("N", 4, 2)})


def test_reduction_of_nothing():
    check("y = ReduceSum<noop_with_empty_axes=1>(x)", {"x": normal(3, 4)})


LOSSES = [
    {"shape": (5, 4), "labels": (5,)},
    {"shape": (2, 4, 3), "labels": (2, 3)},
    {"shape": (2, 3, 2, 2), "labels": (2, 2, 2)},
]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("ignore", [None, -1, 2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", LOSSES, ids=["2d", "3d", "4d"])
def test_cross_entropy_equals_pytorch(reduction, ignore, weighted, case):
    rng = np.random.default_rng(0)
    classes = case["shape"][1]
    labels = rng.integers(0 if ignore != -1 else -1, classes, case["labels"])
    x = normal(*case["shape"]).astype(np.float32)
    weights = positive(classes).astype(np.float32)
    attributes = f'reduction="{reduction}"' + (f",ignore_index={ignore}" if ignore is not None else "")
    body = f"l = SoftmaxCrossEntropyLoss<{attributes}>(x, t{', w' if weighted else ''}) of = ReduceSum<keepdims=0>(l)"
    constants = {"w": weights} if weighted else {}
    t = torch.tensor(x, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(
        t, torch.tensor(labels), torch.tensor(weights) if weighted else None,
        ignore_index=-100 if ignore is None else ignore, reduction=reduction,
    )  # fmt: skip
    loss.sum().backward()
    for symbolic in (None, {"x": ("N", *case["shape"][1:]), "t": ("N", *case["labels"][1:])}):
        model = gradient(
            build(body, {"x": x, "t": labels}, constants, dtype=np.float32, symbolic=symbolic), "of", ["x"]
        )
        found_loss, found = session(model).run(["of", "grad/x"], {"x": x, "t": labels})
        np.testing.assert_allclose(found_loss, loss.sum().detach(), rtol=1e-5)
        np.testing.assert_allclose(found, t.grad, rtol=1e-4, atol=1e-6)


def test_log_probabilities_carry_a_gradient():
    check("l, y = SoftmaxCrossEntropyLoss(x, t)", {"x": normal(3, 4)}, {"t": ints(0, 3, 1)}, run_float32=True)
    body = "l, p = SoftmaxCrossEntropyLoss(x, t) q = Mul(p, p) y = Add(q, l)"
    check(body, {"x": normal(3, 4)}, {"t": ints(0, 3, 1)})


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_negative_log_likelihood(reduction):
    body = f'p = LogSoftmax<axis=1>(x) y = NegativeLogLikelihoodLoss<reduction="{reduction}",ignore_index=1>(p, t, w)'
    check(body, {"x": normal(4, 3, 2)}, {"t": np.array([[0, 1], [2, 2], [1, 0], [0, 0]]), "w": positive(3)})


def test_cross_entropy_from_its_parts():
    body = "p = LogSoftmax<axis=1>(x) g = GatherElements<axis=1>(p, t) m = ReduceMean(g) y = Neg(m)"
    check(body, {"x": normal(4, 3)}, {"t": np.array([[0], [2], [1], [1]])}, symbolic={"x": ("N", 3)})


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_product_with_zeros_equals_pytorch(zeros, keepdims):
    x = normal(4, 5)
    x[1, :zeros] = 0
    found = check(f"y = ReduceProd<keepdims={keepdims}>(x, a)", {"x": x}, {"a": ints(1)}, symbolic={"x": ("N", 5)})
    t = torch.tensor(x, requires_grad=True)
    y = t.prod(1, keepdim=bool(keepdims))
    (y * torch.tensor(np.random.default_rng(7).standard_normal(y.shape))).sum().backward()
    np.testing.assert_allclose(found["x"], t.grad, rtol=1e-9, atol=1e-12)


def test_product_and_logarithm_of_a_sum():
    check("y = ReduceProd(x)", {"x": normal(2, 3)})
    check(
        "y = ReduceLogSum<keepdims=0>(x, a)", {"x": positive(2, 3, 4)}, {"a": ints(0, -1)}, symbolic={"x": ("N", 3, 4)}
    )


def test_dropout_in_inference_passes_all():
    check("y = Dropout(x)", {"x": normal(3, 4)})
    check("y = Dropout(x, q, t)", {"x": normal(3, 4)}, {"q": np.array(0.3), "t": np.array(False)})


@pytest.mark.parametrize("fed", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_dropout_in_training_masks_as_its_forward_pass(training, fed):
    x, mode = normal(20, 20).astype(np.float32), np.array(training)
    body = "y, m = Dropout<seed=3>(x, r, t) of = ReduceSum<keepdims=0>(y)"
    inputs = {"x": x, "t": mode} if fed else {"x": x}
    constants = {"r": np.array(0.25)} if fed else {"r": np.array(0.25), "t": mode}
    model = gradient(build(body, inputs, constants, dtype=np.float32), "of", ["x"])
    model.graph.output.append(helper.make_tensor_value_info("m", TensorProto.BOOL, x.shape))
    dx, mask = session(model).run(["grad/x", "m"], inputs)
    np.testing.assert_allclose(dx, mask / 0.75 if training else np.ones_like(x), rtol=1e-6)
    assert 0 < mask.mean() < 1 or not training


def test_cast_like():
    check("y = CastLike(x, t)", {"x": normal(3)}, {"t": np.array(1.0)})
