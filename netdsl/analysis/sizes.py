"""Which sizes of the symbolic dimensions are legal, in the user's words."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from math import lcm

from netdsl.ir import Constraint, Dim, Graph, Size, Symbol

#: joins whose pattern repeats only beyond this are stated as equations
_LONGEST_PERIOD = 1 << 14


def statements(graph: Graph) -> tuple[str, ...]:
    """One sentence for each symbol that is not free, and one for each equation between symbols."""
    fixed: dict[str, Constraint] = {}
    joins: dict[str, list[tuple[Size, Constraint]]] = {}
    equations: dict[Dim, Constraint] = {}
    for c in graph.constraints:
        symbol = _lone_symbol(c.left)
        if symbol is not None and isinstance(c.right, int):
            fixed.setdefault(symbol.name, c)
    for c in graph.constraints:
        difference = c.left - c.right
        if isinstance(difference, int) or difference.symbols() <= fixed.keys():
            continue
        names = sorted(difference.symbols())
        if len(names) == 1 and _period(difference) <= _LONGEST_PERIOD:
            joins.setdefault(names[0], []).append((difference, c))
        else:
            equations.setdefault(difference, c)
    least = _least_sizes(graph, fixed)
    result = [f"{name} is fixed at {c.right} ({_where([c])})" for name, c in fixed.items()]
    for name, default in graph.symbols.items():
        if name in joins:
            result.append(_joined(name, default, joins[name], least.get(name, (1, ""))[0]))
        elif name in least:
            result.append(f"{name} must be at least {least[name][0]} ({least[name][1]})")
    result += [f"{c.left} must equal {c.right} ({_where([c])})" for c in equations.values()]
    return tuple(result)


def _lone_symbol(dim: Dim) -> Symbol | None:
    if isinstance(dim, Size) and not dim.constant and len(dim.terms) == 1:
        atom, factor = dim.terms[0]
        if isinstance(atom, Symbol) and factor == 1:
            return atom
    return None


def _where(constraints: Iterable[Constraint]) -> str:
    """The places and reasons, at most three in full."""
    places = list(dict.fromkeys(f"line {c.span.line}: {c.reason}" for c in constraints))
    shown = "; ".join(places[:3])
    return shown if len(places) <= 3 else f"{shown}; and {len(places) - 3} more"


def _period(size: Size) -> int:
    """A number P such that size(h + P) - size(h) is the same for all h."""
    period = 1
    pending = [(size, 1)]
    while pending and period <= _LONGEST_PERIOD:
        part, factor = pending.pop()
        for atom, _ in part.terms:
            if not isinstance(atom, Symbol):
                period = lcm(period, factor * atom.divisor)
                pending.append((atom.numerator, factor * atom.divisor))
    return period


def _joined(name: str, default: int, joins: list[tuple[Size, Constraint]], least: int) -> str:
    """The sizes at which all the joins over one symbol fit."""
    differences = list(dict.fromkeys(difference for difference, _ in joins))
    where = _where(c for _, c in joins)
    period = lcm(*(_period(difference) for difference in differences))
    if period > _LONGEST_PERIOD:
        return f"{name}: {' and '.join(f'{c.left} must equal {c.right}' for _, c in joins)} ({where})"
    sloped = next((d for d in differences if d.at({name: 1 + period}) != d.at({name: 1})), None)
    if sloped is None:
        candidates: Iterable[int] = range(1, period + 1)
    else:  # its sides grow apart: each residue fits once at most
        slope = sloped.at({name: 1 + period}) - sloped.at({name: 1})
        candidates = sorted(
            h for r in range(1, period + 1) for h in (r - sloped.at({name: r}) * period // slope,)
            if h > 0 and sloped.at({name: h}) == 0
        )  # fmt: skip
    legal = [h for h in candidates if all(d.at({name: h}) == 0 for d in differences)]
    if sloped is not None:
        return f"{name} must be {_listed([h for h in legal if h >= least])} ({where})"
    return f"{name} must be {_pattern(legal, period, least)}; near {default}: {_near(legal, period, least, default)} ({where})"


def _pattern(legal: list[int], period: int, least: int) -> str:
    """Legal residues (1 to period) as a condition, with the shortest period that describes them."""
    members = set(legal)
    for shorter in (p for p in range(1, period + 1) if period % p == 0):
        if all(((h + shorter - 1) % period + 1) in members for h in members):
            break
    residues = sorted({h % shorter for h in legal})
    if residues == [0]:
        text = f"a multiple of {shorter}"
    elif len(residues) == 1:
        text = f"{residues[0]} more than a multiple of {shorter}"
    elif residues == list(range(residues[0], residues[-1] + 1)):
        text = f"{residues[0]} to {residues[-1]} more than a multiple of {shorter}"
    else:
        text = f"{_listed(residues)} more than a multiple of {shorter}"
    smallest = next(h for h in range(1, shorter + 1) if h % shorter in residues)
    return text if least <= smallest else f"{text}, at least {least}"


def _near(legal: list[int], period: int, least: int, default: int) -> str:
    """The legal sizes next to the default, itself included."""
    base = default // period * period
    around = [base + turn * period + h for turn in (-2, -1, 0, 1) for h in legal]
    around = [h for h in around if h >= least and h > 0]
    at, behind = bisect_left(around, default), bisect_right(around, default)
    return ", ".join(map(str, around[max(0, at - 1) : behind + 1]))


def _listed(sizes: list[int]) -> str:
    if len(sizes) == 1:
        return str(sizes[0])
    shown = ", ".join(map(str, sizes[:8]))
    return f"one of {shown}" + (", ..." if len(sizes) > 8 else "")


def _least_sizes(graph: Graph, fixed: Mapping[str, Constraint]) -> dict[str, tuple[int, str]]:
    """For each symbol the smallest size at which every tensor has all its extents, where that is more than 1, and the
    layer that asks for it; the other symbols are at their defaults. Extents do not shrink as an input grows.
    """
    places: dict[Size, tuple[int, str]] = {}
    for node in graph.nodes:
        for value in node.outputs:
            for dim in value.shape:
                if isinstance(dim, Size) and dim not in places:
                    places[dim] = (node.span.line, node.op.name)
    result: dict[str, tuple[int, str]] = {}
    for name, default in graph.symbols.items():
        least = 1
        if name in fixed:
            continue
        for dim, (line, op) in places.items():
            if name in dim.symbols() and dim.at({name: least}) < 1:
                least = bisect_left(range(default), 1, lo=least, key=lambda h: dim.at({name: h}))
                result[name] = (least, f"line {line}: {op}")
    return result
