"""Strides taken out: the denser tensors contain the old ones, and say so of themselves."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import netdsl
from netdsl.diagnostics import NetError
from netdsl.elaborate import load_text
from netdsl.passes import atrous
from tests.onnx_running import run_net
from tests.passes_support import close, inputs_of, numbers_of, outputs_of


def net(shape, body):
    return load_text(f"net a : x[{shape}] -> y {{ {body} }}")


def contains(graph, rate, layers, **sizes):
    """Every `rate`-th position of the converted outputs is the original's, and there are no more of these."""
    values, inputs = numbers_of(graph), inputs_of(graph, **sizes)
    made = atrous(graph, values, layers)
    before, after = run_net(graph, values, **inputs), outputs_of(made, inputs)
    for name, wanted in before.items():
        assert after[name].shape != wanted.shape or rate == 1 or max(wanted.shape[2:]) == 1
        found = after[name][(..., *(slice(None, None, rate),) * (wanted.ndim - 2))]
        assert found.shape == wanted.shape
        close(found, wanted)
    return made


CASES = {
    "conv": ("y = x -> conv(3, 3, stride = 2) -> relu -> conv(4, 3)", {"y.conv": 1}, 2),
    "pool": ("y = x -> max_pool(2) -> conv(4, 3) -> bn -> relu -> conv(4, 2)", {"y.max_pool": 1}, 2),
    "valid": ("y = x -> conv(3, 4, stride = 3, pad = 0) -> conv(4, 2, pad = 0)", {"y.conv": 1}, 3),
    "later strides stay": ("y = x -> max_pool(2) -> conv(4, 3, stride = 2) -> max_pool(3, stride = 2, pad = 1)",
                           {"y.max_pool": 1}, 2),
    "several": ("y = x -> conv(3, 3, stride = 2) -> max_pool(2) -> conv(4, 3, stride = 2) -> conv(2, 3, dilation = 2)",
                {"y.conv": 1, "y.conv.1": 1, "y.max_pool": 1}, 8),
    "a stride is left": ("y = x -> conv(3, 5, stride = 4) -> conv(4, 3)", {"y.conv": 2}, 2),
    "even kernels": ("y = x -> conv(3, 4, stride = 2) -> max_pool(2, stride = 1, pad = 'same') -> conv(3, 2)",
                     {"y.conv": 1}, 2),
    "ceil": ("y = x -> max_pool(3, stride = 2, ceil = true) -> max_pool(3, stride = 2, ceil = true) -> conv(3, 3)",
             {"y.max_pool": 1}, 2),
    "ceil behind": ("y = x -> max_pool(2, ceil = true) -> max_pool(3, stride = 2, ceil = true) -> conv(3, 3)",
                    {"y.max_pool": 1, "y.max_pool.1": 1}, 4),
    "means": ("y = x -> conv(3, 3, stride = 2) -> avg_pool(3, stride = 1, pad = 1) -> avg_pool(2, ceil = true)",
              {"y.conv": 1}, 2),
    "means that count": ("y = x -> conv(3, 3, stride = 4) -> avg_pool(3, stride = 1, pad = 1, count_pad = true)",
                         {"y.conv": 1}, 4),
    "overhanging mean": ("y = x -> avg_pool(3, stride = 2, ceil = true, count_pad = true) -> conv(2, 3)", {"y.avg_pool": 1}, 2),
    "other pools": ("y = x -> lp_pool(3, stride = 2, pad = 1) -> gaussian_pool(3, stride = 1, pad = 1) -> conv(2, 3) -> lp_pool(2)",
                    {"y.lp_pool": 1}, 2),
    "padding of its own": ("y = x -> max_pool(2) -> pad([[1, 2], -1]) -> conv(3, 3, pad = 0)", {"y.max_pool": 1}, 2),
    "residual": ("""h = x -> conv(4, 3)
        main = h -> conv(6, 3, stride = 2) -> bn -> relu -> conv(6, 3) -> bn
        skip = h -> conv(6, 1, stride = 2)
        y = concat(main + skip -> relu, main * 2, main - skip)""", {"main.conv": 1, "skip.conv": 1}, 2),
    "groups and tables": ("y = x -> max_pool(2) -> conv(4, 3, groups = 2) -> conv(2, 3, connect = [[0, 1], [2, 3]])",
                          {"y.max_pool": 1}, 2),
    "a vector for all positions": ("""s = x -> global_avg_pool -> dense(4)
        y = x -> conv(4, 3, stride = 2) -> identity
        y = y * s -> conv(3, 3)""", {"y.conv": 1}, 2),
    "shared": ("""share c = conv(2, 3)
        y = (x -> max_pool(2) -> c -> c) + (x -> conv(2, 2, stride = 2, pad = 0) -> c)""", {"y.max_pool": 1, "y.conv": 1}, 2),
}  # fmt: skip


