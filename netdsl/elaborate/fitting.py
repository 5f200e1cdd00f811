"""Which sizes of the inputs would fit, for the errors over shapes.

The net is elaborated again with the sizes of its inputs as symbols, and every condition on them is recorded, whether
the sizes in the file meet it or not: so the legal sizes are those of the whole net, also behind the place of the error.
The ones next to the file's are then tried, and named where they mend the error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from netdsl.diagnostics import Diagnostic
from netdsl.elaborate.context import Context
from netdsl.ir import Dim, extents, value_at
from netdsl.ops.axes import axis_word

if TYPE_CHECKING:
    from netdsl.ir.solve import Solution

#: errors that other sizes may mend
OF_SIZES = frozenset({"E0303", "E0308", "E0311", "E0312", "E0313", "E0314", "E0315", "E0316", "E0323"})
#: steps that each try may take, and all tries of a net together: but one is made of any net
MOST_STEPS, _STEPS_TOGETHER = 300_000, 100_000


class Attempt(NamedTuple):
    """An elaboration with other sizes, and what was wrong with it."""

    context: Context
    diagnostics: list[Diagnostic]


Try = Callable[[Mapping[str, int], bool], Attempt]


def literal(context: Context, port: str, axis: int, rank: int, size: int) -> Dim:
    """A size that is a number in the file. It is a symbol while a size that fits is sought; a 1 may be there to stretch."""
    word = axis_word(axis, rank)
    if axis == 0 or word is None:
        return size
    name = f"`{port}`'s {word}"
    if context.lenient and size > 1:
        context.symbols[name] = size
        return context.symbol(name)
    found: int = context.sizes.get(name, size)
    return found


def advised(wrong: list[Diagnostic], attempt: Try) -> list[Diagnostic]:
    """The diagnostics; those that other sizes mend say which."""
    from netdsl.ir.solve import solve  # only where something is wrong

    context = attempt({}, True).context
    found = solve(context.symbols, [*context.constraints, *extents(context.nodes)])
    misfits = {n: size for n, size in context.symbols.items() if n in found.legal and size not in found.legal[n]}
    fitting: list[dict[str, int]] = []
    mended = places = set(map(_place, wrong))
    for turn, sizes in enumerate(_candidates(found, misfits), start=1):
        if turn > 1 and turn * context.steps > _STEPS_TOGETHER:
            break
        still = set(map(_place, attempt(sizes, False).diagnostics))
        if still < places:  # and nothing new is wrong
            fitting.append(sizes)
            mended = mended - still
    if not fitting:
        return wrong
    helps = _said(found, misfits, context.symbols, fitting)
    return [d._replace(helps=(*helps, *d.helps)) if _place(d) in mended else d for d in wrong]


def _candidates(found: Solution, misfits: Mapping[str, int]) -> list[dict[str, int]]:
    """Sizes to try: the next smaller ones, and the next greater; those that change least come first."""
    candidates: list[dict[str, int]] = []
    for smaller in (True, False):
        sizes = {}
        for name, size in misfits.items():
            below, above = found.legal[name].below(size), found.legal[name].above(size)
            sizes[name] = (below if smaller else above) or below or above or size
        sizes |= {name: value_at(given, sizes) for name, given in found.given.items()}
        if sizes and sizes not in candidates:
            candidates.append(sizes)
    return sorted(candidates, key=lambda sizes: sum(abs(sizes[name] - size) for name, size in misfits.items()))


def _said(
    found: Solution, misfits: Mapping[str, int], symbols: Mapping[str, int], fitting: list[dict[str, int]]
) -> list[str]:
    """The conditions that the sizes do not meet, with sizes that do; symbols of one condition together."""
    from netdsl.ir.legal import Legal, nearest

    alike: dict[Legal, dict[str, int]] = {}
    for name, size in misfits.items():
        alike.setdefault(found.legal[name], {})[name] = size
    helps = [nearest(names, legal, fitting) for legal, names in alike.items()]
    for name, given in found.given.items():
        changes = any(sizes[name] != symbols[name] for sizes in fitting)
        if changes and (name not in misfits or value_at(given, {}) != symbols[name]):
            helps.append(f"{name} must equal {given}")
    return helps


def _place(diagnostic: Diagnostic) -> tuple[str, str, int, int]:
    span = diagnostic.labels[0].span if diagnostic.labels else None
    return (diagnostic.code, span.source.path, span.start, span.end) if span else (diagnostic.code, "", 0, 0)
