"""Receptive fields: one forward pass, exact for every phase of the output.

Along an axis, output u of a tensor sees the input pixels lo(u) to hi(u). Both are non-decreasing and repeat with a
period: lo(u + P) = lo(u) + T. Behind convolutions and pools P is 1 and this is the line S u + a of Araujo, Norris, Sim
(Distill 2019); behind upsampling by f it is f, and keeping the phases apart matters: the output of the original U-Net
sees 188 to 204 pixels, a line that bounds all phases at once gives 215.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import gcd, lcm
from typing import TYPE_CHECKING, NamedTuple

from netdsl.ir import Node, Shape, Value
from netdsl.ops.reach import UNSEEN, Reach, Unseen
from netdsl.report.record import ReceptiveField

if TYPE_CHECKING:
    from fractions import Fraction

#: beyond this many phases an axis is reported as the whole input: no network has them, and work grows with them
MOST_PHASES = 4096


class Track(NamedTuple):
    """What the outputs see along one axis: `lo` and `hi` for the outputs of one period, `shift` (> 0) from one period
    to the next. An output that sees nothing (between the taps of a transposed convolution whose kernel is shorter than
    its stride) has the `lo` of the next output and the `hi` of the one before, which is never the largest extent. Behind
    a dilated window over such gaps the track is a bound: a tap may fall into a gap.
    """

    shift: int
    lo: tuple[int, ...]
    hi: tuple[int, ...]

    @property
    def stride(self) -> Fraction:
        from fractions import Fraction  # it takes 6 ms to import, and `check` seldom needs it

        return Fraction(self.shift, len(self.lo))

    def first(self, u: int) -> int:
        periods, phase = divmod(u, len(self.lo))
        return self.lo[phase] + periods * self.shift

    def last(self, u: int) -> int:
        periods, phase = divmod(u, len(self.hi))
        return self.hi[phase] + periods * self.shift


class Field(NamedTuple):
    """What a tensor sees of one network input: a track per spatial axis. Where paths whose centres or strides
    differ met on the way, `paths` names the first two.
    """

    axes: tuple[Track, ...]
    paths: tuple[str, ...] = ()


#: for each network input that a tensor depends on; None is the whole input
Fields = Mapping[Value, Field | None]
#: as `Operator.reaches` tells them
Reaches = tuple[tuple[Reach, ...] | Unseen | None, ...]

_IDENTITY = Track(1, (0,), (0,))


def fields_of(inputs: Iterable[Value], nodes: Iterable[Node]) -> dict[Value, Fields]:
    """What every tensor sees of every network input. A tensor that is no input and comes from no node sees nothing."""
    result: dict[Value, Fields] = {}
    for value in inputs:
        rank = len(value.shape) - 1
        result[value] = {value: Field((_IDENTITY,) * rank) if rank > 0 else None}
    for node in nodes:
        fields: Fields = {}
        last: Reaches | None = None
        for output, reaches in zip(node.outputs, node.op.reaches_by_output(node), strict=True):
            if reaches is not last:
                fields, last = _through(node, reaches, result), reaches
            result[output] = fields
    return result


def summary(field: Field | None) -> ReceptiveField | None:
    """The field as it is reported: the largest size over the phases, the stride, and where output 0 starts."""
    if field is None:
        return None
    size = tuple(max(hi - lo + 1 for lo, hi in zip(t.lo, t.hi, strict=True)) for t in field.axes)
    return ReceptiveField(
        size, tuple(t.stride for t in field.axes), tuple(t.lo[0] for t in field.axes), not field.paths, field.paths
    )


def _through(node: Node, reaches: Reaches, known: Mapping[Value, Fields]) -> Fields:
    """The fields of a node's output that reaches so far, from those of the inputs."""
    arriving = [
        (value, reach, fields)
        for value, reach in zip(node.inputs, reaches, strict=True)
        if reach is not UNSEEN and (fields := known.get(value))
    ]
    if len(arriving) == 1:
        (value, reach, fields), *_ = arriving
        if reach is not None and len(reach) < len(value.shape) and all(map(_is_identity, reach)):
            return fields
    result: dict[Value, Field | None] = {}
    path: dict[Value, str] = {}
    for value, reach, fields in arriving:
        for source, field in fields.items():
            if source is value and reach is not None and len(reach) == len(value.shape):
                field = Field((_IDENTITY,) * len(reach))  # an input of positions without channels, such as words
            seen = None if field is None or reach is None else _moved(field, reach)
            if source in result:
                seen = _joined(result[source], seen, node.output.shape[1:], (path[source], value.name))
            result[source] = seen
            path.setdefault(source, value.name)
    return result


