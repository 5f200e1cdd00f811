"""Activations: element-wise functions of one variable."""

from __future__ import annotations

from math import log, pi, sqrt

from onnx import TensorProto

from ..errors import Unsupported
from ..rule import Backward, Gradients, rule

# The largest slope for which slope·y stays a float32; it sends every normal positive float to 1, and 0 to 0.
_STEEP = 3e38
_SELU_ALPHA = 1.67326319217681884765625
_SELU_GAMMA = 1.05070102214813232421875


def _times(bw: Backward, derivative: str) -> Gradients:
    return [bw.op("Mul", bw.dy, derivative)]


def _positive(bw: Backward, value: str) -> str:
    return bw.op("Greater", value, bw.scalar(0))


@rule("Relu", kinks="x = 0")
def relu(bw: Backward) -> Gradients:
    """dy where y > 0. On the CPU the 0/1 mask is one HardSigmoid in float32, the cheapest kernel that computes it; on CUDA a
    comparison writes a quarter of that, and serves a half type too.
    """
    if bw.target.provider == "cpu" and bw.element(bw.y) == TensorProto.FLOAT:
        return _times(bw, bw.op("HardSigmoid", bw.y, alpha=_STEEP, beta=0.0))
    return [bw.masked(_positive(bw, bw.y), bw.dy)]


@rule("LeakyRelu", kinks="x = 0")
def leaky_relu(bw: Backward) -> Gradients:
    slope = bw.scalar(bw.attribute("alpha", 0.01))
    return _times(bw, bw.op("Where", _positive(bw, bw.x), bw.scalar(1), slope))


@rule("PRelu", kinks="x = 0")
def prelu(bw: Backward) -> Gradients:
    # One slope per channel stood alone before opset 7, and conversion leaves it so.
    pairs = zip(reversed(bw.dims(bw.inputs[1])), reversed(bw.dims(bw.x)), strict=False)
    if any(isinstance(a, int) and isinstance(b, int) and a not in (1, b) for a, b in pairs):
        raise Unsupported("the slopes do not broadcast to the input")
    positive = _positive(bw, bw.x)
    dx = bw.op("Where", positive, bw.dy, bw.op("Mul", bw.dy, bw.inputs[1])) if bw.needs[0] else None
    slope = None
    if bw.needs[1]:
        slope = bw.unbroadcast(bw.op("Where", positive, bw.scalar(0), bw.op("Mul", bw.dy, bw.x)), 1)
    return [dx, slope]


@rule("Elu", kinks="x = 0, unless alpha is 1")
def elu(bw: Backward) -> Gradients:
    alpha = bw.scalar(bw.attribute("alpha", 1.0))
    return _times(bw, bw.op("Where", _positive(bw, bw.x), bw.scalar(1), bw.op("Add", bw.y, alpha)))


@rule("Celu")
def celu(bw: Backward) -> Gradients:
    """y = α(e^(x/α) − 1) below 0, whose slope is e^(x/α) = y/α + 1."""
    slope = bw.op("Add", bw.op("Div", bw.y, bw.scalar(bw.attribute("alpha", 1.0))), bw.scalar(1))
    return _times(bw, bw.op("Where", _positive(bw, bw.x), bw.scalar(1), slope))


@rule("Selu", kinks="x = 0")
def selu(bw: Backward) -> Gradients:
    alpha, gamma = bw.attribute("alpha", _SELU_ALPHA), bw.attribute("gamma", _SELU_GAMMA)
    below = bw.op("Add", bw.y, bw.scalar(alpha * gamma))
    return _times(bw, bw.op("Where", _positive(bw, bw.x), bw.scalar(gamma), below))


@rule("Softplus")
def softplus(bw: Backward) -> Gradients:
    return _times(bw, bw.op("Sigmoid", bw.x))


@rule("Softsign")
def softsign(bw: Backward) -> Gradients:
    root = bw.op("Sub", bw.scalar(1), bw.op("Abs", bw.y))
    return _times(bw, bw.op("Mul", root, root))


@rule("Sigmoid")
def sigmoid(bw: Backward) -> Gradients:
    return _times(bw, bw.op("Mul", bw.y, bw.op("Sub", bw.scalar(1), bw.y)))


