"""The `train` block: targets, loss, metrics, optimizer, and how inputs are prepared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from netdsl.diagnostics import Label, SourceError, Span, closest, did_you_mean
from netdsl.elaborate.arguments import bind, checked
from netdsl.elaborate.context import Context
from netdsl.elaborate.values import POISON, Place, Poisoned, Recipe, Scope, describe
from netdsl.ir import Optimizer, Schedule, Size, Target, TensorType, Training, Value
from netdsl.ops import Argument
from netdsl.ops.arguments import COUNT, WHOLE
from netdsl.ops.optimizers import OPTIMIZERS, SCHEDULES, as_schedule
from netdsl.ops.transforms import TRANSFORMS
from netdsl.syntax import tree as t

KEYS = ("target", "loss", "metrics", "optimizer", "batch", "epochs", "prepare", "augment")
#: what a block must say, and how that may look
_NEEDED = {
    "target": "class(label)", "loss": "cross_entropy(logits, label)", "optimizer": "sgd(lr = 0.1, momentum = 0.9)",
    "batch": "64", "epochs": "10",
}  # fmt: skip


def _recipes() -> Mapping[str, Mapping[str, Recipe]]:
    """By key of the block: the names that its value may use."""
    optimizers = {n: Recipe("optimizer", n, a) for n, a in OPTIMIZERS.items()}
    schedules = {n: Recipe("schedule", n, a) for n, a in SCHEDULES.items()}
    table = {"optimizer": {**optimizers, **schedules}}
    for stage in ("prepare", "augment"):
        table[stage] = {n: Recipe(stage, n, tr.arguments) for n, tr in TRANSFORMS.items() if tr.stage == stage}
    return table


def header(block: t.Train) -> Span:
    """The first words of a block: `train NAME`."""
    end = block.net.span.end if block.net is not None else block.span.start + len("train")
    return Span(block.span.source, block.span.start, end)


class Step(NamedTuple):
    """One step of the input pipeline."""

    name: str
    arguments: Mapping[str, Any]


class TrainBlock:
    """Elaborates one `train` block in the final scope of its net."""

    def __init__(self, context: Context, block: t.Train, scope: Scope) -> None:
        self.context, self.block = context, block
        self.scope = Scope(scope.function, Place("train"), scope.module, dict(scope.names))
        self.targets: list[Target] = []
        self.meant: set[str | None] = set()  # keys that were misspelt
        self.nameless = False  # whether a target is written so that its name cannot be told
        self.recipes = _recipes()

    def elaborate(self) -> Training | None:
        """The training, without its nodes; None where something in the block is wrong (and has been reported)."""
        context = self.context
        entries = self._entries()
        results: dict[str, Any] = {}
        missing = [key for key in _NEEDED if key not in entries]
        # targets first: the loss may stand above them. Without targets it could only say again that they are missing
        for key in sorted(entries, key=lambda k: k != "target"):
            if key in ("loss", "metrics") and ("target" in missing or self.nameless):
                continue
            try:
                results[key] = getattr(self, "_" + key)(entries[key].value)
            except SourceError as error:
                context.report(error)
            except Poisoned:
                pass
            except RecursionError:
                context.report(context.too_deep(entries[key].span, self.scope.place))
        missing = [key for key in missing if key not in self.meant]
        if missing:
            listed = ", ".join(f"`{key}`" for key in missing)
            context.report(context.error("E0502", f"the train block does not say {listed}", header(self.block),
                                         helps=tuple(f"add `{key} = {_NEEDED[key]}`" for key in missing)))  # fmt: skip
        if context.diagnostics or len(results) < len(entries):
            return None
        return Training(
            targets=tuple(self.targets), nodes=(), loss=results["loss"], metrics=results.get("metrics", {}),
            optimizer=results["optimizer"], batch=results["batch"], epochs=results["epochs"], span=self.block.span,
            prepare=results.get("prepare", ()), augment=results.get("augment", ()),
        )  # fmt: skip

    def _entries(self) -> dict[str, t.Assign]:
        entries: dict[str, t.Assign] = {}
        for statement in self.block.body:
            targets = statement.targets if isinstance(statement, t.Assign) else []
            name = targets[0].name if len(targets) == 1 and isinstance(targets[0], t.Name) else None
            if name not in KEYS:
                self.meant.add(closest(name or "", KEYS))
                shown = f"`{name}`" if name else "this statement"
                self.context.report(self.context.error(
                    "E0501", f"a train block has no {shown}", statement.span,
                    notes=("it says " + ", ".join(KEYS),), helps=did_you_mean(name or "", KEYS)))  # fmt: skip
            elif name in entries:
                self.context.report(self.context.error("E0501", f"`{name}` is said twice", statement.span,
                                                       also=(Label(entries[name].span, "here before"),),
                                                       helps=("remove one",)))  # fmt: skip
            else:
                entries[name] = statement  # type: ignore[assignment]
        return entries

    # targets

    def _target(self, expression: t.Expr) -> None:
        items = expression.items if isinstance(expression, (t.TupleExpr, t.ListExpr)) else [expression]
        try:
            for item in items:
                self._one_target(item)
        except (SourceError, Poisoned):
            # the loss reads the targets, and would say again that one is not there
            for item in items:
                name = item.arguments[0] if isinstance(item, t.Call) and item.arguments else item
                if isinstance(name, t.Name):
                    self.scope.names.setdefault(name.name, POISON)
                else:
                    self.nameless = True
            raise

    def _one_target(self, node: t.Expr) -> None:
        context = self.context
        way_out = "a target is `class(label)`, `class(mask, [H, W], ignore = 255)` or `value(boxes, [4])`"
        text = " ".join(node.span.text.split())[:40]
        if not (isinstance(node, t.Call) and isinstance(node.function, t.Name) and node.arguments
                and node.function.name in ("class", "value") and isinstance(node.arguments[0], t.Name)):  # fmt: skip
            message = f"`{text}` does not say what kind of target it is"
            raise context.error("E0503", message, node.span, helps=(way_out,))
        kind, name = node.function.name, node.arguments[0]
        if name.name in self.scope.names:
            raise context.error("E0503", f"the target `{name.name}` has the name of something in the net", name.span,
                                helps=("choose another name for the target",))  # fmt: skip
        keywords = {k.name: k for k in node.keywords}
        if len(node.arguments) > 2 or set(keywords) - {"ignore"} or (kind == "value" and keywords):
            raise context.error("E0503", f"`{text}` says more than a target has", node.span, helps=(way_out,))
        shape: list[Any] = []
        if len(node.arguments) == 2:
            shape = self._evaluate(node.arguments[1], {})
            if not isinstance(shape, list) or not all(isinstance(d, Size) or COUNT.accepts(d) for d in shape):
                raise context.error("E0503", "a target's shape is a list of sizes of at least 1, such as [4] or [H, W]",
                                    node.arguments[1].span)  # fmt: skip
        ignore = self._evaluate(keywords["ignore"].value, {}) if keywords else None
        if not (ignore is None or WHOLE.accepts(ignore)):
            raise context.error("E0503", f"`ignore` is the class that does not count, a whole number, and this is "
                                f"{describe(ignore)}", keywords["ignore"].span)  # fmt: skip
        dtype = "int64" if kind == "class" else "float32"
        value = Value(name.name, TensorType(tuple(shape), dtype))  # type: ignore[arg-type]
        self.targets.append(Target(value, kind, ignore))  # type: ignore[arg-type]
        self.scope.names[name.name] = value
        if ignore is not None:
            self.context.ignored[value] = ignore

    # loss and metrics

    def _loss(self, expression: t.Expr) -> Value:
        before = len(self.context.nodes)
        value = self._evaluate(expression, {})
        for node in self.context.nodes[before:]:
            if not node.op.differentiable:
                raise self.context.error("E0504", f"`{node.op.name}` has no gradient: training on it would learn nothing",
                                         node.span, helps=("a metric goes under `metrics`; a loss is, for instance, "
                                                           "`cross_entropy(logits, label)`",))  # fmt: skip
        if not isinstance(value, Value) or value.type.batched or value.shape != ():
            raise self.context.error("E0504", f"the loss is one number, such as `cross_entropy(logits, label)`, and "
                                     f"this is {describe(value)}", expression.span)  # fmt: skip
        return value

    def _metrics(self, expression: t.Expr) -> dict[str, Value]:
        """The metrics by name: the loss' own, or the one given with `@`."""
        found: dict[str, Value] = {}
        parts = expression.items if isinstance(expression, (t.TupleExpr, t.ListExpr)) else [expression]
        values = self.context.expressions.several([p.base if isinstance(p, t.Pin) else p for p in parts], self._names({}))
        for part, value in zip(parts, values, strict=True):
            for item in value if isinstance(value, (list, tuple)) else [value]:
                if not isinstance(item, Value) or item.type.batched or item.shape != ():
                    raise self.context.error("E0504", f"a metric is one number, such as `accuracy(logits, label)`, and this "
                                             f"is {describe(item)}", part.span)  # fmt: skip
                name = part.name if isinstance(part, t.Pin) else item.name.rpartition("/")[2]
                if name in found:
                    raise self.context.error("E0504", f"two metrics are named `{name}`", part.span,
                                             helps=("give each its own name",))  # fmt: skip
                found[name] = item
        return found

    # numbers

    def _count(self, name: str, expression: t.Expr) -> int:
        argument = Argument(name, COUNT)
        return int(checked(self.context, argument, self._evaluate(expression, {}), expression.span, None))

    def _batch(self, expression: t.Expr) -> int:
        return self._count("batch", expression)

    def _epochs(self, expression: t.Expr) -> int:
        return self._count("epochs", expression)

    # recipes

    def _optimizer(self, expression: t.Expr) -> Optimizer:
        value = self._evaluate(expression, self.recipes["optimizer"])
        if isinstance(value, Recipe):
            value = self.build(value, (), {}, expression.span)
        if not isinstance(value, Optimizer):
            raise self.context.error("E0505", f"the optimizer is one of {', '.join(OPTIMIZERS)}, and this is "
                                     f"{describe(value)}", expression.span)  # fmt: skip
        return value

    def _pipeline(self, stage: str, expression: t.Expr) -> tuple[tuple[str, Mapping[str, Any]], ...]:
        value = self._evaluate(expression, self.recipes[stage])
        steps = []
        for item in value if isinstance(value, (list, tuple)) and not isinstance(value, Step) else [value]:
            if isinstance(item, Recipe):
                item = self.build(item, (), {}, expression.span)
            if not isinstance(item, Step):
                raise self.context.error("E0505", f"`{stage}` lists {', '.join(self.recipes[stage])}, and this is "
                                         f"{describe(item)}", expression.span)  # fmt: skip
            steps.append(item)
        return tuple(steps)

    def _prepare(self, expression: t.Expr) -> tuple[tuple[str, Mapping[str, Any]], ...]:
        return self._pipeline("prepare", expression)

    def _augment(self, expression: t.Expr) -> tuple[tuple[str, Mapping[str, Any]], ...]:
        return self._pipeline("augment", expression)

    def _evaluate(self, expression: t.Expr, names: Mapping[str, Recipe]) -> Any:
        return self.context.expressions.evaluate(expression, self._names(names))

    def _names(self, names: Mapping[str, Recipe]) -> Scope:
        """The names of the net, and those that one key knows besides."""
        self.context.expressions.calls.recipe = self.build
        return Scope(self.scope.function, self.scope.place, self.scope.module, {**self.scope.names, **names})

    def build(self, recipe: Recipe, positional: Any, named: Mapping[str, tuple[Any, Span]], span: Span) -> Any:
        """What a recipe called with these arguments stands for."""
        arguments, _ = bind(self.context, recipe.name, recipe.arguments, positional, named, span, self.scope.place)
        if recipe.kind == "schedule":
            return Schedule(recipe.name, arguments)
        if recipe.kind == "optimizer":
            rate = as_schedule(arguments.pop("lr"))
            return Optimizer(recipe.name, rate, arguments)
        return Step(recipe.name, arguments)
