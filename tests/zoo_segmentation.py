"""Cases of the zoo: fully convolutional networks."""

import numpy as np
from zoo import Figures, Small


def corner(generator, shape):
    """Label maps of two regions: 1 in the lower right quarter, 0 elsewhere."""
    labels = np.zeros(shape, np.int64)
    labels[..., shape[-2] // 2 :, shape[-1] // 2 :] = 1
    return labels


def weights(generator, shape):
    """Between 1 and 11, as the gaps between cells have with the paper's w0 = 10."""
    return (1 + 10 * generator.random(shape)).astype(np.float32)


def lines(generator, shape):
    """Drawings of 0 and 1, or pictures of them: one thick line across."""
    drawing = np.zeros(shape, np.float32)
    drawing[..., shape[-2] // 3 : shape[-2] // 2, :] = 1
    return drawing


def bands(generator, shape):
    """Label maps, or dim pictures of them, of two scales on a background of 0: a line of 1 and a broad band of 3."""
    labels = np.zeros(shape, np.int64)
    labels[..., shape[-2] // 3, :] = 1
    labels[..., 2 * shape[-2] // 3 :, :] = 3
    return labels if len(shape) == 3 else (labels / 3).astype(np.float32)


#: the layers of VGG-16 as the authors of FCN, HED and others name them, and what they are called in our files
POOLS = {f"pool{i}": f"pool[{i}]" for i in range(1, 6)}
FCN = {"conv1_1": "pool[1].conv[0]", "conv1_2": "pool[1].conv[1]", **POOLS, "fc6": "fc6", "fc7": "fc7", "score_fr": "score_fr"}
SKIPS = {
    4: {"upscore2": "up[0].upscore/y.deconv", "score_pool4": "fine[4].conv", "score_pool4c": "fine[4]"},
    3: {"upscore_pool4": "up[1].upscore/y.deconv", "score_pool3": "fine[3].conv", "score_pool3c": "fine[3]"},
}
DEEPLAB = {layer: f"pool[{i + 1}]" for i, layer in enumerate(("4", "9", "16", "23", "30"))}
DEEPLAB |= {"33": "fc6", "36": "fc7", "37": "scores"}

FIGURES = [
    Figures("fcn", "caffe/fcn32s_voc_500", {"stride": 32}, {**FCN, "upscore": "up", "score": "score"}),
    Figures("fcn", "caffe/fcn16s_voc_500", {"stride": 16}, {**FCN, **SKIPS[4], "upscore16": "up", "score": "score"}),
    Figures("fcn", "caffe/fcn8s_voc_500", {}, {**FCN, **SKIPS[4], **SKIPS[3], "upscore8": "up", "score": "score"}),
    Figures("fcn", "caffe/fcn8s_pascalcontext_500", {"classes": 60}, {"score": "score"}),
    Figures("deeplab", "deeplab_largefov", {}, DEEPLAB, {"deeplab_largefov_fc6": "fc6"}),
    *(
        Figures("deeplab", f"deeplab_{kernel}x{kernel}_r{hole}", {"kernel": kernel, "hole": hole, "units": 4096}, DEEPLAB,
                {f"deeplab_{kernel}x{kernel}_r{hole}_fc6": "fc6"})
        for kernel, hole in ((7, 4), (4, 4), (4, 8))
    ),
    Figures("context_module", "context_module_basic_c21", {},
            {**{str(2 * i - 1): f"layer[{i}]" for i in range(1, 8)}, "14": "scores"},
            {"context_module_basic": "scores"}),
    Figures("unet", "unet_2015_valid", {},
            {**{f"down.{d}": f"skip[{d}]" for d in range(4)}, "pool": "x[3].max_pool", "down.4": "x.dropout",
             "dec.0": "x[3].unit/y.conv[1]", "dec.3": "x[0].unit/y.conv[1]", "out": "scores"},
            {"unet_bottleneck": "x.dropout", "unet_output_valid": "scores"}),
    Figures("hed", "caffe/hed_deploy", {}, {
        "conv1_1": "x[0].conv[0]", "conv1_2": "x[0].conv[1]", **{f"pool{s}": f"x[{s}].max_pool" for s in range(1, 5)},
        **{f"score-dsn{s + 1}": f"dsn[{s}]" for s in range(5)}, **{f"upsample_{2 ** s}": f"up[{s}].deconv" for s in range(1, 5)},
        "concat": "fused.concat",
    }),
    Figures("segnet:segnet", "caffe/segnet_camvid_360x480", {}, {
        "conv1_1": "stage[0].unit[0]/y.conv", "conv1_1_bn": "stage[0].unit[0]/y.bn", "conv1_2_bn": "stage[0].unit[1]/y.bn",
        **{f"pool{s + 1}": f"x[{s}].max_pool" for s in range(5)},
        **{f"upsample{s + 1}": f"up[{s}]" for s in range(5)}, "conv1_2_D": "x[0].relu[0]", "conv1_1_D": "scores",
    }),
    Figures("segnet:segnet", "caffe/segnet_pascal", {"classes": 21, "H": 224, "W": 224}),
    Figures("segnet:segnet", "caffe/segnet_sun", {"classes": 38}, {"conv1_1_D": "scores"}),
    Figures("segnet:segnet_basic", "caffe/segnet_basic_camvid_360x480", {},
            {"conv1": "stage[0]", **{f"pool{s + 1}": f"x[{s}].max_pool" for s in range(4)}},
            apart={"macs": (59_188_838_400, "the record unpools 23 rows to 46, the model to 45")}),
    Figures("deconvnet", "caffe/deconvnet_224", {}, {
        **{f"pool{s + 1}": f"pooled[{s}]" for s in range(5)}, **{f"unpool{s + 1}": f"up[{s}]" for s in range(5)},
        "fc6": "fc6", "fc7": "fc7", "fc6-deconv": "x.unit/y.relu", "deconv4_3": "x[3].unit/y.relu", "deconv2_2": "x[1].unit/y.relu",
        "deconv1_2": "x[0].unit/y.relu",
    }, {"bnfc7": "fc7"}),
]  # fmt: skip

LABEL = {"label": corner}

SMALL = [
    *(
        Small("fcn", {"stride": stride, "classes": 4, "width": 4, "H": 32, "W": 40}, rate=0.03, feeds=LABEL)
        for stride in (32, 16, 8)
    ),
    Small("deeplab", {"units": 16, "width": 4, "H": 33, "W": 41}, rate=0.1, feeds=LABEL),
    Small("context_module", {"classes": 5, "H": 20, "W": 24}, feeds=LABEL),
    Small("context_module", {"large": True, "classes": 2, "H": 20, "W": 24}, feeds=LABEL),
    Small("unet", {"width": 4, "H": 188, "W": 204}, rate=0.1, feeds={**LABEL, "weight": weights}),
    Small("hed", {"width": 4, "H": 32, "W": 40}, feeds={"image": lines, "edge": lines}),
    Small("segnet:segnet", {"width": 4, "H": 45, "W": 58}, feeds=LABEL),
    Small("segnet:segnet_basic", {"width": 8, "H": 45, "W": 58}, feeds=LABEL),
    Small("deepskeleton", {"width": 4, "H": 32, "W": 40}, feeds={"image": bands, "scale": bands}),
    Small("crf_as_rnn", {"classes": 4, "width": 4, "H": 64, "W": 96, "steps": 3}, rate=0.01, feeds=LABEL),
    Small("deconvnet", {"classes": 5, "width": 2}, rate=0.1, feeds=LABEL),
]
