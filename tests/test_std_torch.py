"""Blocks of std against the same figures drawn in PyTorch, number by number."""


import numpy as np
import pytest
import torch
import torch.nn.functional as F
from net_text import graph
from onnx_running import randomised, run_net
from torch import nn
from torch_weights import Weights

from netdsl.lower import initial_parameters

torch.set_num_threads(1)


def compare(path, inputs, statement, truth):
    """The block's `y`, or the last of several results, equals what `truth(weights, *inputs)` makes."""
    module, block = path.split(".")
    signature = ", ".join(f"{name}{list(shape)}" for name, shape in inputs.items())
    found = graph(f"from std.{module} import {block}\nnet f : {signature} -> y {{ {statement} }}")
    values = randomised(found, initial_parameters(found, seed=3))
    generator = np.random.default_rng(5)
    feed = {name: generator.standard_normal((2, *shape)).astype(np.float32) for name, shape in inputs.items()}
    weights = Weights(found.parameters(), values)
    expected = truth(weights, *map(torch.from_numpy, feed.values()))
    assert not weights.left, "the net has more weights"
    y = run_net(found, values, **feed)["y"]
    assert y.shape == tuple(expected.shape)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5 * max(1.0, float(expected.abs().max())))


MAPS = {"x": (8, 12, 10)}


def test_basic():
    def truth(w, x):
        main = w.conv_bn(w.conv_bn(x, stride=2).relu())
        return (main + w.conv_bn(x, stride=2)).relu()

    compare("residual.basic", MAPS, "y = x -> basic(16, 2)", truth)


def test_bottleneck_with_an_identity():
    def truth(w, x):
        return (x + w.conv_bn(w.conv_bn(w.conv_bn(x).relu(), groups=2).relu())).relu()

    compare("residual.bottleneck", MAPS, "y = x -> bottleneck(4, groups = 2, expansion = 2)", truth)


@pytest.mark.parametrize("width", [8, 16])
def test_preact_basic_projects_what_is_activated(width):
    def truth(w, x):
        active = w.bn(x).relu()
        main = w.conv(w.bn(w.conv(active, bias=False)).relu(), bias=False)
        return main + (x if width == 8 else w.conv(active, bias=False))

    compare("residual.preact_basic", MAPS, f"y = x -> preact_basic({width})", truth)


def test_dense_block():
    def truth(w, x):
        for _ in range(3):
            x = torch.cat([x, w.conv(x).relu()], 1)
        return x

    compare("dense_block.dense_block", MAPS, "y = x -> dense_block(3, conv(5, 3) -> relu)", truth)


def test_inception():
    def truth(w, x):
        one = w.conv(x).relu()
        three = w.conv(w.conv(x).relu()).relu()
        five = w.conv(w.conv(x).relu()).relu()
        return torch.cat([one, three, five, w.conv(F.max_pool2d(x, 3, 1, 1)).relu()], 1)

    compare("inception.inception", MAPS, "y = x -> inception(3, 2, 4, 2, 5, 6)", truth)


def test_inverted_residual():
    def truth(w, x):
        return x + w.conv_bn(F.relu6(w.conv_bn(F.relu6(w.conv_bn(x)), groups=16)))

    compare("separable.inverted_residual", MAPS, "y = x -> inverted_residual(8, expand = 2)", truth)


def test_squeeze_excite():
    def truth(w, x):
        return x * w.dense(w.dense(x.mean((2, 3))).relu()).sigmoid()[:, :, None, None]

    compare("squeeze_excite.squeeze_excite", MAPS, "y = x -> squeeze_excite(4)", truth)


def test_highway():
    def truth(w, x):
        h, t = w.conv(x).relu(), w.conv(x).sigmoid()
        return t * h + (1 - t) * x

    compare("highway.highway", MAPS, "y = x -> highway", truth)


def test_fractal_as_drawn():
    """Figure 1's third fractal: neighbouring joins are one mean over all that end there."""

    def truth(w, x):
        short = w.conv(x).relu()
        middle = (w.conv(x).relu() + w.conv(w.conv(x).relu()).relu()) / 2
        return (short + w.conv(middle).relu() + w.conv(w.conv(middle).relu()).relu()) / 3

    compare("fractal.fractal", MAPS, "y = x -> fractal(3, conv(8, 3) -> relu)", truth)


def test_hourglass():
    def up(x):
        return F.interpolate(x, scale_factor=2, mode="nearest")

    def truth(w, x):
        half = w.conv(F.max_pool2d(x, 2))
        quarter = w.conv(w.conv(F.max_pool2d(half, 2)))
        half = w.conv(half) + up(w.conv(quarter))
        return w.conv(x) + up(w.conv(half))

    compare("hourglass.hourglass", {"x": (4, 8, 12)}, "y = x -> hourglass(2, conv(4, 3))", truth)


def test_unet_step_crops_the_skip():
    def truth(w, skip, x):
        up = F.conv_transpose2d(x, *w.take(2), stride=2)
        both = torch.cat([skip[:, :, 2:-2, 1:-1], up], 1)
        return w.conv(w.conv(both, pad=0).relu(), pad=0).relu()

    compare("unet.unet_up", {"skip": (3, 16, 14), "x": (8, 6, 6)}, "y = (skip, x) -> unet_up(4, padding = 0)", truth)


