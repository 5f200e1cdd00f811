"""Networks assembled from std against published and measured figures: torchvision's, timm's, the authors' own files.

MACs without bias; `expect` in the nets holds parameters, MACs and shapes to the digit. What the zoo assembles from std
(CIFAR's and preactivation residual networks, DenseNets, FC-DenseNet, GoogLeNet, MobileNets) is held in `test_zoo.py`.
"""

import pytest
from net_text import elaborated

RESNET = """
from std.residual import bottleneck
from std.squeeze_excite import se_bottleneck
block se_unit(width, stride = 1) : x -> y { y = x -> se_bottleneck(width, stride) }
block next_unit(width, stride = 1) : x -> y { y = x -> bottleneck(2 * width, stride, groups = 32, expansion = 2) }
net resnet : image[3, H = 224, W = 224] -> logits {
    x = image -> conv(64, 7, stride = 2, bias = false) -> bn -> relu -> max_pool(3, stride = 2, pad = 1)
    for stage, count in enumerate([3, 4, 6, 3]) {
        for i in range(count) {
            x = x -> UNIT(64 * 2 ** stage, 2 if stage > 0 and i == 0 else 1)
        }
    }
    logits = x -> global_avg_pool -> dense(1000)
    EXPECT
}
"""

# of torchvision 0.28: resnet50, resnext50_32x4d; of timm 1.0: legacy_seresnet50
RESNETS = {
    "bottleneck": (25_557_032, 4_089_184_256), "next_unit": (25_028_904, None), "se_unit": (28_088_024, None),
}  # fmt: skip


def expect(params, macs=None, more=""):
    return f"expect params == {params}\n" + (f"expect macs == {macs}\n" if macs else "") + more


@pytest.mark.parametrize("unit", RESNETS)
def test_resnets(unit):
    elaborated(RESNET.replace("UNIT", unit).replace("EXPECT", expect(*RESNETS[unit])))


def test_wide_resnet_28_10():
    """Zagoruyko & Komodakis 2016, table 4: 36.5 M."""
    elaborated("""
    from std.residual import preact_basic
    net wide : image[3, 32, 32] -> logits {
        x = image -> conv(16, 3, bias = false)
        for width in [160, 320, 640] {
            x = x -> preact_basic(width, 2 if width > 160 else 1) -> 3 * preact_basic(width)
        }
        logits = x -> bn -> relu -> global_avg_pool -> dense(10)
        expect params == 36_479_194
    }""")


GOOGLENET = """
from std.inception import inception, inception_classifier
block bn_unit(width, kernel) : x -> y { y = x -> conv(width, kernel, bias = false) -> bn(0.001) -> relu }
TABLE = [
    [64, 96, 128, 16, 32, 32], [128, 128, 192, 32, 96, 64],
    [192, 96, 208, 16, 48, 64], [160, 112, 224, 24, 64, 64], [128, 128, 256, 24, 64, 64], [112, 144, 288, 32, 64, 64],
    [256, 160, 320, 32, 128, 128], [256, 160, 320, 32, 128, 128], [384, 192, 384, 48, 128, 128],
]
"""


def test_googlenet_of_torchvision():
    elaborated(f"""{GOOGLENET}
    net googlenet : image[3, 224, 224] -> logits {{
        x = image -> conv(64, 7, stride = 2, bias = false) -> bn(0.001) -> relu -> max_pool(3, stride = 2, ceil = true)
        x = x -> bn_unit(64, 1) -> bn_unit(192, 3) -> max_pool(3, stride = 2, ceil = true)
        for i, row in enumerate(TABLE) {{
            x = x -> inception(row[0], row[1], row[2], row[3], row[4], row[5], large = 3, unit = bn_unit)
            x = x -> max_pool(3, stride = 2, ceil = true) if i == 1 else x
            x = x -> max_pool(2) if i == 6 else x
        }}
        logits = x -> global_avg_pool -> dropout(0.2) -> dense(1000)
        {expect(6_624_904, 1_498_376_192)}
    }}""")


