"""Which sizes of the inputs would fit, for the errors over shapes.

The net is elaborated again with the sizes of its inputs as symbols, and every condition on them is recorded, whether
the sizes in the file meet it or not: so the legal sizes are those of the whole net, also behind the place of the error.
The ones next to the file's are then tried, and named where they mend the error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from netdsl.diagnostics import Diagnostic
from netdsl.elaborate.context import Context
from netdsl.ir import Dim, extents, value_at
from netdsl.ops.axes import axis_word

#: errors that other sizes may mend
OF_SIZES = frozenset({"E0303", "E0308", "E0311", "E0312", "E0313", "E0314", "E0315", "E0316"})
#: steps that the tries of any file may take; those of a longer one take about twice as long as its elaboration
_FREE_STEPS = 100_000


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


def advised(wrong: list[Diagnostic], steps: int, attempt: Try) -> list[Diagnostic]:
    """The diagnostics; those that other sizes mend say which. `steps`: what finding them took."""
    from netdsl.ir.legal import Legal, nearest  # only where something is wrong
    from netdsl.ir.solve import solve

    context = attempt({}, True).context
    spent, most = context.steps, max(_FREE_STEPS, 2 * steps)
    found = solve(context.symbols, [*context.constraints, *extents(context.nodes)])
    misfits = {n: size for n, size in context.symbols.items() if n in found.legal and size not in found.legal[n]}
    tried: list[dict[str, int]] = []
    fitting: list[dict[str, int]] = []
    mended = places = set(map(_place, wrong))
    for step, other in ((Legal.below, Legal.above), (Legal.above, Legal.below)):
        sizes = {n: step(found.legal[n], size) or other(found.legal[n], size) or size for n, size in misfits.items()}
        sizes |= {n: value_at(size, sizes) for n, size in found.given.items()}
        if sizes in [{}, *tried] or spent + steps > most:
            continue
        tried.append(sizes)
        trial = attempt(sizes, False)
        spent += trial.context.steps
        still = set(map(_place, trial.diagnostics))
        if still < places:  # and nothing new is wrong
            fitting.append(sizes)
            mended = mended - still
    if not fitting:
        return wrong
    alike: dict[Legal, dict[str, int]] = {}
    for name, size in misfits.items():
        alike.setdefault(found.legal[name], {})[name] = size
    helps = [nearest(names, legal, fitting) for legal, names in alike.items()]
    for name, size in found.given.items():
        changes = any(sizes[name] != context.symbols[name] for sizes in fitting)
        if changes and (name not in misfits or value_at(size, {}) != context.symbols[name]):
            helps.append(f"{name} must equal {size}")
    return [d._replace(helps=(*helps, *d.helps)) if _place(d) in mended else d for d in wrong]


def _place(diagnostic: Diagnostic) -> tuple[str, str, int, int]:
    span = diagnostic.labels[0].span if diagnostic.labels else None
    return (diagnostic.code, span.source.path, span.start, span.end) if span else (diagnostic.code, "", 0, 0)
