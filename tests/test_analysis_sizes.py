"""Legal sizes: what is stated, and that it is true of the graph at other sizes."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from netdsl import NetError
from netdsl.analysis import analyze
from netdsl.elaborate import load_text

UNET = """net n(depth = 4) : image[1, H = 256, W = 64] -> y {
    x = image
    for d in range(depth) {
        skip[d] = x -> conv(1, 3)
        x = skip[d] -> max_pool(2)
    }
    for d in reversed(range(depth)) {
        up = x -> deconv(1, 2, stride = 2)
        x = concat(skip[d], up) -> conv(1, 3)
    }
    y = x
}"""


def constraints(text, **hyperparameters):
    return analyze(load_text(text, **hyperparameters)).constraints


def test_a_unet_needs_multiples():
    assert constraints(UNET) == (
        "H and W must be multiples of 16, such as H = 240, 256, 272 and W = 48, 64, 80 "
        "(line 9: concatenates `skip[3]` and `up`; and 3 more)",
    )


def test_a_free_net_has_no_constraints():
    text = "net n : image[3, H = 32, W = 32] -> y { y = image -> conv(4, 3) -> global_avg_pool -> dense(3) }"
    assert constraints(text) == ()


def test_an_element_count_fixes_both_sizes():
    found = constraints("net n : image[3, H = 32, W = 16] -> y {\n y = image -> flatten -> dense(3) }")
    assert len(found) == 2
    assert found[0].startswith("H is fixed at 32 (line 2: ")
    assert found[1].startswith("W is fixed at 16 (line 2: ")


def test_a_net_without_padding_has_a_least_size():
    text = "net n : image[3, H = 32, W = 32] -> y {\n x = image -> conv(4, 3)\n y = x -> conv(4, 7, pad = 0) }"
    found = constraints(text)
    assert found == ("H and W must be at least 7 (line 3: conv)",)


def test_a_join_may_need_a_remainder():
    found = constraints("""net n : image[1, W = 21] -> y {
        x = image -> conv(1, 3, pad = 0) -> conv(1, 2, stride = 2, pad = 0)
        y = (x -> upsample(2)) + (image -> conv(1, 4, pad = 0))
    }""")  # fmt: skip
    # 2 floor((W - 2) / 2) = W - 3
    assert found[0].startswith("W must be 1 more than a multiple of 2, at least 5, such as 19, 21, 23 (line 3: ")


def test_a_join_with_a_given_size_allows_a_range():
    found = constraints("net n : image[1, W = 32], side[1, 16] -> y { y = (image -> max_pool(2)) + side }")
    assert found[0].startswith("W must be one of 32, 33 (line 1: ")


def test_two_symbols_that_meet_are_an_equation():
    found = constraints("net n : a[1, W = 32], b[1, V = 16] -> y { y = (a -> max_pool(2)) + b }")
    assert found[0] == "W must be at least 2 (line 1: max_pool)"
    assert re.match(r"floor\(W / 2\) must equal V \(line 1: ", found[1])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.sampled_from([2, 3]), st.integers(1, 40))
def test_the_stated_sizes_are_those_that_elaborate(levels, factor, size):
    text = f"""net n : image[1, W = {{size}}] -> y {{{{
        x = image
        for d in range({levels}) {{{{
            skip[d] = x -> conv(1, 3)
            x = skip[d] -> max_pool({factor})
        }}}}
        for d in reversed(range({levels})) {{{{ x = skip[d] + (x -> upsample({factor})) }}}}
        y = x
    }}}}"""
    (stated,) = constraints(text.format(size=factor**levels * 2))
    match = re.match(r"W must be a multiple of (\d+), such as", stated)
    assert match, stated
    try:
        load_text(text.format(size=size))
        fits = True
    except NetError:
        fits = False
    assert fits == (size % int(match[1]) == 0)


def test_a_pattern_too_long_to_search_is_left_as_an_equation():
    found = constraints("""net n : image[1, W = 100] -> y {
        y = (image -> conv(1, 1, stride = 211) -> conv(1, 1, stride = 97)) + (image -> conv(1, 1, stride = 20471))
    }""")  # fmt: skip
    assert re.match(r"floor\(\(W \+ 20466\) / 20467\) must equal floor\(\(W \+ 20470\) / 20471\) \(line 2: ", found[0])
