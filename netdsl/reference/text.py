"""Entries as text for people, and as plain data for programs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from math import floor
from typing import Any

from netdsl.elaborate import load_text
from netdsl.elaborate.arguments import literal
from netdsl.ops import REQUIRED, Argument, Operator, Reach, Rule, elements, show
from netdsl.reference.entries import Entry

_WIDEST = 100


def listing(known: Sequence[Entry]) -> Iterator[str]:
    """The lines of a table of all entries, by group."""
    width = max(len(entry.shown) for entry in known)
    for group, members in groupby(known, key=lambda entry: entry.group):
        yield f"{group}:"
        for entry in members:
            yield from _filled(entry.summary, f"  {entry.shown:<{width}}  ", " " * (width + 4))
        yield ""
    yield "a layer is applied by `x -> conv(16, 3)`, a function by `concat(a, b)`; `netdsl ops NAME` describes one, with"
    yield "an example; `netdsl std` lists the blocks of the library"


def description(entry: Entry) -> Iterator[str]:
    """The lines of all that is known of an entry."""
    op = entry.operator
    yield from _filled(entry.signature, "", " " * 4)
    yield ""
    yield from _filled(entry.summary, " " * 4, " " * 4)
    if entry.text:
        yield from ("", entry.text)
    if entry.arguments:
        width = max(len(argument.name) for argument in entry.arguments)
        yield from ("", "arguments:")
        for argument in entry.arguments:
            yield from _filled(_explained(argument), f"  {argument.name:<{width}}  ", " " * (width + 4))
    if op is not None:
        yield from ("", "shapes, without the batch:", *(line for rule in op.rules for line in shape_lines(rule)))
        if any("n..." in rule.formula for rule in op.rules):
            yield "  and so in 1 or 3 spatial dimensions"
        if op.owns:
            yield from ("", "parameters:", *(f"  {in_two_dimensions(owned)}" for owned in op.owns))
        yield from ("", "cost:", *_cost(op))
    yield from ("", "example:", *(f"  {line}" if line else "" for line in entry.example.rstrip().split("\n")))
    if op is not None and op.style != "loss":
        yield from ("", *_measured(entry))


def _filled(text: str, start: str, indent: str) -> Iterator[str]:
    from textwrap import wrap

    yield from wrap(text, _WIDEST, initial_indent=start, subsequent_indent=indent)


def _explained(argument: Argument) -> str:
    """What an argument means, what it takes, and its default."""
    default = [] if argument.default is REQUIRED else [f"default {literal(argument.default)}"]
    return f"{argument.doc} ({'; '.join([argument.kind.wants, *default])})".lstrip()


def _cost(op: Operator) -> Iterator[str]:
    if op.multiplies != "none":
        yield f"  MACs   {op.multiplies}"
        yield "  FLOPs  two per MAC" + (f", and {op.cost}" if op.cost != "none" else "")
    else:
        yield f"  FLOPs  {op.cost}"


def shape_lines(rule: Rule) -> Iterator[str]:
    """A shape rule for images; one that does not fit the line is broken behind its sizes."""
    inputs, _, output = in_two_dimensions(rule.formula).partition(" -> ")
    output = output if output != "[]" else "one number"
    where = f"where {rule.when}" if rule.when else ""
    line = f"  {f'{inputs} -> {output}'.lstrip()}" + f"    {where}" * bool(where)
    if len(line) <= _WIDEST:
        yield line
        return
    start = f"  {inputs} -> ["
    first, *others, last = items(output)
    yield f"{start}{first},"
    yield from (" " * len(start) + f"{size}," for size in others)
    yield " " * len(start) + f"{last}]"
    yield from [" " * len(start) + where] * bool(where)


def in_two_dimensions(formula: str) -> str:
    """With what stands for each spatial axis written out: `n...` is `H, W` and `kernel...` is `kernel, kernel`."""

    def written(found: re.Match[str]) -> str:
        sizes: list[str] = []
        for item in items(found[0]):
            each = item.removesuffix("...")
            if each in ("", item):
                sizes.append(item)
            else:
                sizes += [re.sub(r"\bn\b", big, re.sub(r"\bm\b", small, each)) for big, small in ("Hh", "Ww")]
        return f"[{', '.join(sizes)}]"

    return re.sub(r"\[[^\[\]]*\]", written, formula)


def items(shape: str) -> list[str]:
    """What stands between the commas of `[C, min(a, b)]`."""
    parts, depth = [""], 0
    for sign in shape[1:-1]:
        depth += (sign in "([") - (sign in ")]")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts if part.strip()]


def _measured(entry: Entry) -> Iterator[str]:
    """What the example comes to: shape, parameters, cost, and what an output cell sees."""
    graph = load_text(entry.example)
    node = next(node for node in graph.nodes if node.op is entry.operator)
    op, parameters = node.op, node.parameters
    macs, flops = op.macs(node), op.flops(node)
    cost = [f"{macs:,} MACs"] * (macs > 0) + [f"{2 * macs + flops:,} FLOPs"] * (macs + flops > 0)
    yield f"  gives {show(node.output.shape)} {'by ' + ' and '.join(cost) if cost else 'without arithmetic'}"
    if parameters:
        shapes = ", ".join(f"{role} {show(parameter.shape)}" for role, parameter in parameters.items())
        yield f"  owns {shapes}: {sum(elements(p.shape) for p in parameters.values()):,} numbers"
    if node.inputs and len(node.inputs[0].shape) > 1:
        yield f"  {_seen(op.reaches(node)[0])}"


def _seen(reach: Any) -> str:
    """What an output cell sees of the first input."""
    if not isinstance(reach, tuple):
        return "a cell of the output sees the whole input" if reach is None else "the input's numbers are not read"
    if all(axis == Reach() for axis in reach):
        return "a cell of the output sees the cell at its place"
    extents = [floor(axis.last - axis.first) + 1 for axis in reach]
    cells = "one cell" if set(extents) == {1} else " x ".join(map(str, extents)) + " cells"
    steps = " and ".join(str(step) for step in dict.fromkeys(axis.stride for axis in reach))
    further = "" if steps == "1" else f", its neighbour those {steps} further on"
    return f"a cell of the output sees {cells} of the input{further}"


def as_dict(entry: Entry) -> dict[str, Any]:
    """An entry as JSON has it."""
    op = entry.operator
    described: dict[str, Any] = {
        "name": entry.name, "group": entry.group, "signature": entry.signature, "summary": entry.summary,
        "arguments": [
            {"name": a.name, "required": a.default is REQUIRED, "takes": a.kind.wants, "doc": a.doc}
            | ({} if a.default is REQUIRED else {"default": literal(a.default)})
            for a in entry.arguments
        ],
    }  # fmt: skip
    if op is not None:
        described |= {
            "text": entry.text,
            "shapes": [{"rule": rule.formula, "where": rule.when} for rule in op.rules],
            "parameters": list(op.owns), "macs": op.multiplies, "flops": op.cost,
        }  # fmt: skip
    return described | {"example": entry.example}
