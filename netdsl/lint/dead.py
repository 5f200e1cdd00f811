"""Branches that end nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.diagnostics import Label
from netdsl.ir import Node
from netdsl.lint.net import Net
from netdsl.lint.rule import Finding, of_net
from netdsl.lint.words import listed
from netdsl.syntax import tree as t
from netdsl.syntax.walk import walk


@of_net("W0201", "dead-branch", "layers whose result reaches neither an output nor the loss")
def dead_branches(net: Net) -> Iterator[Finding]:
    dead: dict[t.Assign, list[Node]] = {}
    for node in net.unused:
        statement = _statement(net, node)
        if isinstance(statement, t.Assign):
            dead.setdefault(statement, []).append(node)
    if not dead:
        return
    alive = {_statement(net, node) for node in net.nodes}
    read = {value for node in net.unused for value in node.inputs}
    used = {parameter for node in net.nodes for parameter in node.parameters.values()}
    for statement, nodes in dead.items():
        ends = [node for node in nodes if not any(value in read for value in node.outputs)]
        place = net.place(ends[0]) if ends else None
        if place is not None and statement not in alive and not _excused(net, statement):
            own = {p for node in nodes for p in node.parameters.values() if p not in used and not p.buffer}
            layers, parameters = len(nodes), sum(p.count for p in own)
            cost = f"{'a layer' if layers == 1 else f'{layers} layers'} with {parameters:,} parameters"
            yield Finding(_message(net, statement), (Label(place, "the branch ends here"),),
                          (f"it makes {cost}, which the net does without",), ("use its result, or remove it",))  # fmt: skip


def _message(net: Net, statement: t.Assign) -> str:
    names = listed([f"`{target.span.text}`" for target in statement.targets], "and")
    goals = "neither an output nor the loss" if net.graph.training else "no output"
    return f"{names} {'reaches' if len(statement.targets) == 1 else 'reach'} {goals}"


def _statement(net: Net, node: Node) -> t.Statement | None:
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
