"""Cases of the zoo: the other networks."""

from __future__ import annotations

from zoo import Figures, Small
from zoo_segmentation import corner

CHOPPED = "the layers behind the last pool are cut off"

FIGURES: list[Figures] = [
    Figures(
        "multimodal_fusion:rgb", "caffe/fcn32s_nyud_color_500", {"H": 500, "W": 500},
        {"conv1_1": "coarse.vgg_scores/x[0,0].conv", "pool5": "coarse.vgg_scores/x[4].max_pool", "score_fr": "coarse",
         "upscore": "scores.enlarge/up.deconv", "score": "scores"},
    ),
    Figures(
        "feature_extraction", "torchvision/vgg16", {}, {"features": "features"},
        {"features.4": "features[2].max_pool", "features.16": "features[9].max_pool", "features.28": "features[16].conv",
         "features.30": "features"},
        {"params": (14_714_688, CHOPPED), "macs": (15_346_630_656, CHOPPED)},
    ),
]  # fmt: skip

SMALL: list[Small] = [
    Small("colorization", {"width": 8, "bins": 12, "H": 32, "W": 32}, rate=1e-2),
    Small("feature_extraction", {"width": 4, "H": 32, "W": 32, "classes": 3}, batch=4),
    Small("multimodal_fusion:rgb_hha", {"width": 4, "classes": 4, "H": 40, "W": 33}, rate=0.03, feeds={"label": corner}),
    Small("siamese_drlim", {"width": 4}, batch=8),
    Small("unet3d", {"width": 4, "depth": 1, "D": 20, "H": 22, "W": 22}, rate=0.1),
]