def test_aspp():
    def truth(w, x):
        views = [w.conv_bn(x).relu(), *(w.conv_bn(x, dilation=d).relu() for d in (2, 3))]
        whole = w.conv_bn(x.mean((2, 3), keepdim=True)).relu()
        views.append(F.interpolate(whole, x.shape[2:], mode="bilinear"))
        return w.conv_bn(torch.cat(views, 1)).relu()

    compare("atrous.aspp", MAPS, "y = x -> aspp(5, [2, 3])", truth)


def test_pyramid_pooling():
    def truth(w, x):
        levels = [w.conv_bn(F.adaptive_avg_pool2d(x, size)).relu() for size in (1, 2, 3, 6)]
        return torch.cat([x, *(F.interpolate(level, x.shape[2:], mode="bilinear") for level in levels)], 1)

    for size in ((12, 6), (11, 7)):
        compare("pyramid.pyramid_pooling", {"x": (8, *size)}, "y = x -> pyramid_pooling", truth)


def test_feature_pyramid():
    """torchvision's FeaturePyramidNetwork: laterals, nearest upsampling, sums, 3x3 outputs."""

    def truth(w, *stages):
        tops = [w.conv(stages[3])]
        for stage in reversed(stages[:3]):
            tops.append(w.conv(stage) + F.interpolate(tops[-1], scale_factor=2, mode="nearest"))
        p5, p4, p3, p2 = (w.conv(top) for top in tops)
        return p2 + sum(F.interpolate(p, p2.shape[2:], mode="nearest") for p in (p3, p4, p5))

    sizes = {"c2": (2, 16, 16), "c3": (3, 8, 8), "c4": (4, 4, 4), "c5": (5, 2, 2)}
    statement = """
        p2, p3, p4, p5 = (c2, c3, c4, c5) -> fpn(6)
        y = sum(p2, p3 -> upsample(2), p4 -> upsample(4), p5 -> upsample(8))
    """
    compare("pyramid.fpn", sizes, statement, truth)


def test_fcn8():
    def enlarge(w, x, factor):
        return F.conv_transpose2d(x, *w.take(1), stride=factor, padding=factor // 2)

    def truth(w, pool3, pool4, x):
        scores = enlarge(w, w.conv(x), 2) + w.conv(pool4)
        scores = enlarge(w, scores, 2) + w.conv(pool3)
        return enlarge(w, scores, 8)

    sizes = {"pool3": (2, 8, 12), "pool4": (3, 4, 6), "x": (4, 2, 3)}
    compare("fcn.fcn8", sizes, "y = (pool3, pool4, x) -> fcn8(5)", truth)


def test_dot_product_attention():
    def truth(w, q, k, v):
        return F.scaled_dot_product_attention(q.mT, k.mT, v.mT).mT

    compare("attention.dot_product_attention", {"q": (4, 5), "k": (4, 7), "v": (3, 7)},
            "y = (q, k, v) -> dot_product_attention", truth)  # fmt: skip


def test_multi_head_attention():
    """torch.nn.MultiheadAttention, whose projections stack those of the heads."""

    def truth(w, queries, memory):
        heads = [w.take(6) for _ in range(3)]
        stacked = [torch.cat([head[i] for head in heads]).squeeze(-1) for i in range(6)]
        out, out_bias = w.take(2)
        module = nn.MultiheadAttention(6, 3, kdim=4, vdim=4, batch_first=True).eval()
        names = ("q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
        module.load_state_dict(
            dict(zip(names, [*stacked[::2], torch.cat(stacked[1::2]), out.squeeze(-1), out_bias], strict=True))
        )
        with torch.no_grad():
            return module(queries.mT, memory.mT, memory.mT)[0].mT

    compare(
        "attention.multi_head_attention", {"q": (6, 5), "m": (4, 7)}, "y = (q, m, m) -> multi_head_attention(3)", truth
    )


def test_non_local():
    def truth(w, x):
        theta, phi, g = (w.conv(x).flatten(2) for _ in range(3))
        seen = torch.einsum("nij,ncj->nci", torch.einsum("nci,ncj->nij", theta, phi).softmax(2), g)
        return x + w.conv(seen.unflatten(2, x.shape[2:]))

    compare("attention.non_local", {"x": (4, 5, 6)}, "y = x -> non_local", truth)


def test_cbam():
    def truth(w, x):
        first, second = w.take(2), w.take(2)
        mlp = [F.linear(F.linear(v, *first).relu(), *second) for v in (x.mean((2, 3)), x.amax((2, 3)))]
        x = x * sum(mlp).sigmoid()[:, :, None, None]
        stack = torch.stack([x.mean(1), x.amax(1)], 1)
        return x * w.conv(stack, bias=False).sigmoid()

    compare("attention.cbam", MAPS, "y = x -> cbam(4, 7)", truth)


def test_attention_gate():
    def truth(w, skip, gating):
        seen = (w.conv(skip, bias=False, pad=0, stride=2) + w.conv(gating)).relu()
        return skip * F.interpolate(w.conv(seen).sigmoid(), scale_factor=2, mode="bilinear")

    compare(
        "attention.attention_gate", {"skip": (4, 8, 6), "g": (5, 4, 3)}, "y = (skip, g) -> attention_gate(3)", truth
    )