@rule("Tanh")
def tanh(bw: Backward) -> Gradients:
    return _times(bw, bw.op("Sub", bw.scalar(1), bw.op("Mul", bw.y, bw.y)))


@rule("HardSigmoid", kinks="alpha · x + beta = 0 and 1")
def hard_sigmoid(bw: Backward) -> Gradients:
    """α strictly between the two corners."""
    inside = bw.op("And", _positive(bw, bw.y), bw.op("Less", bw.y, bw.scalar(1)))
    return [bw.masked(inside, bw.op("Mul", bw.dy, bw.scalar(bw.attribute("alpha", 0.2))))]


@rule("HardSwish", kinks="x = -3 and 3")
def hard_swish(bw: Backward) -> Gradients:
    """y = x·clip(x/6 + 1/2, 0, 1): slope x/3 + 1/2 between −3 and 3."""
    slope = bw.op("Add", bw.op("Div", bw.x, bw.scalar(3)), bw.scalar(0.5))
    upper = bw.op("Where", bw.op("Less", bw.x, bw.scalar(3)), slope, bw.scalar(1))
    return _times(bw, bw.masked(bw.op("Greater", bw.x, bw.scalar(-3)), upper))


@rule("ThresholdedRelu", kinks="x = alpha")
def thresholded_relu(bw: Backward) -> Gradients:
    return [bw.masked(bw.op("Greater", bw.x, bw.scalar(bw.attribute("alpha", 1.0))), bw.dy)]


@rule("Shrink", kinks="x = -lambd and lambd")
def shrink(bw: Backward) -> Gradients:
    """x ± bias beyond ±λ, 0 between them."""
    beyond = bw.op("Greater", bw.op("Abs", bw.x), bw.scalar(bw.attribute("lambd", 0.5)))
    return [bw.masked(beyond, bw.dy)]


@rule("Mish")
def mish(bw: Backward) -> Gradients:
    """y = x·t with t = tanh(softplus x): slope t + x·(1 − t²)·sigmoid x."""
    t = bw.op("Tanh", bw.op("Softplus", bw.x))
    inner = bw.op("Mul", bw.op("Sub", bw.scalar(1), bw.op("Mul", t, t)), bw.op("Sigmoid", bw.x))
    return _times(bw, bw.op("Add", t, bw.op("Mul", bw.x, inner)))


@rule("Gelu")
def gelu(bw: Backward) -> Gradients:
    """x·Φ(x), or its tanh approximation (Hendrycks and Gimpel 2016, arXiv:1606.08415)."""
    return _times(bw, _gelu_tanh_slope(bw) if bw.attribute("approximate", "none") == "tanh" else _gelu_slope(bw))


def _gelu_slope(bw: Backward) -> str:
    """Φ(x) + x·φ(x)."""
    erf = bw.op("Erf", bw.op("Mul", bw.x, bw.scalar(1 / sqrt(2))))
    cdf = bw.op("Mul", bw.op("Add", erf, bw.scalar(1)), bw.scalar(0.5))
    square = bw.op("Mul", bw.x, bw.x)
    # The density's factor 1/√(2π) goes into the exponent.
    density = bw.op("Exp", bw.op("Sub", bw.scalar(-0.5 * log(2 * pi)), bw.op("Mul", square, bw.scalar(0.5))))
    return bw.op("Add", cdf, bw.op("Mul", bw.x, density))


def _gelu_tanh_slope(bw: Backward) -> str:
    """With t = tanh(c(x + ax³)): (1 + t)/2 + x/2·(1 − t²)·c(1 + 3ax²)."""
    c, a = sqrt(2 / pi), 0.044715
    square = bw.op("Mul", bw.x, bw.x)

    def cubic(factor: float) -> str:
        return bw.op("Add", bw.op("Mul", square, bw.scalar(c * a * factor)), bw.scalar(c))

    t = bw.op("Tanh", bw.op("Mul", bw.x, cubic(1)))
    through_t = bw.op("Mul", bw.op("Sub", bw.scalar(1), bw.op("Mul", t, t)), bw.op("Mul", bw.x, cubic(3)))
    return bw.op("Mul", bw.op("Add", bw.op("Add", t, bw.scalar(1)), through_t), bw.scalar(0.5))
