"""One application, or several, of every block of std: the inputs' shapes, what is done, the shapes that come out."""

from typing import NamedTuple

Shape = tuple[int, ...]


class Application(NamedTuple):
    """`statements` compute `y`, or the names that `outputs` lists, from `x`, or the names that `inputs` lists."""

    block: str
    inputs: str
    statements: str
    outputs: dict[str, Shape]
    also: str = ""  # what else is imported: "residual.basic"


def _one(block, x, layer, y, also=""):
    return Application(block, f"x{x}", f"y = x -> {layer}", {"y": y}, also)


APPLICATIONS = [
    _one("residual.shortcut", "[8, 12, 10]", "shortcut(16, 2)", (16, 6, 5)),
    _one("residual.padded_shortcut", "[8, 12, 9]", "conv(8, 1) -> padded_shortcut(24, 2)", (24, 6, 5)),
    _one("residual.padded_shortcut", "[8, 12, 9]", "conv(8, 1) -> padded_shortcut(8)", (8, 12, 9)),
    _one("residual.projected_shortcut", "[8, 12, 10]", "projected_shortcut(8)", (8, 12, 10)),
    _one("residual.residual", "[8, 12, 10]", "residual(conv(8, 3) -> bn)", (8, 12, 10)),
    _one("residual.residual", "[8, 12, 10]", "residual(conv(16, 3, 2) -> bn, stride = 2)", (16, 6, 5)),
    _one("residual.basic", "[8, 12, 10]", "basic(8) -> basic(16, 2)", (16, 6, 5)),
    _one("residual.basic", "[8, 12, 10]", "basic(16, 2, skip = padded_shortcut)", (16, 6, 5), "residual.padded_shortcut"),
    _one("residual.bottleneck", "[8, 12, 10]", "bottleneck(4, 2) -> bottleneck(4, dilation = 2)", (16, 6, 5)),
    _one("residual.bottleneck", "[8, 12, 10]", "bottleneck(8, groups = 4, expansion = 2)", (16, 12, 10)),
    _one("residual.preact_basic", "[8, 12, 10]", "preact_basic(8) -> preact_basic(16, 2)", (16, 6, 5)),
    _one("residual.preact_bottleneck", "[8, 12, 10]", "preact_bottleneck(4, 2) -> preact_bottleneck(4)", (16, 6, 5)),
    _one("dense_block.dense_block", "[8, 6, 6]", "dense_block(3, bn -> relu -> conv(12, 3))", (44, 6, 6)),
    _one("dense_block.dense_block", "[8, 6, 6]", "dense_block(3, conv(5, 3), keep_input = false)", (15, 6, 6)),
    _one("dense_block.dense_layer", "[8, 6, 6]", "dense_layer(12)", (12, 6, 6)),
    _one("dense_block.dense_bottleneck", "[8, 6, 6]", "dense_bottleneck(12)", (12, 6, 6)),
    _one("dense_block.transition", "[9, 7, 6]", "transition", (4, 3, 3)),
    _one("inception.inception_unit", "[8, 7, 7]", "inception_unit(4, 5)", (4, 7, 7)),
    _one("inception.inception", "[8, 7, 7]", "inception(4, 2, 6, 3, 5, 7)", (22, 7, 7)),
    _one("inception.inception_classifier", "[8, 14, 14]", "inception_classifier(10)", (10,)),
    _one("separable.depthwise", "[8, 12, 10]", "depthwise(5, 2)", (8, 6, 5)),
    _one("separable.separable", "[8, 12, 10]", "separable(16, 2)", (16, 6, 5)),
    _one("separable.inverted_residual", "[8, 12, 10]", "inverted_residual(8) -> inverted_residual(16, 2, 1)", (16, 6, 5)),
    _one("squeeze_excite.squeeze_excite", "[8, 12, 10]", "squeeze_excite(4)", (8, 12, 10)),
    _one("squeeze_excite.se_bottleneck", "[8, 12, 10]", "se_bottleneck(4, 2)", (16, 6, 5)),
    _one("highway.highway", "[8, 12, 10]", "highway", (8, 12, 10)),
    Application("fractal.fractal_columns", "x[4, 6, 6]", "a, b = x -> fractal_columns(2, conv(4, 3))\ny = a + b",
                {"y": (4, 6, 6)}),
    _one("fractal.fractal", "[4, 6, 6]", "fractal(3, conv(8, 3) -> bn -> relu)", (8, 6, 6)),
    _one("hourglass.hourglass", "[8, 16, 8]", "hourglass(3, preact_bottleneck(4, expansion = 2))", (8, 16, 8),
         "residual.preact_bottleneck"),
    Application("fabric.fabric", "x[3, 8, 8]", "fine, middle, y = x -> fabric(3, 3, 6)",
                {"fine": (6, 8, 8), "middle": (6, 4, 4), "y": (6, 2, 2)}),
    Application("fabric.fabric", "x[3, 8, 8]", "_, y = x -> fabric(3, 2, 6, sparse = true)", {"y": (6, 4, 4)}),
    _one("grid.grid_lateral", "[8, 8, 8]", "grid_lateral", (8, 8, 8)),
    _one("grid.grid_down", "[8, 8, 8]", "grid_down(16)", (16, 4, 4)),
    _one("grid.grid_up", "[8, 8, 8]", "grid_up(4)", (4, 16, 16)),
    _one("grid.grid", "[4, 8, 12]", "grid([4, 8, 16], 2)", (4, 8, 12)),
    _one("unet.unet_unit", "[3, 12, 12]", "unet_unit(8, 0)", (8, 8, 8)),
    Application("unet.unet_down", "x[3, 12, 12]", "skip, y = x -> unet_down(8)", {"skip": (8, 12, 12), "y": (8, 6, 6)}),
    Application("unet.unet_up", "skip[3, 12, 12], x[8, 6, 6]", "y = (skip, x) -> unet_up(4)", {"y": (4, 12, 12)}),
    Application("unet.unet_up", "skip[3, 15, 14], x[8, 6, 6]", "y = (skip, x) -> unet_up(4, 0)", {"y": (4, 8, 8)}),
    _one("unet.unet", "[3, 16, 8]", "unet(2, 4)", (4, 16, 8)),
    _one("unet.unet", "[3, 44, 44]", "unet(2, 4, padding = 0)", (4, 4, 4)),
    _one("atrous.context_module", "[4, 12, 12]", "context_module([2, 2, 4, 8, 16, 32, 32])", (4, 12, 12)),
    _one("atrous.aspp", "[8, 12, 10]", "aspp(4, [2, 3])", (4, 12, 10)),
    _one("atrous.aspp_scores", "[8, 12, 10]", "aspp_scores(5, [2, 3], 4)", (5, 12, 10)),
    Application("pyramid.fpn_merge", "side[4, 8, 6], above[5, 4, 3]", "y = (side, above) -> fpn_merge", {"y": (5, 8, 6)}),
    Application("pyramid.fpn", "c2[2, 16, 16], c3[3, 8, 8], c4[4, 4, 4], c5[5, 2, 2]",
                "p2, p3, p4, p5 = (c2, c3, c4, c5) -> fpn(6)",
                {"p2": (6, 16, 16), "p3": (6, 8, 8), "p4": (6, 4, 4), "p5": (6, 2, 2)}),
    _one("pyramid.pyramid_pooling", "[8, 12, 6]", "pyramid_pooling", (16, 12, 6)),
    _one("pyramid.spatial_pyramid_pool", "[8, 11, 6]", "conv(8, 1) -> spatial_pyramid_pool", (168,)),
    _one("pyramid.spatial_pyramid_pool", "[8, 2, 3]", "conv(8, 1) -> spatial_pyramid_pool([3, 1])", (80,)),
    _one("fcn.fcn_enlarge", "[3, 5, 4]", "fcn_enlarge(4)", (3, 20, 16)),
    Application("fcn.fcn_fuse", "fine[4, 8, 6], scores[3, 4, 3]", "y = (fine, scores) -> fcn_fuse", {"y": (3, 8, 6)}),
    _one("fcn.fcn32", "[4, 2, 3]", "fcn32(5)", (5, 64, 96)),
    Application("fcn.fcn16", "pool4[3, 4, 6], x[4, 2, 3]", "y = (pool4, x) -> fcn16(5)", {"y": (5, 64, 96)}),
    Application("fcn.fcn8", "pool3[2, 8, 12], pool4[3, 4, 6], x[4, 2, 3]", "y = (pool3, pool4, x) -> fcn8(5)",
                {"y": (5, 64, 96)}),
    Application("attention.dot_product_attention", "q[4, 5], k[4, 6], v[3, 6]",
                "y = (q -> conv(4, 1), k, v) -> dot_product_attention", {"y": (3, 5)}),
    Application("attention.multi_head_attention", "q[6, 5], m[4, 7]", "y = (q, m, m) -> multi_head_attention(3)",
                {"y": (6, 5)}),
    _one("attention.non_local", "[4, 6, 5]", "non_local", (4, 6, 5)),
    _one("attention.channel_attention", "[8, 6, 5]", "channel_attention(4)", (8, 6, 5)),
    _one("attention.spatial_attention", "[8, 6, 5]", "spatial_attention", (8, 6, 5)),
    _one("attention.cbam", "[8, 6, 5]", "cbam(4, 3)", (8, 6, 5)),
    Application("attention.attention_gate", "skip[4, 8, 6], g[5, 4, 3]", "y = (skip, g) -> attention_gate(3)",
                {"y": (4, 8, 6)}),
]  # fmt: skip


def text(application):
    """A file that imports the block and applies it, with a train block over its last output."""
    imports = "".join(
        "from std.{} import {}\n".format(*path.split(".")) for path in (application.block, application.also) if path
    )
    name, shape = list(application.outputs.items())[-1]
    return f"""{imports}
net f : {application.inputs} -> {", ".join(application.outputs)} {{
{application.statements}
}}
train f {{
    target    = value(truth, {list(shape)})
    loss      = mean_squared_error({name}, truth)
    optimizer = sgd(lr = 0.1)
    batch     = 2
    epochs    = 1
}}
"""
