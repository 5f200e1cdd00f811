"""The lints as a whole: the page that lists them, the nets that have nothing to be warned of, what they cost."""

import re
import time
from pathlib import Path

import pytest
from test_lint_messages import linted

from netdsl.diagnostics import Source, catalogue
from netdsl.elaborate import elaborate_all
from netdsl.lint import lint, rules

ROOT = Path(__file__).parent.parent


def test_the_language_page_lists_the_lints():
    text = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(W\d{4})` \| (\S+) \| (.*) \|$", text, re.MULTILINE)
    assert listed == [(rule.code, rule.name, rule.summary) for rule in rules()]


def test_codes_and_names_are_unique_and_explained():
    assert len({rule.code for rule in rules()}) == len({rule.name for rule in rules()}) == len(rules())
    assert {rule.code for rule in rules()} == {code for code in catalogue.codes() if code.startswith("W")}


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.net")), ids=lambda path: path.stem)
def test_examples_have_cancelled_biases_at_most(path):
    """Theirs are in the figures that their papers print."""
    assert {diagnostic.code for diagnostic in linted(path.read_text(encoding="utf-8"))} <= {"W0203"}


VGG = """
net vgg16 : image[3, 224, 224] -> logits {
    x = image
    for width, repeats in [[64, 2], [128, 2], [256, 3], [512, 3], [512, 3]] {
        x = x -> repeats * (conv(width, 3) -> relu) -> max_pool(2)
    }
    logits = x -> flatten -> 2 * (dense(4096) -> relu -> dropout(0.5)) -> dense(1000)
}
"""
GOOGLENET = """
block inception(a, b3, b, c5, c, d) : x -> y {
    y = concat(
        x -> conv(a, 1) -> relu,
        x -> conv(b3, 1) -> relu -> conv(b, 3) -> relu,
        x -> conv(c5, 1) -> relu -> conv(c, 5) -> relu,
        x -> max_pool(3, 1, pad = 1) -> conv(d, 1) -> relu,
    )
}

net googlenet : image[3, 224, 224] -> logits {
    x = image -> conv(64, 7, 2) -> relu -> max_pool(3, 2, ceil = true) -> conv(64, 1) -> relu -> conv(192, 3) -> relu
    x = x -> max_pool(3, 2, ceil = true) -> inception(64, 96, 128, 16, 32, 32) -> inception(128, 128, 192, 32, 96, 64)
    x = x -> max_pool(3, 2, ceil = true) -> inception(192, 96, 208, 16, 48, 64) -> inception(160, 112, 224, 24, 64, 64)
    x = x -> inception(128, 128, 256, 24, 64, 64) -> inception(112, 144, 288, 32, 64, 64)
    x = x -> inception(256, 160, 320, 32, 128, 128) -> max_pool(3, 2, ceil = true)
    x = x -> inception(256, 160, 320, 32, 128, 128) -> inception(384, 192, 384, 48, 128, 128)
    logits = x -> global_avg_pool -> dropout(0.4) -> dense(1000)
}
"""
INCEPTION_STEM = """
block unit(width, kernel, stride = 1, edge = 0) : x -> y {
    y = x -> conv(width, kernel, stride, edge, bias = false) -> bn(eps = 1e-3) -> relu
}

net stem : image[3, 299, 299] -> y {
    y = image -> unit(32, 3, 2) -> unit(32, 3) -> unit(64, 3, edge = 1) -> max_pool(3, 2) -> unit(80, 1) -> unit(192, 3)
          -> max_pool(3, 2) -> unit(384, 3, 2) -> unit(768, 3, 2)
}
"""
MOBILENET = """
block separable(width, stride = 1) : x -> y {
    y = x -> conv(x.channels, 3, stride, groups = x.channels, bias = false) -> bn -> relu
          -> conv(width, 1, bias = false) -> bn -> relu
}

net mobilenet : image[3, 224, 224] -> logits {
    x = image -> conv(32, 3, 2, bias = false) -> bn -> relu
    for width, stride in [[64, 1], [128, 2], [128, 1], [256, 2], [256, 1], [512, 2]] {
        x = x -> separable(width, stride)
    }
    x = x -> 5 * separable(512) -> separable(1024, 2) -> separable(1024)
    logits = x -> global_avg_pool -> dense(1000)
}
"""
DCGAN = """
net generator : noise[100] -> image {
    x = reshape(noise -> dense(1024 * 16), [1024, 4, 4]) -> bn -> relu
    for width in [512, 256, 128] {
        x = x -> deconv(width, 4, stride = 2, bias = false) -> bn -> relu
    }
    image = x -> deconv(3, 4, stride = 2) -> tanh
}
"""
WAVENET = """
block layer(dilation) : x, skips -> y, out {
    gated = (x -> conv(32, 2, dilation = dilation) -> tanh) * (x -> conv(32, 2, dilation = dilation) -> sigmoid)
    y = x + (gated -> conv(32, 1))
    out = skips + (gated -> conv(64, 1))
}

net wavenet : wave[1, T = 4096] -> scores {
    x = wave -> conv(32, 2)
    skips = x -> conv(64, 1)
    for stack in range(2) {
        for i in range(10) {
            x, skips = (x, skips) -> layer(2 ** i)
        }
    }
    scores = skips -> relu -> conv(256, 1)
}
"""


@pytest.mark.parametrize("text", [VGG, GOOGLENET, INCEPTION_STEM, MOBILENET, DCGAN, WAVENET],
                         ids=lambda text: re.search(r"^net (\w+)", text, re.MULTILINE)[1])  # fmt: skip
def test_well_known_networks_are_clean(text):
    assert [diagnostic.message for diagnostic in linted(text)] == []


def test_a_large_network_given_small_images():
    """ResNet-50 on 32 x 32 pixels: its last stage works on maps of 1 x 1."""
    text = (ROOT / "examples" / "zoo" / "resnet.net").read_text(encoding="utf-8").replace("224", "32")
    found = lint(*elaborate_all(Source("test.net", text)))
    assert [d.code for d in found] == ["W0205"]


def test_lints_take_a_small_part_of_the_time():
    lines = [f"    x{i + 1} = x{i} + (x{i} -> conv(8, 3, bias = false) -> bn -> relu)" for i in range(1000)]
    text = "\n".join(["net f : image[8, 64, 64] -> y {", "    x0 = image", *lines, "    y = x1000", "}"])
    times = []
    for _ in range(3):
        start = time.process_time()
        elaborations = elaborate_all(Source("test.net", text))
        middle = time.process_time()
        lint(*elaborations)
        times.append((middle - start, time.process_time() - middle))
    assert min(lint_time for _, lint_time in times) < 0.25 * min(elaboration for elaboration, _ in times)
