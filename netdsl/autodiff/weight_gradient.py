"""The weight gradient of a convolution: which of its forms to use, and the forms.

dw[k, c, t] = Σ over n and output positions p of dy[n, k, p] · x[n, c, s·p + d·t − pad], for every tap t.
"""

from __future__ import annotations

from math import prod

import numpy as np

from .layer import Layer, flipped
from .rule import Backward
from .window import space_shape


def weight_gradient(bw: Backward, layer: Layer, x: str, dy: str) -> str:
    """dw, in the shape of the weight, by the form that suits the layer."""
    if layer.window.is_pointwise:
        return _product(bw, layer, _strided(bw, layer, x), dy)
    if not layer.has_static_space:
        return _product(bw, layer, _columns_by_convolution(bw, layer, x), dy)
    if layer.is_depthwise:
        return _tap_by_tap(bw, layer, x, dy)
    if _correlates_well(bw, layer):
        return _wider_correlation(bw, layer, x, dy)
    if bw.target.provider == "cpu" and layer.group == 1 and layer.weight[1] <= _FEW:
        return _product(bw, layer, _columns_by_convolution(bw, layer, x), dy)
    return _product(bw, layer, _columns_by_slices(bw, layer, x), dy)


#: taps from which im2col would take so many times the memory of x, and is no faster (LeNet-5's 5x5 over one channel)
_MANY_TAPS = 25

#: channels up to which im2col by one convolution is as fast as by slices, and on two threads nearly twice as fast
_FEW = 3


def _correlates_well(bw: Backward, layer: Layer) -> bool:
    """Whether `_correlation` is the fastest form; measured with benchmarks on the CPU (AVX2, float32).

    Where a row of the kernel has 12 numbers or more, from 4 channels at 3x3 on, it is on a par with PyTorch and up to 3
    times faster than im2col. Below that im2col wins by some 15 %, unless the layer is so small that the number of
    operators decides. cuDNN has no good kernel for a convolution whose kernel is as large as the image.
    """
    if bw.target.provider != "cpu" or layer.window.dilations[-1] != 1:
        return False
    seen = [layer.x[0], layer.weight[1], *layer.y[2:]]  # by one tap, in the whole batch
    small = all(isinstance(size, int) for size in seen) and prod(size for size in seen if isinstance(size, int)) <= 4096
    return small or layer.taps >= _MANY_TAPS or layer.weight[1] * layer.window.kernel[-1] >= 12


def _wider_correlation(bw: Backward, layer: Layer, x: str, dy: str) -> str:
    """The correlation of x with dy, or of dy with x where that has at least 1.5 times as many rows to multiply.

    Seen from y, the adjoint convolution has dy for input and x for the gradient of its output, and the weight
    flipped. What is gathered (im2col) is proportional to the channels of the image, so the narrow side is the image.
    """
    adjoint = layer.adjoint
    if adjoint is not None and adjoint.weight[0] >= 1.5 * layer.weight[0]:
        return flipped(bw, adjoint, _correlation(bw, adjoint, dy, x))
    return _correlation(bw, layer, x, dy)


def _correlation(bw: Backward, layer: Layer, x: str, dy: str) -> str:
    """One convolution with dy as the kernel, whose multiplications ONNX Runtime blocks for the cache.

    x is seen as [1, g·N, *in[:-1], in[-1]·C/g], channels last: the images of the batch are its channels, and its last
    axis runs over columns and channels together, so that C/g neighbouring positions of the output share a tap. With
    dy [K, N, *out] as kernel, dilated by the stride (times C/g along the last axis), the result is
    [1, K, *k[:-1], k[-1]·C/g].
    """
    shape, channels = layer.window, layer.weight[1]
    rank, last = shape.rank, shape.rank - 1
    # The padding after x that the windows reach into; negative where its last inputs are not reached.
    reach = [(n - 1) * s + span for n, s, span in zip(layer.y_space, shape.strides, shape.spans, strict=True)]
    after = [r - size - before for r, size, before in zip(reach, layer.x_space, shape.before, strict=True)]
    x, space = _unreached_removed(bw, x, layer.x_space, after)
    images = _channels_last(bw, layer, x)
    images = bw.op("Reshape", images, bw.ints([1, *_batch(layer), *space[:-1], space[-1] * channels]))
    kernel = bw.op("Transpose", dy, perm=[1, 0, *range(2, rank + 2)])
    pads = [*shape.before, *(max(a, 0) for a in after)]
    taps = bw.op(
        "Conv",
        images,
        kernel,
        group=layer.group,
        strides=[*shape.dilations[:-1], 1],
        dilations=[s * channels if a == last else s for a, s in enumerate(shape.strides)],
        pads=[p * channels if a % rank == last else p for a, p in enumerate(pads)],
    )
    rows = bw.op("Reshape", taps, bw.ints([layer.weight[0], *shape.kernel, channels]))
    return bw.op("Transpose", rows, perm=[0, rank + 1, *range(1, rank + 1)])


def _unreached_removed(bw: Backward, x: str, space: list[int], ends: list[int]) -> tuple[str, list[int]]:
    """x without the last inputs of an axis, where its stride ends before them."""
    axes = [axis for axis, end in enumerate(ends) if end < 0]
    if not axes:
        return x, space
    kept = [size + min(end, 0) for size, end in zip(space, ends, strict=True)]
    x = bw.op("Slice", x, bw.ints([0] * len(axes)), bw.ints([kept[a] for a in axes]), bw.ints([a + 2 for a in axes]))
    return x, kept


