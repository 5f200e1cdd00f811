"""Totals on nets whose figures are computed by hand, or were measured on the authors' models."""

import sys

import pytest

from netdsl import NetError, load, loads
from netdsl.analysis import Facts, analyze
from netdsl.elaborate import load_text


def facts(text, **hyperparameters):
    return Facts(load_text(text, **hyperparameters))


def totals(text, **hyperparameters):
    return analyze(load_text(text, **hyperparameters)).totals


def test_counts_of_a_small_net_by_hand():
    found = totals("net n : image[3, 8, 8] -> y { y = image -> conv(4, 3) -> bn -> relu -> flatten -> dense(10) }")
    assert found.params == (4 * 3 * 9 + 4) + 8 + (256 * 10 + 10)
    assert found.trainable_params == found.params
    assert found.buffers == 8  # running mean and variance of 4 channels
    assert found.macs == 64 * 4 * 27 + 2560
    # bias 256, scale and shift 2 x 256, relu 256, flatten nothing, bias 10
    assert found.flops == 2 * found.macs + 256 + 512 + 256 + 10
    assert found.activation_bytes == 4 * (4 * 256 + 10)
    assert found.depth == 2


def test_a_shared_parameter_counts_once_and_its_layer_says_so():
    report = analyze(load_text("""net n : left[1, 8, 8], right[1, 8, 8] -> a, b {
        share tower = conv(4, 3) -> relu
        a = left -> tower
        b = right -> tower
    }"""))  # fmt: skip
    assert report.totals.params == 40
    assert report.totals.macs == 2 * 64 * 36
    found = [(layer.params, layer.shared) for layer in report.layers]
    assert found == [(40, None), (0, None), (0, "tower/conv"), (0, None)]


def test_a_frozen_layer_counts_but_is_not_trainable():
    found = totals("net n : image[1, 8, 8] -> y { y = image -> conv(1, 3, trainable = false) -> conv(1, 1) }")
    assert (found.params, found.trainable_params) == (12, 2)


def test_transposed_convolution_counts_input_positions():
    assert totals("net n : image[2, 4, 4] -> y { y = image -> deconv(3, 2, stride = 2) }").macs == 16 * 2 * 3 * 4


def test_only_what_the_outputs_need_counts():
    assert totals("net n : image[1, 8, 8] -> y { y = image -> conv(1, 3)\n aux = y -> conv(9, 3) }").params == 10


AUXILIARY = """
net n : image[1, 4, 4] -> y {
    x = image -> conv(2, 3) -> relu
    aux = x -> flatten -> dense(3)
    y = x -> global_avg_pool -> dense(3)
}
train n {
    target = class(label)
    loss = cross_entropy(y, label) + 0.3 * cross_entropy(aux, label)
    optimizer = sgd(lr = 0.1)
    batch = 8
    epochs = 1
}"""


def test_auxiliary_heads_are_reported_apart():
    report = analyze(load_text(AUXILIARY))
    assert report.totals.params == 20 + 9
    assert report.training_only is not None
    assert (report.training_only.params, report.training_only.macs) == (32 * 3 + 3, 32 * 3)
    assert report.to_dict()["training_only"]["params"] == 99


def test_peak_memory_of_a_chain():
    # 4-byte numbers: image 64, conv 256, relu 256: conv and relu are alive together when image is gone
    found = facts("net n : image[1, 8, 8] -> y { y = image -> conv(4, 3) -> relu }")
    assert found.peak_memory == 4 * (256 + 256)


def test_peak_memory_holds_a_skip_until_its_last_reader():
    found = facts("""net n : image[1, 8, 8] -> y {
        a = image -> conv(4, 3)
        b = a -> conv(4, 3) -> conv(4, 3)
        y = a + b
    }""")  # fmt: skip
    # a, b's first half and second half at once
    assert found.peak_memory == 4 * 3 * 256


def test_peak_memory_counts_inputs_and_outputs():
    found = facts("net n : a[1, 8, 8], b[1, 8, 8] -> y, z { y = a -> conv(2, 1)\n z = b -> conv(1, 1) }")
    # a, b, y; then b, y, z
    assert found.peak_memory == 4 * (64 + 64 + 128)


def test_an_input_of_whole_numbers_takes_eight_bytes_each():
    found = facts("net n : int tokens[16] -> y { y = concat(tokens, tokens) }")
    assert (found.activation_memory, found.peak_memory) == (8 * 32, 8 * 48)


