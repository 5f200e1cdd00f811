"""Initial values: their distributions, their independence of the rest of the file, the start of a softmax loss."""

from itertools import pairwise
from math import log, prod, sqrt

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from netdsl.diagnostics import NetError, Source, Span
from netdsl.elaborate import load_text
from netdsl.ir import Init, Parameter
from netdsl.lower import initial_parameters, initial_value, lower_graph
from tests.distribution import kolmogorov
from tests.onnx_running import model_of, session

SPAN = Span(Source("test.net", "x"), 0, 1)
SHAPE, FAN_IN, FAN_OUT = (64, 32, 3, 3), 288, 576


def draw(kind, *arguments, shape=SHAPE, scale=1.0):
    parameter = Parameter(f"{kind}.weight", shape, Init(kind, arguments, scale), FAN_IN, FAN_OUT, SPAN)
    value = initial_value(parameter, seed=0)
    assert value.shape == shape and value.dtype == np.float32
    return value


@pytest.mark.parametrize(
    ("kind", "arguments", "deviation"),
    [("he", (), sqrt(2 / FAN_IN)), ("glorot_normal", (), sqrt(2 / (FAN_IN + FAN_OUT))), ("gaussian", (0.01,), 0.01)],
)
def test_normal(kind, arguments, deviation):
    value = draw(kind, *arguments).astype(np.float64)
    uniform = (1 + torch.erf(torch.from_numpy(value / deviation / sqrt(2))).numpy()) / 2
    assert kolmogorov(uniform) < 1.95


@pytest.mark.parametrize(
    ("kind", "arguments", "limit"), [("glorot", (), sqrt(6 / (FAN_IN + FAN_OUT))), ("uniform", (0.05,), 0.05)]
)
def test_uniform(kind, arguments, limit):
    value = draw(kind, *arguments)
    assert abs(value).max() <= np.float32(limit)
    assert kolmogorov((value / limit + 1) / 2) < 1.95


def test_constants():
    assert not draw("zeros").any() and (draw("ones") == 1).all() and (draw("constant", 0.5, scale=3.0) == 1.5).all()
    signs = draw("signs")
    assert set(np.unique(signs)) == {-1, 1} and abs(signs.mean()) < 5 / sqrt(signs.size)


