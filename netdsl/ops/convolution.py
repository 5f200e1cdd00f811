"""Convolution and transposed convolution."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from netdsl.ir.graph import Init, Shape
from netdsl.ops.arguments import (
    BIAS,
    CONV_INIT,
    CONV_PADDING,
    COUNT,
    COUNTS,
    FLAG,
    INIT,
    NATURAL,
    PADDING,
    TABLE,
    Argument,
)
from netdsl.ops.axes import axis_word
from netdsl.ops.kernels import check_kernel
from netdsl.ops.operator import Operator, ParamSpec, Rule, Site, bias_of, elements, float_bytes, show
from netdsl.ops.reach import Reach, transposed, windows
from netdsl.ops.registry import operator
from netdsl.ops.spatial import (
    Pads,
    cut_tensor,
    half_pads,
    onnx_pads,
    paddings,
    per_axis,
    require_positive,
    spatial_rank,
    window_output,
    window_pads,
)
from netdsl.ops.strips import strips_of
from netdsl.ops.weight_norm import WEIGHT_NORM, layer_inputs, with_gain

if TYPE_CHECKING:
    from netdsl.ir.graph import Node, Value
    from netdsl.ops.builder import Builder

HE = Init("he")
#: channels or samples of a block in ONNX Runtime's layout, with AVX-512
_BLOCK = 16

_CHANNELS = Argument("channels", COUNT, doc="output channels")
_KERNEL = Argument("kernel", COUNTS, doc="kernel size")
_STRIDE = Argument("stride", COUNTS, 1, "step between windows")
_DILATION = Argument("dilation", COUNTS, 1, "distance between kernel elements")
_GROUPS = Argument("groups", COUNT, 1, "channel groups that are convolved apart")
_BIAS = Argument("bias", BIAS, True, "whether a bias is added; an initialisation: how it starts, else with zeros")
_TRAINABLE = Argument("trainable", FLAG, True, "false freezes the layer")


def _check_groups(site: Site, channels_in: int) -> None:
    groups, channels = site.args.groups, site.args.channels
    for count, what in ((channels_in, f"{site.labels[0]} has {channels_in} channels"),
                        (channels, f"it makes {channels} channels")):  # fmt: skip
        if count % groups:
            site.fail("E0304", f"`groups = {groups}` does not divide the channels: {what}", at="groups",
                      helps=(f"use a divisor of {count}",))  # fmt: skip


def _correlation(node: Node, image: Value, kernel: Value, pads: Pads, batch: int) -> int:
    """Bytes that the gradient of a weight takes: the correlation of an image with a kernel that is as large.

    The image is padded, cut into strips, which overlap, and moved so that samples stand beside each other; then the kernel
    is, and the products of blocks of samples are summed up. With a stride of 1 what has by far fewer channels is the image.
    """
    a, weight = node.args, node.parameters["weight"]
    if a.groups == 1 and set(a.stride) == {1} and int(image.shape[0]) >= 2 * int(kernel.shape[0]):
        spans = [d * (k - 1) for k, d in zip(a.kernel, a.dilation, strict=True)]
        image, kernel = kernel, image
        pads = tuple((span - before, span - after) for span, (before, after) in zip(spans, pads, strict=True))
    channels, *sizes = (int(size) for size in image.shape)
    sizes = [size + max(sum(pad), 0) for size, pad in zip(sizes, pads, strict=True)]
    if len(sizes) == 2 and a.groups == 1:
        rows = int(kernel.shape[1])
        strips = strips_of(batch, rows, a.kernel[0], -(-channels // _BLOCK), _BLOCK) or 1
        sizes[0] += (strips - 1) * (a.dilation[0] * (a.kernel[0] - 1) + 1 - a.stride[0])
    padded = 4 * batch * elements((channels, *sizes))
    products = -(-batch // _BLOCK) * 4 * elements(weight.shape) if a.groups == 1 else 0
    return max(2 * padded, padded + batch * float_bytes(kernel) + products)


@operator
class Conv(Operator):
    """Convolution (cross-correlation, as in all deep-learning libraries) in 1, 2 or 3 spatial dimensions."""

    name = "conv"
    summary = "convolution"
    example = "image[3, 32, 32] -> conv(16, 3, stride = 2)"
    saves_for_parameters = True
    locality = "window"
    rules = (
        Rule("[C, n...] -> [channels, ceil(n / stride)...]", 'pad == "same"'),
        Rule("[C, T] -> [channels, ceil(T / stride)]", 'pad == "causal"'),
        Rule("[C, n...] -> [channels, (n + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1...]",
             'pad != "same" and pad != "causal"'),
    )  # fmt: skip
    owns = ("weight [channels, C // groups, kernel...]", "bias [channels] where bias", "gain [channels] where weight_norm")
    windowed = True
    multiplies = "one per weight and output position; with `connect` only for the weights that exist"
    cost = "one FLOP per output element for the bias"
    arguments = (
        _CHANNELS, _KERNEL, _STRIDE,
        Argument("pad", CONV_PADDING, "same", 'cells of zeros on each side; "same": output is ceil(input / stride); '
                 '"causal": so too, with all cells before a sequence'),
        _DILATION, _GROUPS, _BIAS,
        Argument("connect", TABLE, None, "for each output map, the list of input maps it sees (LeNet-5)"),
        Argument("init", CONV_INIT, HE, "initialisation of the weights, or a fixed kernel"), _TRAINABLE, WEIGHT_NORM,
    )  # fmt: skip

    def resolve(self, site: Site) -> None:
        a, rank = site.args, spatial_rank(site, self.name)
        a.update({name: per_axis(site, name, rank) for name in ("kernel", "stride", "dilation")})
        check_kernel(site)
        spans = [d * (k - 1) for k, d in zip(a.kernel, a.dilation, strict=True)]
        if a.pad == "causal":
            self._check_sequence(site, rank)
            a["pads"] = ((spans[0], 0),)
        else:
            a["pads"] = window_pads(site, spans)
        channels_in = site.fix(site.inputs[0].shape[0], "channels decide the weights")
        _check_groups(site, channels_in)
        if a.connect is not None:
            self._check_connect(site, a, channels_in)

    def _check_sequence(self, site: Site, rank: int) -> None:
        if rank != 1:
            site.fail("E0301", f'`pad = "causal"` is for sequences [C, T], and {site.labels[0]} is '
                      f"{show(site.inputs[0].shape)}", helps=("a list of pairs [before, after] pads each axis unevenly",),
                      at="pad")  # fmt: skip

    def _check_connect(self, site: Site, a: Any, channels_in: int) -> None:
        if a.groups != 1:
            site.fail("E0304", "`connect` and `groups` both say which inputs a map sees: give one", at="connect")
        if len(a.connect) != a.channels:
            site.fail("E0305", f"`connect` has {len(a.connect)} rows for {a.channels} output maps",
                      helps=("give one row for each output map",), at="connect")  # fmt: skip
        for row, inputs in enumerate(a.connect):
            if max(inputs) >= channels_in:
                site.fail("E0305", f"`connect` row {row} names input map {max(inputs)}, and {site.labels[0]} has maps "
                          f"0 to {channels_in - 1}", helps=("rows and maps are counted from 0",), at="connect")  # fmt: skip
            if len(set(inputs)) != len(inputs):
                site.fail("E0305", f"`connect` row {row} names an input map twice", helps=("remove one",), at="connect")

    def shape(self, site: Site) -> Shape:
        a = site.args
        sizes = site.inputs[0].shape[1:]
        axes = zip(sizes, a.kernel, a.stride, a.pads, a.dilation, strict=True)
        out = (a.channels, *(window_output(size, k, s, p, d) for size, k, s, p, d in axes))
        require_positive(site, out, a.kernel, a.dilation)
        return out

    def parameters(self, site: Site) -> dict[str, ParamSpec]:
        a = site.args
        per_group = int(site.inputs[0].shape[0]) // a.groups
        window_size = prod(a.kernel)
        mask = None if a.connect is None else tuple(tuple(row) for row in a.connect)
        fan_in = per_group * window_size
        if mask is not None:
            fan_in = max(1, sum(len(row) for row in mask) * window_size // len(mask))
        weight = ParamSpec((a.channels, per_group, *a.kernel), a.init, fan_in, a.channels // a.groups * window_size,
                           a.trainable, mask=mask)  # fmt: skip
        return with_gain({"weight": weight, **bias_of(a, a.channels)}, a, a.channels)

    def macs(self, node: Node) -> int:
        # with a connection table only the weights that exist multiply
        return elements(node.output.shape[1:]) * node.parameters["weight"].count

    def flops(self, node: Node) -> int:
        return elements(node.output.shape) if node.args.bias else 0

    def reach(self, node: Node) -> tuple[Reach, ...]:
        return windows(node.args)

    def gradient_workspace(self, node: Node, batch: int) -> int:
        return _correlation(node, node.inputs[0], node.output, node.args.pads, batch)

    def lower(self, node: Node, b: Builder) -> str:
        a = node.args
        return b.op(
            "Conv", layer_inputs(node, b),
            kernel_shape=list(a.kernel), strides=list(a.stride), dilations=list(a.dilation),
            pads=onnx_pads(a.pads), group=a.groups,
        )  # fmt: skip


@operator
class Deconv(Operator):
    """Transposed convolution (Zeiler et al. 2010; Dumoulin & Visin 2016, section 4)."""

    name = "deconv"
    summary = "transposed convolution"
    example = "image[3, 32, 32] -> deconv(16, 2, stride = 2)"
    saves_for_parameters = True
    locality = "window"
    rules = (
        Rule("[C, n...] -> [channels, n * stride...]", 'pad == "same"'),
        Rule("[C, n...] -> [channels, (n - 1) * stride + dilation * (kernel - 1) + 1 - 2 * pad + output_pad...]",
             'pad != "same"'),
    )  # fmt: skip
    owns = ("weight [C, channels // groups, kernel...]", "bias [channels] where bias", "gain [channels] where weight_norm")
    multiplies = "one per weight and input position"
    cost = "one FLOP per output element for the bias"
    arguments = (
        _CHANNELS, _KERNEL, _STRIDE,
        Argument("pad", PADDING, "same", 'cells cropped on each side; "same": output is input * stride'),
        Argument("output_pad", NATURAL, 0, "cells added at the end"),
        _DILATION, _GROUPS, _BIAS,
        Argument("init", INIT, HE, "initialisation of the weights"), _TRAINABLE, WEIGHT_NORM,
    )  # fmt: skip

    def resolve(self, site: Site) -> None:
        a, rank = site.args, spatial_rank(site, self.name)
        a.update({name: per_axis(site, name, rank) for name in ("kernel", "stride", "dilation", "output_pad")})
        if a.pad == "same":
            if any(a.output_pad):
                site.fail("E0306", '`output_pad` goes with a number for `pad`: with "same" the output is in * stride',
                          helps=("leave `output_pad` out, or give a number for `pad`",), at="output_pad")  # fmt: skip
            totals = [d * (k - 1) + 1 - s for k, s, d in zip(a.kernel, a.stride, a.dilation, strict=True)]
            # a negative total (a kernel shorter than the stride) pads the end
            a["crops"] = tuple(half_pads(total) if total >= 0 else (0, total) for total in totals)
        else:
            pads = paddings(site, "pad", rank)
            a["crops"] = tuple((begin, end - extra) for (begin, end), extra in zip(pads, a.output_pad, strict=True))
            for axis, (extra, s) in enumerate(zip(a.output_pad, a.stride, strict=True)):
                if extra >= s:
                    word = axis_word(1 + axis, 1 + rank)
                    site.fail("E0306", f"`output_pad` must be below the stride, and is {extra} with a stride of {s} along "
                              f"the {word}", helps=(f"use at most {s - 1}",), at="output_pad")  # fmt: skip
        _check_groups(site, site.fix(site.inputs[0].shape[0], "channels decide the weights"))

    def shape(self, site: Site) -> Shape:
        a = site.args
        axes = zip(site.inputs[0].shape[1:], a.kernel, a.stride, a.crops, a.dilation, strict=True)
        out = (a.channels, *((size - 1) * s + d * (k - 1) + 1 - c[0] - c[1] for size, k, s, c, d in axes))
        if not all(map(site.exists, out[1:])):
            site.fail("E0303", f"`pad = {a.pad}` crops all of the output of {site.labels[0]}, which is "
                      f"{show(site.inputs[0].shape)}", helps=("use a smaller pad, which is what is cropped on each side",),
                      at="pad")  # fmt: skip
        return out

    def parameters(self, site: Site) -> dict[str, ParamSpec]:
        a = site.args
        channels_in = int(site.inputs[0].shape[0])
        window_size = prod(a.kernel)
        # an output position gathers about window / stride inputs: its fan-in
        fan_in = max(1, channels_in // a.groups * window_size // prod(a.stride))
        weight = ParamSpec((channels_in, a.channels // a.groups, *a.kernel), a.init, fan_in,
                           a.channels // a.groups * window_size, a.trainable)  # fmt: skip
        return with_gain({"weight": weight, **bias_of(a, a.channels)}, a, a.channels)

    def macs(self, node: Node) -> int:
        return elements(node.inputs[0].shape[1:]) * prod(node.parameters["weight"].shape)

    def flops(self, node: Node) -> int:
        return elements(node.output.shape) if node.args.bias else 0

    def reach(self, node: Node) -> tuple[Reach, ...]:
        a = node.args
        axes = zip(a.kernel, a.stride, a.crops, a.dilation, strict=True)
        return tuple(transposed(k, s, c[0], d) for k, s, c, d in axes)

    def gradient_workspace(self, node: Node, batch: int) -> int:
        """As of the convolution from its output to its input."""
        return _correlation(node, node.output, node.inputs[0], node.args.crops, batch)

    def lower(self, node: Node, b: Builder) -> str:
        a = node.args
        begins = [c[0] for c in a.crops]
        ends = [c[1] for c in a.crops]
        pads = [*zip(begins, (max(0, end) for end in ends), strict=True)]
        cuts = [(0, 0)] * len(pads)
        if b.provider == "cuda":
            # its kernel crops evenly: what is uneven is cut off behind it
            cuts = [(begin - min(begin, end), end - min(begin, end)) for begin, end in pads]
            pads = [(min(pair), min(pair)) for pair in pads]
        y = b.op(
            "ConvTranspose", layer_inputs(node, b),
            kernel_shape=list(a.kernel), strides=list(a.stride), dilations=list(a.dilation), group=a.groups,
            # ONNX wants pads >= 0: what is to be added at the end is output_padding
            pads=onnx_pads(tuple(pads)), output_padding=[max(0, -end) for end in ends],
        )  # fmt: skip
        return cut_tensor(b, y, tuple(cuts)) if any(map(any, cuts)) else y
