"""Running the statements of a net or block. A statement that fails poisons what it binds, and the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from netdsl.diagnostics import Label, SourceError, Span, counted
from netdsl.elaborate.context import Context, LimitReached
from netdsl.elaborate.lookup import binding, entries
from netdsl.elaborate.names import reserved
from netdsl.elaborate.values import POISON, Family, OpLayer, Poisoned, Scope, Shared, describe, is_layer
from netdsl.ir import Value
from netdsl.syntax import tree as t


class Statements:
    """Runs statements in a scope."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.expectations: dict[tuple[int, str, tuple[int, ...]], tuple[t.Expect, Scope]] = {}
        self._by_type: dict[type, Callable[[Any, Scope], None]] = {
            t.Assign: self._assign, t.Share: self._share, t.For: self._for, t.If: self._if, t.Expect: self._expect,
        }  # fmt: skip

    def function(self, declaration: t.Function, scope: Scope) -> Any:
        """Run a body; the value of its output, or the tuple of its outputs. Raises Poisoned where one failed."""
        self.run(declaration.body, scope)
        values = [self._output(port, declaration, scope) for port in declaration.outputs]
        return values[0] if len(values) == 1 else tuple(values)

    def _output(self, port: t.Output, declaration: t.Function, scope: Scope) -> Any:
        if port.name not in scope.names:
            raise self.context.error("E0206", f"the output `{port.name}` of `{declaration.name}` is never assigned",
                                     port.span, scope.place, helps=(f"add `{port.name} = ...`",))  # fmt: skip
        value = scope.names[port.name]
        if value is POISON:
            raise Poisoned
        if port.family:
            if not isinstance(value, Family) or not value.entries:
                raise self.context.error("E0206", f"the output `{port.name}` is a family, and `{port.name}` is "
                                         f"{describe(value)}", port.span, scope.place)  # fmt: skip
            return value.ordered()
        if not isinstance(value, Value):
            helps: tuple[str, ...] = ()
            if isinstance(value, OpLayer) and value.op.style == "function":
                helps = (f"call it: `{value.op.called}`",)
            elif is_layer(value):
                helps = ("a layer becomes a tensor when it is applied: `x -> layer`",)
            scope.names[port.name] = POISON  # the train block reads it
            bound = binding(port.name, scope)
            also = (Label(bound, "bound here"),) if bound is not None else ()
            raise self.context.error("E0206", f"the output `{port.name}` is {describe(value)}, not a tensor", port.span,
                                     scope.place, also=also, helps=helps)  # fmt: skip
        return value

    def run(self, statements: list[t.Statement], scope: Scope) -> None:
        for statement in statements:
            self.context.step(statement.span, scope.place)
            try:
                self._by_type[type(statement)](statement, scope)
            except LimitReached:
                raise
            except SourceError as error:
                self.context.report(error)
                self._poison(statement, scope)
            except Poisoned:
                self._poison(statement, scope)
            except RecursionError:
                raise self.context.too_deep(statement.span, scope.place) from None

    def _poison(self, statement: t.Statement, scope: Scope) -> None:
        """Poison what a statement that failed would have bound."""
        for name in bound_names([statement]):
            if not isinstance(scope.names.get(name), Family):
                scope.names[name] = POISON
        for family in _family_names([statement]):
            # an entry is missing now: what reads it would only say so again
            scope.names[family] = POISON

    def bind(self, name: str, value: Any, scope: Scope, span: Span) -> None:
        """Bind a plain name."""
        context = self.context
        if name == "_":
            return
        if name in reserved():
            raise context.error("E0209", f"`{name}` is a name of the language and cannot be bound", span, scope.place,
                                helps=(f"choose another name, such as `{name}_1`",))  # fmt: skip
        if name in scope.module.imports:
            raise context.shadows(name, span, scope.module.imports[name], scope.place)
        before = scope.names.get(name)
        if isinstance(before, Family):
            raise context.error("E0209", f"`{name}` is a family of indexed nodes, and is bound here without an index",
                                span, scope.place)  # fmt: skip
        if (isinstance(before, Value) and is_layer(value)) or (is_layer(before) and isinstance(value, Value)):
            kinds = "a tensor, and becomes a layer" if is_layer(value) else "a layer, and becomes a tensor"
            helps = (f"write `{name} = {name} -> ...`",) if is_layer(value) else ("use two names",)
            raise context.error("E0209", f"`{name}` is {kinds}", span, scope.place, helps=helps)
        scope.names[name] = value

    def bind_names(self, names: list[t.Name], value: Any, scope: Scope, span: Span) -> None:
        """Bind loop names: one to the item, several to the item's parts."""
        if len(names) == 1:
            self.bind(names[0].name, value, scope, names[0].span)
            return
        if not isinstance(value, (list, tuple)) or len(value) != len(names):
            listed = ", ".join(name.name for name in names)
            raise self.context.error("E0214", f"the loop binds {len(names)} names, `{listed}`, and an item is "
                                     f"{describe(value)}", span, scope.place,
                                     helps=(f"make each item a list of {len(names)}",))  # fmt: skip
        for name, part in zip(names, value, strict=True):
            self.bind(name.name, part, scope, name.span)

    def _assign(self, statement: t.Assign, scope: Scope) -> None:
        targets = statement.targets
        keys = [self._key(target, scope) if isinstance(target, t.FamilyEntry) else () for target in targets]
        place = scope.place
        scope.place = place.bound_to(_binding(targets, keys, scope))
        try:
            value = self.context.expressions.evaluate(statement.value, scope)
        finally:
            scope.place = place
        if len(targets) == 1:
            self._assign_one(targets[0], keys[0], value, scope)
            return
        if not isinstance(value, (list, tuple, range)) or len(value) != len(targets):
            given = counted(len(value), "value") if isinstance(value, (list, tuple, range)) else describe(value)
            raise self.context.error("E0214", f"{len(targets)} names are to be bound, and the right side is {given}",
                                     _targets_span(statement), scope.place,
                                     helps=("bind as many names as there are values: `_` where one is not needed",))  # fmt: skip
        for target, key, part in zip(targets, keys, value, strict=True):
            self._assign_one(target, key, part, scope)

    def _key(self, target: t.FamilyEntry, scope: Scope) -> tuple[int, ...]:
        if any(isinstance(key, t.Slice) for key in target.keys):
            helps = (f"assign each in a loop: `for i in range(3) {{ {target.name}[i] = ... }}`",)
            raise self.context.error("E0211", "one entry is assigned at a time, not a slice", target.span, scope.place,
                                     helps=helps)  # fmt: skip
        return tuple(self.context.expressions.whole(key, scope) for key in target.keys)  # type: ignore[arg-type]

    def _assign_one(self, target: t.Name | t.FamilyEntry, key: tuple[int, ...], value: Any, scope: Scope) -> None:
        if isinstance(target, t.Name):
            self.bind(target.name, value, scope, target.span)
            return
        context = self.context
        if target.name in reserved():
            raise context.error("E0209", f"`{target.name}` is a name of the language and cannot be bound", target.span,
                                scope.place)  # fmt: skip
        if target.name in scope.module.imports:
            raise context.shadows(target.name, target.span, scope.module.imports[target.name], scope.place)
        family = scope.names.get(target.name, Family(target.name))
        if family is POISON:
            raise Poisoned
        if not isinstance(family, Family):
            raise context.error("E0209", f"`{target.name}` is {describe(family)}, and an entry of it is assigned",
                                target.span, scope.place, helps=("a family needs a name of its own",))  # fmt: skip
        known = next(iter(family.entries), key)
        if len(known) != len(key):
            raise context.error("E0211", f"`{target.name}` has {counted(len(known), 'index')}, and {len(key)} "
                                f"{'is' if len(key) == 1 else 'are'} given", target.span, scope.place,
                                notes=entries(family))  # fmt: skip
        family.entries[key] = value
        scope.names[target.name] = family

    def _share(self, statement: t.Share, scope: Scope) -> None:
        layer = self.context.expressions.evaluate(statement.value, scope)
        if not is_layer(layer):
            raise self.context.error("E0207", f"`share` binds a layer, and this is {describe(layer)}",
                                     statement.value.span, scope.place,
                                     helps=(f"share the layer, and apply it then: `x -> {statement.name}`",))  # fmt: skip
        self.bind(statement.name, Shared(statement.name, layer, statement.span), scope, statement.span)

    def _for(self, statement: t.For, scope: Scope) -> None:
        items, outer = self.context.expressions.items(statement.iterable, scope), scope.loops
        try:
            for index, value in zip(_indices(items), items, strict=True):
                scope.loops = (*outer, index)
                self.context.step(statement.span, scope.place)
                self.bind_names(statement.names, value, scope, statement.iterable.span)
                self.run(statement.body, scope)
        finally:
            scope.loops = outer

    def _if(self, statement: t.If, scope: Scope) -> None:
        for condition, body in statement.branches:
            if self.context.expressions.truth(condition, scope):
                self.run(body, scope)
                return
        self.run(statement.otherwise, scope)

    def _expect(self, statement: t.Expect, scope: Scope) -> None:
        """Kept until the whole net is known, `params` and its like are of the whole, with the names as they are here."""
        here = Scope(scope.function, scope.place, scope.module, dict(scope.names), scope.loops)
        self.expectations[statement.span.start, scope.place.path, scope.loops] = (statement, here)


