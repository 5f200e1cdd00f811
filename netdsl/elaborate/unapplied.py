"""What is wrong with a function wherever it is applied, if it is: also where a branch is not taken this time.

These are names that nothing binds, and arguments that nothing declares.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netdsl.diagnostics import SourceError
from netdsl.elaborate.arguments import Placed, Signature, fit, signature_of, signature_of_block
from netdsl.elaborate.context import Context
from netdsl.elaborate.lookup import is_packaged
from netdsl.elaborate.names import axis_parts
from netdsl.elaborate.values import BlockLayer, InitFunction, Module, OpLayer, Place, Poisoned, Scope
from netdsl.ops import INITIALIZERS
from netdsl.ops.facts import FACTS
from netdsl.ops.optimizers import OPTIMIZERS, SCHEDULES
from netdsl.ops.transforms import TRANSFORMS
from netdsl.syntax import tree as t
from netdsl.syntax.walk import children

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
        found = _Survey(function)
        scope = Scope(function, Place(""), module, dict.fromkeys(found.bound))
        yield from _undefined(found.read, told, scope, context)
        for call in found.calls:
            if (call.span.start, call.span.end) not in wrong:
                yield from _misfits(call, scope, context)
        for expect in found.expects:
            inside = _Survey(expect.condition)
            knowing = Scope(function, Place(""), module, {**dict.fromkeys((*FACTS, *inside.bound)), **scope.names})
            for error in _undefined(inside.read, told, knowing, context):
                (d,) = error.diagnostics
                yield error if d.helps else SourceError(d._replace(notes=("`expect` knows " + ", ".join(FACTS),)))
            for call in inside.calls:
                if (call.span.start, call.span.end) not in wrong:
                    yield from _misfits(call, scope, context)
    for block in file.trains:
        yield from _train_block(block, file, told, module, context)


def _train_block(
    block: t.Train, file: t.File, told: set[str], module: Module, context: Context
) -> Iterator[SourceError]:
    """The errors of the names in a train block, which sees those of its net."""
    nets = [f for f in file.functions if f.kind == "net" and (block.net is None or f.name == block.net.name)]
    targets = [s for s in block.body if isinstance(s, t.Assign) and s.targets[0].name == "target"]
    if len(nets) == 1 and targets:  # without targets, what reads them could only say so again
        found = [_Survey(statement) for statement in block.body]
        known = [*_Survey(nets[0]).bound, *OPTIMIZERS, *SCHEDULES, *TRANSFORMS]
        known += [name for part in found for name in part.bound]
        known += [name.span.text for target in targets for name in _Survey(target).read]
        scope = Scope(nets[0], Place(""), module, dict.fromkeys(known))
        yield from _undefined([name for part in found for name in part.read], told, scope, context)


class _Survey:
    """What is below a node: the names that it binds and reads, its calls, and its `expect` lines, which know other names.

    The words that `axis` may be are no names.
    """

    def __init__(self, root: t.Node) -> None:
        self.bound: list[str] = []
        self.read: list[t.Name | t.Attribute] = []
        self.calls: list[t.Call] = []
        self.expects: list[t.Expect] = []
        stack = [root]
        while stack:
            node = stack.pop()
            kind = type(node)
            if kind is t.Name:
                self.read.append(node)  # type: ignore[arg-type]
                continue
            if kind in _BINDING:
                self.bound += _bound(node)
            elif kind is t.Call:
                self.calls.append(node)  # type: ignore[arg-type]
            elif is_packaged(node):
                self.read.append(node)
                continue
            elif kind is t.Keyword and node.name == "axis":  # type: ignore[attr-defined]
                stack += axis_parts(node.value)  # type: ignore[attr-defined]
                continue
            elif isinstance(node, t.Expect):
                self.expects.append(node)
                continue
            below = children(node)
            below.reverse()
            stack += below


def _undefined(
    read: list[t.Name | t.Attribute], told: set[str], scope: Scope, context: Context
) -> Iterator[SourceError]:
    """The errors of the names among those read that are not told yet."""
    for node in {node.span.text: node for node in reversed(read) if node.span.text not in told}.values():
        try:
            if isinstance(node, t.Name):
                context.expressions.bound(node, scope)
            else:
                context.expressions.evaluate(node, scope)
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
    signature: Signature
    positional: list[Placed] = [(None, argument.span) for argument in call.arguments]
    named: dict[str, Placed] = {keyword.name: (None, keyword.span) for keyword in call.keywords}
    literals = all(isinstance(argument, (t.Literal, t.ListExpr)) for argument in call.arguments)
    if isinstance(function, OpLayer):
        if fit(function.op.arguments, positional, named) or function.op.name in INITIALIZERS:
            return
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
    if not literals:  # there may be tensors among them: that is told where the function is applied
        positional = positional[: len(signature.parameters)]
    wrong = signature.misfits(context, positional, named, call.span, None)
    if wrong:
        yield SourceError(*wrong)


_BINDING = frozenset([t.Hyperparameter, t.Input, t.FamilyEntry, t.Share, t.Dimension, t.Assign, t.For, t.Comprehension])


def _bound(node: Any) -> list[str]:
    """The names that one node binds."""
    if isinstance(node, t.Assign):
        return [target.name for target in node.targets if isinstance(target, t.Name)]
    if isinstance(node, (t.For, t.Comprehension)):
        return [name.name for name in node.names]
    return [node.name or ""]
