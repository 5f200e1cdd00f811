"""The axes of a tensor without its batch axis, and how they are named to the user."""

from __future__ import annotations

from collections.abc import Sequence

from netdsl.ir.size import Dim
from netdsl.ops.operator import Site, show, show_size

_WORDS: dict[int, tuple[str, ...]] = {
    0: (),
    1: ("channel",),
    2: ("channel", "width"),
    3: ("channel", "height", "width"),
    4: ("channel", "depth", "height", "width"),
}


def axis_word(axis: int, rank: int) -> str | None:
    """What an axis of a tensor of this rank is called; None where it is called nothing."""
    words = _WORDS.get(rank, ())
    return words[axis] if axis < len(words) else None


def axis_index(site: Site, axis: int | str, rank: int) -> int:
    """The position of an axis given by name, or by number counted without batch."""
    words = _WORDS.get(rank, ("channel",))
    if isinstance(axis, str) and axis in words:
        return words.index(axis)
    if isinstance(axis, int) and 0 <= axis < rank:
        return axis
    site.fail("E0317", f"{site.labels[0]} is {show(site.inputs[0].shape)} and has no axis `{axis}`",
              helps=(f"its axes are {', '.join(words)}, or 0 to {rank - 1}",) if rank else (), at="axis")  # fmt: skip


def axis_indices(site: Site, axes: int | str | Sequence[int | str], rank: int) -> tuple[int, ...]:
    """The positions of one or several different axes, in order."""
    found = [axis_index(site, axis, rank) for axis in ([axes] if isinstance(axes, (int, str)) else axes)]
    for axis in found:
        if found.count(axis) > 1:
            word = axis_word(axis, rank) or str(axis)
            site.fail("E0317", f"`axis` names the {word} twice", helps=("name each axis once",), at="axis")
    return tuple(sorted(found))


def difference(rank: int, axis: int, a: Dim, b: Dim) -> str:
    """That two sizes differ, in words: `heights 89 and 88 differ`."""
    word = axis_word(axis, rank)
    if word is None:
        return f"sizes {show_size(a)} and {show_size(b)} of axis {axis} differ"
    return f"{word}s {show_size(a)} and {show_size(b)} differ"


def _written(label: str, otherwise: str) -> str:
    """A label as code, or a stand-in where it is a description."""
    return label.strip("`") if label.startswith("`") else otherwise


def reconcile(site: Site, first: int, second: int, axis: int) -> tuple[str, ...]:
    """Ways out where two inputs differ along an axis."""
    a, b = (int(site.inputs[i].shape[axis]) for i in (first, second))
    large, small = (first, second) if a > b else (second, first)
    names = [_written(site.labels[i], word) for i, word in ((large, "larger"), (small, "smaller"))]
    if axis == 0:
        return (f"`-> conv({max(a, b)}, 1)` brings {site.labels[small]} to {max(a, b)} channels",)
    helps = [f"crop the larger, `({names[0]}, {names[1]}) -> crop_like`, or enlarge the smaller with `pad`"]
    if min(a, b) > 0 and max(a, b) % min(a, b) == 0:  # a size that is sought may be 0 on the way
        helps.append(f"`upsample({max(a, b) // min(a, b)})` brings {site.labels[small]} to {max(a, b)}")
    return tuple(helps)
