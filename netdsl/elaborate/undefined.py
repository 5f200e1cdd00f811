"""Names that can be bound nowhere: also where a block is never applied, or a branch not taken this time."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.diagnostics import SourceError
from netdsl.elaborate.context import Context
from netdsl.elaborate.names import AXES
from netdsl.elaborate.values import Module, Place, Poisoned, Scope
from netdsl.syntax import tree as t
from netdsl.syntax.walk import children, walk

#: errors whose place is a name
_OF_NAMES = ("E0201", "E0202")


def undefined(file: t.File, module: Module, context: Context) -> Iterator[SourceError]:
    """The errors of names which the functions of a file read, and which nothing in their sight binds.

    A name is told once in a function, and not where the elaboration has told it.
    """
    told = {label.span.text for d in context.diagnostics for label in d.labels[:1] if d.code in _OF_NAMES}
    for function in file.functions:
        scope = Scope(function, Place(""), module, dict.fromkeys(_bound(function)))
        for name in {name.name: name for name in reversed(list(_read(function))) if name.name not in told}.values():
            try:
                context.expressions.bound(name, scope)
            except SourceError as error:
                yield error
            except Poisoned:
                pass


def _bound(function: t.Function) -> Iterator[str]:
    """All names that a function binds, wherever that is."""
    for node in walk(function):
        if isinstance(node, (t.Hyperparameter, t.Input, t.FamilyEntry, t.Share)):
            yield node.name
        elif isinstance(node, t.Dimension):
            yield node.name or ""
        elif isinstance(node, t.Assign):
            yield from (target.name for target in node.targets if isinstance(target, t.Name))
        elif isinstance(node, (t.For, t.Comprehension)):
            yield from (name.name for name in node.names)


def _read(function: t.Function) -> Iterator[t.Name]:
    """The names that a function reads; `expect` has names of its own, and `axis` words."""
    stack: list[t.Node] = [function]
    while stack:
        node = stack.pop()
        if isinstance(node, t.Name):
            yield node
        elif isinstance(node, t.Keyword) and isinstance(node.value, t.Name) and node.value.name in AXES:
            continue
        elif not isinstance(node, t.Expect):
            stack += reversed(list(children(node)))
