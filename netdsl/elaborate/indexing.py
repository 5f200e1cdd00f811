"""What stands in brackets: items of lists, `widths[1:]`, and entries of families, `node[l, s]` and `node[l, s]?`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from netdsl.diagnostics import counted
from netdsl.elaborate.context import Context
from netdsl.elaborate.lookup import binding, entries
from netdsl.elaborate.values import Family, Scope, describe
from netdsl.ir import Value
from netdsl.syntax import tree as t

if TYPE_CHECKING:
    from netdsl.elaborate.expressions import Expressions


class Indexing:
    """Evaluates `base[...]`."""

    def __init__(self, context: Context, expressions: Expressions) -> None:
        self.context, self.expressions = context, expressions

    def item(self, node: t.Index, scope: Scope) -> Any:
        base = self._base(node.base, scope)
        if isinstance(base, Family):
            return self._family(node, base, scope, missing_is_none=False)
        if isinstance(base, (list, tuple, range)) and len(node.items) == 1:
            item = node.items[0]
            if isinstance(item, t.Slice):
                bounds = self._bounds(item, scope)
                if bounds[2] == 0:
                    raise self.context.error("E0212", "the step of a slice is not 0", item.span, scope.place)
                return base[slice(*bounds)]
            index = self.expressions.whole(item, scope)
            if not -len(base) <= index < len(base):
                asked = str(index) if abs(index) < 10**20 else "of a far greater index"
                helps = (f"items are counted from 0: the last is {len(base) - 1}",) if base else ()
                notes: tuple[str, ...] = ()
                if not base and isinstance(node.base, t.Comprehension) and node.base.condition is not None:
                    of, condition = node.base.iterable.span.text, node.base.condition.span.text
                    notes = (f"no item of `{of}` passes `if {condition}`",) if len(of + condition) < 80 else ()
                raise self.context.error("E0211", f"the list has {counted(len(base), 'item')}, and item {asked} is asked "
                                         "for", item.span, scope.place, notes=notes, helps=helps)  # fmt: skip
            return base[index]
        helps = ("`slice(x, start, end, axis = channel)` takes a part of a tensor",) if isinstance(base, Value) else ()
        raise self.context.error("E0212", f"{describe(base)} cannot be indexed", node.span, scope.place, helps=helps)

    def optional(self, node: t.Optional_, scope: Scope) -> Any:
        if isinstance(node.base, t.Index):
            base = node.base.base
            if isinstance(base, t.Name) and base.name not in scope.names and binding(base.name, scope):
                return None  # a family of which nothing was bound yet
            family = self._base(base, scope)
            if isinstance(family, Family):
                return self._family(node.base, family, scope, missing_is_none=True)
        raise self.context.error("E0212", "`?` follows an entry of a family: `node[l, s]?`", node.span, scope.place,
                                 helps=("remove it: a plain name is always bound where it is read",))  # fmt: skip

    def _base(self, node: t.Expr, scope: Scope) -> Any:
        """What stands before `[ ]`: here a family is not yet the list of its entries."""
        return self.expressions.bound(node, scope) if isinstance(node, t.Name) else self.expressions.evaluate(node, scope)

    def _family(self, node: t.Index, family: Family, scope: Scope, missing_is_none: bool) -> Any:
        rank = len(next(iter(family.entries)))
        if len(node.items) != rank:
            raise self.context.error("E0211", f"`{family.name}` has {counted(rank, 'index')}, and "
                                     f"{len(node.items)} {'is' if len(node.items) == 1 else 'are'} given", node.span,
                                     scope.place, notes=entries(family))  # fmt: skip
        if any(isinstance(item, t.Slice) for item in node.items):
            return self._family_slice(node, family, scope)
        key = tuple(self.expressions.whole(item, scope) for item in node.items)  # type: ignore[arg-type]
        if key in family.entries:
            return family.entries[key]
        if missing_is_none:
            return None
        shown = f"{family.name}[{', '.join(map(str, key))}]"
        raise self.context.error("E0211", f"nothing was bound to `{shown}`", node.span, scope.place, notes=entries(family),
                                 helps=(f"`{node.span.text}?` is none where nothing was bound",))  # fmt: skip

    def _family_slice(self, node: t.Index, family: Family, scope: Scope) -> list[Any]:
        """The entries whose keys lie in every slice, in index order."""
        tests: list[Callable[[int], bool]] = []
        for item in node.items:
            if isinstance(item, t.Slice):
                start, stop, step = self._bounds(item, scope)
                if step is not None and step <= 0:
                    raise self.context.error("E0212", "the step of a family's slice is at least 1", item.span, scope.place)
                low = start if start is not None else min(key[len(tests)] for key in family.entries)
                tests.append(lambda k, a=low, b=stop, c=step or 1: k >= a and (b is None or k < b) and (k - a) % c == 0)
            else:
                index = self.expressions.whole(item, scope)
                tests.append(lambda k, i=index: k == i)
        self.context.step(node.span, scope.place, len(family.entries))
        keys = [key for key in family.entries if all(test(k) for test, k in zip(tests, key, strict=True))]
        return [family.entries[key] for key in sorted(keys)]

    def _bounds(self, node: t.Slice, scope: Scope) -> list[int | None]:
        """Start, stop and step; None where one is left out."""
        return [self.expressions.whole(b, scope) if b is not None else None for b in (node.start, node.stop, node.step)]
