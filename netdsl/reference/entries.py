"""The entries, drawn from the declarations. Every one has an example, a complete file, which the tests run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from netdsl.elaborate.arguments import literal, signature
from netdsl.ops import INITIALIZERS, OPERATORS, REQUIRED, Argument, Operator
from netdsl.ops.facts import FACTS
from netdsl.ops.functions import FUNCTIONS
from netdsl.ops.kernels import KERNELS
from netdsl.ops.optimizers import DESCRIBED, OPTIMIZERS, SCHEDULES
from netdsl.ops.transforms import TRANSFORMS
from netdsl.reference import groups

#: a tensor in an example of a declaration: its type where that is int, its name, the shape that the net's input gets
_TENSOR = re.compile(r"\b(int )?([a-z]\w*)(\[[\d, ]+\])")


class Entry(NamedTuple):
    """One name. `operator` is its declaration where it is an operator."""

    name: str
    group: str
    signature: str
    summary: str
    example: str
    arguments: tuple[Argument, ...] = ()
    text: str = ""
    operator: Operator | None = None

    @property
    def shown(self) -> str:
        """The name, or the form in which an operator with a sign is written."""
        return self.signature if self.operator is not None and self.operator.symbol else self.name

    @property
    def names(self) -> tuple[str, ...]:
        """What it is asked for by: its name, or the sign, also between operands."""
        symbol = self.operator.symbol if self.operator is not None else None
        return (self.name, symbol, self.signature) if symbol else (self.name,)


def entries() -> list[Entry]:
    """Everything, by group."""
    return [*_operators(groups.LAYERS), *_operators(groups.FUNCTIONS), *_values(), *_operators(groups.LOSSES),
            *_training(), *_facts()]  # fmt: skip


def _operators(listed: Mapping[str, tuple[str, ...]]) -> Iterator[Entry]:
    for group, names in listed.items():
        yield from (_operator(OPERATORS[name], group) for name in names)


def _operator(op: Operator, group: str) -> Entry:
    example = _loss_net(op) if op.style == "loss" else _net(op.example)
    text = "\n".join(line.strip() for line in (op.__doc__ or "").strip().split("\n"))
    known = _words(op.summary) | _words(_signature(op)) | {"the", "element", "by"}
    return Entry(op.name, group, _signature(op), op.summary, example, _own(op), "" if _words(text) <= known else text, op)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _signature(op: Operator) -> str:
    """How the operator is written, its tensors named as in its example."""
    if op.symbol:
        return op.written
    own = signature(op.name, op.arguments) if op.arguments else op.name
    tensors = [name for _, name, _ in _TENSOR.findall(op.example)]
    if op.style == "layer":
        return own if len(tensors) == 1 else f"({', '.join(tensors)}) -> {own}"
    if op.style == "loss":
        operands = op.example.partition("(")[2].removesuffix(")").split(", ")
        tensors = [operand if operand.isidentifier() else "x" for operand in operands]
    elif op.arity[1] is None:
        tensors = [*tensors[:2], "..."]
    else:
        tensors = tensors[: op.arity[1]]
    tensors = [*tensors, *filter(None, op.numbers[len(tensors) :])]
    written = [a.name if a.default is REQUIRED else f"{a.name} = {literal(a.default)}" for a in _own(op)]
    return f"{op.name}({', '.join([*tensors, *written])})"


def _own(op: Operator) -> tuple[Argument, ...]:
    """The arguments besides those that hold numbers in place of operands."""
    return tuple(argument for argument in op.arguments if argument.name not in op.numbers)


def _values() -> Iterator[Entry]:
    """What computes no tensor: functions of numbers and lists, initialisations."""
    for function in FUNCTIONS.values():
        yield Entry(function.name, "functions of numbers and lists", function.signature, function.doc,
                    _net(function.example))  # fmt: skip
    for init in sorted(INITIALIZERS.values(), key=lambda init: init.name in KERNELS):
        layer = "deconv(3, 4, stride = 2" if init.name == "bilinear" else "conv(16, 3"
        end, group = "", "initialisations, for `init`"
        if init.name in KERNELS:  # two filters for each colour
            layer, end = f"conv(6, {KERNELS[init.name].size or 7}, groups = 3", ", trainable = false"
            group = "fixed kernels, for `init`"
        yield Entry(init.name, group, _called(init.name, init.arguments), init.doc,
                    _net(f"image[3, 32, 32] -> {layer}, init = {init.written}{end})"), init.arguments)  # fmt: skip


def _training() -> Iterator[Entry]:
    """What a train block may name."""
    for group, table in (("optimizers", OPTIMIZERS), ("learning rates, for `lr`", SCHEDULES)):
        for name, arguments in table.items():
            summary, example = DESCRIBED[name]
            yield Entry(name, group, signature(name, arguments), summary, _image_net(optimizer=example), arguments)
    for transform in TRANSFORMS.values():
        yield Entry(transform.name, f"transforms of the input, for `{transform.stage}`",
                    _called(transform.name, transform.arguments), transform.doc,
                    _image_net(**{transform.stage: f"[{transform.example}]"}), transform.arguments)  # fmt: skip


def _facts() -> Iterator[Entry]:
    body = "    y = image -> conv(16, 3) @first -> bn"
    for name, (doc, condition) in FACTS.items():
        example = f"net example : image[3, 32, 32] -> y {{\n{body}\n\n    expect {condition}\n}}\n"
        form = "receptive_field(tensor)" if name == "receptive_field" else name
        yield Entry(name, "facts, for `expect`", form, doc, example)


def _called(name: str, arguments: Sequence[Argument]) -> str:
    return signature(name, arguments) if arguments else name


def _net(expression: str) -> str:
    """A net of one expression, in which inputs stand with their shapes."""
    inputs = ", ".join(map("".join, _TENSOR.findall(expression)))
    body = _TENSOR.sub(r"\2", expression)
    return f"net example : {inputs} -> y {{\n    y = {body}\n}}\n"


def _loss_net(op: Operator) -> str:
    """A net that is trained with a loss, or measured by a metric."""
    *outputs, target = re.findall(r"\b[a-z]\w*\b(?!\()", op.example.partition("(")[2])
    maps = any("n..." in rule.formula for rule in op.rules)
    lines = {
        "target": f"value(target, {'[1, 8, 8]' if maps else '[10]'})" if target == "target" else f"class({target})",
        "loss": op.example if op.differentiable else "cross_entropy(logits, label)",
        **({} if op.differentiable else {"metrics": op.example}),
        "optimizer": "sgd(lr = 0.1)",
    }
    name, shape, layer = ("image", "[1, 8, 8]", "conv(1, 3)") if maps else ("vector", "[4]", "dense(10)")
    body = "".join(f"    {output} = {name} -> {layer}\n" for output in outputs)
    return f"net example : {name}{shape} -> {', '.join(outputs)} {{\n{body}}}\n\n{_train(lines)}"


def _image_net(optimizer: str = "sgd(lr = 0.1)", **lines: str) -> str:
    """A classifier of small images, trained so."""
    body = "    logits = image -> flatten -> dense(10)"
    usual = {"target": "class(label)", "loss": "cross_entropy(logits, label)", "optimizer": optimizer}
    return f"net example : image[1, 8, 8] -> logits {{\n{body}\n}}\n\n{_train(usual | lines)}"


def _train(lines: dict[str, str]) -> str:
    known = lines | {"batch": "4", "epochs": "2"}
    order = ("target", "loss", "metrics", "optimizer", "batch", "epochs", "prepare", "augment")
    width = max(map(len, known))
    said = "\n".join(f"    {key:<{width}} = {known[key]}" for key in order if key in known)
    return f"train example {{\n{said}\n}}\n"