@pytest.mark.parametrize("padding, size, classes, channels, params, macs, out", [
    ("0", 572, 2, 1, 31_030_658, 150_428_424_448, 388),
    ('"same"', 256, 21, 3, 31_033_045, 48_251_273_216, 256),
])  # fmt: skip
def test_unets(padding, size, classes, channels, params, macs, out):
    """Ronneberger et al. 2015, figure 1, and the same without the loss of borders."""
    elaborated(f"""
    from std.unet import unet
    net cells : image[{channels}, H = {size}, W = {size}] -> scores {{
        scores = image -> unet(padding = {padding}) -> conv({classes}, 1)
        {expect(params, macs, f"expect scores.shape == [{classes}, {out}, {out}]")}
    }}""")


@pytest.mark.parametrize("width, params, macs", [(27, 912_610, 165_861_864), (64, 5_104_266, 931_111_552)])
def test_fabrics(width, params, macs):
    """The authors' generator: 9 columns (the input's included), 6 scales."""
    elaborated(f"""
    from std.fabric import fabric
    net digits : image[1, 32, 32] -> scores {{
        nodes = image -> fabric(9, 6, {width})
        expect nodes[5].shape == [{width}, 1, 1]
        scores = nodes[5] -> conv(10, 1)
        {expect(params, macs)}
    }}""")


def test_sparse_fabric_has_three_channels_for_one():
    """Saxena & Verbeek 2016, section 3.1: a sparse node has 3 x 3 x 3 weights per response map and scale."""
    elaborated("""
    from std.fabric import fabric
    net digits : image[1, 16, 16] -> y {
        nodes = image -> fabric(2, 2, 10, sparse = true)
        y = nodes[1]
        # entry; down in the first layer; 2 x across, up, down, down in the last: 28 pairs of channels each
        expect params == (10 * 9 + 10) + 6 * (28 * 9 + 10) + 4 * 20
    }""")


def test_the_last_layer_of_a_fabric_leads_towards_the_output():
    """Figure 1: with as many edges, the first node then sees through the coarsest one of its own layer."""
    elaborated("""
    from std.fabric import fabric
    net both : image[1, 16, 16] -> coarse, fine {
        nodes = image -> fabric(2, 3, 4) @down
        others = image -> fabric(2, 3, 4, up = true) @up
        coarse, fine = nodes[2], others[0]
        expect params("down") == params("up")
        expect receptive_field(nodes[0]) < receptive_field(others[0])
    }""")


def test_gridnet():
    """The authors' createGridNet(3, 19, 3, {16, 32, 64, 128, 256})."""
    elaborated(f"""
    from std.grid import grid
    net gridnet : image[3, 400, 400] -> scores {{
        x = image -> bn -> 2 * (conv(16, 3) -> bn -> relu) -> grid
        scores = x -> deconv(19, 3) -> bn -> relu -> deconv(19, 3) -> bn
        {expect(13_181_097, 33_098_400_000)}
    }}""")


def test_context_module():
    """Yu & Koltun 2016, table 1: basic has about 64 C^2 parameters and sees 67 x 67."""
    elaborated(f"""
    from std.atrous import context_module
    net refine : scores[21, 64, 64] -> refined {{
        refined = scores -> context_module
        {expect(28_392, 115_605_504, "expect receptive_field(refined) == 67")}
    }}""")


def test_deeplab_v3():
    """torchvision's deeplabv3_resnet50: stages 3 and 4 dilated instead of strided."""
    elaborated(f"""
    from std.residual import bottleneck
    from std.atrous import aspp
    net deeplab : image[3, 520, 520] -> scores {{
        x = image -> conv(64, 7, stride = 2, bias = false) -> bn -> relu -> max_pool(3, stride = 2, pad = 1)
        x = x -> 3 * bottleneck(64)
        x = x -> bottleneck(128, 2) -> 3 * bottleneck(128)
        x = x -> bottleneck(256) -> 5 * bottleneck(256, dilation = 2)
        x = x -> bottleneck(512, dilation = 2) -> 2 * bottleneck(512, dilation = 4)
        expect x.shape == [2048, 65, 65]
        small = x -> aspp(256, [12, 24, 36]) -> conv(256, 3, bias = false) -> bn -> relu -> conv(21, 1)
        scores = small -> upsample(8, mode = "bilinear")
        {expect(39_638_869, 168_731_205_888)}
    }}""")