def _is_identity(reach: Reach) -> bool:
    return reach.stride == 1 and reach.first == 0 == reach.last


def _moved(field: Field, reach: tuple[Reach, ...]) -> Field | None:
    """The field behind an operator that reaches so far along each axis."""
    if len(reach) != len(field.axes):
        return None
    axes: list[Track] = []
    for i, (track, r) in enumerate(zip(field.axes, reach, strict=True)):
        if i and track is field.axes[i - 1] and r == reach[i - 1]:
            axes.append(axes[-1])
            continue
        moved = _behind(track, r)
        if moved is None:
            return None
        axes.append(moved)
    return Field(tuple(axes), field.paths)


def _behind(track: Track, reach: Reach) -> Track | None:
    """lo'(u) = lo(ceil(stride u + first)), hi'(u) = hi(floor(stride u + last)): both are monotone.

    Where no integer lies between, lo' is that of the next position and hi' that of the one before, so that windows over
    the gap come out right. None stands for the whole axis: behind a stretched one (stride 0) every
    position sees the same pixels.
    """
    if _is_identity(reach):
        return track
    unit = lcm(reach.stride.denominator, reach.first.denominator, reach.last.denominator)
    stride, first, last = int(reach.stride * unit), int(reach.first * unit), int(reach.last * unit)
    period = len(track.lo)
    phases = unit * period // gcd(stride, unit * period)
    if stride == 0 or phases > MOST_PHASES:
        return None
    positions = range(0, stride * phases, stride)
    return Track(
        stride * phases // unit // period * track.shift,
        tuple(track.first(-(-(at + first) // unit)) for at in positions),
        tuple(track.last((at + last) // unit) for at in positions),
    )


def _joined(a: Field | None, b: Field | None, shape: Shape, names: tuple[str, str]) -> Field | None:
    """The hull of two paths to one tensor."""
    if a is b or a is None or b is None:
        return a if a is b else None
    aligned = True
    axes: list[Track] = []
    if len(a.axes) != len(b.axes):
        return None
    for i, (ta, tb) in enumerate(zip(a.axes, b.axes, strict=True)):
        if i and ta is a.axes[i - 1] and tb is b.axes[i - 1]:
            axes.append(axes[-1])
        elif ta is tb or ta == tb:
            axes.append(ta)
        elif ta.shift * len(tb.lo) == tb.shift * len(ta.lo):
            aligned = aligned and _centre(ta) == _centre(tb)
            hull = _hull(ta, tb)
            if hull is None:
                return None
            axes.append(hull)
        else:
            aligned = False
            widened = _widened(ta, tb, int(shape[i]))
            if widened is None:
                return None
            axes.append(widened)
    paths = a.paths or b.paths or (() if aligned else names)
    return Field(tuple(axes), paths)


def _centre(track: Track) -> Fraction:
    """Twice the centre of the narrowest band around stride * u that holds all phases."""
    from fractions import Fraction

    period = len(track.lo)
    low = min(period * lo - track.shift * u for u, lo in enumerate(track.lo))
    high = max(period * hi - track.shift * u for u, hi in enumerate(track.hi))
    return Fraction(low + high, period)


def _hull(a: Track, b: Track) -> Track | None:
    phases = lcm(len(a.lo), len(b.lo))
    if phases > MOST_PHASES:
        return None
    return Track(
        phases // len(a.lo) * a.shift,
        tuple(min(a.first(u), b.first(u)) for u in range(phases)),
        tuple(max(a.last(u), b.last(u)) for u in range(phases)),
    )


def _widened(a: Track, b: Track, size: int) -> Track | None:
    """Where strides differ no track follows both paths: the first one, widened to hold the second at every output."""
    period = lcm(len(a.lo), len(b.lo))
    # phase by phase the differences change linearly: the extremes lie in the first or the last period
    outputs = range(size) if size <= 2 * period else (*range(period), *range(size - period, size))
    if len(outputs) > 2 * MOST_PHASES:
        return None
    before = max(0, max(a.first(u) - b.first(u) for u in outputs))
    behind = max(0, max(b.last(u) - a.last(u) for u in outputs))
    return Track(a.shift, tuple(lo - before for lo in a.lo), tuple(hi + behind for hi in a.hi))
