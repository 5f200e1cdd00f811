"""The shape rules that `netdsl ops` prints are true: random applications come out as they say."""

import re
from math import prod
from random import Random

import pytest
from shape_rules import computed, holds, lists, matched

from netdsl.ir import Init, TensorType, Value
from netdsl.ops import OPERATORS, REQUIRED, Args, Misfit, Rule, Site

ENOUGH, MOST_TRIES = 40, 20_000
_WORDS = ("channel", "height", True, False, None, Init("he"), 0.5, 3, [1, 2])
#: the element types of inputs that are not all alike
_KINDS = {
    "cross_entropy": ["float32", "int64"], "accuracy": ["float32", "int64"],
    "multiclass_hinge": ["float32", "int64"], "unpool": ["float32", "int64", "float32"],
    "where": ["bool", "float32", "float32"],
}  # fmt: skip


def shapes_for(formula, random):
    """Inputs of the form of a rule's left side."""
    sizes = {}
    found = []
    rank = random.randint(0, 3)
    for pattern in lists(formula.partition(" -> ")[0]):
        for name in pattern:
            many = rank if name == "..." else max(1, rank) if name.endswith("...") else 1
            one = int(name) if name.isdecimal() else 0
            sizes.setdefault(name, tuple(one or random.choice([1, 2, 4, 6, 7, 12]) for _ in range(many)))
        found.append(tuple(size for name in pattern for size in sizes[name]))
    return found


def value(argument, shapes, random):
    if argument.default is not REQUIRED and random.random() < 0.4:
        return argument.default
    first = shapes[0] if shapes else (2, 3)
    listed = [random.randint(1, 3) for _ in first[1:]]
    said = re.findall(r'"(\w+)"', argument.kind.wants)
    candidates = [*_WORDS, *said, 1, *[random.randint(-2, 4) for _ in range(8)], listed, listed, [prod(first)]]
    return random.choice([v for v in candidates if argument.kind.accepts(v)])


def applied(op, args, shapes):
    """The application, its output's shape and its parameters; None where the operator rejects it."""
    kinds = _KINDS.get(op.name, ["float32" if "float32" in op.dtypes else min(op.dtypes)] * len(shapes))
    inputs = tuple(Value(f"x{i}", TensorType(s, k)) for i, (s, k) in enumerate(zip(shapes, kinds, strict=False)))
    site = Site(args, inputs, tuple(v.name for v in inputs))
    try:
        op.resolve(site)
        (type_, *_) = op.infer(site)
        return site, tuple(int(d) for d in type_.shape), op.parameters(site)
    except Misfit:
        return None


def known_to(rule, site, shapes):
    """The names of a rule: sizes, and arguments as the operator took them, a list as a value per axis."""
    sizes = matched(rule.formula, shapes)
    if sizes is None:
        return None
    args = {name: tuple(v) if isinstance(v, list) else v for name, v in site.args.items()}
    if "pads" in args:
        args |= {"before": tuple(p[0] for p in args["pads"]), "after": tuple(p[1] for p in args["pads"])}
    return args | sizes


@pytest.mark.parametrize(
    ("op", "rule"),
    [pytest.param(op, rule, id=f"{op.name}-{i}") for op in OPERATORS.values() for i, rule in enumerate(op.rules)],
)
def test_rule_is_true(op, rule):
    random, seen = Random(0), 0
    for _ in range(MOST_TRIES):
        shapes = shapes_for(rule.formula, random)
        given = {a.name: value(a, shapes, random) for a in op.arguments}
        application = applied(op, Args(given), shapes) if holds(rule.when, given) else None
        if application is None:
            continue
        site, shape, specs = application
        known = known_to(rule, site, shapes)
        assert known is not None
        assert computed(rule.formula.partition(" -> ")[2], known) == shape, (shapes, given)
        owned = {text.split(" ", 1)[0]: text.split(" ", 1)[1].partition(" where ") for text in op.owns}
        assert set(specs) == {role for role, (_, _, when) in owned.items() if holds(when, given)}
        for role, spec in specs.items():
            assert computed(owned[role][0], known) == spec.shape, (role, shapes, given)
        seen += 1
        if seen == ENOUGH:
            return
    raise AssertionError(f"the rule came up {seen} times only")


@pytest.mark.parametrize("op", OPERATORS.values(), ids=lambda op: op.name)
def test_some_rule_covers_the_defaults(op):
    defaults = {a.name: a.default for a in op.arguments if a.default is not REQUIRED}
    required = {a.name: [2] if a.kind.accepts([-1]) else 2 for a in op.arguments if a.default is REQUIRED}
    assert op.symbol or any(holds(rule.when, defaults | required) for rule in op.rules)


def test_a_rule_that_is_wrong_is_found():
    with pytest.raises(AssertionError):
        test_rule_is_true(OPERATORS["max_pool"], Rule("[C, n...] -> [C, n // stride...]", 'pad != "same" and not ceil'))
