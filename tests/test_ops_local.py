"""Locally connected layers: DeepFace's count, and a convolution where all positions have the same weights."""

import numpy as np
import torch
from op_running import applied, compiled, run
from torch.nn import functional as F

from netdsl.elaborate import load_text
from netdsl.ir import Size, TensorType, Value
from netdsl.ops import OPERATORS, Args, Site


def test_equal_weights_make_a_convolution():
    b, node = applied("locally_connected", [(3, 9, 8)], {"channels": 4, "kernel": 3, "stride": 2, "pad": 1})
    generator = np.random.default_rng(0)
    weight, bias = (generator.standard_normal(shape).astype(np.float32) for shape in ((4, 3, 3, 3), (4,)))
    parameters = {
        "weight": np.broadcast_to(weight.transpose(2, 3, 1, 0), node.parameters["weight"].shape),
        "bias": np.broadcast_to(bias[:, None, None], node.parameters["bias"].shape),
    }
    x = generator.standard_normal((2, 3, 9, 8)).astype(np.float32)
    expected = F.conv2d(*map(torch.from_numpy, (x, weight, bias)), stride=2, padding=1)
    found = run(compiled(b, node, {k: np.ascontiguousarray(v) for k, v in parameters.items()}), [x])
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_deepface_has_a_bias_at_each_position():
    """Rebuilt from figure 2 of the paper, which says over 120 million: 118,923,774, of which 65,456 are these biases."""
    graph = load_text("""net deepface : face[3, 152, 152] -> logits {
        x = face -> conv(32, 11, pad = 0) -> relu -> max_pool(3, 2, ceil = true) -> conv(16, 9, pad = 0) -> relu
        x = x -> locally_connected(16, 9) @l4 -> relu -> locally_connected(16, 7, 2) @l5 -> relu -> locally_connected(16, 5) @l6
        logits = x -> relu -> flatten -> dense(4096) -> relu -> dense(4030)
    }""")
    sizes = {p.name: p.count for p in graph.parameters()}
    assert sum(sizes.values()) == 118_923_774
    assert sum(sizes[f"l{i}.bias"] for i in (4, 5, 6)) == 16 * (55 * 55 + 25 * 25 + 21 * 21)


def test_a_symbolic_size_is_fixed_and_the_reason_said():
    h = Size.symbol("H", 8)
    args = Args({a.name: a.default for a in OPERATORS["locally_connected"].arguments}, channels=2, kernel=3)
    site = Site(args, (Value("x", TensorType((3, h))),), ("`x`",))
    OPERATORS["locally_connected"].resolve(site)
    assert (h, "every position has its own weights") in site.fixes
    assert OPERATORS["locally_connected"].parameters(site)["weight"].shape == (6, 3, 3, 2)
