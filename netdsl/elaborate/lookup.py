"""What is said of a name that is bound to nothing where it is read: where it is bound, or what may be meant."""

from __future__ import annotations

import re
from typing import Any, TypeGuard

from netdsl.diagnostics import Label, SourceError, Span, closest, did_you_mean
from netdsl.elaborate.context import Context
from netdsl.elaborate.habits import PACKAGES, meant_attribute, meant_name
from netdsl.elaborate.names import AXES, globals_, signs
from netdsl.elaborate.sources import std_names
from netdsl.elaborate.values import Family, Scope, describe, is_layer
from netdsl.ir import Value
from netdsl.syntax import tree as t

#: names that are listed where none is alike
_MOST_LISTED = 12
#: what stands before the name of an axis
_AN_AXIS = re.compile(r"\baxis\s*=\s*(\[[\w\s,]*)?$")
#: the attributes of tensors, and the fewest axes that a tensor with a size has
ATTRIBUTES = ("shape", "channels", "height", "width", "depth", "rank")
LEAST = {"channels": "[C]", "width": "[C, W]", "height": "[C, H, W]", "depth": "[C, D, H, W]"}


def undefined(context: Context, node: t.Name, scope: Scope) -> SourceError:
    """The error of a name that is bound to nothing where it is read."""
    name, span = node.name, node.span
    later = binding(name, scope)
    if later is not None:
        message, place = f"`{name}` is used before it is bound", "bound here"
        helps: tuple[str, ...] = ("the graph must not be cyclic: unroll a recurrence with `for` and `share`",)
        between = span.source.text[later.end : span.start]
        if later.start < span.start and "\n" not in between and between.lstrip().startswith("="):
            place, helps = "this is what binds it", ("start from an input, or from a name that is bound above",)
        elif later.start < span.start:
            message, place = f"`{name}` is not bound here", "bound only where this branch or loop runs"
            helps = ("bind it before, or in every branch",)
        return context.error("E0202", message, span, scope.place, also=(Label(later, place),), helps=helps)
    helps = meant(name, scope, context)
    if span.source.text[: span.start].endswith(("//", "// ")):
        helps = ("a comment starts with `#`",)
    elif _AN_AXIS.search(span.source.text, max(span.start - 80, 0), span.start):
        helps = did_you_mean(name, AXES) or (f"an axis is {', '.join(AXES[:-1])} or {AXES[-1]}, or a number from 0",)
    own = [known for known, value in scope.names.items() if known != "_"]
    notes = (f"the names here are {', '.join(own)}",) if not helps and 0 < len(own) <= _MOST_LISTED else ()
    return context.error("E0201", f"`{name}` is not defined", span, scope.place, notes=notes, helps=helps)


def meant(name: str, scope: Scope, context: Context) -> tuple[str, ...]:
    """What a name that is not defined may stand for."""
    if name in signs():
        return (f"write `{signs()[name]}`",)
    if name in std_names():
        return (f"the library has one: `from std.{std_names()[name]} import {name}`",)
    own = (*scope.names, *scope.module.constants, *scope.module.functions, *context.facts)
    helps = meant_name(name, (*own, *globals_()))
    if name in AXES and not helps:
        return (f"an axis goes by its name: `axis = {name}`",)
    library = closest(name, std_names(), 0.8) if not helps else None
    return (f"the library has `{library}`: `from std.{std_names()[library]} import {library}`",) if library else helps


def binding(name: str, scope: Scope) -> Span | None:
    """Where the function binds the name, be it in a branch or further down: the last place in the file."""
    stack: list[Any] = list(scope.function.body) if scope.function else []
    while stack:
        statement = stack.pop()
        if isinstance(statement, t.Assign):
            for target in statement.targets:
                if target.name == name:
                    return target.span
        elif isinstance(statement, t.Share) and statement.name == name:
            return statement.span
        elif isinstance(statement, t.For):
            for loop_name in statement.names:
                if loop_name.name == name:
                    return loop_name.span
            stack += statement.body
        elif isinstance(statement, t.If):
            stack += [s for _, body in statement.branches for s in body] + statement.otherwise
    return None


def is_packaged(node: t.Node) -> TypeGuard[t.Attribute]:
    """Whether this is a name of another framework, such as `nn.Conv2d`."""
    return isinstance(node, t.Attribute) and isinstance(node.base, t.Name) and node.base.name in PACKAGES


def no_attribute(base: Any, label: str, node: t.Attribute, scope: Scope, context: Context) -> SourceError:
    """The error of an attribute that a value does not have."""
    if isinstance(base, Value):
        helps = meant_attribute(node.name, label.strip("`"), ATTRIBUTES, globals_())
        return context.error("E0213", f"a tensor has no attribute `{node.name}`", node.span, scope.place,
                             notes=("it has " + ", ".join(ATTRIBUTES),), helps=helps)  # fmt: skip
    helps = ("only tensors have: ask the one that it is applied to, or that it makes",) if is_layer(base) else ()
    message = f"{describe(base)} has no attribute `{node.name}`"
    return context.error("E0213", message, node.span, scope.place, helps=helps)


def entries(family: Family) -> tuple[str, ...]:
    """What was bound, for a note."""
    keys = sorted(family.entries)
    shown = [f"{family.name}[{', '.join(map(str, key))}]" for key in keys]
    if len(shown) > _MOST_LISTED:
        shown = [*shown[:3], "...", *shown[-3:]]
    return (f"bound are {', '.join(shown)}",) if len(shown) > 1 else (f"only {shown[0]} is bound",)
