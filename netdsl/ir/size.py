"""Symbolic sizes: a dimension such as `H` carried through shape arithmetic.

A dimension is an `int` or a `Size`, an integer linear form over atoms; an atom is a symbol or the floor of a linear
form over a whole number. Arithmetic keeps the form canonical (nested floors merge), so that sizes which are equal for
every input compare equal in all chains of convolutions, pools and upsampling with whole factors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, NoReturn, Union

Dim = Union[int, "Size"]


class Symbol(NamedTuple):
    """A named dimension of a net's input."""

    name: str
    default: int

    def at(self, sizes: Mapping[str, int]) -> int:
        return sizes.get(self.name, self.default)

    def __str__(self) -> str:
        return self.name


class Floor(NamedTuple):
    """floor(numerator / divisor)."""

    numerator: Size
    divisor: int

    def at(self, sizes: Mapping[str, int]) -> int:
        return self.numerator.at(sizes) // self.divisor

    def __str__(self) -> str:
        return (
            f"floor(({self.numerator}) / {self.divisor})"
            if self._compound
            else f"floor({self.numerator} / {self.divisor})"
        )

    @property
    def _compound(self) -> bool:
        return len(self.numerator.terms) > 1 or self.numerator.constant != 0


Atom = Symbol | Floor


class Size:
    """sum(coefficient * atom) + constant. `int(size)` is its value at the symbols' defaults."""

    __slots__ = ("_hash", "_value", "constant", "terms")
    terms: tuple[tuple[Atom, int], ...]
    constant: int
    _value: int
    _hash: int

    def __init__(self, terms: tuple[tuple[Atom, int], ...], constant: int = 0) -> None:
        fill = object.__setattr__
        fill(self, "terms", terms)
        fill(self, "constant", constant)
        # both are asked for all the time, and go through all floors within floors
        fill(self, "_value", self.at({}))
        fill(self, "_hash", hash((terms, constant)))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Size is frozen")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Size) and self.constant == other.constant and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    @staticmethod
    def symbol(name: str, default: int) -> Size:
        return Size(((Symbol(name, default), 1),))

    def at(self, sizes: Mapping[str, int]) -> int:
        """The value where symbols have the given sizes; a symbol that is not given has its default."""
        return sum(factor * atom.at(sizes) for atom, factor in self.terms) + self.constant

    def __int__(self) -> int:
        return self._value

    def __add__(self, other: Dim) -> Dim:
        if isinstance(other, int):
            return Size(self.terms, self.constant + other)
        if not isinstance(other, Size):
            return NotImplemented
        factors = dict(self.terms)
        for atom, factor in other.terms:
            factors[atom] = factors.get(atom, 0) + factor
        return _size(factors, self.constant + other.constant)

    __radd__ = __add__

    def __neg__(self) -> Size:
        return Size(tuple((atom, -factor) for atom, factor in self.terms), -self.constant)

    def __sub__(self, other: Dim) -> Dim:
        return self + -other

    def __rsub__(self, other: int) -> Dim:
        return -self + other

    def __mul__(self, other: int) -> Dim:
        if not isinstance(other, int):
            return NotImplemented
        return _size({atom: factor * other for atom, factor in self.terms}, self.constant * other)

    __rmul__ = __mul__

    def __floordiv__(self, divisor: int) -> Dim:
        if not isinstance(divisor, int) or divisor <= 0:
            return NotImplemented
        if divisor == 1:
            return self
        whole = {atom: factor // divisor for atom, factor in self.terms if factor % divisor == 0}
        rest = {atom: factor for atom, factor in self.terms if factor % divisor != 0}
        quotient, constant = divmod(self.constant, divisor)
        if rest:
            numerator = _size(rest, constant)
            assert isinstance(numerator, Size)
            floor = _merged(numerator, divisor)
            whole[floor] = whole.get(floor, 0) + 1
        return _size(whole, quotient)

    def __mod__(self, divisor: int) -> Dim:
        return self - (self // divisor) * divisor

    def symbols(self) -> frozenset[str]:
        found: set[str] = set()
        sizes: list[Size] = [self]
        while sizes:
            for atom, _ in sizes.pop().terms:
                if isinstance(atom, Symbol):
                    found.add(atom.name)
                else:
                    sizes.append(atom.numerator)
        return frozenset(found)

    def __str__(self) -> str:
        parts = [str(atom) if factor == 1 else f"{factor}*{atom}" for atom, factor in self.terms]
        if self.constant:
            parts.append(str(self.constant))
        return " + ".join(parts).replace("+ -", "- ")


def _size(factors: Mapping[Atom, int], constant: int) -> Dim:
    terms = tuple(sorted(((a, f) for a, f in factors.items() if f), key=lambda term: str(term[0])))
    return Size(terms, constant) if terms else constant


def _merged(numerator: Size, divisor: int) -> Floor:
    """floor((floor(a / m) + c) / k) is floor((a + c m) / (m k)): one floor in place of two."""
    if len(numerator.terms) == 1 and numerator.terms[0][1] == 1 and isinstance(numerator.terms[0][0], Floor):
        inner = numerator.terms[0][0]
        merged = inner.numerator + numerator.constant * inner.divisor
        assert isinstance(merged, Size)
        return Floor(merged, inner.divisor * divisor)
    return Floor(numerator, divisor)


def value_at(dim: Dim, sizes: Mapping[str, int]) -> int:
    """The number that a dimension is where symbols have the given sizes."""
    return dim if isinstance(dim, int) else dim.at(sizes)


def substituted(dim: Dim, values: Mapping[str, Dim]) -> Dim:
    """The dimension with other sizes or numbers in place of symbols."""
    if isinstance(dim, int) or not (dim.symbols() & values.keys()):
        return dim
    result: Dim = dim.constant
    for atom, factor in dim.terms:
        if isinstance(atom, Symbol):
            value = values.get(atom.name, Size(((atom, 1),)))
        else:
            value = substituted(atom.numerator, values) // atom.divisor
        result = result + value * factor
    return result


def grows(dim: Dim) -> bool:
    """Whether the size never falls as a symbol grows: no factor in it is negative."""
    return isinstance(dim, int) or all(
        factor > 0 and (isinstance(atom, Symbol) or grows(atom.numerator)) for atom, factor in dim.terms
    )
