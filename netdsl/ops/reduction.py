"""`sum`, `mean`, `max` and `min`: of several tensors, element by element, or of one tensor over some of its axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from netdsl.ir.graph import Shape
from netdsl.ops.arguments import AXES, NUMBER, Argument, optional
from netdsl.ops.axes import axis_indices
from netdsl.ops.elementwise import COMBINE, Elementwise
from netdsl.ops.operator import Locality, Rule, Site, elements
from netdsl.ops.reach import Reach, Unseen, whole
from netdsl.ops.registry import operator

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder


class _Reduction(Elementwise):
    """One result from any number of tensors; or with `axis`, from the elements of one tensor along axes, which stay with
    size 1.
    """

    arity = (1, None)
    rules = (
        *(Rule(rule.formula, "axis == none") for rule in COMBINE),
        Rule("[C, ...] -> [1, ...]", 'axis == "channel"'),
        Rule("[C, H, W] -> [C, 1, 1]", "axis == [1, 2]"),
    )
    cost = "one FLOP per output element and input after the first; over axes, one per input element"
    numbers: ClassVar[tuple[str | None, ...]] = ("number",)
    arguments: ClassVar[tuple[Argument, ...]] = (
        Argument("axis", optional(AXES), None, "the axis of one tensor that is reduced, or a list of them"),
        Argument("number", optional(NUMBER), None, "what the numbers among the tensors come to"),
    )

    def resolve(self, site: Site) -> None:
        if site.args.axis is None:
            return
        count = len(site.inputs) + (site.args.get("number") is not None)
        if count > 1:
            site.fail("E0309", f"`{self.name}` over an axis takes one tensor, and receives {count}",
                      helps=(f"`{self.name}` of several tensors goes without `axis`",), at="axis")  # fmt: skip
        site.args["axis"] = axis_indices(site, site.args.axis, len(site.inputs[0].shape))

    def shape(self, site: Site) -> Shape:
        axes = site.args.axis
        if axes is None:
            return super().shape(site)
        return tuple(1 if axis in axes else size for axis, size in enumerate(site.inputs[0].shape))

    def flops(self, node: Node) -> int:
        if node.args.axis is not None:
            return elements(node.inputs[0].shape)
        return elements(node.output.shape) * (len(node.inputs) - (node.args.get("number") is None))

    def reaches(self, node: Node) -> tuple[tuple[Reach, ...] | Unseen | None, ...]:
        axes = node.args.axis
        if axes is None:
            return super().reaches(node)
        sizes = node.inputs[0].shape
        spatial = range(1, len(sizes))
        if spatial and all(axis in axes for axis in spatial):
            return (None,)
        return (tuple(whole(int(sizes[axis])) if axis in axes else Reach() for axis in spatial),)

    def locality_of(self, node: Node) -> Locality | None:
        axes = node.args.axis
        return self.locality if axes is None else "position" if axes == (0,) else None

    def lower(self, node: Node, b: Builder) -> str:
        axes = node.args.axis
        if axes is None:
            number = [] if node.args.get("number") is None else [b.floats(float(node.args.number))]
            return b.op(self.onnx, [*self.operands(node, b), *number])
        (value,) = node.inputs
        at = b.ints([value.type.batched + axis for axis in axes])
        return b.op(f"Reduce{self.onnx}", [b.value(value), at], keepdims=1)


@operator
class Sum(_Reduction):
    """The sum of all inputs; with `axis`, of one tensor's elements along it."""

    name, onnx, verb = "sum", "Sum", "add"
    summary = "sum of several tensors, or over an axis of one"
    example = "sum(left[8, 16, 16], middle[8, 16, 16], right[8, 16, 16])"
    saves = ()


@operator
class Mean(_Reduction):
    """The mean of all inputs; with `axis`, of one tensor's elements along it."""

    name, onnx, verb = "mean", "Mean", "average"
    summary = "mean of several tensors, or over an axis of one"
    example = "mean(left[8, 16, 16], middle[8, 16, 16], right[8, 16, 16])"
    saves = ()
    cost = "one FLOP per output element and input; over axes, one per input element"
    numbers = ()
    arguments = _Reduction.arguments[:1]

    def flops(self, node: Node) -> int:
        return super().flops(node) if node.args.axis is not None else elements(node.output.shape) * len(node.inputs)

    def lower(self, node: Node, b: Builder) -> str:
        if node.args.axis is not None or b.provider != "cuda":
            return super().lower(node, b)
        total = b.op("Sum", self.operands(node, b))  # ONNX Runtime's CUDA provider has no Mean
        return b.op("Mul", [total, b.floats(1 / len(node.inputs))])


@operator
class Max(_Reduction):
    """The greatest of all inputs, element by element (Goodfellow et al. 2013, Maxout); with `axis`, of one tensor's
    elements along it. The gradient goes to those that attain it, in equal shares.
    """

    name, onnx, verb = "max", "Max", "compare"
    summary = "element-wise maximum of several tensors, or over an axis of one"
    example = "max(left[8, 16, 16], right[8, 16, 16])"
    saves = ("inputs", "outputs")


@operator
class Min(_Reduction):
    """The smallest of all inputs, element by element; with `axis`, of one tensor's elements along it."""

    name, onnx, verb = "min", "Min", "compare"
    summary = "element-wise minimum of several tensors, or over an axis of one"
    example = "min(left[8, 16, 16], right[8, 16, 16])"
    saves = ("inputs", "outputs")
