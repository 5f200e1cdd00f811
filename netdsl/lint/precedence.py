"""Expressions that mean something else than they seem to: what binds tighter than an arrow, and what looser."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.diagnostics import Label
from netdsl.lint.rule import Finding, of_text
from netdsl.lint.survey import Survey, is_tensor
from netdsl.ops import OPERATORS, Operator
from netdsl.syntax import tree as t
from netdsl.syntax.walk import children

#: several of them in a row, with nothing in between, are no more than one
_LINEAR = ("conv", "deconv", "dense")


@of_text("W0108", "repeated-alone", "`2 * conv -> bn`: only the convolution is repeated")
def repeated_alone(survey: Survey) -> Iterator[Finding]:
    for pipeline in survey.pipelines:
        for chain, after in zip(pipeline.stages, pipeline.stages[1:], strict=False):
            if not isinstance(chain, t.Chain) or set(chain.operators) != {"*"} or _in_parentheses(chain):
                continue
            repeated, follower = _operator(chain.operands[-1]), _operator(after)
            if repeated is not None and repeated.name in _LINEAR and follower is not None and _is_unit(follower):
                yield _repeated_alone(chain, chain.operands[-1], after)


def _repeated_alone(chain: t.Chain, repeated: t.Expr, after: t.Expr) -> Finding:
    count = chain.span.text[: repeated.span.start - chain.span.start].rstrip(" *")
    again, once = _line(repeated.span.text), _line(after.span.text)
    return Finding(
        f"`{count} *` repeats `{again}` alone: `{once}` comes once, behind them all",
        (Label(chain.span, "this is repeated"), Label(after.span, "this is not")),
        helps=(f"to repeat both, write `{count} * ({again} -> {once})`",
               f"if it is meant, write `({count} * {again}) -> {once}`"),
    )  # fmt: skip


@of_text("W0109", "skipped-by-else", "`a -> f if c else g -> h`: `h` belongs to the `else` alone")
def skipped_by_else(survey: Survey) -> Iterator[Finding]:
    for function in survey.functions:
        for node in function.conditionals:
            then, otherwise = node.then, node.otherwise
            if not isinstance(then, t.Pipeline) or _in_parentheses(then) or _in_parentheses(otherwise):
                continue
            start = otherwise.stages[0] if isinstance(otherwise, t.Pipeline) else otherwise
            # on one side a tensor goes in, on the other a layer stands first: both were to be given the tensor
            if is_tensor(then, function.tensors) and _operator(start) is not None:
                yield _skipped(node, then, start)


def _skipped(node: t.Conditional, then: t.Pipeline, start: t.Expr) -> Finding:
    tensor, condition, layer = (_line(part.span.text) for part in (then.stages[0], node.condition, start))
    behind = _line(node.otherwise.span.text[start.span.end - node.otherwise.span.start :])
    chosen = _line(then.span.text[then.stages[1].span.start - then.span.start :])
    message = f"`else` starts a pipeline of its own: `{layer}` is not applied to `{tensor}`"
    if behind:
        message += f", and where `{condition}` holds, `{behind}` is skipped"
    meant = _line(f"{tensor} -> ({chosen} if {condition} else {layer}) {behind}")
    return Finding(
        message,
        (Label(node.otherwise.span, "all of this is the `else`"), Label(then.span, "this is all there is otherwise")),
        helps=(f"write `{meant}`",),
    )  # fmt: skip


def _line(text: str) -> str:
    """A piece of a file on one line."""
    return " ".join(text.split())


def _in_parentheses(node: t.Expr) -> bool:
    """Parentheses leave no trace in a tree but in the span, which has them."""
    first = next(iter(children(node)), None)
    return first is not None and node.span.start < first.span.start  # type: ignore[attr-defined]


def _operator(node: t.Expr) -> Operator | None:
    """The operator that a layer applies: `conv` of `conv(64, 3) @first`. Names of operators cannot be bound."""
    if isinstance(node, t.Pin):
        node = node.base
    if isinstance(node, t.Call):
        node = node.function
    found = OPERATORS.get(node.name) if isinstance(node, t.Name) else None
    return found if found is not None and found.style == "layer" else None


def _is_unit(operator: Operator) -> bool:
    """Whether it works on each number, or channel, by itself, as activations and normalisations do."""
    return type(operator).reach is Operator.reach and operator.name not in _LINEAR
