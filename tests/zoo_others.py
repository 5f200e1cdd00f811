"""Cases of the zoo: the other networks."""

import numpy as np
from zoo import Figures, Small, bits
from zoo_segmentation import corner


def one_box(_, shape):
    """1 in the four places of class 1, 0 elsewhere."""
    inside = np.zeros(shape, np.float32)
    inside[:, 4:8] = 1
    return inside


CHOPPED = "the layers behind the last pool are cut off"

FIGURES = [
    Figures("fully_convolutional_classifier:digit", "caffe/caffe_lenet", {}, {"pool2": "x", "ip2": "logits"}, {"pool2": "x"}),
    Figures(
        "fully_convolutional_classifier:caffenet", "caffe/bvlc_caffenet_227", {},
        {"conv1": "x.conv", "pool1": "x.max_pool", "pool2": "x.max_pool.1", "pool5": "x", "fc6": "logits.dense[0]",
         "fc7": "logits.dense[1]", "fc8": "logits"}, {"pool5": "x"},
    ),
    Figures(
        "multitask", "caffe/fastrcnn_caffenet_voc_test", {},
        {"roi_pool5": "x", "fc6": "region.dense[0]", "fc7": "region.dense[1]", "cls_score": "scores", "bbox_pred": "offsets"},
        apart={"macs": (720_740_896, "of 227 x 227 pixels, not 600 x 1000")},
    ),
    Figures(
        "multimodal_fusion:rgb", "caffe/fcn32s_nyud_color_500", {"H": 500, "W": 500},
        {"conv1_1": "coarse.vgg_scores/x[0,0].conv", "pool5": "coarse.vgg_scores/x[4].max_pool", "score_fr": "coarse",
         "upscore": "scores.enlarge/up.deconv", "score": "scores"},
    ),
    Figures("wavenet", "wavenet_ibab_5x10", {"padding": 0}, {"causal": "x.conv", "p1": "scores.conv", "p2": "scores"}),
    Figures(
        "feature_extraction", "torchvision/vgg16", {}, {"features": "features"},
        {"features.4": "features[2].max_pool", "features.16": "features[9].max_pool", "features.28": "features[16].conv",
         "features.30": "features"},
        {"params": (14_714_688, CHOPPED), "macs": (15_346_630_656, CHOPPED)},
    ),
]  # fmt: skip

SMALL = [
    Small("colorization", {"width": 8, "bins": 12, "H": 32, "W": 32}, rate=1e-3, feeds={"bin": corner}),
    Small("denoising_autoencoder", {"units": 20}, feeds={"image": bits}),
    Small("farabet_pyramid:farabet", {"width": 4, "hidden": 16, "classes": 3, "H": 32, "W": 48}, rate=0.1,
          feeds={"label": corner}),
    Small("feature_extraction", {"width": 4, "H": 32, "W": 32, "classes": 3}, batch=4),
    Small("flownet:flownet_s", {"width": 4, "H": 64, "W": 64}, rate=1e-3),
    Small("flownet:flownet_c", {"width": 4, "reach": 4, "H": 64, "W": 64}, rate=1e-3),
    Small("fully_convolutional_classifier:digit", {"width": 4, "units": 32}),
    Small("fully_convolutional_classifier:caffenet", {"width": 4, "units": 16, "classes": 4}),
    Small("hypercolumns", {"width": 4, "units": 16, "K": 3, "size": 12}, rate=0.02, feeds={"object": bits}),
    Small("mcdnn", {"columns": 1, "width": 4}, batch=4, rate=0.01),
    Small("multi_digit", {"width": 4, "units": 32}, rate=0.01),
    Small("multimodal_fusion:rgb_hha", {"width": 4, "classes": 4, "H": 40, "W": 33}, rate=0.03, feeds={"label": corner}),
    Small("multitask", {"width": 4, "units": 32, "classes": 2}, rate=0.05, feeds={"inside": one_box}),
    Small("recurrent_scene_parser", {"widths": [4, 6], "classes": 3}, batch=4),
    Small("siamese_drlim", {"width": 4}, batch=8),
    Small("two_stream", {"width": 12, "units": 64, "classes": 4}, rate=0.1),
    Small("two_stream", {"fusion": "conv5", "width": 12, "units": 64, "classes": 4}, rate=0.1),
    Small("vnet", {"width": 4, "D": 16, "H": 16, "W": 16}, rate=1.0, feeds={"mask": bits}),
    Small("wavenet", {"blocks": 2, "dilations": 3, "width": 4, "skips": 8, "T": 40}, rate=0.01),
    Small("wavenet", {"blocks": 2, "dilations": 3, "width": 4, "skips": 8, "T": 40, "padding": 0}, rate=0.01),
    Small("unet3d", {"width": 4, "depth": 1, "D": 20, "H": 22, "W": 22}, rate=0.1, feeds={"label": corner}),
]  # fmt: skip