@pytest.mark.parametrize("kernel", [(4, 4), (3, 3), (6,), (2, 2, 2)])
def test_bilinear_is_interpolation(kernel):
    """A transposed convolution with the kernel reproduces linear ramps inside, as linear interpolation does."""
    factor = (kernel[0] + 1) // 2
    weight = torch.from_numpy(draw("bilinear", shape=(2, 2, *kernel)))
    assert weight[0, 1].abs().sum() == 0 and torch.equal(weight[0, 0], weight[1, 1])
    rank = len(kernel)
    ramp = torch.arange(9.0).view(-1, *(1,) * (rank - 1)).expand(9, *(5,) * (rank - 1))
    up = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1](
        torch.stack([ramp, 2 * ramp])[None], weight, stride=factor
    )[0]
    middle = (up.shape[-1] // 2,) * (rank - 1)
    line = up[(0, slice(2 * factor, -2 * factor), *middle)]
    assert torch.allclose(line.diff(), torch.full_like(line.diff(), 1 / factor), atol=1e-5)


@pytest.mark.parametrize("widths", [(4, 4), (3, 6, 3), (4, 8, 16, 4)])
def test_identity_kernels_hand_their_input_on(widths):
    """Yu & Koltun, ICLR 2016, section 3: layers of different widths, one after another, with 'same' padding."""
    image = y = torch.rand(1, widths[0], 7, 6)
    for narrow, wide in pairwise(widths):
        y = F.conv2d(y, torch.from_numpy(draw("identity_kernel", 0, shape=(wide, narrow, 3, 3))), padding=1)
    torch.testing.assert_close(y, image)


def test_the_noise_of_identity_kernels_is_what_is_off_the_identity():
    exact, noisy = draw("identity_kernel", 0), draw("identity_kernel", 0.01)
    off = noisy[exact == 0]
    assert (exact != 0).sum() == 64 and (noisy[exact != 0] == 32 / 64).all()
    assert abs(off.std() / 0.01 - 1) < 5 / sqrt(off.size) and abs(off.mean()) < 0.05 / sqrt(off.size)


def test_a_parameter_does_not_depend_on_the_others():
    short = load_text("net a : x[3, 8, 8] -> y { y = x -> conv(4, 3) @one -> conv(5, 3) @two }")
    long = load_text("net a : x[3, 8, 8] -> y { y = x -> conv(4, 3) @one -> conv(4, 3) @new -> conv(5, 3) @two }")
    a, b, other = initial_parameters(short, 0), initial_parameters(long, 0), initial_parameters(short, 1)
    np.testing.assert_array_equal(a["one.weight"], b["one.weight"])
    np.testing.assert_array_equal(a["two.weight"], b["two.weight"])
    assert abs(np.corrcoef(a["one.weight"].ravel(), b["new.weight"].ravel()[: a["one.weight"].size])[0, 1]) < 0.4
    assert (a["one.weight"] != other["one.weight"]).all()


SOFTMAX = """net a : x[3, 16, 16] -> y {
    h = x -> conv(32, 3) @one -> relu -> conv(64, 3, 2) -> relu
    y = h -> HEAD
}
train a {
    target = class(label)
    loss = cross_entropy(y, label) + 0.3 * cross_entropy(h -> flatten -> dense(10) @aux, label)
    optimizer = sgd(lr = 0.1)
    batch = 8
    epochs = 1
}"""


@pytest.mark.parametrize("head", ["flatten -> dense(10) @last", "conv(10, 1) @last -> relu -> global_avg_pool"])
def test_a_softmax_loss_starts_near_ln_c(head):
    graph = load_text(SOFTMAX.replace("HEAD", head))
    values = initial_parameters(graph, 0)
    plain = {p.name: initial_value(p, 0) for p in lower_graph(graph, "training").parameters}
    scaled = [name for name in values if (values[name] != plain[name]).any()]
    assert scaled == ["last.weight", "train/aux.weight"]
    lowered = lower_graph(graph, "evaluation")
    rng = np.random.default_rng(0)
    feed = {"x": rng.standard_normal((32, 3, 16, 16)).astype(np.float32), "label": np.arange(32) % 10}
    loss = session(model_of(lowered, values)).run([lowered.loss], feed)[0]
    assert abs(loss / (1.3 * log(10)) - 1) < 0.05


def test_an_initialisation_that_the_file_gives_stays():
    head = "bn -> flatten -> dense(10, init = gaussian(0.5)) @last"
    graph = load_text(SOFTMAX.replace("HEAD", head))
    weight = initial_parameters(graph, 0)["last.weight"]
    assert abs(weight.std() / 0.5 - 1) < 5 / sqrt(prod(weight.shape))


@pytest.mark.parametrize(
    "layer", ["conv(4, 3, bias = BIAS)", "deconv(4, 3, bias = BIAS)", "flatten -> dense(4, bias = BIAS)"]
)
@pytest.mark.parametrize(("bias", "value"), [("true", 0), ("ones", 1), ("constant(-0.5)", -0.5)])
def test_biases_start_as_the_file_says(layer, bias, value):
    graph = load_text(f"net a : x[3, 8, 8] -> y {{ y = x -> {layer.replace('BIAS', bias)} }}")
    (found,) = (v for name, v in initial_parameters(graph, 0).items() if name.endswith(".bias"))
    np.testing.assert_array_equal(found, np.full(4, value, np.float32))


def test_highway_starts_on_its_input_s_side():
    graph = load_text("from std.highway import highway\nnet a : x[3, 8, 8] -> y { y = x -> highway(carry = 3) }")
    assert sorted(float(v[0]) for name, v in initial_parameters(graph, 0).items() if name.endswith(".bias")) == [-3, 0]


def test_masked_entries_are_zero():
    graph = load_text("net a : x[3, 8, 8] -> y { y = x -> conv(2, 3, connect = [[0, 1], [2]]) @c }")
    weight = initial_parameters(graph, 0)["c.weight"]
    present = np.array([[1, 1, 0], [0, 0, 1]], bool)
    assert not weight[~present].any() and weight[present].all()


@pytest.mark.parametrize("init", ["zeros", "ones", "constant(2)", "gaussian(1)", "he"])
@pytest.mark.parametrize("shape", [(), (3,), (3, 2)])
def test_a_value_has_the_shape_of_its_parameter(init, shape):
    graph = load_text(f"net a : x[3, 2] -> y {{ y = x * param({list(shape)}, init = {init}) }}")
    assert [value.shape for value in initial_parameters(graph, 0).values()] == [shape]


def test_weights_beyond_the_limit_are_told_before_memory_is_taken(monkeypatch):
    graph = load_text("net f : x[50] -> y { y = x -> dense(3) -> dense(10**9) -> dense(10) }")
    with pytest.raises(NetError) as caught:
        initial_parameters(graph, 0)
    (found,) = caught.value.diagnostics
    assert found.code == "E0450" and "14,000,000,163 weights, and 4,294,967,296 are the most" in found.message
    assert (found.labels[0].span.text, found.labels[0].text) == ("dense(10)", "10,000,000,000 of them")
    assert "NETDSL_MAX_WEIGHTS" in found.helps[-1]
    small = load_text("net f : x[50] -> y { y = x -> dense(3) }")
    monkeypatch.setenv("NETDSL_MAX_WEIGHTS", "153")
    assert sum(value.size for value in initial_parameters(small, 0).values()) == 153
    monkeypatch.setenv("NETDSL_MAX_WEIGHTS", "152")
    with pytest.raises(NetError, match="153 weights, and 152"):
        initial_parameters(small, 0)
