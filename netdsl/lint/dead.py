"""Branches that end nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.diagnostics import Label
from netdsl.ir import Node
from netdsl.lint.net import Net
from netdsl.lint.rule import Finding, of_net
from netdsl.syntax import tree as t
from netdsl.syntax.walk import walk

_Leaf = t.Assign | t.Share | t.Expect


@of_net("W0201", "dead-branch", "layers whose result reaches neither an output nor the loss")
def dead_branches(net: Net) -> Iterator[Finding]:
    if not net.unused:
        return
    alive = {id(statement) for node in net.nodes if (statement := _statement(net, node)) is not None}
    read = {value for node in net.unused for value in node.inputs}
    told: set[int] = set()
    for node in net.unused:
        statement, place = _statement(net, node), net.place(node)
        ends = not any(value in read for value in node.outputs)
        if ends and place and isinstance(statement, t.Assign) and id(statement) not in alive | told:
            told.add(id(statement))
            if not _excused(net, statement):
                yield Finding(_message(net, statement), (Label(place, "the branch ends here"),),
                              (_cost(net, statement),), ("use its result, or remove it",))  # fmt: skip


def _message(net: Net, statement: t.Assign) -> str:
    names = " and ".join(f"`{target.span.text}`" for target in statement.targets)
    goals = "neither an output nor the loss" if net.graph.training else "no output"
    return f"{names} {'reaches' if len(statement.targets) == 1 else 'reach'} {goals}"


def _cost(net: Net, statement: t.Assign) -> str:
    used = {parameter for node in net.nodes for parameter in node.parameters.values()}
    nodes = [node for node in net.unused if _statement(net, node) is statement]
    own = {p for node in nodes for p in node.parameters.values() if p not in used and not p.buffer}
    count, parameters = len(nodes), sum(parameter.count for parameter in own)
    layers = "a layer" if count == 1 else f"{count} layers"
    return f"it makes {layers} with {parameters:,} parameters, which the net does without"


def _statement(net: Net, node: Node) -> _Leaf | None:
    place = net.place(node)
    return net.survey.statement(place) if place is not None else None


def _excused(net: Net, statement: t.Assign) -> bool:
    """Whether another lint tells it, or its author decides elsewhere: under a condition, or where a block is applied."""
    names = {target.name for target in statement.targets}
    function = next((f for f in net.survey.functions if _within(statement, f.declaration)), None)
    if function is None or names & set(function.unread):
        return True
    if any(first.span.start == target.span.start for first, _ in function.overwritten for target in statement.targets):
        return True
    declaration = function.declaration
    if declaration.kind == "block" and names & {port.name for port in declaration.outputs}:
        return True
    return bool(names & _read_on_condition(declaration))


def _within(statement: t.Assign, declaration: t.Function) -> bool:
    return declaration.span.start <= statement.span.start < declaration.span.end


def _read_on_condition(declaration: t.Function) -> set[str]:
    """The names that are read where hyperparameters may choose otherwise, by `expect`, or for a size alone."""
    chosen: list[t.Node] = []
    for node in walk(declaration):
        if isinstance(node, t.Conditional):
            chosen += [node.then, node.otherwise]
        elif isinstance(node, t.If):
            chosen += [s for _, body in node.branches for s in body] + node.otherwise
        elif isinstance(node, (t.Expect, t.Attribute, t.Boolean, t.Comprehension)):
            chosen.append(node)
    return {name.name for node in chosen for name in walk(node) if isinstance(name, t.Name)}
