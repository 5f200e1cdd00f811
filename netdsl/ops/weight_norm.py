"""Weight normalisation: each output's weights are a direction, `weight`, times a length that is learned, `gain`.

w = gain * weight / |weight| (Salimans & Kingma, "Weight normalization", NIPS 2016, equation 2). At the start the gain is the
weights' norm, so that the layer computes with the weights as they were drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from netdsl.ir.graph import Init
from netdsl.ops.arguments import FLAG, Argument
from netdsl.ops.operator import Args, ParamSpec

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder

WEIGHT_NORM = Argument("weight_norm", FLAG, False, "whether each output's weights are a direction times a `gain`")
#: the norms of the weights beside it, output by output
NORM = Init("norm")

#: weights of 0 have no direction, and stay 0
_LEAST = 1e-12


class View(NamedTuple):
    """Weights in a shape of their own in which those of an output lie along `over`, and outputs along all other axes."""

    shape: tuple[int, ...]
    over: tuple[int, ...]

    @property
    def outputs(self) -> tuple[int, ...]:
        """The shape of a number per output, in the order of the outputs; it stretches to that of the weights."""
        return tuple(1 if axis in self.over else size for axis, size in enumerate(self.shape))


def view(node: Node) -> View:
    """The view of the weights of a `conv`, `deconv` or `dense`."""
    shape = node.parameters["weight"].shape
    if node.op.name != "deconv":
        return View(shape, tuple(range(1, len(shape))))
    # [inputs, outputs / groups, kernel...], the inputs in order of their groups
    inputs, outputs, *kernel = shape
    groups = node.args.groups
    return View((groups, inputs // groups, outputs, *kernel), (1, *range(3, 3 + len(kernel))))


def with_gain(specs: dict[str, ParamSpec], args: Args, outputs: int) -> dict[str, ParamSpec]:
    """The parameters of a layer, and the gain of each output where weights are normalised."""
    return specs | ({"gain": ParamSpec((outputs,), NORM, trainable=args.trainable)} if args.weight_norm else {})


def weights(node: Node, b: Builder) -> str:
    """Emit what the layer computes with: the weights, normalised where it says so."""
    weight = node.parameters["weight"]
    direction = b.parameter(weight)
    if not node.args.weight_norm:
        return direction
    seen = view(node)
    if seen.shape != weight.shape:
        direction = b.op("Reshape", [direction, b.ints(seen.shape)])
    norm = b.op("ReduceL2", [direction, b.ints(seen.over)], keepdims=1)
    gain = b.op("Reshape", [b.parameter(node.parameters["gain"]), b.ints(seen.outputs)])
    w = b.op("Mul", [direction, b.op("Div", [gain, b.op("Max", [norm, b.floats(_LEAST)])])])
    return w if seen.shape == weight.shape else b.op("Reshape", [w, b.ints(weight.shape)])


def layer_inputs(node: Node, b: Builder) -> list[str]:
    """The inputs of the ONNX operator: data, weights, and the bias if there is one."""
    bias = [b.parameter(node.parameters["bias"])] if "bias" in node.parameters else []
    return [b.value(node.inputs[0]), weights(node, b), *bias]
