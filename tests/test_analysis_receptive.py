"""Receptive fields against gradients of random networks in PyTorch, and against measured figures; more of these are held
by test_zoo.py."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from netdsl.analysis import Facts, analyze
from netdsl.analysis.receptive import MOST_PHASES, fields_of
from netdsl.elaborate import load_text

LENGTH = 1296  # divides by what two levels of resampling ask for

# A step is a tuple; ("around", factor, how, steps) is a skip around a pool, inner steps, and the way back up.
kernels = st.integers(1, 5)
keeping = st.one_of(
    st.tuples(st.just("conv"), kernels, st.just(1), st.integers(1, 3)),
    st.tuples(st.just("deconv"), kernels, st.just(1)),
)
ways_up = st.sampled_from(["nearest", "linear", "deconv"])
inside = st.recursive(
    st.lists(keeping, max_size=2),
    lambda steps: st.lists(
        st.one_of(
            keeping,
            st.tuples(st.just("around"), st.sampled_from([2, 3]), ways_up, steps),
        ),
        max_size=3,
    ),
    max_leaves=4,
)
resampling = st.one_of(
    st.tuples(st.just("conv"), kernels, st.integers(2, 3), st.integers(1, 2)),
    st.tuples(st.just("pool"), st.integers(2, 4), st.integers(1, 3)),
    st.tuples(st.just("up"), st.integers(2, 3), st.sampled_from(["nearest", "linear"])),
    st.tuples(st.just("deconv"), st.integers(3, 5), st.integers(2, 3)),
)


def written(steps, x="x"):
    """The steps as lines of a net body that move `x` on."""
    lines = []
    for step in steps:
        match step:
            case "conv", k, s, d:
                lines.append(f"{x} = {x} -> conv(1, {k}, stride = {s}, dilation = {d})")
            case "deconv", k, s:
                lines.append(f"{x} = {x} -> deconv(1, {k}, stride = {s})")
            case "pool", k, s:
                lines.append(f"{x} = {x} -> avg_pool({k}, stride = {s})")
            case "up", f, mode:
                lines.append(f'{x} = {x} -> upsample({f}, mode = "{mode}")')
            case "around", f, how, inner:
                up = f"deconv(1, {f}, stride = {f})" if how == "deconv" else f'upsample({f}, mode = "{how}")'
                lines += [f"{x}y = {x} -> avg_pool({f})", *written(inner, x + "y"), f"{x} = {x} + ({x}y -> {up})"]
    return lines


def computed(steps, x):
    """The steps in PyTorch with all weights 1."""
    for step in steps:
        match step:
            case "conv", k, s, d:
                pad = d * (k - 1)
                x = F.conv1d(F.pad(x, (pad // 2, pad - pad // 2)), x.new_ones(1, 1, k), stride=s, dilation=d)
            case "deconv", k, s:
                crop = k - s
                x = F.conv_transpose1d(x, x.new_ones(1, 1, k), stride=s)
                x = x[..., crop // 2 : x.shape[-1] - (crop - crop // 2)] if crop >= 0 else F.pad(x, (0, -crop))
            case "pool", k, s:
                x = F.avg_pool1d(x, k, s)
            case "up", f, mode:
                x = F.interpolate(x, scale_factor=f, mode=mode)
            case "around", f, how, inner:
                y = computed(inner, F.avg_pool1d(x, f))
                up = ("deconv", f, f) if how == "deconv" else ("up", f, how)
                x = x + computed([up], y)
    return x


@settings(max_examples=120, deadline=None)
@given(st.lists(resampling, max_size=2), inside, st.lists(st.one_of(resampling, keeping), max_size=3))
def test_random_networks_see_what_the_gradient_says(before, middle, after):
    # only whole strides before a skip, so that its sizes divide
    before = [step for step in before if step[0] == "conv"]
    steps = [*before, *middle, *after]
    body = "\n".join(["x = signal", *written(steps), "y = x -> conv(1, 1)"])
    graph = load_text(f"net n : signal[1, {LENGTH}] -> y {{\n{body}\n}}")
    signal = torch.ones(1, 1, LENGTH, dtype=torch.float64, requires_grad=True)
    y = computed(steps, signal)[0, 0]
    assert y.shape[0] == graph.outputs["y"].shape[1]

    (field,) = fields_of(graph.inputs, graph.nodes)[graph.outputs["y"]].values()
    track = field.axes[0]
    middle_of_output = y.shape[0] // 2
    for u in range(middle_of_output, middle_of_output + min(len(track.lo), 12)):
        seen = torch.autograd.grad(y[u], signal, retain_graph=True)[0][0, 0].nonzero()
        assert (track.first(u), track.last(u)) == (int(seen[0]), int(seen[-1]))


def field(text, **hyperparameters):
    """The receptive field of output `y`, whose axes are alike: size, stride, start, and whether it is aligned."""
    graph = load_text(text, **hyperparameters)
    (found,) = Facts(graph).receptive_fields(graph.outputs["y"]).values()
    assert len(set(found.size)) == len(set(found.stride)) == len(set(found.start)) == 1
    return found.size[0], found.stride[0], found.start[0], found.aligned


@pytest.mark.parametrize(("count", "size", "stride", "pad"), [
    (1, 11, 4, 2), (2, 19, 8, 2), (3, 51, 8, 18), (4, 67, 16, 18), (5, 99, 16, 34), (6, 131, 16, 50), (7, 163, 16, 66),
    (8, 195, 32, 66),
])  # fmt: skip
def test_alexnet_has_the_measured_fields(count, size, stride, pad):
    layers = ["conv(1, 11, 4, pad = 2)", "max_pool(3, stride = 2)", "conv(1, 5)", "max_pool(3, stride = 2)",
              "conv(1, 3)", "conv(1, 3)", "conv(1, 3)", "max_pool(3, stride = 2)"]  # fmt: skip
    found = field(f"net n : image[3, 224, 224] -> y {{ y = image -> {' -> '.join(layers[:count])} }}")
    assert found == (size, stride, -pad, True)


SSD = """
net n(count) : image[3, 300, 300] -> y {
    x = image
    for stage, repeats in enumerate([2, 2, 3, 3]) {
        if stage > 0 { x = x -> max_pool(2, ceil = true) }
        x = x -> repeats * conv(1, 3)
    }
    if count > 0 {
        x = x -> max_pool(2) -> 3 * conv(1, 3) -> max_pool(3, stride = 1, pad = 1)
              -> conv(1, 3, dilation = 6) -> conv(1, 1)
    }
    for s, p in [[2, 1], [2, 1], [1, 0], [1, 0]][:max(count - 1, 0)] {
        x = x -> conv(1, 1) -> conv(1, 3, s, p)
    }
    y = x
}"""


@pytest.mark.parametrize(("count", "size", "stride", "pad"), [
    (0, 92, 8, 42), (1, 420, 16, 202), (2, 452, 32, 218), (3, 516, 64, 250), (4, 644, 64, 250), (5, 772, 64, 250),
])  # fmt: skip
def test_ssd300_sources_have_the_measured_fields(count, size, stride, pad):
    assert field(SSD, count=count) == (size, stride, -pad, True)


UNET = """
net n : image[1, 572, 572] -> y {
    x = image
    for d in range(4) {
        skip[d] = x -> 2 * conv(1, 3, pad = 0)
        x = skip[d] -> max_pool(2)
    }
    x = x -> 2 * conv(1, 3, pad = 0)
    for d in reversed(range(4)) {
        up = x -> deconv(1, 2, stride = 2)
        x = concat((skip[d], up) -> crop_like, up) -> 2 * conv(1, 3, pad = 0)
    }
    y = x -> conv(2, 1)
}"""


def test_unet_2015_sees_204_pixels_at_most():
    graph = load_text(UNET)
    assert Facts(graph).receptive_field(graph.outputs["y"]) == 204
    (found,) = fields_of(graph.inputs, graph.nodes)[graph.outputs["y"]].values()
    # measured: output 402 sees 400 to 587
    assert (found.axes[0].first(402), found.axes[0].last(402)) == (400, 587)
    sizes = {hi - lo + 1 for lo, hi in zip(found.axes[0].lo, found.axes[0].hi, strict=True)}
    assert (min(sizes), max(sizes)) == (188, 204)
    assert analyze(graph).layers[-1].fields["image"].stride == (1, 1)


def test_strides_are_fractions_behind_upsampling():
    assert field("net n : image[1, 8, 8] -> y { y = image -> upsample(2) }") == (1, Fraction(1, 2), 0, True)
    report = analyze(load_text("net n : image[1, 8, 8] -> y { y = image -> conv(1, 3) -> upsample(2) }"))
    layer = report.to_dict()["layers"][-1]
    assert layer["receptive_field"] == {"size": [3, 3], "stride": [0.5, 0.5], "start": [-1, -1], "aligned": True}


def test_windows_over_the_gaps_of_a_sparse_deconvolution():
    graph = load_text("net n : x[1, 60] -> y { y = x -> deconv(1, 1, stride = 3) -> conv(1, 4) }")
    (found,) = fields_of(graph.inputs, graph.nodes)[graph.outputs["y"]].values()
    # outputs 3i of the deconvolution see i; the window is u - 1 to u + 2
    seen = [(found.axes[0].first(u), found.axes[0].last(u)) for u in range(30, 33)]
    assert seen == [(10, 10), (10, 11), (11, 11)]


def test_the_whole_input_is_null():
    graph = load_text("net n : image[1, 8, 8] -> y { y = image -> conv(1, 3) -> flatten -> dense(3) -> relu }")
    report = analyze(graph)
    assert [layer["receptive_field"] is None for layer in report.to_dict()["layers"]] == [False, True, True, True]


def test_a_gate_from_a_global_pool_makes_the_whole_input_seen():
    text = "net n : image[4, 8, 8] -> y { y = image * (image -> global_avg_pool -> dense(4) -> sigmoid) }"
    assert analyze(load_text(text)).to_dict()["layers"][-1]["receptive_field"] is None


def test_paths_whose_centres_differ_are_named():
    text = "net n : image[1, 8, 8] -> y { a = image -> conv(1, 3)\n b = image -> conv(1, 2)\n y = a + b -> relu }"
    for layer in analyze(load_text(text)).to_dict()["layers"][-2:]:
        assert layer["receptive_field"] == {
            "size": [3, 3], "stride": [1, 1], "start": [-1, -1], "aligned": False, "paths": ["a.conv", "b.conv"]
        }  # fmt: skip


def test_paths_whose_strides_differ_are_named_and_held_by_the_hull():
    text = """net n : image[1, 16, 16] -> y {
        a = image -> conv(1, 1, stride = 2)
        b = image -> conv(1, 9, pad = 0)
        y = a + b
    }"""
    graph = load_text(text)
    found = Facts(graph).receptive_fields(graph.outputs["y"])["image"]
    assert not found.aligned
    assert found.paths == ("a.conv", "b.conv")
    # output u sees 2u through a, and u to u + 8 through b: the hull around 2u at u = 0 .. 7
    assert (found.stride, found.start, found.size) == ((2, 2), (-7, -7), (16, 16))


def test_a_field_for_each_network_input():
    text = "net n : left[1, 8, 8], right[1, 8, 8] -> y { y = (left -> conv(1, 3)) + (right -> flatten -> dense(1)) }"
    layers = analyze(load_text(text)).to_dict()["layers"]
    left = {"size": [3, 3], "stride": [1, 1], "start": [-1, -1], "aligned": True}
    assert layers[0]["receptive_field"] == {"left": left}
    assert layers[-1]["receptive_field"] == {"left": left, "right": None}


def test_three_dimensions_and_unequal_axes():
    text = "net n : clip[3, 16, 112, 112] -> y { y = clip -> conv(8, [3, 5, 7], stride = [1, 2, 2]) }"
    graph = load_text(text)
    assert Facts(graph).receptive_field(graph.outputs["y"]) == [3, 5, 7]


def test_more_phases_than_any_network_has_are_given_up_on():
    # up by 2 and down by 3 at a size of 1 doubles the phases each time
    steps = f"{MOST_PHASES.bit_length() + 3} * (upsample(2) -> conv(1, 3, stride = 3))"
    text = f"net n : image[1, 1, 1] -> y {{ y = image -> {steps} }}"
    assert analyze(load_text(text)).layers[-1].fields["image"] is None


def test_words_have_positions_and_no_channels():
    graph = load_text("""net f : int words[20], int table[6, 8] -> y, z, w {
        y = words -> embedding(4, 100) -> conv(4, 3) -> conv(4, 3, dilation = 2)
        z = table -> embedding(4, 100) -> conv(4, [3, 5])
        w = slice(words, 0, 10) -> embedding(4, 100) -> conv(4, 3)
    }""")
    facts = Facts(graph)
    assert facts.receptive_field(graph.outputs["y"]) == 7
    assert facts.receptive_field(graph.outputs["z"]) == [3, 5]
    assert facts.receptive_field(graph.outputs["w"]) is None  # an axis is taken for channels: a bound


def test_what_reductions_and_indices_see():
    graph = load_text("""net f : x[4, 12, 20] -> rows, both, part, picked, turned, large, small, maps {
        a = x -> conv(4, 3)
        rows = mean(a, axis = height)
        both = sum(a, axis = [height, width])
        part = slice(a, 5, 9, axis = width) -> conv(4, 3, stride = 2)
        picked = gather(a, [0, 4, 8], axis = height)
        turned = a -> softmax(axis = width)
        large = a -> resize([24, 40])
        small = a -> resize([4, 5])
        maps = concat(max(a, axis = channel), min(a, axis = 0)) -> conv(1, 3)
    }""")
    facts = Facts(graph)
    found = {name: facts.receptive_field(value) for name, value in graph.outputs.items()}
    assert found == {
        "rows": [14, 3], "both": None, "part": 5, "picked": 3, "turned": None, "large": 4, "small": [3, 4], "maps": 5,
    }  # fmt: skip
    fields = {name: facts.receptive_fields(value)["x"] for name, value in graph.outputs.items()}
    assert fields["part"].start == (-2, 3) and fields["picked"].stride == (4, 1)
    parts = load_text("net f : x[1, 9] -> a, b { a, b = split(x, [4, 5], axis = width) }")
    starts = [Facts(parts).receptive_fields(value)["x"].start for value in parts.outputs.values()]
    assert starts == [(0,), (4,)]
