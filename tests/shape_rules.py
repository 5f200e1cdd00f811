"""Reads the shape rules that operators declare for the reader, and computes by them."""

import re
from math import ceil

from netdsl.reference.text import items

Shape = tuple[int, ...]


def lists(text):
    """The shapes of `[a, b], [c]`."""
    return [items(part) for part in re.findall(r"\[[^\[\]]*\]", text)]


def matched(formula, shapes):
    """What the names on the left of a rule stand for; None where these shapes are not of its form."""
    patterns = lists(formula.partition(" -> ")[0])
    if len(patterns) != len(shapes):
        return None
    known = {}
    for pattern, shape in zip(patterns, shapes, strict=True):
        named = [name for name in pattern if not name.endswith("...")]
        if len(shape) < len(named) or (len(named) == len(pattern) and len(shape) != len(named)):
            return None
        rest = list(shape)
        before = next((i for i, name in enumerate(pattern) if name.endswith("...")), len(pattern))
        values = dict(zip(pattern[:before], rest[:before], strict=True))
        if before < len(pattern):
            behind = pattern[before + 1 :]
            values[pattern[before]] = tuple(rest[before : len(rest) - len(behind)])
            values |= zip(behind, rest[len(rest) - len(behind) :], strict=True)
        for name, value in values.items():
            if name.isdecimal():
                if value != int(name):
                    return None
            elif known.setdefault(name.removesuffix("...") or "...", value) != value:
                return None
    return known


def holds(condition, args):
    return not condition or bool(eval(condition, {"none": None, "true": True, "false": False}, dict(args)))


def computed(text, known):
    """The shape that the right side of a rule, or of a parameter, gives."""
    if not text.startswith("["):
        return tuple(known[text])
    shape = []
    for item in items(text):
        if item == "...":
            shape += known["..."]
        elif item.endswith("..."):
            expression = item.removesuffix("...")
            axes = max(len(v) for name, v in known.items() if isinstance(v, tuple) and re.search(rf"\b{name}\b", item))
            shape += [value_of(expression, known, axis) for axis in range(axes)]
        else:
            shape.append(value_of(item, known, 0))
    return tuple(shape)


def value_of(expression, known, axis):
    """The expression along one axis: what is a tuple has a value for each."""
    here = {
        name: value[axis] if isinstance(value, tuple) and value and f"len({name})" not in expression else value
        for name, value in known.items()
    }
    return int(eval(expression, {}, here | {"ceil": ceil, "min": min}))  # also where an argument is called `ceil`
