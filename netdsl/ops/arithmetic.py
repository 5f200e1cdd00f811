"""Arithmetic on tensors and numbers, element by element, and functions of one tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.ir.size import Size
from netdsl.ops.elementwise import Binary, Elementwise
from netdsl.ops.operator import Site
from netdsl.ops.registry import operator

if TYPE_CHECKING:
    from netdsl.ir.graph import Node, Value


@operator
class Add(Binary):
    """a + b."""

    name, symbol, onnx, verb = "add", "+", "Add", "add"
    summary = "sum of two tensors, or of a tensor and a number"
    example = "left[8, 16, 16] + right[8, 16, 16]"
    saves, passes_gradient = (), 2


@operator
class Sub(Binary):
    """a - b."""

    name, symbol, onnx, verb = "sub", "-", "Sub", "subtract"
    summary = "difference of two tensors, or of a tensor and a number"
    example = "left[8, 16, 16] - right[8, 16, 16]"
    saves = ()


@operator
class Mul(Binary):
    """a * b, element by element."""

    name, symbol, onnx, verb = "mul", "*", "Mul", "multiply"
    summary = "element-wise product of two tensors, or of a tensor and a number"
    example = "map[8, 16, 16] * gate[8]"

    def saved(self, node: Node) -> tuple[Value, ...]:
        return node.inputs if len(node.inputs) == 2 else ()


@operator
class Div(Binary):
    """a / b, element by element."""

    name, symbol, onnx, verb = "div", "/", "Div", "divide"
    summary = "element-wise quotient of two tensors, or of a tensor and a number"
    example = "image[3, 32, 32] / 255"

    def resolve(self, site: Site) -> None:
        super().resolve(site)
        right = site.args.right
        if right == 0 or (isinstance(right, Size) and int(right) == 0):
            size = () if right == 0 else (f"{right} is 0 at the sizes that are given",)
            site.fail("E0318", f"{site.labels[0]} is divided by zero", notes=size, at="right")

    def saved(self, node: Node) -> tuple[Value, ...]:
        return () if node.args.right is not None else (node.inputs[-1], node.output)


@operator
class Power(Binary):
    """a to the power of b, element by element. A negative base has no power that is not whole: the result is NaN."""

    name, symbol, onnx, verb = "power", "**", "Pow", "take powers of"
    summary = "element-wise power of two tensors, or of a tensor and a number"
    example = "image[3, 32, 32] ** 2"

    def saved(self, node: Node) -> tuple[Value, ...]:
        if node.args.right is not None:
            return node.inputs
        return (node.output,) if node.args.left is not None else (*node.inputs, node.output)


@operator
class Neg(Elementwise):
    """-a."""

    name, symbol, onnx, verb = "neg", "-", "Neg", "negate"
    summary = "the tensor with the opposite sign"
    keeps_zeros = True
    example = "-image[3, 32, 32]"
    saves = ()


@operator
class Exp(Elementwise):
    """e to the power of each element."""

    name, onnx, verb = "exp", "Exp", "take the exponential of"
    summary = "exponential, element by element"
    example = "exp(image[3, 32, 32])"
    saves = ("outputs",)


@operator
class Log(Elementwise):
    """The natural logarithm of each element; -inf at 0, NaN below."""

    name, onnx, verb = "log", "Log", "take the logarithm of"
    summary = "natural logarithm, element by element"
    example = "log(image[3, 32, 32])"


@operator
class Sqrt(Elementwise):
    """The square root of each element; NaN below 0. Its gradient at 0, which is infinite, is taken as 0."""

    name, onnx, verb = "sqrt", "Sqrt", "take the root of"
    summary = "square root, element by element"
    example = "sqrt(image[3, 32, 32])"
    saves = ("outputs",)


@operator
class Abs(Elementwise):
    """Each element without its sign."""

    name, onnx, verb = "abs", "Abs", "take the magnitude of"
    summary = "magnitude, element by element"
    keeps_zeros = True
    example = "abs(image[3, 32, 32])"
