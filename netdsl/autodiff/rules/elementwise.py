"""Arithmetic with numpy broadcasting, and functions of one variable that are not activations."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt

from ..rule import Backward, Gradients, rule


def _broadcasting(bw: Backward, *partials: Callable[[], str]) -> Gradients:
    """For every input that needs one: the partial product, in the output's shape, summed down to the input's."""
    return [bw.unbroadcast(partial(), i) if bw.needs[i] else None for i, partial in enumerate(partials)]


@rule("Add")
def add(bw: Backward) -> Gradients:
    return _broadcasting(bw, lambda: bw.dy, lambda: bw.dy)


@rule("Sub")
def subtract(bw: Backward) -> Gradients:
    return _broadcasting(bw, lambda: bw.dy, lambda: bw.op("Neg", bw.dy))


@rule("Mul")
def multiply(bw: Backward) -> Gradients:
    a, b = bw.inputs
    return _broadcasting(bw, lambda: bw.op("Mul", bw.dy, b), lambda: bw.op("Mul", bw.dy, a))


@rule("Div")
def divide(bw: Backward) -> Gradients:
    b = bw.inputs[1]
    quotient = bw.op("Div", bw.dy, b)
    return _broadcasting(bw, lambda: quotient, lambda: bw.op("Neg", bw.op("Mul", quotient, bw.y)))


@rule("Pow")
def power(bw: Backward) -> Gradients:
    """y = x^p: dx = p·x^(p−1)·dy, dp = y·ln x·dy, taken as 0 where x ≤ 0 (as PyTorch does at 0)."""
    x, p = bw.inputs

    def base() -> str:
        exponent = bw.constant_value(p)
        if exponent is not None and exponent.size == 1 and exponent.item() == 2:
            return bw.op("Mul", bw.op("Mul", bw.dy, bw.scalar(2)), x)
        factor = p if bw.element(p) == bw.element(x) else bw.op("Cast", p, to=bw.element(x))
        derivative = bw.op("Mul", factor, bw.op("Pow", x, bw.op("Sub", factor, bw.scalar(1))))
        # p = 0 is constant in x, also at x = 0, where x^(p−1) is infinite.
        derivative = bw.op("Where", bw.op("Equal", factor, bw.scalar(0)), bw.scalar(0), derivative)
        return bw.op("Mul", bw.dy, derivative)

    def exponent() -> str:
        positive = bw.op("Greater", x, bw.scalar(0))
        logarithm = bw.op("Log", bw.op("Where", positive, x, bw.scalar(1)))
        return bw.op("Mul", bw.dy, bw.op("Mul", bw.y, logarithm))

    return _broadcasting(bw, base, exponent)


@rule("Max", "Min", kinks="equal inputs")
def extremum(bw: Backward) -> Gradients:
    """To the inputs that attain it, in equal shares."""
    if len(bw.inputs) == 1:
        return [bw.dy]
    attains = [bw.op("Cast", bw.op("Equal", x, bw.y), to=bw.element(bw.y)) for x in bw.inputs]
    share = bw.op("Div", bw.dy, bw.op("Sum", *attains))
    return [bw.unbroadcast(bw.op("Mul", share, a), i) if bw.needs[i] else None for i, a in enumerate(attains)]


@rule("Sum")
def sum_n(bw: Backward) -> Gradients:
    return [bw.unbroadcast(bw.dy, i) if need else None for i, need in enumerate(bw.needs)]


@rule("Mean")
def mean_n(bw: Backward) -> Gradients:
    share = bw.op("Mul", bw.dy, bw.scalar(1 / len(bw.inputs)))
    return [bw.unbroadcast(share, i) if need else None for i, need in enumerate(bw.needs)]


@rule("Where", kinks="where the condition changes")
def where(bw: Backward) -> Gradients:
    condition = bw.inputs[0]
    a = bw.unbroadcast(bw.masked(condition, bw.dy), 1) if bw.needs[1] else None
    b = bw.unbroadcast(bw.op("Where", condition, bw.scalar(0), bw.dy), 2) if bw.needs[2] else None
    return [None, a, b]


@rule("Neg")
def negate(bw: Backward) -> Gradients:
    return [bw.op("Neg", bw.dy)]


@rule("Identity")
def identity(bw: Backward) -> Gradients:
    return [bw.dy]


@rule("Cast", "CastLike", fixed=("target_type",))
def cast(bw: Backward) -> Gradients:
    return [bw.op("Cast", bw.dy, to=bw.element(bw.x)), *[None] * (len(bw.inputs) - 1)]


@rule("Exp")
def exponential(bw: Backward) -> Gradients:
    return [bw.op("Mul", bw.dy, bw.y)]


@rule("Log")
def logarithm(bw: Backward) -> Gradients:
    return [bw.op("Div", bw.dy, bw.x)]


@rule("Sqrt", kinks="x = 0")
def square_root(bw: Backward) -> Gradients:
    """dy/(2y), and 0 at 0, where it is infinite: the length of a vector that is zero has a subgradient of 0."""
    origin = bw.op("Equal", bw.y, bw.scalar(0))
    half = bw.op("Mul", bw.op("Where", origin, bw.scalar(0), bw.dy), bw.scalar(0.5))
    return [bw.op("Div", half, bw.op("Where", origin, bw.scalar(1), bw.y))]


@rule("Abs", kinks="x = 0")
def absolute(bw: Backward) -> Gradients:
    return [bw.op("Mul", bw.dy, bw.op("Sign", bw.x))]


@rule("Reciprocal")
def reciprocal(bw: Backward) -> Gradients:
    return [bw.op("Neg", bw.op("Mul", bw.dy, bw.op("Mul", bw.y, bw.y)))]


@rule("Erf")
def error_function(bw: Backward) -> Gradients:
    bell = bw.op("Exp", bw.op("Neg", bw.op("Mul", bw.x, bw.x)))
    return [bw.op("Mul", bw.dy, bw.op("Mul", bell, bw.scalar(2 / sqrt(pi))))]


@rule("Clip", kinks="x = min and x = max")
def clip(bw: Backward) -> Gradients:
    """Passes where min ≤ x ≤ max, bounds included as in PyTorch; what is cut off goes to the bound, to max where min is
    above it."""
    gradients: list[str | None] = [None] * len(bw.inputs)
    cut = []
    for index, outside in ((1, "Less"), (2, "Greater")):
        if bw.has(index):
            beyond = bw.op(outside, bw.x, bw.inputs[index])
            cut.append(beyond)
            if bw.needs[index]:
                if bw.has(3 - index):
                    crossed = bw.op("Greater", *bw.inputs[1:3])
                    beyond = bw.op("Or", beyond, crossed) if index == 2 else bw.op("And", beyond, bw.op("Not", crossed))
                gradients[index] = bw.sum_to(bw.masked(beyond, bw.dy), bw.dims(bw.y), bw.inputs[index])
    if bw.needs[0]:
        dx = bw.dy
        for beyond in cut:
            dx = bw.op("Where", beyond, bw.scalar(0), dx)
        gradients[0] = dx
    return gradients


@rule("Mod", kinks="multiples of B")
def modulo(bw: Backward) -> Gradients:
    """y = x − n·b, with n the quotient rounded (with fmod, to zero), a whole number."""
    a, b = bw.inputs
    multiples = bw.op("Div", bw.op("Sub", bw.y, a), b)  # −n
    return _broadcasting(bw, lambda: bw.dy, lambda: bw.op("Mul", bw.dy, bw.op("Round", multiples)))


@rule("Dropout", fixed=("ratio",))
def dropout(bw: Backward) -> Gradients:
    """In training, dy / (1 − ratio) where the mask of the forward pass kept x; else dy."""
    rest: list[str | None] = [None] * (len(bw.inputs) - 1)
    mode = bw.constant_value(bw.inputs[2]) if bw.has(2) else False
    if mode is not None and not mode:
        return [bw.dy, *rest]
    ratio = bw.inputs[1] if bw.has(1) else bw.scalar(0.5)
    if bw.has(1) and bw.element(ratio) != bw.element(bw.x):
        ratio = bw.op("Cast", ratio, to=bw.element(bw.x))
    scaled = bw.op("Div", bw.dy, bw.op("Sub", bw.scalar(1), ratio))
    dx = bw.masked(bw.output(1), scaled)
    # A mode that is fed: without training the node is the identity.
    return [dx if mode is not None else bw.op("Where", bw.inputs[2], dx, bw.dy), *rest]