@pytest.mark.parametrize("size", ["2, 23, 17", "2, 24, 32", "2, H = 21, W = 24"])
@pytest.mark.parametrize("case", CASES)
def test_old_positions_are_among_the_new(case, size):
    body, layers, rate = CASES[case]
    made = contains(net(size, body), rate, layers)
    assert f"one in {rate} positions of `y` is what it was" in made.remarks[0]


def test_at_other_sizes():
    graph = net("2, H = 21, W = 24", CASES["several"][0])
    for height, width in ((17, 30), (16, 33), (40, 41)):
        contains(graph, 8, CASES["several"][1], H=height, W=width)


def test_one_and_three_axes():
    contains(net("2, 23", "y = x -> conv(3, 3, stride = 2) -> max_pool(3, stride = 2, pad = 1)"), 2, {"y.conv": 1})
    contains(net("1, 7, 8, 9", "y = x -> max_pool(2) -> conv(3, 3) -> avg_pool(2)"), 2, {"y.max_pool": 1})


def test_axes_of_their_own():
    graph = net("2, 20, 20", "y = x -> conv(3, 3, stride = [1, 2]) -> conv(3, [5, 3], stride = [2, 1])")
    values, inputs = numbers_of(graph), inputs_of(graph)
    made = atrous(graph, values, {"y.conv": 1})
    close(outputs_of(made, inputs)["y"][..., ::2], run_net(graph, values, **inputs)["y"])


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_random_chains(data):
    layers, strides, rate = [], {}, 1
    counts = {"conv": 0, "max_pool": 0, "avg_pool": 0}
    for _ in range(data.draw(st.integers(1, 4))):
        op = data.draw(st.sampled_from(list(counts)))
        kernel, stride = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
        pad = data.draw(st.one_of(st.just('"same"'), st.integers(0, max(kernel // 2, 0))))
        more = ", ceil = true" if op != "conv" and data.draw(st.booleans()) else f", dilation = {data.draw(st.integers(1, 2))}"
        layers.append(f"{op}({'3, ' if op == 'conv' else ''}{kernel}, stride = {stride}, pad = {pad}{more})")
        name = f"y.{op}.{counts[op]}" if counts[op] else f"y.{op}"
        counts[op] += 1
        if stride > 1 and data.draw(st.booleans()):
            strides[name], rate = 1, rate * stride
    assume(strides)
    shape = f"2, {data.draw(st.integers(14, 30))}, {data.draw(st.integers(14, 30))}"
    try:
        graph = net(shape, "y = x -> " + " -> ".join([*layers, "tanh", "conv(2, 3)"]))
    except NetError:
        assume(False)
    try:
        contains(graph, rate, strides)
    except NetError as error:  # windows that step over a whole tiny map: the original has no such
        assert error.diagnostics[0].code == "E0313"


def test_a_train_block_gets_larger_label_maps():
    graph = load_text("""net a : image[3, 32, 32] -> scores { scores = image -> conv(4, 3, stride = 2) -> relu -> conv(5, 3) }
    train a {
        target = class(mask, [16, 16])
        loss = cross_entropy(scores, mask)
        optimizer = sgd(0.1)
        batch = 2
        epochs = 1
    }""")
    made = contains(graph, 2, {"scores.conv": 1})
    assert made.graph.training is not None and made.graph.training.targets[0].value.shape == (32, 32)


@pytest.mark.parametrize(("body", "layers", "code", "words", "help"), [
    ("y = x -> conv(3, 3, stride = 2)", {"y.cnv": 1}, "E1102", "no layer `y.cnv`", "did you mean `y.conv`?"),
    ("y = x -> conv(3, 3, stride = 2)", {"x": 1}, "E1102", "`x` is an input of `a`, and no layer", "prints the names"),
    ("y = x -> conv(3, 3, stride = 2) -> relu", {"y": 1}, "E1103", "no convolution or pool", ""),
    ("y = x -> conv(3, 3)", {"y.conv": 1}, "E1103", "its stride is 1 already", ""),
    ("y = x -> conv(3, 3, stride = 4)", {"y.conv": 3}, "E1103", "3 does not divide 4", ""),
    ("y = x -> relu", {"y.relu": 1}, "E1103", "no convolution or pool", ""),
    ("p, q = x -> max_pool(2, indices = true)\n y = (p, q) -> unpool(2)", {"p.max_pool": 1}, "E1103",
     "its indices are places in windows of this stride", ""),
    ("y = x -> deconv(3, 2, stride = 2)", {"y.deconv": 1}, "E1103", "no convolution or pool", ""),
    ("y = x -> max_pool(2) -> upsample(2)", {"y.max_pool": 1}, "E1101", "`upsample`", "`--chop y.max_pool`"),
    ("y = x -> max_pool(2) -> deconv(2, 2, stride = 2)", {"y.max_pool": 1}, "E1101", "`deconv`", "--chop"),
    ("y = x -> max_pool(2) -> flatten -> dense(2)", {"y.max_pool": 1}, "E1101", "`flatten`", "--fully-convolutional"),
    ("y = x -> max_pool(2) -> global_avg_pool", {"y.max_pool": 1}, "E1101", "`global_avg_pool`", "--fully-convolutional"),
    ("a = x -> conv(3, 3, stride = 2)\n b = x -> conv(3, 1, stride = 2)\n y = a + b", {"a.conv": 1}, "E1104", "`add` joins",
     "take out the stride of `b.conv` too"),
    ("y = x -> conv(2, 3, stride = 2) -> avg_pool(3, pad = 1, ceil = true, count_pad = true)", {"y.conv": 1}, "E1101",
     "`avg_pool`", ""),
])  # fmt: skip
def test_what_cannot_be_converted(body, layers, code, words, help):
    graph = net("2, 12, 13", body)
    with pytest.raises(NetError) as error:
        atrous(graph, numbers_of(graph), layers)
    (diagnostic,) = error.value.diagnostics
    assert diagnostic.code == code and words in diagnostic.message and any(help in way for way in diagnostic.helps)
    assert diagnostic.labels or code == "E1102"


def test_from_python():
    loaded = netdsl.loads("net a : x[1, 8, 8] -> y { pooled = x -> max_pool(2) @p\n y = pooled -> conv(2, 3) -> max_pool(2) @q }")
    for layers in ("p", ["p"], {"p": 1}, "pooled"):
        made = loaded.convert(atrous=layers)
        assert made.analyze().totals.macs == loaded.analyze().totals.macs // 16 * 49
    assert np.shape(made.predict(np.zeros((2, 1, 8, 8), np.float32)).outputs["y"]) == (2, 2, 3, 3)


def test_one_conversion_after_the_other():
    """Converted nets are nets: passes one by one give what they give together."""
    loaded = netdsl.loads("""net a : x[1, 20, 20] -> y {
        h = x -> conv(2, 4, stride = 2, bias = false) @first -> bn -> max_pool(3, stride = 2, ceil = true) @p
        y = h -> conv(2, 3) -> max_pool(2) @q -> conv(3, 2) -> flatten -> dense(3)
    }""")
    together = loaded.convert(fully_convolutional=True, atrous=["first", "p", "q"], fold_bn=True)
    apart = loaded.convert(fold_bn=True).convert(atrous={"first": 1}, chop="h").remarks
    assert apart[0].startswith("chopped") and apart[1].startswith("atrous")
    one_by_one = loaded.convert(fully_convolutional=True).convert(fold_bn=True)
    for layer in ("q", "first", "p"):
        one_by_one = one_by_one.convert(atrous=layer)
    images = np.random.default_rng(0).standard_normal((2, 1, 30, 33)).astype(np.float32)
    close(one_by_one.predict(images).outputs["y"], together.predict(images).outputs["y"])
    assert [node.args.dilation for node in one_by_one.graph.nodes if "dilation" in node.args] == [
        node.args.dilation for node in together.graph.nodes if "dilation" in node.args
    ]
