"""Which sizes of the symbolic dimensions are legal, in the user's words."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping
from math import lcm

from netdsl.diagnostics import Span
from netdsl.ir import Constraint, Dim, Graph, Node, Size, Symbol

#: joins whose pattern repeats only beyond this are stated as equations
_LONGEST_PERIOD = 1 << 14


def statements(graph: Graph) -> tuple[str, ...]:
    """One sentence for each symbol that is not free, and one for each equation between symbols."""
    fixed: dict[str, Constraint] = {}
    joins: dict[str, dict[Size, Constraint]] = {}
    periods: dict[str, int] = {}
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
        period = lcm(periods.get(names[0], 1), _period(difference))
        if len(names) == 1 and period <= _LONGEST_PERIOD:
            joins.setdefault(names[0], {}).setdefault(difference, c)
            periods[names[0]] = period
        else:
            equations.setdefault(difference, c)
    least = _least_sizes(graph, fixed)
    result = [f"{name} is fixed at {c.right} ({_where(graph, [c])})" for name, c in fixed.items()]
    for name, default in graph.symbols.items():
        smallest, place = least.get(name, (1, ""))
        legal = _legal(name, default, joins[name], periods[name], smallest) if name in joins else None
        if legal is not None:
            result.append(f"{name} must be {legal} ({_where(graph, joins[name].values())})")
        elif smallest > 1:
            result.append(f"{name} must be at least {smallest} ({place})")
    result += [f"{c.left} must equal {c.right} ({_where(graph, [c])})" for c in equations.values()]
    return tuple(result)


def _lone_symbol(dim: Dim) -> Symbol | None:
    if isinstance(dim, Size) and not dim.constant and len(dim.terms) == 1:
        atom, factor = dim.terms[0]
        if isinstance(atom, Symbol) and factor == 1:
            return atom
    return None


def _line(graph: Graph, span: Span) -> str:
    file = span.source.path
    return f"line {span.line}" if file == graph.path else f"{file}, line {span.line}"


def _where(graph: Graph, constraints: Iterable[Constraint]) -> str:
    """The first place and reason, and how many more there are."""
    places = list(dict.fromkeys(f"{_line(graph, c.span)}: {c.reason}" for c in constraints))
    return places[0] if len(places) == 1 else f"{places[0]}; and {len(places) - 1} more"


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


def _legal(name: str, default: int, joins: Collection[Size], period: int, least: int) -> str | None:
    """The sizes at which all the joins over one symbol fit: where all the differences are 0. None: all sizes."""
    sloped = next((d for d in joins if d.at({name: 1 + period}) != d.at({name: 1})), None)
    if sloped is not None:  # its sides grow apart: each residue fits once at most
        slope = sloped.at({name: 1 + period}) - sloped.at({name: 1})
        crossings = sorted(r - sloped.at({name: r}) * period // slope for r in range(1, period + 1))
        return _listed([h for h in crossings if h >= least and all(d.at({name: h}) == 0 for d in joins)])
    legal = [h for h in range(1, period + 1) if all(d.at({name: h}) == 0 for d in joins)]
    if len(legal) == period:
        return None
    return f"{_pattern(legal, period, least)}, such as {_near(legal, period, least, default)}"


def _pattern(legal: list[int], period: int, least: int) -> str:
    """Legal residues (1 to period) as a condition, with the shortest period that describes them."""
    members = {h % period for h in legal}
    divisors = (p for p in range(1, period + 1) if period % p == 0)
    shorter = next(p for p in divisors if all((h + p) % period in members for h in members))
    residues = sorted({h % shorter for h in legal})
    if residues == [0]:
        text = f"a multiple of {shorter}"
    elif len(residues) == 1:
        text = f"{residues[0]} more than a multiple of {shorter}"
    elif residues == list(range(residues[0], residues[-1] + 1)):
        text = f"{residues[0]} to {residues[-1]} more than a multiple of {shorter}"
    else:
        text = f"{_listed(residues)} more than a multiple of {shorter}"
    smallest, allowed = (next(h for h in range(at, at + shorter) if h % shorter in residues) for at in (1, least))
    return text if allowed == smallest else f"{text}, at least {allowed}"


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
    places: dict[Size, Node] = {}
    for node in graph.nodes:
        for value in node.outputs:
            for dim in value.shape:
                if isinstance(dim, Size) and dim not in places:
                    places[dim] = node
    result: dict[str, tuple[int, str]] = {}
    for name, default in graph.symbols.items():
        least = 1
        if name in fixed:
            continue
        for dim, node in places.items():
            if name in dim.symbols() and dim.at({name: least}) < 1:
                least = bisect_left(range(default), 1, lo=least, key=lambda h: dim.at({name: h}))
                result[name] = (least, f"{_line(graph, node.span)}: {node.op.name}")
    return result
