"""The lints of nets against brute force: numbers that PyTorch's gradients and plain loops give."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_lint_messages import linted
from torch import nn

SIZES = st.integers(1, 40)


def found(text, code):
    return [diagnostic for diagnostic in linted(text) if diagnostic.code == code]


def net(pipeline, *sizes):
    return f"net f : image[1, {', '.join(map(str, sizes))}] -> y {{\n    y = image -> {pipeline}\n}}\n"


def reached(layers, size, middle=False):
    """For each cell of the result (in the first axis), or the one in the middle, which cells of a signal it depends on."""
    for parameter in layers.parameters():
        nn.init.ones_(parameter)
    signal = torch.ones(1, 1, size, requires_grad=True)
    cells = layers(signal)[0, 0]
    if middle:
        cells = cells[len(cells) // 2, None]
    return torch.stack([torch.autograd.grad(cell, signal, retain_graph=True)[0][0, 0] != 0 for cell in cells])


def conv(kernel, stride=1, dilation=1, pad="same"):
    total = dilation * (kernel - 1)
    pads = (total // 2, total - total // 2) if pad == "same" else (pad, pad)
    return nn.Sequential(nn.ConstantPad1d(pads, 0.0), nn.Conv1d(1, 1, kernel, stride, dilation=dilation))


# cells that no window sees


@settings(deadline=None, max_examples=150)
@given(SIZES, st.integers(1, 6), st.integers(1, 6), st.integers(1, 3), st.sampled_from(["same", 0, 1, 2]))
def test_dropped_cells(size, kernel, stride, dilation, pad):
    if pad != "same" and size + 2 * int(pad) < dilation * (kernel - 1) + 1:
        return
    messages = found(net(f"conv(1, {kernel}, {stride}, dilation = {dilation}, pad = {_text(pad)})", size), "W0202")
    seen = reached(conv(kernel, stride, dilation, pad), size).any(0)
    span = dilation * (kernel - 1) + 1
    # only behind the last window: between the taps of one window, and between windows, cells are left out by design
    last = (size + (span - 1 if pad == "same" else 2 * int(pad)) - span) // stride * stride + span
    end = last - ((span - 1) // 2 if pad == "same" else int(pad))
    behind = max(0, size - end) if stride <= span else 0
    assert not seen[size - behind :].any()
    assert _count(messages, size) == behind


@settings(deadline=None, max_examples=100)
@given(SIZES, st.integers(1, 5), st.integers(1, 5), st.booleans(), st.sampled_from(["avg_pool", "lp_pool", "gaussian_pool"]))
def test_dropped_cells_of_pools(size, kernel, stride, ceil, pool):
    if size < kernel or stride > kernel:
        return
    flag = str(ceil).lower()
    messages = found(net(f"{pool}({kernel}, {stride}, ceil = {flag})", size), "W0202")
    seen = reached(nn.AvgPool1d(kernel, stride, ceil_mode=ceil), size).any(0)
    assert _count(messages, size) == int((~seen).sum())


def _count(messages, size):
    if not messages:
        return 0
    number = re.search(r"never sees the last (?:(\d+) )?of (\d+) cells", messages[0].message)
    assert number and int(number[2]) == size and len(messages) == 1
    return int(number[1] or 1)


def _text(value):
    return f'"{value}"' if isinstance(value, str) else str(value)


@settings(deadline=None, max_examples=60)
@given(SIZES, st.integers(1, 6), st.integers(2, 6), st.sampled_from(["same", 0, 1]))
def test_what_is_proposed_drops_nothing(size, kernel, stride, pad):
    if pad != "same" and size + 2 * int(pad) < kernel:
        return
    for message in found(net(f"conv(1, {kernel}, {stride}, pad = {_text(pad)})", size), "W0202"):
        assert len(message.helps) == 2
        better = re.search(r"`pad = (.*?)`", message.helps[0])
        assert better and not found(net(f"conv(1, {kernel}, {stride}, pad = {better[1]})", size), "W0202")
        sizes = [int(number) for number in re.findall(r"\d+", message.helps[1])]
        assert sizes and all(other != size for other in sizes)
        for other in sizes:
            assert not found(net(f"conv(1, {kernel}, {stride}, pad = {_text(pad)})", other), "W0202")


# kernels in the padding


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 12), st.integers(1, 7), st.integers(1, 4), st.integers(1, 4))
def test_kernel_in_padding(size, kernel, stride, dilation):
    layers = conv(kernel, stride, dilation)
    weight = next(layers.parameters())
    layers(torch.ones(1, 1, size)).sum().backward()
    assert weight.grad is not None
    idle = int((weight.grad == 0).sum())
    messages = found(net(f"conv(1, {kernel}, {stride}, dilation = {dilation})", size), "W0205")
    assert bool(messages) == (idle >= kernel / 3 > 0 and idle > 0)
    if messages:
        assert messages[0].message.startswith(f"{idle} of the {kernel} weights ")
        assert messages[0].helps[0].startswith(f"`kernel = {kernel - idle}` ")


# holes


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4)), min_size=1, max_size=4))
def test_gridding(windows):
    windows = [(kernel, min(stride, kernel), dilation) for kernel, stride, dilation in windows]
    size = 1001
    layers = " -> ".join(f"conv(1, {k}, {s}, dilation = {d})" for k, s, d in windows)
    messages = found(net(layers, size), "W0207")
    middle = reached(nn.Sequential(*(conv(*window) for window in windows)), size, middle=True)[0].nonzero().flatten()
    span = int(middle[-1] - middle[0]) + 1
    assert bool(messages) == (span > len(middle))
    if messages:
        assert f"a cell sees {len(middle)} of the {span} cells that it spans" in messages[0].message


def test_gridding_through_joins():
    holes = "y = (x -> conv(1, 3, dilation = 2)) + (x -> conv(1, 3, dilation = 4))"
    filled = "y = (x -> conv(1, 3, dilation = 2)) + (x -> conv(1, 5))"
    for text, count in ((holes, 1), (filled, 0)):
        assert len(found(f"net f : x[1, 64] -> y {{\n {text}\n}}", "W0207")) == count


def test_gridding_is_filled_by_what_is_not_followed():
    assert not found(net('conv(1, 3, dilation = 2) -> upsample(2, mode = "bilinear")', 16, 16), "W0207")
    assert not found(net("conv(1, 3, dilation = 2) -> flatten -> dense(2)", 16, 16), "W0202")


def test_enormous_windows_are_not_followed():
    assert not found(net("conv(1, 3, dilation = 100_000) -> conv(1, 3, dilation = 2)", 16), "W0207")


# receptive fields


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 24), st.lists(st.tuples(st.integers(1, 5), st.integers(1, 2)), max_size=4), st.booleans())
def test_receptive_field(size, windows, around):
    """A convolution behind some pools, which see in a wide enough image what its cells would see."""
    windows = [(max(kernel, stride), stride) for kernel, stride in windows]
    before = "".join(f'x = x -> max_pool({k}, {s}, pad = "same")\n' for k, s in windows)
    join = 'x = x + (x -> max_pool(5, 1, pad = "same"))\n' if around else ""  # the path around it is the narrow one
    messages = found(f"net f : image[1, {size}] -> y {{\nx = image\n{before}{join}y = x -> conv(1, 3)\n}}\n", "W0204")
    layers = nn.Sequential(*(conv(*window) for window in windows))
    cells, field = len(reached(layers, size)), int(reached(layers, 401, middle=True).sum())
    in_padding = cells == 1  # two of the three weights meet padding only, which another lint tells
    assert bool(messages) == (field > size and not in_padding)
    if messages:
        assert messages[0].message.endswith(f": {field} of {size}")


# checkerboards


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 7), st.integers(1, 4), st.integers(1, 3))
def test_checkerboard(kernel, stride, dilation):
    layer = nn.ConvTranspose1d(1, 1, kernel, stride, dilation=dilation, bias=False)
    nn.init.ones_(layer.weight)
    inside = layer(torch.ones(1, 1, 40))[0, 0, 20:32]
    assert bool(found(net(f"deconv(1, {kernel}, {stride}, dilation = {dilation})", 40), "W0206")) == bool(
        (inside != inside[0]).any()
    )


# losses


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_the_least_loss_of_probabilities(classes):
    text = f"""
net f : image[4] -> p {{ p = image -> dense({classes}) -> softmax }}
train f {{
    target = class(label)
    loss = cross_entropy(p, label)
    optimizer = sgd(0.1)
    batch = 1
    epochs = 1
}}
"""
    (message,) = found(text, "W0208")
    sure = torch.zeros(1, classes)
    sure[0, 0] = 1
    least = float(nn.functional.cross_entropy(sure, torch.tensor([0])))
    assert f"cannot come below {least:.2f}" in message.notes[0]


@pytest.mark.parametrize("norm, cancels", [("bn", True), ("instance_norm", True), ("bn(trainable = false)", False),
                                           ("group_norm(4)", False), ("layer_norm", False), ("lrn", False)])  # fmt: skip
def test_biases_that_a_normalisation_cancels(norm, cancels):
    """The mean of a channel takes its bias along; that over several channels does not, nor one of old."""
    messages = found(f"net f : image[3, 8, 8] -> y {{\n    y = image -> conv(16, 3) -> {norm}\n}}\n", "W0203")
    assert [norm in message.message for message in messages] == [True] * cancels