def test_deeplab_v2_asppl():
    """Chen et al. 2017: four branches of fc6, fc7 and fc8 on VGG-16, for 21 classes."""
    branch = (512 * 9 * 1024 + 1024) + (1024 * 1024 + 1024) + (1024 * 21 + 21)
    elaborated(f"""
    from std.atrous import aspp_scores
    net head : features[512, 41, 41] -> scores {{
        scores = features -> aspp_scores(21)
        {expect(4 * branch, None, "expect receptive_field(scores) == 49")}
    }}""")


FCN = """
from std.fcn import fcn8, fcn16, fcn32
net fcn : image[3, 224, 224] -> scores {
    x = image
    for i, column in enumerate([[64, 2], [128, 2], [256, 3], [512, 3], [512, 3]]) {
        x = x -> column[1] * (conv(column[0], 3) -> relu) -> max_pool(2)
        pool[i + 1] = x
    }
    x = x -> conv(4096, 7) -> relu -> dropout -> conv(4096, 1) -> relu -> dropout
    scores = HEAD
    expect scores.shape == [21, 224, 224]
    expect params == PARAMS
}
"""


@pytest.mark.parametrize("head, params", [
    ("x -> fcn32(21)", 136_152_917),
    ("(pool[4], x) -> fcn16(21)", 134_815_994),
    ("(pool[3], pool[4], x) -> fcn8(21)", 134_489_759),
])  # fmt: skip
def test_fcn(head, params):
    """The authors' fcn32s, fcn16s and fcn8s on VGG-16, from their prototxt files."""
    elaborated(FCN.replace("HEAD", head).replace("PARAMS", str(params)))


def test_pyramid_scene_parsing_keeps_the_size_and_doubles_the_channels():
    """Zhao et al. 2017, section 3.2: levels 1, 2, 3, 6 of a quarter of the channels each, on 60 x 60."""
    elaborated(f"""
    from std.pyramid import pyramid_pooling
    net head : features[2048, 60, 60] -> y {{
        y = features -> pyramid_pooling
        expect y.shape == [4096, 60, 60]
        {expect(4 * (2048 * 512 + 2 * 512), 2048 * 512 * (1 + 4 + 9 + 36))}
    }}""")


@pytest.mark.parametrize("columns", [1, 2, 3, 4, 5])
def test_fractals_have_the_depth_and_layers_of_the_paper(columns):
    """Larsson et al. 2017, section 3: the longest path has 2^(C-1) convolutions; and there are 2^C - 1."""
    elaborated(f"""
    from std.fractal import fractal
    net f : x[4, 8, 8] -> y {{
        y = x -> fractal({columns}, conv(4, 3, bias = false))
        expect depth == {2 ** (columns - 1)}
        expect params == {(2**columns - 1) * 4 * 4 * 9}
    }}""")


@pytest.mark.parametrize("size", [13, 10])
def test_spatial_pyramids_make_vectors_of_the_papers_length(size):
    """He et al. 2014, section 4.1: 50 bins of 256 filters are 12,800 numbers, whatever the image; figure 3: 21 bins."""
    elaborated(f"""
    from std.pyramid import spatial_pyramid_pool
    net spp : conv5[256, H = {size}, W = {size}] -> large, small {{
        large = conv5 -> spatial_pyramid_pool([6, 3, 2, 1])
        small = conv5 -> spatial_pyramid_pool
        expect large.shape == [12_800]
        expect small.shape == [21 * 256]
    }}
    """)
