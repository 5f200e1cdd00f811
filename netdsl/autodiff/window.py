"""The geometry of a sliding window: what Conv, ConvTranspose and the pools have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import Unsupported
from .rule import Backward
from .tensor_types import Dim


@dataclass(frozen=True, slots=True)
class Window:
    """Per spatial axis: kernel size, stride, dilation, and padding before and after."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def rank(self) -> int:
        return len(self.kernel)

    @property
    def spans(self) -> tuple[int, ...]:
        """Extent of the dilated kernel."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def pads(self) -> list[int]:
        """As the ONNX attribute has them."""
        return [*self.before, *self.after]

    @property
    def is_pointwise(self) -> bool:
        """1×1: every output sees one input and none of the padding."""
        return all(k == 1 for k in self.kernel) and not any(self.pads)

    @property
    def is_unit_stride(self) -> bool:
        return all(s == 1 for s in self.strides)


def window(bw: Backward, kernel: Sequence[int], space: Sequence[Dim]) -> Window:
    """The window of a Conv or pooling node over an input of spatial sizes `space`, `auto_pad` resolved."""
    rank = len(kernel)
    strides = bw.attribute("strides", [1] * rank)
    dilations = bw.attribute("dilations", [1] * rank)
    pads = bw.attribute("pads", [0] * 2 * rank)
    auto_pad = bw.attribute("auto_pad", "NOTSET")
    before, after = pads[:rank], pads[rank:]
    if auto_pad == "VALID":
        before = after = [0] * rank
    elif auto_pad != "NOTSET":
        spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        totals = [_same_padding(*sizes) for sizes in zip(space, spans, strides, strict=True)]
        small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
        before, after = (small, large) if auto_pad == "SAME_UPPER" else (large, small)
    return Window(tuple(kernel), tuple(strides), tuple(dilations), tuple(before), tuple(after))


def _same_padding(size: Dim, span: int, stride: int) -> int:
    """Padding in all, so that there are ceil(size / stride) outputs."""
    if isinstance(size, int):
        return max((-(-size // stride) - 1) * stride + span - size, 0)
    if stride == 1:
        return span - 1
    raise Unsupported("auto_pad with a stride needs static sizes")


def space_shape(bw: Backward, name: str, lead: Sequence[int], space: Sequence[Dim]) -> str:
    """A shape of the sizes `lead`, then the spatial sizes of `name`."""
    known = [size for size in space if isinstance(size, int)]
    if len(known) == len(space):
        return bw.ints([*lead, *known])
    return bw.op("Concat", bw.ints(lead), bw.op("Shape", name, start=2), axis=0)


def spread(
    bw: Backward,
    value: str,
    sizes: Sequence[Dim],
    kernel: str,
    window: Window,
    group: int,
    like: str,
    onto: Sequence[Dim],
) -> str:
    """ConvTranspose: the adjoint of sliding `window` over a tensor of spatial sizes `onto`, which `like` has.

    `value` [N, K, *sizes] holds one element per window position; `kernel` is [K, C/group, *k]. Inputs that no
    window reached, at the end of an axis whose stride does not divide it, get zeros.
    """
    before, after, extra, unknown = list(window.before), list(window.after), [0] * window.rank, []
    for axis, (steps, size) in enumerate(zip(sizes, onto, strict=True)):
        if isinstance(steps, int) and isinstance(size, int):
            reach = (steps - 1) * window.strides[axis] + window.spans[axis] - before[axis]
            extra[axis] = max(size - (reach - after[axis]), 0)
            after[axis] = max(reach - size, after[axis] if extra[axis] else 0)
        elif window.strides[axis] > 1:
            after[axis] = 0
            unknown.append(axis)
    attributes = {
        "kernel_shape": window.kernel,
        "strides": window.strides,
        "dilations": window.dilations,
        "output_padding": extra,
        "group": group,
    }
    if bw.target.provider == "cuda" and before != after:
        # The CUDA kernel takes symmetric pads only, so what is uneven is cut off afterwards.
        even = [min(pair) for pair in zip(before, after, strict=True)]
        full = bw.op("ConvTranspose", value, kernel, pads=even * 2, **attributes)
        starts = [b - e for b, e in zip(before, even, strict=True)]
        return _cut(bw, full, starts, window, unknown, like)
    full = bw.op("ConvTranspose", value, kernel, pads=before + after, **attributes)
    return _cut(bw, full, [0] * window.rank, window, unknown, like) if unknown else full


def _cut(bw: Backward, full: str, starts: list[int], window: Window, unknown: list[int], like: str) -> str:
    """The block of `full` that begins at `starts` and has the spatial sizes of `like`.

    Axes in `unknown` may be up to a stride too short, and are lengthened first.
    """
    rank = window.rank
    if unknown:
        more = [window.strides[axis] - 1 if axis in unknown else 0 for axis in range(rank)]
        full = bw.op("Pad", full, bw.ints([0] * (rank + 4) + more))
    space = bw.op("Slice", bw.shape(like), bw.ints([2]), bw.ints([rank + 2]))
    ends = bw.op("Add", space, bw.ints(starts))
    return bw.op("Slice", full, bw.ints(starts), ends, bw.ints(range(2, rank + 2)))
