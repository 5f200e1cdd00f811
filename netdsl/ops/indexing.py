"""Operators that take elements by their place along an axis."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from netdsl.ir.graph import Shape, TensorType
from netdsl.ir.size import Dim, Size
from netdsl.ops.arguments import AXIS, Argument, Kind, is_int, is_size, optional
from netdsl.ops.axes import axis_index, axis_word
from netdsl.ops.operator import Locality, Rule, Site, float_bytes, show, show_size
from netdsl.ops.reach import Reach, Unseen
from netdsl.ops.registry import operator
from netdsl.ops.shape import Move

if TYPE_CHECKING:
    from netdsl.ir.graph import Node, Value
    from netdsl.ops.builder import Builder


_BOUND = optional(Kind("a whole number, or a size", lambda v: isinstance(v, Size) or is_int(v)))
#: each part is a tensor
_MOST_PARTS = 10_000
_PARTS = Kind(f"the number of equal parts, or a list of sizes, for at most {_MOST_PARTS:,} parts", lambda v: (
    all(map(is_size, v)) if isinstance(v, list) else is_int(v)) and 1 <= (
    len(v) if isinstance(v, list) else v) <= _MOST_PARTS)  # fmt: skip
_PLACES = optional(Kind("a list of whole numbers", lambda v: isinstance(v, list) and bool(v) and all(map(is_int, v))))
_AXIS = Argument("axis", AXIS, "channel", "along which axis")


def _along(rank: int, axis: int, reach: Reach) -> tuple[Reach, ...]:
    """This reach along an axis, and each place for itself along the other spatial axes."""
    return tuple(reach if i == axis else Reach() for i in range(1, rank))


def _missing(site: Site, first: Dim, last: Dim) -> str:
    """That there are no such places."""
    axis, shape = site.args.axis, site.inputs[0].shape
    word, one = axis_word(axis, len(shape)), first == last
    stretch = f" {show_size(first)}" if one else f"s {show_size(first)} to {show_size(last)}"
    along = f"the {word}" if word else f"axis {axis}"
    places = f"channel{stretch}" if axis == 0 else f"place{stretch} along {along}"
    return f"there {'is' if one else 'are'} no {places} of {site.labels[0]}, which is {show(shape)}"


@operator
class Slice(Move):
    """What stands along an axis from `start` up to but without `end`, as in Python: a negative place counts from the end,
    and none is the beginning or the end. Unlike in Python, a place beyond the tensor is an error.
    """

    name = "slice"
    summary = "a stretch of a tensor along an axis"
    example = "slice(image[3, 32, 32], 0, 2)"
    rules = (
        Rule("[C, ...] -> [end - start, ...]", 'axis == "channel" and start is not None and 0 <= start < (end or 0)'),
        Rule("[C, ...] -> [C - start, ...]", 'axis == "channel" and end is None and (start or -1) > 0'),
    )
    style = "function"
    batched = False
    arguments = (
        Argument("start", _BOUND, doc="the first place that is taken; none: 0"),
        Argument("end", _BOUND, None, "the first place behind it that is not; none: the axis' size"),
        _AXIS,
    )

    def resolve(self, site: Site) -> None:
        a, shape = site.args, site.inputs[0].shape
        a["axis"] = axis_index(site, a.axis, len(shape))
        size = shape[a.axis]
        start, end = (
            none if given is None else size + given if isinstance(given, int) and given < 0 else given
            for given, none in ((a.start, 0), (a.end, size))
        )
        why = f"slice of {site.labels[0]}"
        if not (site.at_least(start, 0, why) and site.at_least(size, end, why) and site.at_least(end, start + 1, why)):
            way_out = f"places are 0 to {int(size) - 1}, or -{int(size)} to -1 from the end; `end` itself is not taken"
            site.fail("E0323", _missing(site, start, end), helps=(way_out,))
        a["bounds"] = (start, end)

    def shape(self, site: Site) -> Shape:
        shape, (start, end) = list(site.inputs[0].shape), site.args.bounds
        shape[site.args.axis] = end - start
        return tuple(shape)

    def locality_of(self, node: Node) -> Locality | None:
        a = node.args
        if a.axis == 0:
            return "position"
        crops = is_int(a.start or 0) and (a.start or 0) >= 0 and is_int(a.end or -1) and (a.end or -1) < 0
        return "window" if crops else None

    def reach(self, node: Node) -> tuple[Reach, ...]:
        start = int(node.args.bounds[0])
        return _along(len(node.output.shape), node.args.axis, Reach(1, start, start))

    def lower(self, node: Node, b: Builder) -> str:
        (value,), a = node.inputs, node.args
        start, end = (b.dims((bound,), batch=False) for bound in a.bounds)
        return b.op("Slice", [b.value(value), start, end, b.ints([a.axis + value.type.batched])])


@operator
class Split(Move):
    """The parts of a tensor along an axis, as a tuple: so many equal ones, or of the listed sizes."""

    name = "split"
    summary = "a tensor's parts along an axis"
    example = "concat(split(image[4, 32, 32], 2))"
    rules = (
        Rule("[C, ...] -> [C // parts, ...]", 'axis == "channel" and not isinstance(parts, list)'),
        Rule("[C, ...] -> [parts, ...]", 'axis == "channel" and isinstance(parts, list)'),
    )
    style = "function"
    batched = False
    tupled = True
    arguments = (Argument("parts", _PARTS, doc="how many equal parts; or a list of their sizes"), _AXIS)

    def resolve(self, site: Site) -> None:
        a, shape = site.args, site.inputs[0].shape
        a["axis"] = axis_index(site, a.axis, len(shape))
        size = shape[a.axis]
        sizes: list[Dim] = a.parts if isinstance(a.parts, list) else [size // a.parts] * a.parts
        if not (site.exists(sizes[0]) and site.same(sum(sizes[1:], sizes[0]), size, f"split of {site.labels[0]}")):
            parts = show(tuple(a.parts)) if isinstance(a.parts, list) else f"{a.parts} equal parts"
            what = "channels are" if a.axis == 0 else f"cells along the {axis_word(a.axis, len(shape)) or 'axis'} are"
            site.fail("E0323", f"{site.labels[0]} is {show(shape)}, and its {show_size(size)} {what} not {parts}",
                      helps=("the sizes of the parts add up to that of the axis",), at="parts")  # fmt: skip
        a["sizes"] = tuple(sizes)

    def infer(self, site: Site) -> tuple[TensorType, ...]:
        self.check_inputs(site)
        _, dtype, batched = site.inputs[0].type
        axis, shape = site.args.axis, site.inputs[0].shape
        return tuple(TensorType((*shape[:axis], size, *shape[axis + 1 :]), dtype, batched) for size in site.args.sizes)

    def locality_of(self, node: Node) -> Locality | None:
        return "position" if node.args.axis == 0 else None

    def reach(self, node: Node) -> tuple[Reach, ...]:
        """The hull over the parts."""
        last = int(sum(node.args.sizes[:-1]))
        return _along(len(node.output.shape), node.args.axis, Reach(1, 0, last))

    def reaches_by_output(self, node: Node) -> tuple[tuple[tuple[Reach, ...] | Unseen | None, ...], ...]:
        rank, axis, begin, found = len(node.output.shape), node.args.axis, 0, []
        for size in node.args.sizes:
            found.append((_along(rank, axis, Reach(1, begin, begin)),))
            begin += int(size)
        return tuple(found)

    def lower(self, node: Node, b: Builder) -> tuple[str, ...]:
        (value,), a = node.inputs, node.args
        if len(a.sizes) == 1:
            return (b.op("Identity", [b.value(value)]),)
        sizes = b.dims(a.sizes, batch=False)
        return b.ops("Split", [b.value(value), sizes], len(a.sizes), axis=a.axis + value.type.batched)


@operator
class Gather(Move):
    """What stands at the given places of an axis, in their order; a negative place counts from the end.

    The places are a list, or an int tensor: a vector for each sample, so that each picks its own. The gradient of an
    element adds up over the places that took it. From a tensor without a batch axis, such as a table `param([V, C])`, each
    sample takes by its own places, too.
    """

    name = "gather"
    summary = "the elements at given places of an axis"
    example = "gather(image[3, 32, 32], [2, 1, 0])"
    rules = (
        Rule("[C, ...] -> [len(places), ...]", 'axis == "channel"'),
        Rule("[C, H, W] -> [C, len(places), W]", 'axis == "height"'),
    )
    style = "function"
    arity = (1, 2)
    batched = False
    numbers = (None, "places")
    arguments = (Argument("places", _PLACES, None, "the places as a list"), _AXIS)

    def resolve(self, site: Site) -> None:
        a, shape = site.args, site.inputs[0].shape
        a["axis"] = axis_index(site, a.axis, len(shape))
        if (len(site.inputs) == 2) == (a.places is not None):
            site.fail("E0309", "`gather` takes a tensor and places: `gather(x, [0, 2])`, or an int tensor in place of the list")
        if a.places is None:
            return
        size, why = shape[a.axis], f"gather from {site.labels[0]}"
        if not (site.at_least(size, max(a.places) + 1, why) and site.at_least(size, -min(a.places), why)):
            way_out = f"places are 0 to {int(size) - 1}, or -{int(size)} to -1 from the end"
            site.fail("E0323", _missing(site, min(a.places), max(a.places)), helps=(way_out,), at="places")

    def check_inputs(self, site: Site) -> None:
        super().check_inputs(site)
        if len(site.inputs) == 2:
            places = site.inputs[1].type
            if places.dtype != "int64" or len(places.shape) != 1:
                site.fail("E0320", f"`gather` takes places as an int64 vector, and {site.labels[1]} is {places.dtype} "
                          f"{show(places.shape)}", helps=("declare such an input as `int places[8]`",))  # fmt: skip

    def shape(self, site: Site) -> Shape:
        a, shape = site.args, list(site.inputs[0].shape)
        shape[a.axis] = len(a.places) if a.places is not None else site.inputs[1].shape[0]
        return tuple(shape)

    def locality_of(self, node: Node) -> Locality | None:
        return "position" if node.args.axis == 0 and len(node.inputs) == 1 else None

    def saved(self, node: Node) -> tuple[Value, ...]:
        """Places that are the same for every sample; of those that are not, the gradient reads the spread ones."""
        return tuple(value for value in node.inputs[1:] if not self._picks_each(node))

    def saved_besides(self, node: Node) -> int:
        return 2 * float_bytes(node.output) if self._picks_each(node) else 0

    @staticmethod
    def _picks_each(node: Node) -> bool:
        """Whether each sample picks its own of its own."""
        return len(node.inputs) == 2 and all(value.type.batched for value in node.inputs)

    def reaches(self, node: Node) -> tuple[tuple[Reach, ...] | Unseen | None, ...]:
        """A line through the places; where they are not in line, one that is broad enough."""
        a, rank = node.args, len(node.output.shape)
        if a.places is None:
            return (None if a.axis > 0 else tuple(Reach() for _ in range(1, rank)), None)
        size = int(node.inputs[0].shape[a.axis])
        places = [place % size for place in a.places]
        step = places[1] - places[0] if len(places) > 1 else 1
        step = step if step > 0 and all(q - p == step for p, q in pairwise(places)) else 1
        offsets = [place - step * i for i, place in enumerate(places)]
        return (_along(rank, a.axis, Reach(step, min(offsets), max(offsets))),)

    def lower(self, node: Node, b: Builder) -> str:
        a, value = node.args, node.inputs[0]
        x, axis = b.value(value), a.axis + value.type.batched
        if a.places is not None:
            return b.op("Gather", [x, b.ints(a.places)], axis=axis)
        places, batched, rank = b.value(node.inputs[1]), node.inputs[1].type.batched, len(value.shape)
        if not batched:
            return b.op("Gather", [x, places], axis=axis)
        if not value.type.batched:  # [..., batch, places, ...]: the batch goes to the front
            taken = b.op("Gather", [x, places], axis=axis)
            return b.op("Transpose", [taken], perm=[axis, *range(axis), *range(axis + 1, rank + 1)]) if axis else taken
        others = [i for i in range(1, rank + 1) if i != axis]
        spread = b.op("Unsqueeze", [places, b.ints(others)]) if others else places
        return b.op("GatherElements", [x, b.op("Expand", [spread, b.dims(node.output.shape)])], axis=axis)
