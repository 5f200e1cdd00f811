"""Evaluates ONNX models in float64 with numpy, to have something exact to compare with.

onnx's reference evaluator runs them, with kernels of our own for the operators that it computes slowly (convolutions and
pools, in loops over positions), in float32 (Erf, Gelu, LayerNormalization) or not as the specification has them (LRN,
ConvTranspose with groups, the indices of MaxPool, LpNormalization of negative numbers).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import erf, prod
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

Ints = Sequence[int]


def evaluator(model: onnx.ModelProto | onnx.GraphProto) -> ReferenceEvaluator:
    """The model ready to `run(outputs, feeds)`."""
    kernels = [AveragePool, Conv, ConvTranspose, Erf, Gelu, GlobalLpPool, LayerNormalization, LpNormalization, LpPool, LRN,
               MaxPool, MaxUnpool]  # fmt: skip
    return ReferenceEvaluator(model, new_ops=kernels)


def in_float64(graph: onnx.GraphProto) -> onnx.GraphProto:
    """A copy of a graph whose float32 tensors are float64."""
    copy = onnx.GraphProto()
    copy.CopyFrom(graph)
    for value in (*copy.input, *copy.output, *copy.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in copy.initializer:
        _widen(tensor)
    for node in copy.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                _widen(attribute.t)
            elif attribute.name in ("to", "dtype", "stash_type") and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.DOUBLE
    return copy


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))


class _Window:
    """Positions and padding of a sliding window, `auto_pad` and `ceil_mode` resolved."""

    def __init__(self, size: Ints, kernel: Ints, strides: Ints | None, dilations: Ints | None, pads: Ints | None,
                 auto_pad: str | None, ceil_mode: int = 0) -> None:  # fmt: skip
        rank = len(kernel)
        self.kernel, self.size = kernel, size
        self.strides, self.dilations = strides or [1] * rank, dilations or [1] * rank
        self.spans = [(k - 1) * d + 1 for k, d in zip(kernel, self.dilations, strict=True)]
        self.before, self.after = list((pads or [0] * 2 * rank)[:rank]), list((pads or [0] * 2 * rank)[rank:])
        if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            for a in range(rank):
                total = max((-(-size[a] // self.strides[a]) - 1) * self.strides[a] + self.spans[a] - size[a], 0)
                small, large = total // 2, total - total // 2
                self.before[a], self.after[a] = (small, large) if auto_pad == "SAME_UPPER" else (large, small)
        elif auto_pad == "VALID":
            self.before = self.after = [0] * rank
        self.outputs = [self._outputs(a, ceil_mode) for a in range(rank)]

    def _outputs(self, a: int, ceil_mode: int) -> int:
        room = self.size[a] + self.before[a] + self.after[a] - self.spans[a]
        count = (-(-room // self.strides[a]) if ceil_mode else room // self.strides[a]) + 1
        # a window that rounding up has added does not begin in the padding at the end
        return count - (ceil_mode and (count - 1) * self.strides[a] >= self.size[a] + self.before[a])

    def over(self, x: np.ndarray, fill: float) -> np.ndarray:
        """What the windows see, [*lead, *outputs, *kernel], of x [*lead, *size]; `fill` beyond it."""
        rank = len(self.kernel)
        lead = x.ndim - rank
        ends = [(n - 1) * s + span for n, s, span in zip(self.outputs, self.strides, self.spans, strict=True)]
        reach = [max(e - b - z, 0) for e, b, z in zip(ends, self.before, self.size, strict=True)]
        x = np.pad(x, [(0, 0)] * lead + list(zip(self.before, reach, strict=True)), constant_values=fill)
        x = x[_last(slice(0, end) for end in ends)]
        seen = np.lib.stride_tricks.sliding_window_view(x, self.spans, axis=tuple(range(lead, x.ndim)))
        steps = [slice(None, None, s) for s in (*self.strides, *self.dilations)]
        return np.asarray(seen[(*[slice(None)] * lead, *steps)])

    def flat(self, x: np.ndarray, fill: float) -> np.ndarray:
        """`over` with all taps along one last axis."""
        seen = self.over(x, fill)
        return seen.reshape(*seen.shape[: -len(self.kernel)], prod(self.kernel))


def _last(slices: Iterable[slice]) -> Any:
    """An index of the last axes."""
    return (..., *slices)


class Conv(OpRun):
    """x [N, C, *in], w [K, C/g, *k]."""

    def _run(self, x: Any, w: Any, b: Any = None, auto_pad: Any = None, dilations: Any = None, group: Any = None,
             kernel_shape: Any = None, pads: Any = None, strides: Any = None) -> Any:  # fmt: skip
        window = _Window(x.shape[2:], w.shape[2:], strides, dilations, pads, auto_pad)
        taps, rank = window.over(x, 0), x.ndim - 2
        group = group or 1
        axes = [1, *range(2 + rank, 2 + 2 * rank)], [1, *range(2, 2 + rank)]
        parts = zip(np.split(taps, group, 1), np.split(w, group, 0), strict=True)
        y = np.concatenate([np.tensordot(seen, kernel, axes) for seen, kernel in parts], -1)
        return (np.moveaxis(y if b is None else y + b, -1, 1),)


class ConvTranspose(OpRun):
    """x [N, C, *in], w [C, K/g, *k]."""

    def _run(self, x: Any, w: Any, b: Any = None, auto_pad: Any = None, dilations: Any = None, group: Any = None,
             kernel_shape: Any = None, output_padding: Any = None, output_shape: Any = None, pads: Any = None,
             strides: Any = None) -> Any:  # fmt: skip
        rank, group = x.ndim - 2, group or 1
        strides, dilations, extra = strides or [1] * rank, dilations or [1] * rank, output_padding or [0] * rank
        full = [s * (n - 1) + (k - 1) * d + 1 + e for s, n, k, d, e in
                zip(strides, x.shape[2:], w.shape[2:], dilations, extra, strict=True)]  # fmt: skip
        y = np.zeros([x.shape[0], w.shape[1] * group, *full], x.dtype)
        for tap in np.ndindex(*w.shape[2:]):
            parts = zip(np.split(x, group, 1), np.split(w[(..., *tap)], group, 0), strict=True)
            added = np.concatenate([np.tensordot(part, m, ([1], [0])) for part, m in parts], -1)
            at = [slice(t * d, t * d + s * (n - 1) + 1, s) for t, d, s, n in
                  zip(tap, dilations, strides, x.shape[2:], strict=True)]  # fmt: skip
            y[_last(at)] += np.moveaxis(added, -1, 1)
        if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            output_shape = [n * s for n, s in zip(x.shape[2:], strides, strict=True)]
        if output_shape:
            output_shape = output_shape[-rank:]
            totals = [max(have - want, 0) for have, want in zip(full, output_shape, strict=True)]
            small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
            pads = small + large if auto_pad == "SAME_UPPER" else large + small
            lacking = [max(want - have, 0) for have, want in zip(full, output_shape, strict=True)]
            y = np.pad(y, [(0, 0), (0, 0), *((0, n) for n in lacking)])
        pads = pads or [0] * 2 * rank
        y = y[_last(slice(pads[a], y.shape[a + 2] - pads[a + rank]) for a in range(rank))]
        return (y if b is None else y + b.reshape(-1, *[1] * rank),)


class MaxPool(OpRun):
    def _run(self, x: Any, auto_pad: Any = None, ceil_mode: Any = None, dilations: Any = None, kernel_shape: Any = None,
             pads: Any = None, storage_order: Any = None, strides: Any = None) -> Any:  # fmt: skip
        window = _Window(x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad, ceil_mode or 0)
        seen = window.flat(x, -np.inf)
        space = np.arange(prod(x.shape[2:])).reshape(x.shape[2:], order="F" if storage_order else "C")
        planes = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *[1] * len(kernel_shape)) * space.size
        place = seen.argmax(-1)
        cells = np.broadcast_to(window.flat(space[None, None], 0).astype(np.int64), seen.shape)
        return seen.max(-1), planes + np.take_along_axis(cells, place[..., None], -1)[..., 0]


class MaxUnpool(OpRun):
    """Indices count in the output, as ONNX Runtime takes them."""

    def _run(
        self, x: Any, places: Any, shape: Any = None, kernel_shape: Any = None, pads: Any = None, strides: Any = None
    ) -> Any:
        if shape is None:
            rank = len(kernel_shape)
            pads, strides = pads or [0] * 2 * rank, strides or [1] * rank
            space = [(n - 1) * s - pads[a] - pads[a + rank] + k
                     for a, (n, s, k) in enumerate(zip(x.shape[2:], strides, kernel_shape, strict=True))]  # fmt: skip
            shape = [*x.shape[:2], *space]
        y = np.zeros(prod(shape), x.dtype)
        y[places.reshape(-1)] = x.reshape(-1)
        return (y.reshape(shape),)


class AveragePool(OpRun):
    def _run(self, x: Any, auto_pad: Any = None, ceil_mode: Any = None, count_include_pad: Any = None,
             dilations: Any = None, kernel_shape: Any = None, pads: Any = None, strides: Any = None) -> Any:  # fmt: skip
        window = _Window(x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad, ceil_mode or 0)
        counted = np.ones((1, 1, *x.shape[2:]))
        if count_include_pad:
            sides = zip(window.before, window.after, strict=True)
            padded = np.pad(counted, [(0, 0), (0, 0), *sides], constant_values=1)
            whole = _Window(padded.shape[2:], kernel_shape, strides, dilations, None, None)
            whole.outputs = window.outputs
            return (window.flat(x, 0).sum(-1) / whole.flat(padded, 0).sum(-1),)
        return (window.flat(x, 0).sum(-1) / window.flat(counted, 0).sum(-1),)


class LpPool(OpRun):
    def _run(self, x: Any, auto_pad: Any = None, ceil_mode: Any = None, dilations: Any = None, kernel_shape: Any = None,
             p: Any = None, pads: Any = None, strides: Any = None) -> Any:  # fmt: skip
        window = _Window(x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad, ceil_mode or 0)
        return ((np.abs(window.flat(x, 0)) ** (p or 2)).sum(-1) ** (1 / (p or 2)),)


class GlobalLpPool(OpRun):
    def _run(self, x: Any, p: Any = None) -> Any:
        power = (np.abs(x) ** (p or 2)).sum(tuple(range(2, x.ndim)), keepdims=True)
        return (power ** (1 / (p or 2)),)


class LRN(OpRun):
    def _run(self, x: Any, alpha: Any = None, beta: Any = None, bias: Any = None, size: Any = None) -> Any:
        channels = _Window([x.shape[1]], [size], None, None, [(size - 1) // 2, size // 2], None)
        mean = np.moveaxis(channels.over(np.moveaxis(np.square(x), 1, -1), 0).sum(-1) / size, -1, 1)
        return (x / (bias + alpha * mean) ** beta,)


class LayerNormalization(OpRun):
    def _run(
        self, x: Any, scale: Any, bias: Any = None, axis: Any = None, epsilon: Any = None, stash_type: Any = None
    ) -> Any:
        axes = tuple(range((-1 if axis is None else axis) % x.ndim, x.ndim))
        centred = x - x.mean(axes, keepdims=True)
        inverse = 1 / np.sqrt(np.square(centred).mean(axes, keepdims=True) + (1e-5 if epsilon is None else epsilon))
        y = centred * inverse * scale
        return (y if bias is None else y + bias, x.mean(axes, keepdims=True), inverse)[: len(self.onnx_node.output)]


class LpNormalization(OpRun):
    def _run(self, x: Any, axis: Any = None, p: Any = None) -> Any:
        norm = np.linalg.norm(x, p or 2, -1 if axis is None else axis, keepdims=True)
        return (x / np.where(norm == 0, 1, norm),)


class Gelu(OpRun):
    def _run(self, x: Any, approximate: Any = None) -> Any:
        if approximate == "tanh":
            return (x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),)
        return (x / 2 * (1 + _erf(x / np.sqrt(2))),)


class Erf(OpRun):
    def _run(self, x: Any) -> Any:
        return (_erf(x),)


def _erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(erf, otypes=[x.dtype])(x)  # type: ignore[no-any-return]
