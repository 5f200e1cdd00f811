"""Which sizes of the symbolic dimensions are legal: exactly, and in the user's words."""

from __future__ import annotations

from collections.abc import Iterable

from netdsl.diagnostics import Span
from netdsl.ir import Constraint, Graph, extents
from netdsl.ir.legal import Legal, sentence
from netdsl.ir.solve import Solution, solve


def legal(graph: Graph) -> dict[str, Legal]:
    """The sizes that each symbol may have, of those that are not free: `48 in legal(graph)["H"]`.

    For itself: what ties symbols to each other is in `statements`.
    """
    return _solved(graph).legal


def statements(graph: Graph) -> tuple[str, ...]:
    """One sentence for the symbols of one condition, and one for each equation between symbols."""
    result = [f"{c.left} is fixed at {c.right} ({_where(graph, [c])})" for c in graph.constraints if c.fixes(graph.symbols)]
    found = _solved(graph)
    alike: dict[Legal, list[str]] = {}
    for name in graph.symbols:
        if name in found.legal:
            alike.setdefault(found.legal[name], []).append(name)
    for sizes, names in alike.items():
        where = _where(graph, (c for name in names for c in found.reasons[name]))
        result.append(f"{sentence({name: graph.symbols[name] for name in names}, sizes)} ({where})")
    for c in found.left:
        relation = "must equal" if c.relation == "==" else "must be at least"
        result.append(f"{c.left} {relation} {c.right} ({_where(graph, [c])})")
    return tuple(result)


def _solved(graph: Graph) -> Solution:
    return solve(graph.symbols, [*(c for c in graph.constraints if not c.fixes(graph.symbols)), *extents(graph.all_nodes)])


def _where(graph: Graph, constraints: Iterable[Constraint]) -> str:
    """The first place and reason, and how many more there are."""
    places = list(dict.fromkeys(f"{_line(graph, c.span)}: {c.reason}" for c in constraints))
    return places[0] if len(places) == 1 else f"{places[0]}; and {len(places) - 1} more"


def _line(graph: Graph, span: Span) -> str:
    file = span.source.path
    return f"line {span.line}" if file == graph.path else f"{file}, line {span.line}"