def _targets_span(statement: t.Assign) -> Span:
    return Span(statement.span.source, statement.targets[0].span.start, statement.targets[-1].span.end)


def _indices(items: Sequence[Any]) -> Sequence[int]:
    """What tells the passes of a loop apart in names: the counter where the loop counts, up or down, else positions."""
    if isinstance(items, range) and items and min(items[0], items[-1]) >= 0:
        return items
    whole = all(type(item) is int and 0 <= item < 10**9 for item in items)
    if whole and items and len(set(items)) == len(items) == max(items) - min(items) + 1:
        return items
    return range(len(items))


def _binding(targets: Sequence[t.Name | t.FamilyEntry], keys: Sequence[tuple[int, ...]], scope: Scope) -> str:
    """What a statement binds, as names of its layers have it: `main`, `node[1,2]`, `x[0]` in the first pass of a loop."""
    target, key = next(((a, b) for a, b in zip(targets, keys, strict=True) if a.name != "_"), (targets[0], keys[0]))
    index = key if isinstance(target, t.FamilyEntry) else scope.loops
    return f"{target.name}[{','.join(map(str, index))}]" if index else target.name


def _walk(statements: list[t.Statement]) -> Iterator[t.Statement]:
    stack = list(statements)
    while stack:
        statement = stack.pop()
        yield statement
        if isinstance(statement, t.For):
            stack += statement.body
        elif isinstance(statement, t.If):
            stack += [s for _, body in statement.branches for s in body] + statement.otherwise


def bound_names(statements: list[t.Statement]) -> set[str]:
    """The plain names that statements bind, in all branches."""
    names: set[str] = set()
    for statement in _walk(statements):
        if isinstance(statement, t.Assign):
            names |= {target.name for target in statement.targets if isinstance(target, t.Name)}
        elif isinstance(statement, t.Share):
            names.add(statement.name)
        elif isinstance(statement, t.For):
            names |= {name.name for name in statement.names}
    return names - {"_"}


def _family_names(statements: list[t.Statement]) -> set[str]:
    return {target.name for statement in _walk(statements) if isinstance(statement, t.Assign)
            for target in statement.targets if isinstance(target, t.FamilyEntry)}  # fmt: skip
