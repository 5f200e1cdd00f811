"""Conditions on the sizes of a net to the sizes of each symbol.

An equation over several symbols that gives one of them (`K == H - 4`) is put into the other conditions. What then is
over one symbol is solved exactly; what is still over several is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from netdsl.ir.graph import Constraint
from netdsl.ir.legal import NONE, Legal
from netdsl.ir.search import Condition, search
from netdsl.ir.size import Dim, Size, Symbol, grows, substituted


class Solution(NamedTuple):
    """What conditions come to."""

    #: the symbols that are not free, and their sizes
    legal: dict[str, Legal]
    #: the conditions that make these what they are
    reasons: dict[str, list[Constraint]]
    #: the conditions that are left as they are: over several symbols, or with a pattern too long to search
    left: list[Constraint]
    #: the symbols that an equation gives, and what it says they are
    given: dict[str, Dim]


def solve(symbols: Iterable[str], constraints: Iterable[Constraint]) -> Solution:
    """The legal sizes of every symbol."""
    names = list(symbols)
    pairs = [(c, c.left - c.right) for c in constraints]
    given, left, least = _given(names, pairs)
    pairs += [(c, c.left - c.right) for c in least]
    mine: dict[str, list[Condition]] = {name: [] for name in names}
    several: list[Condition] = []
    impossible: dict[str, list[Constraint]] = {}
    for constraint, difference in pairs:
        size, equal = substituted(difference, given), constraint.relation == "=="
        if isinstance(size, Size):
            condition = Condition(size if equal else _without_floor(size), equal, constraint)
            found = size.symbols()
            (mine[next(iter(found))] if len(found) == 1 else several).append(condition)
        elif isinstance(difference, Size) and (size != 0 if equal else size < 0):
            for name in difference.symbols():
                impossible.setdefault(name, []).append(constraint)
    left += [c.origin for c in _tightest(several) if c.equal or not _always(c.size)]
    legal, reasons = dict.fromkeys(impossible, NONE), impossible
    for name, conditions in mine.items():
        found_ = search(name, _tightest(conditions))
        left += found_.left
        if found_.reasons and name not in impossible:
            legal[name], reasons[name] = found_.legal, found_.reasons
    for name, size in given.items():
        same = _symbol(size)
        if same in legal:
            legal[name], reasons[name] = legal[same], reasons[same]
    return Solution(legal, reasons, left, given)


def _given(
    names: list[str], pairs: Iterable[tuple[Constraint, Dim]]
) -> tuple[dict[str, Dim], list[Constraint], list[Constraint]]:
    """The symbols that equations give in terms of others, if possible of those before them; these equations; and that
    what is so given is at least 1.
    """
    given: dict[str, Dim] = {}
    equations, least = [], []
    for constraint, difference in pairs:
        if constraint.relation == ">=" or isinstance(difference, int) or len(difference.symbols()) == 1:
            continue
        difference = substituted(difference, given)
        if isinstance(difference, int) or len(difference.symbols()) == 1:
            continue
        lone = [(a, factor) for a, factor in difference.terms if isinstance(a, Symbol) and abs(factor) == 1]
        for atom, factor in sorted(lone, key=lambda term: names.index(term[0].name), reverse=True):
            symbol = Size(((atom, 1),))
            value = symbol - difference * factor
            if isinstance(value, Size) and atom.name not in value.symbols():
                put: dict[str, Dim] = {atom.name: value}
                given = {other: substituted(size, put) for other, size in given.items()} | put
                equations.append(constraint)
                least.append(constraint._replace(left=symbol, right=1, relation=">="))
                break
    return given, equations, least


def _symbol(dim: Dim) -> str | None:
    """The name of the symbol that the dimension is."""
    if isinstance(dim, Size) and len(dim.terms) == 1 and not dim.constant:
        atom, factor = dim.terms[0]
        return atom.name if isinstance(atom, Symbol) and factor == 1 else None
    return None


def _without_floor(size: Size) -> Size:
    """A size that is at least 0 where this one is: `f * floor(n / d) + c` is, where `n + d * floor(c / f)` is."""
    while len(size.terms) == 1 and size.terms[0][1] > 0:
        (atom, factor), constant = size.terms[0], size.constant
        if isinstance(atom, Symbol):
            return Size(((atom, 1),), constant // factor)
        inner = atom.numerator + atom.divisor * (constant // factor)
        assert isinstance(inner, Size)
        size = inner
    return size


def _tightest(conditions: Iterable[Condition]) -> list[Condition]:
    """The conditions once each; of inequalities that differ by a number, the one that asks for most."""
    found: dict[object, Condition] = {}
    for condition in conditions:
        key = condition.size if condition.equal else condition.size.terms
        known = found.setdefault(key, condition)
        if not condition.equal and condition.size.constant < known.size.constant:
            found[key] = condition
    return list(found.values())


def _always(size: Size) -> bool:
    """Whether a size is at least 0 wherever its symbols are at least 1: known of those that only grow."""
    return grows(size) and size.at(dict.fromkeys(size.symbols(), 1)) >= 0
