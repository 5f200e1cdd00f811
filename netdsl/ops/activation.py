"""Activations, the identity and dropout: one output element for one input element."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.ops.arguments import AXIS, FRACTION, NUMBER, Argument, choice
from netdsl.ops.axes import axis_index
from netdsl.ops.operator import Locality, Operator, Rule, Site, float_bytes
from netdsl.ops.reach import Reach
from netdsl.ops.registry import operator

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder


@operator
class Relu(Operator):
    """max(x, 0)."""

    name = "relu"
    summary = "rectifier, max(x, 0)"
    example = "image[3, 32, 32] -> relu"
    locality = "element"
    saves = ("outputs",)
    batched = False
    keeps_zeros = True

    def lower(self, node: Node, b: Builder) -> str:
        return b.op("Relu", [b.value(node.inputs[0])])


@operator
class Relu6(Operator):
    """min(max(x, 0), 6) (Sandler et al. 2018, MobileNetV2)."""

    name = "relu6"
    summary = "rectifier with a ceiling, min(max(x, 0), 6)"
    example = "image[3, 32, 32] -> relu6"
    locality = "element"
    batched = False
    keeps_zeros = True

    def lower(self, node: Node, b: Builder) -> str:
        return b.op("Clip", [b.value(node.inputs[0]), b.floats(0.0), b.floats(6.0)])


@operator
class LeakyRelu(Operator):
    """x where it is positive, slope * x elsewhere (Maas et al. 2013)."""

    name = "leaky_relu"
    summary = "rectifier with a slope below zero"
    example = "image[3, 32, 32] -> leaky_relu(0.1)"
    locality = "element"
    batched = False
    keeps_zeros = True
    arguments = (Argument("slope", NUMBER, 0.01, "factor below zero"),)

    def lower(self, node: Node, b: Builder) -> str:
        return b.op("LeakyRelu", [b.value(node.inputs[0])], alpha=float(node.args.slope))


@operator
class Sigmoid(Operator):
    """1 / (1 + exp(-x))."""

    name = "sigmoid"
    summary = "logistic function, 1 / (1 + exp(-x))"
    example = "image[3, 32, 32] -> sigmoid"
    locality = "element"
    saves = ("outputs",)
    batched = False

    def lower(self, node: Node, b: Builder) -> str:
        return b.op("Sigmoid", [b.value(node.inputs[0])])


@operator
class Tanh(Operator):
    """The hyperbolic tangent."""

    name = "tanh"
    summary = "hyperbolic tangent"
    example = "image[3, 32, 32] -> tanh"
    locality = "element"
    saves = ("outputs",)
    batched = False
    keeps_zeros = True

    def lower(self, node: Node, b: Builder) -> str:
        return b.op("Tanh", [b.value(node.inputs[0])])


@operator
class ScaledTanh(Operator):
    """1.7159 tanh(2 x / 3), which is about +1 and -1 at +1 and -1 (LeCun et al. 1998, appendix A)."""

    name = "scaled_tanh"
    summary = "LeNet-5's activation, 1.7159 tanh(2 x / 3)"
    example = "image[1, 32, 32] -> scaled_tanh"
    locality = "element"
    saves, saves_steps = (), 1
    batched = False
    keeps_zeros = True

    def lower(self, node: Node, b: Builder) -> str:
        inner = b.op("Mul", [b.value(node.inputs[0]), b.floats(2 / 3)])
        return b.op("Mul", [b.op("Tanh", [inner]), b.floats(1.7159)])


@operator
class Gelu(Operator):
    """x times the normal distribution function of x (Hendrycks & Gimpel 2016), exactly or by a tanh."""

    name = "gelu"
    summary = "Gaussian error linear unit"
    example = "image[3, 32, 32] -> gelu"
    locality = "element"
    batched = False
    keeps_zeros = True
    arguments = (Argument("approximate", choice("none", "tanh"), "none", '"tanh": the cheaper approximation'),)

    def lower(self, node: Node, b: Builder) -> str:
        return b.op("Gelu", [b.value(node.inputs[0])], approximate=node.args.approximate)


class _Softmax(Operator):
    """Over the channels, or another axis."""

    locality = "position"
    saves = ("outputs",)
    batched = False
    rules = (Rule("[C, ...] -> [C, ...]"),)
    arguments = (Argument("axis", AXIS, "channel", "over which axis"),)
    onnx: str

    def resolve(self, site: Site) -> None:
        if not site.inputs[0].shape:
            site.fail("E0301", f"`{self.name}` goes over the channels, and {site.labels[0]} has none")
        site.args["axis"] = axis_index(site, site.args.axis, len(site.inputs[0].shape))

    def locality_of(self, node: Node) -> Locality | None:
        return self.locality if node.args.axis == 0 else None

    def reach(self, node: Node) -> tuple[Reach, ...]:
        """Along a spatial axis that it goes over, every position sees all."""
        sizes = node.output.shape
        return tuple(Reach(0, 0, int(sizes[i]) - 1) if i == node.args.axis else Reach() for i in range(1, len(sizes)))

    def lower(self, node: Node, b: Builder) -> str:
        (value,) = node.inputs
        return b.op(self.onnx, [b.value(value)], axis=node.args.axis + value.type.batched)


@operator
class Softmax(_Softmax):
    """exp(x_c) / sum over the channels of exp(x), at each position; or over another axis."""

    name, onnx = "softmax", "Softmax"
    summary = "softmax over the channels, or another axis"
    example = "vector[10] -> softmax"


@operator
class LogSoftmax(_Softmax):
    """The logarithm of `softmax`, without its roundings and overflows."""

    name, onnx = "log_softmax", "LogSoftmax"
    summary = "logarithm of the softmax over the channels, or another axis"
    example = "vector[10] -> log_softmax"


@operator
class Identity(Operator):
    """The input as it is."""

    name = "identity"
    summary = "the input as it is"
    example = "image[3, 32, 32] -> identity"
    locality = "element"
    saves, is_view, passes_gradient = (), True, 1
    cost = "none"
    batched = False
    keeps_zeros = True
    dtypes = frozenset({"float32", "int64", "bool"})

    def flops(self, node: Node) -> int:
        return 0

    def lower(self, node: Node, b: Builder) -> str:
        return b.op("Identity", [b.value(node.inputs[0])])


@operator
class Dropout(Operator):
    """In training each element is zero with probability `rate`, and the others are divided by 1 - rate; the identity
    at inference (Srivastava et al. 2014, in the inverted form). Whole channels instead: spatial dropout (Tompson et al.
    2015, section 3.2); whole samples: stochastic depth (Huang et al. 2016), total dropout (Fourure et al. 2017)."""

    name = "dropout"
    summary = "random zeros in training"
    example = "vector[64] -> dropout(0.5)"
    locality = "element"
    saves = ()
    cost = "none: the identity at inference"
    batched = False
    keeps_zeros = True
    arguments = (
        Argument("rate", FRACTION, 0.5, "probability of a zero"),
        Argument("unit", choice("element", "channel", "sample"), "element",
                 'what is zero as a whole; "sample": all of a branch, for one sample of the batch'),
    )  # fmt: skip

    def flops(self, node: Node) -> int:
        return 0

    def saved_besides(self, node: Node) -> int:
        return float_bytes(node.output) if node.args.unit == "element" and node.args.rate else 0

    def lower(self, node: Node, b: Builder) -> str:
        x, rate = b.value(node.inputs[0]), float(node.args.rate)
        if not b.training or rate == 0.0:
            return b.op("Identity", [x])
        return with_zeros(b, x, rate, self._units(node, b))

    def _units(self, node: Node, b: Builder) -> str:
        """A tensor with one element for each unit, whose sizes stretch to those of the input."""
        source = node.inputs[0]
        if node.args.unit == "element":
            return b.value(source)
        ones = (1,) * len(source.shape)
        dims = ones if node.args.unit == "sample" else (*source.shape[:1], *ones[1:])
        return b.op("Expand", [b.floats(0.0), b.dims(dims, batch=source.type.batched)])


def with_zeros(b: Builder, x: str, rate: float, units: str | None = None) -> str:
    """Emit `x` with a share of `rate` of its elements zero and the others divided by 1 - rate. `units`, of which each
    element is drawn once, stretches to the shape of `x`."""
    kept = b.op("GreaterOrEqual", [b.uniform(units or x), b.floats(rate)])
    return b.op("Mul", [x, b.op("Where", [kept, b.floats(1 / (1 - rate)), b.floats(0.0)])])
