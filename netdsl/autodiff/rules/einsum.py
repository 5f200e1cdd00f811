"""Einsum."""

from __future__ import annotations

from string import ascii_letters

import numpy as np

from ..errors import Unsupported
from ..rule import Backward, Gradients, rule


@rule("Einsum")
def einsum(bw: Backward) -> Gradients:
    """The product of dy and the other operands, summed over what the operand does not have.

    Each label of an operand stands for one axis there: a diagonal is told by an identity matrix as a further factor, a
    label that the operand alone has by a vector of ones.
    """
    terms, output = _labels(bw)
    return [_operand(bw, terms, output, index) if need else None for index, need in enumerate(bw.needs)]


def _operand(bw: Backward, terms: list[str], output: str, index: int) -> str:
    factors = [(bw.dy, output), *((bw.inputs[i], term) for i, term in enumerate(terms) if i != index)]
    fresh = iter(c for c in ascii_letters if c not in "".join([*terms, output]))
    own = ""
    for axis, label in enumerate(terms[index]):
        if label in own:
            other = next(fresh)
            factors.append((_identity(bw, index, axis), label + other))
            label = other
        elif not any(label in term for _, term in factors):
            factors.append((_ones(bw, index, axis), label))
        own += label
    equation = f"{','.join(term for _, term in factors)}->{own}"
    product = bw.op("Einsum", *[name for name, _ in factors], equation=equation)
    return _narrowed(bw, product, terms, index)


def _narrowed(bw: Backward, product: str, terms: list[str], index: int) -> str:
    """Summed over the axes of size 1 that met longer ones of the same label."""
    dims = bw.dims(bw.inputs[index])
    wide = {label for i, term in enumerate(terms) for label, size in zip(term, bw.dims(bw.inputs[i]), strict=True)
            if size != 1}  # fmt: skip
    axes = [axis for axis, label in enumerate(terms[index]) if dims[axis] == 1 and label in wide]
    return bw.reduce_sum(product, axes)


def _labels(bw: Backward) -> tuple[list[str], str]:
    """The labels of every operand and of the output, one letter per axis: an ellipsis is written out."""
    equation = bw.attribute("equation", "").replace(" ", "")
    left, arrow, output = equation.partition("->")
    terms = left.split(",")
    if not arrow:
        named = left.replace(",", "").replace("...", "")
        output = "..." * ("..." in left) + "".join(sorted(c for c in set(named) if named.count(c) == 1))
    ranks = [bw.rank(name) - len(t.replace("...", "")) for name, t in zip(bw.inputs, terms, strict=True) if "..." in t]
    free = [c for c in ascii_letters if c not in equation]
    dots = "".join(free[: max(ranks, default=0)])
    if len(free) < len(dots) + 8:
        raise Unsupported("too many labels")
    written = []
    for name, term in zip(bw.inputs, terms, strict=True):
        rank = bw.rank(name) - len(term.replace("...", ""))
        written.append(term.replace("...", dots[len(dots) - rank :]))
    return written, output.replace("...", dots)


def _ones(bw: Backward, index: int, axis: int) -> str:
    size = bw.dims(bw.inputs[index])[axis]
    if isinstance(size, int):
        return bw.constant(np.ones(size))
    return bw.op("Expand", bw.scalar(1), bw.op("Shape", bw.inputs[index], start=axis, end=axis + 1))


def _identity(bw: Backward, index: int, axis: int) -> str:
    size = bw.dims(bw.inputs[index])[axis]
    if isinstance(size, int):
        return bw.constant(np.eye(size))
    raise Unsupported("a diagonal of a symbolic size")