def _channels_last(bw: Backward, layer: Layer, x: str) -> str:
    """x [N, C, *in] as [g, N, *in, C/g], without the first axis where there is one group."""
    rank = layer.window.rank
    if layer.group == 1:
        return bw.op("Transpose", x, perm=[0, *range(2, rank + 2), 1])
    lead = [0, layer.group, layer.weight[1]]
    grouped = bw.op("Reshape", x, bw.op("Concat", bw.ints(lead), bw.op("Shape", x, start=2), axis=0))
    return bw.op("Transpose", grouped, perm=[1, 0, *range(3, rank + 3), 2])


def _batch(layer: Layer) -> list[int]:
    """Groups times batch, as one size of a shape."""
    return [layer.x[0] * layer.group] if isinstance(layer.x[0], int) else [-1]


def _tap_by_tap(bw: Backward, layer: Layer, x: str, dy: str) -> str:
    """Depthwise: every tap is a sum over products of elements, not of matrices."""
    axes = [0, *range(2, layer.window.rank + 2)]
    taps = [bw.reduce_sum(bw.op("Mul", seen, dy), axes, keepdims=False) for seen in _seen_by_taps(bw, layer, x)]
    rows = bw.op("Reshape", bw.op("Concat", *taps, axis=0), bw.ints([layer.taps, layer.group]))
    return bw.op("Reshape", bw.op("Transpose", rows, perm=[1, 0]), bw.ints(layer.weight))


def _columns_by_slices(bw: Backward, layer: Layer, x: str) -> str:
    """im2col: [N, C, taps, *out]."""
    columns = [bw.op("Unsqueeze", seen, bw.ints([2])) for seen in _seen_by_taps(bw, layer, x)]
    return bw.op("Concat", *columns, axis=2)


def _seen_by_taps(bw: Backward, layer: Layer, x: str) -> list[str]:
    """For every tap, what it is multiplied with, [N, C, *out]: a strided Slice of the padded input."""
    shape, rank = layer.window, layer.window.rank
    if any(shape.pads):
        x = bw.op("Pad", x, bw.ints([0, 0, *shape.before, 0, 0, *shape.after]))
    steps = layer.y_space
    slices = []
    for tap in np.ndindex(*shape.kernel):
        starts = [t * d for t, d in zip(tap, shape.dilations, strict=True)]
        ends = [start + (n - 1) * s + 1 for start, n, s in zip(starts, steps, shape.strides, strict=True)]
        axes = bw.ints(range(2, rank + 2))
        slices.append(bw.op("Slice", x, bw.ints(starts), bw.ints(ends), axes, bw.ints(shape.strides)))
    return slices


def _strided(bw: Backward, layer: Layer, x: str) -> str:
    """The elements of x that a pointwise convolution reads."""
    strides = layer.window.strides
    if layer.window.is_unit_stride:
        return x
    rank = layer.window.rank
    far = np.iinfo(np.int64).max
    return bw.op("Slice", x, bw.ints([0] * rank), bw.ints([far] * rank), bw.ints(range(2, rank + 2)), bw.ints(strides))


def _columns_by_convolution(bw: Backward, layer: Layer, x: str) -> str:
    """im2col: [N·C, taps, *out], every tap a convolution with a one-hot kernel. Works for sizes that are not known."""
    shape = layer.window
    one_hot = np.eye(layer.taps).reshape(layer.taps, 1, *shape.kernel)
    planes = bw.op("Reshape", x, space_shape(bw, x, [-1, 1], layer.x[2:]))
    return bw.op(
        "Conv", planes, bw.constant(one_hot), strides=shape.strides, dilations=shape.dilations, pads=shape.pads
    )


def _product(bw: Backward, layer: Layer, columns: str, dy: str) -> str:
    """Σ over n of dy [N, g, K/g, P] times columns [N, g, C/g·taps, P] transposed."""
    group = layer.group
    outputs, inputs = layer.weight[0] // group, layer.weight[1] * layer.taps
    batch = layer.x[0] if isinstance(layer.x[0], int) else -1
    positions = layer.y_space
    p = prod(positions) if batch == -1 and len(positions) == layer.window.rank else -1
    lead = [batch, group] if group > 1 else [batch]
    if batch == p == -1:
        n = bw.op("Shape", dy, start=0, end=1)
        groups = [group] if group > 1 else []
        a = bw.op("Reshape", dy, bw.op("Concat", n, bw.ints([*groups, outputs, -1]), axis=0))
        b = bw.op("Reshape", columns, bw.op("Concat", n, bw.ints([*groups, inputs, -1]), axis=0))
    else:
        a = bw.op("Reshape", dy, bw.ints([*lead, outputs, p]))
        b = bw.op("Reshape", columns, bw.ints([*lead, inputs, p]))
    rank = len(lead) + 2
    each = bw.op("MatMul", a, bw.transpose(b, [*range(rank - 2), rank - 1, rank - 2]))
    return bw.op("Reshape", bw.reduce_sum(each, [0], keepdims=False), bw.ints(layer.weight))