@pytest.mark.parametrize(("text", "depth"), [
    ("y = x -> relu", 0),
    ("y = x -> 3 * conv(1, 3)", 3),
    ("y = (x -> conv(1, 3)) + (x -> 4 * (conv(1, 3) -> relu))", 4),
    ("y = x -> deconv(1, 2, stride = 2) -> flatten -> dense(3)", 2),
])  # fmt: skip
def test_depth_is_the_longest_path_through_what_multiplies(text, depth):
    assert facts(f"net n : x[1, 8, 8] -> y {{ {text} }}").depth == depth


def test_params_of_a_block_a_layer_and_repetitions():
    found = facts("""
    block unit(width) : x -> y { y = x -> conv(width, 3) -> bn }
    net n : image[1, 8, 8] -> y {
        y = image -> unit(2) @stem -> 3 * (conv(2, 1) @body) -> conv(5, 1) @bodyguard -> conv(1, 1) -> conv(1, 1)
    }""")  # fmt: skip
    assert found.params_of("stem") == 20 + 4
    assert found.params_of("stem/y.bn") == 4
    assert found.params_of("body") == 3 * 6
    assert found.params_of("body[1]") == 6
    assert found.params_of("y") == 6 + 2  # what the statement binds, without what has a name of its own
    assert found.params_of("nobody") is None


def test_the_cost_of_a_tensor_is_that_of_all_it_depends_on():
    """Of two exits on one trunk each pays for the trunk, and both together once; what only the loss reads counts, too."""
    found = loads("""net n : image[1, 8, 8] -> exits[k] {
        trunk = image -> conv(2, 3)
        exits[0] = trunk -> conv(3, 1)
        exits[1] = trunk -> conv(4, 3) -> conv(5, 1)
        side = exits[0] -> conv(2, 1)
        expect params(trunk) == 20 and macs(trunk) == 64 * 18
        expect params(exits[0]) == 20 + 9 and macs(exits[0]) == 64 * (18 + 6)
        expect params(exits[1]) == 20 + 76 + 25 and macs(exits[1]) == 64 * (18 + 72 + 20)
        expect params(exits) == params and macs(exits) == macs and macs("exits[1]") == 64 * (72 + 20)
        expect params(side) == params(exits[0]) + 8 and params(image) == 0
    }
    train n {
        target = value(t, [2, 8, 8])
        loss = mean_squared_error(side, t)
        optimizer = sgd(lr = 0.1)
        batch = 2
        epochs = 1
    }""")
    assert found


def test_expect_asks_for_every_figure():
    loads("""net n : image[1, H = 8, W = 8] -> y {
        x = image -> conv(4, 3)
        y = x -> flatten -> dense(10)
        expect params == 40 + 2570 and trainable_params == params and buffers == 0
        expect macs == 64 * 36 + 2560 and flops == 2 * macs + 266 and depth == 2
        expect activation_memory == 4 * (512 + 10) and peak_memory == 4 * 512
        expect receptive_field(x) == 3 and params("y.dense") == 2570
    }""")
    with pytest.raises(NetError) as error:
        loads("net n : image[1, 8, 8] -> y { y = image -> conv(4, 3)\n expect depth == 2 }")
    assert "depth is 1" in str(error.value)


@pytest.mark.parametrize(("depth", "params", "macs"), [
    (50, 25_557_032, 4_089_184_256),
    (152, 60_192_808, 11_513_626_624),
])  # fmt: skip
def test_resnets_have_the_measured_figures(depth, params, macs):
    report = load("examples/zoo/resnet.net", depth=depth).analyze()
    assert (report.totals.params, report.totals.macs, report.totals.depth) == (params, macs, depth)
    assert sum(layer.params for layer in report.layers) == params


def test_the_work_grows_with_the_net_and_no_faster():
    text = """net n(layers = 100) : image[1, 16, 16] -> y {
        y = image -> conv(2, 3)
        for i in range(layers) { y = y + (y -> conv(2, 3) -> bn -> relu) }
    }"""

    def calls(layers):
        graph, count = load_text(text, layers=layers), 0

        def counted(frame, event, argument):
            nonlocal count
            count += event == "call"

        sys.setprofile(counted)
        try:
            analyze(graph)
        finally:
            sys.setprofile(None)
        return count

    assert calls(1600) < 4.1 * calls(400)
