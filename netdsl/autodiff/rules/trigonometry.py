"""Trigonometric and hyperbolic functions, and their inverses."""

from __future__ import annotations

from ..rule import Backward, Gradients, rule


def _by(bw: Backward, slope: str) -> Gradients:
    return [bw.op("Mul", bw.dy, slope)]


def _over(bw: Backward, divisor: str) -> Gradients:
    return [bw.op("Div", bw.dy, divisor)]


def _square(bw: Backward, value: str) -> str:
    return bw.op("Mul", value, value)


@rule("Sin")
def sine(bw: Backward) -> Gradients:
    return _by(bw, bw.op("Cos", bw.x))


@rule("Cos")
def cosine(bw: Backward) -> Gradients:
    return _by(bw, bw.op("Neg", bw.op("Sin", bw.x)))


@rule("Tan")
def tangent(bw: Backward) -> Gradients:
    """1 + tan²."""
    return _by(bw, bw.op("Add", bw.scalar(1), _square(bw, bw.y)))


@rule("Sinh")
def hyperbolic_sine(bw: Backward) -> Gradients:
    return _by(bw, bw.op("Cosh", bw.x))


@rule("Cosh")
def hyperbolic_cosine(bw: Backward) -> Gradients:
    return _by(bw, bw.op("Sinh", bw.x))


@rule("Asin")
def arc_sine(bw: Backward) -> Gradients:
    return _over(bw, _leg(bw))


@rule("Acos")
def arc_cosine(bw: Backward) -> Gradients:
    return _over(bw, bw.op("Neg", _leg(bw)))


def _leg(bw: Backward) -> str:
    """√(1 − x²)."""
    return bw.op("Sqrt", bw.op("Sub", bw.scalar(1), _square(bw, bw.x)))


@rule("Atan")
def arc_tangent(bw: Backward) -> Gradients:
    return _over(bw, bw.op("Add", _square(bw, bw.x), bw.scalar(1)))


@rule("Asinh")
def area_sine(bw: Backward) -> Gradients:
    return _over(bw, bw.op("Sqrt", bw.op("Add", _square(bw, bw.x), bw.scalar(1))))


@rule("Acosh")
def area_cosine(bw: Backward) -> Gradients:
    return _over(bw, bw.op("Sqrt", bw.op("Sub", _square(bw, bw.x), bw.scalar(1))))


@rule("Atanh")
def area_tangent(bw: Backward) -> Gradients:
    return _over(bw, bw.op("Sub", bw.scalar(1), _square(bw, bw.x)))
