"""Tensors that come from no input: learned, fixed, or counted. They have no batch axis: every sample sees the same."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from netdsl.ir.graph import DType, Init, Shape, TensorType
from netdsl.ops.arguments import FLAG, INIT, MOST_AXES, Argument, Kind, is_number, is_size
from netdsl.ops.operator import Operator, ParamSpec, Rule, Site, show
from netdsl.ops.reach import UNSEEN, Unseen
from netdsl.ops.registry import operator

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder


def shape_of(values: Any) -> tuple[int, ...] | None:
    """The shape of lists within lists of numbers; None where they are not rectangular, or empty."""
    if is_number(values):
        return ()
    if not isinstance(values, list) or not values:
        return None
    first, *others = map(shape_of, values)
    return None if first is None or any(shape != first for shape in others) else (len(values), *first)


_SHAPE = Kind(f"a list of at most {MOST_AXES} sizes of at least 1",
              lambda v: isinstance(v, list) and len(v) <= MOST_AXES and all(map(is_size, v)))  # fmt: skip
_NUMBERS = Kind(f"a list of numbers, or lists of one length within lists, at most {MOST_AXES} deep",
                lambda v: 1 <= len(shape_of(v) or ()) <= MOST_AXES)  # fmt: skip


class _Source(Operator):
    """A tensor without inputs."""

    style = "function"
    saves = ()
    arity = (0, 0)
    batched = False
    cost = "none"

    def dtype(self, site: Site) -> DType:
        return "float32"

    def flops(self, node: Node) -> int:
        return 0


@operator
class Param(_Source):
    """A learned tensor of its own, the same for every sample: a gate, an embedding of positions, a matrix.

    Its fan-in, for `he` and `glorot`, is the product of all sizes but the first.
    """

    name = "param"
    summary = "a learned tensor"
    example = "image[3, 32, 32] * param([3], init = ones)"
    rules = (Rule(" -> shape"),)
    owns = ("value shape",)
    arguments = (
        Argument("shape", _SHAPE, doc="its shape; [] is one number"),
        Argument("init", INIT, Init("zeros"), "initialisation"),
        Argument("trainable", FLAG, True, "false fixes it"),
    )

    def resolve(self, site: Site) -> None:
        site.args["shape"] = [site.fix(size, "a parameter's shape is fixed") for size in site.args.shape]

    def shape(self, site: Site) -> Shape:
        return tuple(site.args.shape)

    def parameters(self, site: Site) -> dict[str, ParamSpec]:
        shape, a = tuple(site.args.shape), site.args
        first = shape[0] if shape else 1
        return {"value": ParamSpec(shape, a.init, max(1, prod(shape) // first), first, a.trainable)}

    def lower(self, node: Node, b: Builder) -> str:
        return b.parameter(node.parameters["value"])


@operator
class Constant(_Source):
    """A fixed tensor of the listed numbers. It is part of the model, and counts neither as a parameter nor as a buffer.

    Of a number alone it is an initialisation: `init = constant(0.1)`.
    """

    name = "constant"
    summary = "a fixed tensor of listed numbers"
    example = "image[3, 32, 32] - constant([0.5, 0.4, 0.4])"
    rules = (Rule(" -> [len(numbers)]", "not isinstance(numbers[0], list)"),)
    arguments = (Argument("numbers", _NUMBERS, doc="the numbers, a list for each axis"),)

    def shape(self, site: Site) -> Shape:
        return shape_of(site.args.numbers) or ()

    def lower(self, node: Node, b: Builder) -> str:
        return b.floats(node.args.numbers)


@operator
class Coordinates(Operator):
    """The place of each cell of a map, counted from 0: a map of row numbers, then one of column numbers (of depths before
    them, where there are), each as large as the input's.

    Liu et al., "An intriguing failing of convolutional neural networks and the CoordConv solution", NeurIPS 2018:
    `concat(x, coordinates(x) / x.height)`.
    """

    name = "coordinates"
    summary = "the rows and columns of a map's cells"
    example = "concat(image[3, 32, 32], coordinates(image) / 32)"
    rules = (Rule("[C, W] -> [1, W]"), Rule("[C, H, W] -> [2, H, W]"), Rule("[C, D, H, W] -> [3, D, H, W]"))
    style = "function"
    saves = ()
    batched = False
    cost = "none"
    dtypes = frozenset({"float32", "int64", "bool"})

    def resolve(self, site: Site) -> None:
        if len(site.inputs[0].shape) < 2:
            site.fail("E0301", f"`coordinates` needs a tensor with spatial axes, and {site.labels[0]} is "
                      f"{show(site.inputs[0].shape)}")  # fmt: skip

    def infer(self, site: Site) -> tuple[TensorType, ...]:
        self.check_inputs(site)
        sizes = site.inputs[0].shape[1:]
        return (TensorType((len(sizes), *sizes), "float32", batched=False),)

    def flops(self, node: Node) -> int:
        return 0

    def reaches(self, node: Node) -> tuple[Unseen]:
        return (UNSEEN,)

    def lower(self, node: Node, b: Builder) -> str:
        _, *sizes = node.output.shape
        shape = b.dims((1, *sizes), batch=False)
        maps = []
        for axis, size in enumerate(sizes, start=1):
            count = b.op("Squeeze", [b.dims((size,), batch=False)])
            places = b.cast(b.op("Range", [b.ints(0), count, b.ints(1)]), "float32")
            lines = b.op("Unsqueeze", [places, b.ints([i for i in range(1 + len(sizes)) if i != axis])])
            maps.append(b.op("Expand", [lines, shape]))
        return b.op("Concat", maps, axis=0) if len(maps) > 1 else maps[0]
