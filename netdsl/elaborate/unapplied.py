"""What is wrong with a function wherever it is applied, if it is: also where a branch is not taken this time.

These are names that nothing binds, and arguments that nothing declares.
"""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.diagnostics import SourceError
from netdsl.elaborate.arguments import Placed, Signature, signature_of, signature_of_block
from netdsl.elaborate.context import Context
from netdsl.elaborate.names import AXES
from netdsl.elaborate.values import BlockLayer, InitFunction, Module, OpLayer, Place, Poisoned, Scope
from netdsl.ops.facts import FACTS
from netdsl.syntax import tree as t
from netdsl.syntax.walk import children, walk

#: errors whose place is a name
_OF_NAMES = ("E0201", "E0202")


def unapplied(file: t.File, module: Module, context: Context) -> Iterator[SourceError]:
    """The errors of the functions of a file that can be told without applying them.

    A name is told once in a function, and not where the elaboration has told it.
    """
    spans = [(d.code, d.labels[0].span) for d in context.diagnostics if d.labels]
    told = {span.text for code, span in spans if code in _OF_NAMES}
    wrong = {(span.start, span.end) for _, span in spans if span.source is file.source}
    for function in file.functions:
        scope = Scope(function, Place(""), module, dict.fromkeys(_bound(function)))
        yield from _undefined(_read(function), told, scope, context)
        for node in walk(function):
            if isinstance(node, t.Call) and (node.span.start, node.span.end) not in wrong:
                yield from _misfits(node, scope, context)
            elif isinstance(node, t.Expect):
                knowing = Scope(function, Place(""), module, {**dict.fromkeys(FACTS), **scope.names})
                for error in _undefined(_read(node), told, knowing, context):
                    (d,) = error.diagnostics
                    yield error if d.helps else SourceError(d._replace(notes=("`expect` knows " + ", ".join(FACTS),)))


def _undefined(read: Iterator[t.Name], told: set[str], scope: Scope, context: Context) -> Iterator[SourceError]:
    """The errors of the names among those read that are not told yet."""
    for name in {name.name: name for name in reversed(list(read)) if name.name not in told}.values():
        try:
            context.expressions.bound(name, scope)
        except SourceError as error:
            yield error
        except Poisoned:
            pass


def _misfits(call: t.Call, scope: Scope, context: Context) -> Iterator[SourceError]:
    """The error of a call whose arguments do not fit the signature of what it calls."""
    if not isinstance(call.function, t.Name):
        return
    try:
        function = context.expressions.bound(call.function, scope)
    except (SourceError, Poisoned):
        return
    positional: list[Placed] = [(None, argument.span) for argument in call.arguments]
    signature: Signature
    if isinstance(function, OpLayer):
        signature = signature_of(function.op.name, function.op.arguments)
        if function.op.style != "layer":  # tensors come first, and may be any number
            positional = []
            signature = signature._replace(parameters=tuple(p._replace(needed=False) for p in signature.parameters))
    elif isinstance(function, BlockLayer):
        signature = signature_of_block(function.declaration)
    elif isinstance(function, InitFunction):
        signature = signature_of(function.name, function.arguments)
    else:
        return
    named = {keyword.name: (None, keyword.span) for keyword in call.keywords}
    wrong = signature.misfits(context, positional, named, call.span, None)
    if wrong:
        yield SourceError(*wrong)


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


def _read(root: t.Node) -> Iterator[t.Name]:
    """The names that a function or an `expect` reads; `expect` has names of its own, and `axis` words."""
    stack = list(children(root))[::-1]
    while stack:
        node = stack.pop()
        if isinstance(node, t.Name):
            yield node
        elif isinstance(node, t.Keyword) and isinstance(node.value, t.Name) and node.value.name in AXES:
            continue
        elif not isinstance(node, t.Expect):
            stack += reversed(list(children(node)))
