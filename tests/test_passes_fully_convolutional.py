"""Fully convolutional nets: each position is the old net on a window, and at the old size nothing changes."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import netdsl
from netdsl.diagnostics import NetError
from netdsl.elaborate import load, load_text
from netdsl.passes import fully_convolutional
from tests.onnx_running import run_net
from tests.passes_support import close, inputs_of, numbers_of, outputs_of

ZOO = Path(__file__).parent.parent / "examples" / "zoo"

LENET = "conv(4, 5, pad = 0) -> tanh -> avg_pool(2) -> conv(6, 5, pad = 0) -> tanh -> avg_pool(2)"
#: AlexNet (Krizhevsky et al. 2012) and OverFeat (Sermanet et al. 2014, the fast model) without their paddings, narrow
ALEXNET = """conv(6, 11, stride = 4, pad = 0) -> relu -> max_pool(3, stride = 2) -> conv(8, 5, pad = 0, groups = 2) -> relu
    -> max_pool(3, stride = 2) -> conv(8, 3, pad = 0) -> relu -> flatten -> dropout -> dense(12) -> relu -> dropout"""
OVERFEAT = """conv(6, 11, stride = 4, pad = 0) -> relu -> max_pool(2) -> conv(8, 5, pad = 0) -> relu -> max_pool(2)
    -> conv(8, 3, pad = 0) -> relu -> max_pool(2) -> flatten -> dense(12) -> relu -> dense(9) -> relu"""

EXACT = {
    "lenet": ("1, 32, 32", f"{LENET} -> flatten -> dense(12) -> tanh -> dense(5)", 4),
    "alexnet": ("3, 99, 99", f"{ALEXNET} -> dense(5)", 16),
    "overfeat": ("3, 111, 111", f"{OVERFEAT} -> dense(5)", 32),
    "dense alone": ("2, 6, 7", "flatten -> dense(5) -> relu -> dense(3)", 1),
    "softmax": ("2, 9, 9", "conv(4, 2, stride = 3, pad = 0) -> relu -> flatten -> dense(5, bias = false) -> softmax", 3),
    "bn of a vector": ("2, 9, 9", "conv(4, 3, pad = 0) -> max_pool(2) -> flatten -> dense(5) -> bn -> scale_shift -> relu", 2),
    "global mean": ("2, 12, 10", "conv(4, 3, pad = 0) -> relu -> max_pool(2) -> global_avg_pool -> dense(3)", 2),
    "global maximum": ("2, 12, 10", "conv(4, 3, pad = 0) -> tanh -> global_max_pool", 1),
    "bins": ("2, 14, 14", "conv(4, 3, pad = 0) -> adaptive_avg_pool([3, 4]) -> flatten -> dense(3)", [4, 3]),
    "bins as they are": ("2, 10, 10", "max_pool(2) -> adaptive_max_pool(5) -> flatten -> dense(3) -> dense(2)", 2),
    "one bin": ("2, 9, 9", "conv(4, 2, pad = 0) -> adaptive_avg_pool(1) -> flatten -> dense(3)", 1),
    "other pools": ("2, 16, 16", "lp_pool(2) -> gaussian_pool(3, stride = 2) -> lrn -> flatten -> dense(3) -> l2_norm", 4),
    "ceil": ("2, 12, 12", "max_pool(3, stride = 3, ceil = true) -> flatten -> dense(3)", 3),
    "dilated": ("2, 13, 13", "conv(4, 3, pad = 0, dilation = 3) -> relu -> max_pool(2) -> flatten -> dense(3)", 2),
    "one axis": ("2, 21", "conv(4, 3, stride = 2, pad = 0) -> relu -> flatten -> dense(3)", 2),
    "three axes": ("1, 6, 7, 8", "conv(3, 3, pad = 0) -> relu -> max_pool(2) -> flatten -> dense(3)", 2),
    "cropped": ("2, 12, 12", "pad([-1, [-2, 0]]) -> conv(3, 3, stride = 2, pad = 0) -> flatten -> dense(3)", 2),
}  # fmt: skip


def net(shape, body):
    return load_text(f"net a : x[{shape}] -> y {{ y = x -> {body} }}")


def converted(graph):
    """The numbers and the converted net, which at the old size is the same."""
    values = numbers_of(graph)
    made = fully_convolutional(graph, values)
    inputs = inputs_of(graph)
    before, after = run_net(graph, values, **inputs), outputs_of(made, inputs)
    for name in before:
        close(after[name].reshape(before[name].shape), before[name])
    return values, made


def slides(graph, stride, more=2, every=1):
    """Hold the converted net on a larger image against the net on each window of it that lies `stride` pixels further."""
    values, made = converted(graph)
    (source,), steps = made.graph.inputs, range(more + 1)
    strides = stride if isinstance(stride, list) else [stride] * (len(source.shape) - 1)
    sizes = {str(dim): int(dim) + step * more for dim, step in zip(source.shape[1:], strides, strict=True)}
    (image,) = inputs_of(made.graph, **sizes).values()
    found = outputs_of(made, {source.name: image})
    size = [int(dim) for dim in source.shape[1:]]
    for place in product(steps, repeat=len(size)):
        starts = [step * p for step, p in zip(strides, place, strict=True)]
        window = image[(..., *(slice(start, start + n) for start, n in zip(starts, size, strict=True)))]
        for name, alone in run_net(graph, values, **{source.name: window}).items():
            close(found[name][(..., *(every * p for p in place))], alone)
    return made


@pytest.mark.parametrize("case", EXACT)
def test_each_position_is_the_net_on_a_window(case):
    shape, body, stride = EXACT[case]
    made = slides(net(shape, body), stride)
    step = " x ".join(map(str, stride)) if isinstance(stride, list) else stride
    pixels = f"{step} {'pixel' if stride == 1 else 'pixels'} from one to the next"
    assert any("is what the net gives" in remark and remark.endswith(pixels) for remark in made.remarks)
    assert not any("pad" in remark for remark in made.remarks)
    assert not {"flatten", "dense", "global_avg_pool", "global_max_pool"} & {node.op.name for node in made.graph.nodes}
    assert made.parameters.keys() == {p.name for p in made.graph.parameters()}


def test_lenet5_of_the_paper_needs_its_codes():
    """Behind the radial basis functions of the example stands no window; up to them the net converts."""
    graph = load(ZOO / "lenet5.net")
    with pytest.raises(NetError) as error:
        fully_convolutional(graph, numbers_of(graph))
    (diagnostic,) = error.value.diagnostics
    assert diagnostic.code == "E1101" and "`rbf`" in diagnostic.message and diagnostic.labels[0].span.text.startswith("rbf")
    assert "end the net before it: `--chop f6.scaled_tanh`" in diagnostic.helps
    features = netdsl.load(ZOO / "lenet5.net").convert(chop="f6.scaled_tanh")
    slides(features.graph, 4)


def test_branches_heads_and_shared_layers():
    made = slides(load_text("""net a : x[2, 14, 14] -> y, z, w {
        share tower = conv(4, 3, pad = 0) -> relu
        a = x -> tower -> max_pool(2)
        b = x -> conv(4, 3, pad = 0) -> tanh -> max_pool(2)
        h = concat(a, b) -> flatten -> dense(6)
        y = h -> relu -> dense(3)
        z = concat(h, a * 2 + b -> global_avg_pool -> dense(6) -> sigmoid) -> dense(2)
        w = (h - 1) * h -> softmax
    }"""), 2)
    assert list(made.graph.outputs) == ["y", "z", "w"]


def test_upsampling_has_phases():
    """Two positions for each 2 pixels: every other one is that of a window."""
    made = slides(net("2, 12, 12", "max_pool(2) -> upsample(2) -> conv(4, 3, pad = 0) -> flatten -> dense(3)"), 2, every=2)
    assert any(remark.startswith("one in 2 positions of `y` is what") for remark in made.remarks)


PADDED = """net a(p = 1) : x[2, N = 16, M = 20] -> y {
    x1 = x -> conv(4, 3, stride = 2, pad = p) -> relu -> max_pool(3, stride = 2, pad = p) -> conv(4, 3, pad = p) -> relu
    y = x1 -> flatten -> dense(5)
}"""


def test_padding_holds_where_the_receptive_field_is_inside():
    """A position that sees no border is the net without padding on its receptive field."""
    graph = load_text(PADDED)
    values, made = converted(graph)
    assert "3 layers pad" in made.remarks[-1]
    # x1 is 4 x 5; a cell sees 3 + 2 * 2 + 2 * 4 = 15 pixels, the next one 4 further; the first starts 1 + 2 + 4 before the image
    size, start, extent = (64, 64), -(1 + 2 + 4), (15 + 4 * 3, 15 + 4 * 4)
    (image,) = inputs_of(made.graph, H=size[0], W=size[1]).values()
    found = outputs_of(made, {"x": image})["y"]
    bare = load_text(PADDED.replace("16", str(extent[0])).replace("20", str(extent[1])), p=0)
    inside = 0
    for i, j in np.ndindex(found.shape[2:]):
        top, left = 4 * i + start, 4 * j + start
        if min(top, left) >= 0 and top + extent[0] <= size[0] and left + extent[1] <= size[1]:
            field = image[:, :, top : top + extent[0], left : left + extent[1]]
            close(found[:, :, i, j], run_net(bare, values, x=field)["y"])
            inside += 1
    assert inside >= 20


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_random_chains(data):
    """Any chain of windows without padding, then dense layers."""
    layers, stride = [], 1
    for _ in range(data.draw(st.integers(0, 3))):
        kernel, step = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 2))
        conv = f"conv(3, {kernel}, stride = {step}, pad = 0)"
        pools = [f"{kind}_pool({kernel}, stride = {step})" for kind in ("max", "avg")]
        layers.append(data.draw(st.sampled_from([conv, f"{conv} -> bn -> tanh", *pools])))
        stride *= step
    end = data.draw(st.sampled_from(["flatten", "flatten -> relu", "global_avg_pool", "global_max_pool -> bn"]))
    height, width = data.draw(st.integers(17, 22)), data.draw(st.integers(17, 22))
    slides(net(f"2, {height}, {width}", " -> ".join([*layers, end, "dense(4) -> relu -> dense(3)"])), stride, more=1)


@pytest.mark.parametrize(("body", "code", "words"), [
    ("y = x + param([2, 4, 4]) -> flatten -> dense(3)", "E1105", "the size H = 4"),
    ("y = (x -> max_pool(2)) + (x -> conv(2, 3, pad = 0)) -> flatten -> dense(3)", "E1105", "the size H = 4"),
    ("y = x -> conv(3, 3) -> flatten -> bn -> dense(3)", "E1101", "as if they were channels"),
    ("y = x -> conv(3, 3) -> flatten", "E1101", "the output `y`"),
    ("y = reshape(x, [4, 2, 4]) -> conv(3, 3) -> flatten -> dense(3)", "E1101", "`reshape`"),
    ("y = x -> adaptive_max_pool(3) -> flatten -> dense(2)", "E1101", "bins are not of one size"),
    ("y = x -> locally_connected(2, 3) -> flatten -> dense(2)", "E1101", "weights of its own for each position"),
    ("y = x -> flatten -> rbf(4)", "E1101", "`rbf`"),
    ("y = x * (x -> global_avg_pool) -> flatten -> dense(3)", "E1101", "`mul`"),
    ("y = matmul(x, x) -> flatten -> dense(3)", "E1101", "`matmul`"),
    ("share d = dense(4)\n y = (x -> conv(1, 1) -> flatten -> d) + (x -> max_pool(2) -> conv(4, 1) -> flatten -> d)",
     "E1101", "shared"),
    ("y = concat(x -> flatten, x -> tanh -> flatten) -> dense(3)", "E1101", "`concat`"),
])  # fmt: skip
def test_what_cannot_be_converted(body, code, words):
    graph = load_text(f"net a : x[2, 4, 4] -> y {{ {body} }}" if "share" not in body else f"net a : x[4, 4, 4] -> y {{ {body} }}")
    with pytest.raises(NetError) as error:
        fully_convolutional(graph, numbers_of(graph))
    (diagnostic,) = error.value.diagnostics
    assert diagnostic.code == code and words in diagnostic.message and diagnostic.labels and diagnostic.helps


def test_sizes_that_were_open_stay_so():
    graph = load_text("net a : x[2, H = 16, W = 16] -> y { y = x -> conv(4, 3) -> max_pool(2) -> conv(3, 1) }")
    made = fully_convolutional(graph, numbers_of(graph))
    assert made.graph is graph and made.remarks == ("fully convolutional: the net was so before",)
    fixed = load_text("net a : x[2, 16, 16] -> y { y = x -> conv(4, 3) -> max_pool(2) -> conv(3, 1) }")
    made = fully_convolutional(fixed, numbers_of(fixed))
    assert made.graph.symbols == {"H": 16, "W": 16} and made.remarks[0].endswith("size had to be opened")
    assert [node.op.name for node in made.graph.nodes] == [node.op.name for node in fixed.nodes]


def test_a_net_for_any_size_keeps_what_depends_on_it():
    """Where it crops depends on the size: no window. That matters where a dense layer is to slide over it."""
    text = """net a : x[2, H = 16, W = 16] -> y {
        up = x -> max_pool(3, stride = 2, pad = 1) -> upsample(2)
        y = (x, up -> conv(2, 3, pad = 0)) -> crop_like -> conv(2, 3)
    }"""
    graph = load_text(text)
    converted(graph)
    with pytest.raises(NetError, match="not the same at every position"):
        dense = load_text(text.replace("-> conv(2, 3)\n    }", "-> global_avg_pool -> dense(3)\n    }"))
        fully_convolutional(dense, numbers_of(dense))


def test_a_vector_of_single_cells_is_one_of_channels():
    slides(net("2, 8, 8", "conv(4, 5, pad = 0) -> conv(4, 4, pad = 0) -> flatten -> bn"), 1)


def test_vectors_for_all_positions():
    slides(load_text("""net a : x[2, 9, 9] -> y {
        maps = x -> conv(4, 3, pad = 0)
        h = maps * param([4], gaussian(1)) -> flatten -> dense(3)
        y = h * param([3], gaussian(1)) + 1 -> relu
    }"""), 1)


def test_weight_normalisation_stays():
    slides(net("2, 8, 8", "conv(4, 3, pad = 0, weight_norm = true) -> flatten -> dense(3, weight_norm = true)"), 1)


def test_inputs_of_one_size_share_their_symbols():
    graph = load_text("""net a : left[1, 8, 9], right[1, 8, 9], small[1, 4, 9] -> y {
        y = concat(concat(left, right) -> flatten -> dense(3), small -> flatten -> dense(3))
    }""")
    made = fully_convolutional(graph, numbers_of(graph))
    assert [[str(dim) for dim in value.shape] for value in made.graph.inputs] == [
        ["1", "H", "W"], ["1", "H", "W"], ["1", "H2", "W"],
    ]  # fmt: skip


def test_trains_on_label_maps(tmp_path):
    net = netdsl.loads(f"""net a : image[1, 32, 32] -> logits {{
        logits = image -> {LENET} -> flatten -> dense(12) -> dropout -> dense(3)
    }}
    train a {{
        target = class(label)
        loss = cross_entropy(logits, label)
        metrics = accuracy(logits, label)
        optimizer = sgd(0.05)
        batch = 4
        epochs = 2
        prepare = [scale(1 / 255)]
        augment = [flip]
    }}""")
    made = net.convert(fully_convolutional=True)
    assert [str(dim) for dim in made.graph.training.targets[0].value.shape] == ["floor(H / 4) - 7", "floor(W / 4) - 7"]
    assert "`augment` is left out: labels have other positions than the images" in made.remarks
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", train_image=rng.integers(0, 256, (16, 1, 40, 44), np.uint8),
             train_label=rng.integers(0, 3, (16, 3, 4)))  # fmt: skip
    history = made.train(tmp_path / "data.npz", out=tmp_path / "run")
    assert len(history.epochs) == 2
    outputs = made.predict(rng.integers(0, 256, (2, 1, 48, 36), np.uint8)).outputs["logits"]
    assert outputs.shape == (2, 3, 5, 2)


def test_a_train_block_that_does_not_fit_is_left_out():
    """GoogLeNet's way: an auxiliary classifier on a denser grid, one label for both."""
    net = netdsl.loads("""net a : x[1, 16, 16] -> y {
        h = x -> conv(4, 3, pad = 0) -> relu
        early = h -> max_pool(2) -> global_avg_pool -> dense(3)
        y = h -> max_pool(2) -> max_pool(2) -> flatten -> dense(3)
    }
    train a {
        target = class(label)
        loss = cross_entropy(y, label) + 0.3 * cross_entropy(early, label)
        optimizer = sgd(0.05)
        batch = 4
        epochs = 2
        prepare = [scale(1 / 255)]
    }""")
    made = net.convert(fully_convolutional=True)
    assert made.graph.training is None and made.graph.prepare == net.graph.prepare
    assert made.remarks[-1].startswith("the train block does not fit, and is left out: ")
    ones, grey = np.ones((1, 1, 16, 16), np.float32), np.full((1, 1, 16, 16), 255, np.uint8)
    model = made.compile()
    assert {entry.key for entry in model.metadata_props} >= {"netdsl.prepare"}
    np.testing.assert_allclose(made.predict(grey).outputs["y"], made.predict(ones * 255).outputs["y"])
