"""`netdsl ops`"""

from __future__ import annotations

import click

from netdsl.cli.common import reports_errors, tell
from netdsl.diagnostics import Diagnostic, did_you_mean
from netdsl.elaborate.arguments import literal, signature
from netdsl.ops import OPERATORS, REQUIRED, Operator

_STYLES = {"layer": "layers, applied with ->", "function": "functions of tensors", "loss": "in train blocks"}


@click.command()
@click.argument("name", required=False)
@reports_errors
def ops(name: str | None) -> None:
    """List the operators and functions, or describe one: its arguments, cost, and an example."""
    if name is None:
        shown = {op: f"a {op.symbol} b" if op.symbol else op.name for op in OPERATORS.values()}
        width = max(map(len, shown.values()))
        for style, title in _STYLES.items():
            click.echo(f"{title}:")
            for op, written in shown.items():
                if op.style == style:
                    click.echo(f"  {written:<{width}}  {op.summary}")
        return
    if name not in OPERATORS:
        tell([Diagnostic("E0201", f"there is no operator `{name}`", helps=did_you_mean(name, OPERATORS))])
        raise SystemExit(1)
    click.echo(describe(OPERATORS[name]))


def describe(op: Operator) -> str:
    """An operator's signature, arguments, cost and example, from its declaration."""
    lines = [signature(op.name, op.arguments), "", f"    {op.summary}"]
    lines += ["", *((op.__doc__ or "").strip().split("\n"))]
    if op.arguments:
        width = max(len(argument.name) for argument in op.arguments)
        lines += ["", "arguments:"]
        for argument in op.arguments:
            default = "required" if argument.default is REQUIRED else f"default {literal(argument.default)}"
            lines.append(f"  {argument.name:<{width}}  {argument.doc or argument.kind.wants} ({default})")
    lines += ["", f"FLOPs besides 2 x MACs: {op.cost}", "", "example:", f"  {op.example}"]
    return "\n".join(lines)
