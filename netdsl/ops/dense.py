"""Layers that see a whole vector: the dense layer and LeNet-5's radial basis functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.ir.graph import Init, Shape
from netdsl.ops.activation import with_zeros
from netdsl.ops.arguments import BIAS, COUNT, FLAG, FRACTION, INIT, Argument
from netdsl.ops.operator import Operator, ParamSpec, Rule, Site, bias_of, elements, show
from netdsl.ops.registry import operator
from netdsl.ops.weight_norm import WEIGHT_NORM, layer_inputs, with_gain

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder


def _vector(site: Site, what: str) -> int:
    """The length of the one input, which must be a vector; a symbolic one is fixed."""
    shape = site.inputs[0].shape
    if len(shape) != 1:
        ways = ("put `flatten` or `global_avg_pool` before it", "per position use `conv(n, 1)`")
        site.fail("E0310", f"`{what}` needs a vector [D], and {site.labels[0]} is {show(shape)}",
                  helps=ways if shape else ())  # fmt: skip
    return site.fix(shape[0], "the vector's length decides the weights")


@operator
class Dense(Operator):
    """A fully connected layer: y = W x + b, [D] to [units].

    With `drop_connect` each weight and bias is zero with that probability in a step of training, and the others are
    divided by 1 less it; at inference all are as they are. Wan et al., "Regularization of neural networks using
    DropConnect", ICML 2013, where each sample has a mask of its own, and here each step.
    """

    name = "dense"
    summary = "fully connected layer"
    example = "vector[64] -> dense(10)"
    saves_for_parameters = True
    rules = (Rule("[D] -> [units]"),)
    owns = ("weight [units, D]", "bias [units] where bias", "gain [units] where weight_norm")
    multiplies = "one per weight"
    cost = "one FLOP per output element for the bias"
    arguments = (
        Argument("units", COUNT, doc="output numbers"),
        Argument("bias", BIAS, True, "whether a bias is added; an initialisation: how it starts, else with zeros"),
        Argument("init", INIT, Init("he"), "initialisation of the weights"),
        Argument("trainable", FLAG, True, "false freezes the layer"),
        WEIGHT_NORM,
        Argument("drop_connect", FRACTION, 0.0, "probability of a weight to be zero in a step of training"),
    )

    def resolve(self, site: Site) -> None:
        _vector(site, self.name)

    def shape(self, site: Site) -> Shape:
        return (site.args.units,)

    def parameters(self, site: Site) -> dict[str, ParamSpec]:
        a, length = site.args, int(site.inputs[0].shape[0])
        weight = ParamSpec((a.units, length), a.init, length, a.units, a.trainable)
        return with_gain({"weight": weight, **bias_of(a, a.units)}, a, a.units)

    def macs(self, node: Node) -> int:
        return node.parameters["weight"].count

    def flops(self, node: Node) -> int:
        return node.args.units if node.args.bias else 0

    def lower(self, node: Node, b: Builder) -> str:
        x, *parameters = layer_inputs(node, b)
        if b.training and node.args.drop_connect:
            parameters = [with_zeros(b, parameter, node.args.drop_connect) for parameter in parameters]
        return b.op("Gemm", [x, *parameters], transB=1)


@operator
class Rbf(Operator):
    """Euclidean radial basis functions, y_i = sum over j of (x_j - w_ij)^2, [D] to [classes]: LeNet-5's output
    (LeCun et al. 1998, section II.B). The codes w are +1 or -1, fixed, and stored as a buffer.

    The smallest output is the class: as logits use `-y`. The paper counts one connection per code element (840).
    """

    name = "rbf"
    summary = "squared distance to a fixed code of +1 and -1 per class"
    example = "vector[84] -> rbf(10)"
    saves = ()
    rules = (Rule("[D] -> [classes]"),)
    owns = ("codes [classes, D]",)
    cost = "three FLOPs per code element (subtract, square, add); no MACs"
    arguments = (Argument("classes", COUNT, doc="number of codes"),)

    def resolve(self, site: Site) -> None:
        _vector(site, self.name)

    def shape(self, site: Site) -> Shape:
        return (site.args.classes,)

    def parameters(self, site: Site) -> dict[str, ParamSpec]:
        shape = (site.args.classes, int(site.inputs[0].shape[0]))
        return {"codes": ParamSpec(shape, Init("signs"), trainable=False, buffer=True)}

    def flops(self, node: Node) -> int:
        return 3 * node.parameters["codes"].count

    def saved_besides(self, node: Node) -> int:
        return 4 * elements(node.parameters["codes"].shape)  # the differences from all codes

    def lower(self, node: Node, b: Builder) -> str:
        rows = b.op("Unsqueeze", [b.value(node.inputs[0]), b.ints([1])])
        gap = b.op("Sub", [rows, b.parameter(node.parameters["codes"])])
        return b.op("ReduceSum", [b.op("Mul", [gap, gap]), b.ints([2])], keepdims=0)
