"""Branches that end nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.diagnostics import Label
from netdsl.ir import Node
from netdsl.lint.net import Net
from netdsl.lint.rule import Finding, of_net
from netdsl.lint.survey import Survey
from netdsl.lint.words import listed
from netdsl.syntax import tree as t
from netdsl.syntax.walk import children


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
    excuses = _Excuses(net.survey)
    for statement, nodes in dead.items():
        ends = [node for node in nodes if not any(value in read for value in node.outputs)]
        place = net.place(ends[0]) if ends else None
        if place is not None and statement not in alive and not excuses.hold(statement):
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


class _Excuses:
    """Who else answers for a statement: another lint, a condition, or whoever applies the block."""

    def __init__(self, survey: Survey) -> None:
        self.survey = survey
        self._on_condition: dict[t.Function, set[str]] = {}

    def hold(self, statement: t.Assign) -> bool:
        names = {target.name for target in statement.targets}
        function = next((f for f in self.survey.functions if _within(statement, f.declaration)), None)
        if function is None or names & set(function.unread):
            return True
        if any(first is target for first, _ in function.overwritten for target in statement.targets):
            return True
        declaration = function.declaration
        if declaration.kind == "block" and names & {port.name for port in declaration.outputs}:
            return True
        if declaration not in self._on_condition:
            self._on_condition[declaration] = _read_on_condition(declaration)
        return bool(names & self._on_condition[declaration])


def _within(statement: t.Assign, declaration: t.Function) -> bool:
    return declaration.span.start <= statement.span.start < declaration.span.end


_CONDITIONS = (t.Conditional, t.If, t.Boolean, t.Comprehension, t.Expect, t.Attribute)


def _read_on_condition(declaration: t.Function) -> set[str]:
    """The names that are read where hyperparameters may choose otherwise, by `expect`, or for a size alone."""
    names: set[str] = set()
    stack: list[tuple[t.Node, bool]] = [(declaration, False)]
    while stack:
        node, within = stack.pop()
        if within and isinstance(node, t.Name):
            names.add(node.name)
        within = within or isinstance(node, _CONDITIONS)
        stack += [(child, within) for child in children(node)]
    return names
