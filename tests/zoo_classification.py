"""Cases of the zoo: neurons and classification."""

from zoo import Figures, Small, bits, signs

from netdsl.ir import Init


def blocks(*names):
    """Records call the four stages so; ours are stage[2] to stage[5]."""
    return {name: f"stage[{i + 2}]" for i, name in enumerate(names)}


def dense_blocks(*stages):
    return {f"features.denseblock{stage}": f"stage[{stage}]" for stage in stages}


RESNET = blocks("layer1", "layer2", "layer3", "layer4") | {"fc": "logits"}
RESNET_FIELDS = blocks("layer1", "layer2", "layer3", "layer4")
OWN_BIAS = {"params": (25_557_032, "the authors' ResNet-50 has a bias in front of its first bn")}
VGG = {"features": "pool[5]", "classifier": "logits"}
DENSENET = dense_blocks(1, 2, 3, 4) | {"classifier": "logits"}
CIFAR = {"layer1": "stage[0]", "layer2": "stage[1]", "layer3": "stage[2]", "linear": "logits"}
PREACT = {"stage1": "stage[0]", "stage2": "stage[1]", "stage3": "stage[2]", "fc": "logits"}
DENSE_12 = {"block1_l12": "stage[0]", "block2_l12": "stage[1]", "block3_l12": "stage[2]", "fc": "logits"}
DENSE_16 = {"block1_l16": "stage[0]", "block2_l16": "stage[1]", "block3_l16": "stage[2]", "fc": "logits"}
DENSE_32 = {"block1_l32": "stage[0]", "block2_l32": "stage[1]", "block3_l32": "stage[2]", "fc": "logits"}

FIGURES = [
    Figures("alexnet", "alexnet_2012_grouped", milestones={
        "1": "c1", "5": "c2", "9": "c3", "11": "c4", "13": "c5", "14": "pool", "22": "logits",
    }),
    Figures("alexnet", "caffe/bvlc_alexnet_227"),
    Figures("googlenet", "caffe/bvlc_googlenet_deploy", milestones={
        f"inception_{stage}{letter}/output": f"module[{stage}, {i}]"
        for stage, letters in ((3, "ab"), (4, "abcde"), (5, "ab")) for i, letter in enumerate(letters)
    } | {"loss3/classifier": "logits"}),
    Figures("lenet5", "lenet5_1998", milestones={"S2": "s2", "S4": "s4", "C3": "c3", "C5": "c5", "F6": "f6"}),
    *(
        Figures("vgg", f"torchvision/vgg{depth}", {"depth": depth}, VGG, {
            f"features.{layer}": f"pool[{i + 1}]" for i, layer in enumerate(layers)
        })
        for depth, layers in ((16, (4, 9, 16, 23, 30)), (19, (4, 9, 18, 27, 36)))
    ),
    *(
        Figures("resnet", f"torchvision/resnet{depth}", {"depth": depth}, RESNET, RESNET_FIELDS)
        for depth in (18, 34, 50, 101, 152)
    ),
    *(
        Figures("resnet", f"caffe/resnet{depth}_caffe_v1", {"depth": depth, "stride_in": 1}, {"fc1000": "logits"},
                apart=OWN_BIAS if depth == 50 else {})
        for depth in (50, 101, 152)
    ),
    *(
        Figures("cifar_resnet", f"cifar_resnet{depth}", {"depth": depth}, CIFAR,
                {f"cifar_resnet{depth}_layer3": "stage[2]"} if depth != 1202 else {})
        for depth in (20, 32, 44, 56, 110, 1202)
    ),
    Figures("preact_resnet", "preact_resnet164_cifar", {"depth": 164}, PREACT, {"preact_resnet164_stage3": "stage[2]"}),
    Figures("preact_resnet", "preact_resnet1001_cifar", {"depth": 1001}, PREACT),
    Figures("densenet", "torchvision/densenet121", {"depth": 121}, DENSENET, dense_blocks(1, 2, 3, 4)),
    Figures("densenet", "torchvision/densenet169", {"depth": 169}, DENSENET, dense_blocks(3, 4)),
    Figures("densenet", "torchvision/densenet201", {"depth": 201}, DENSENET, dense_blocks(3, 4)),
    Figures("densenet", "torchvision/densenet161", {"depth": 161}, DENSENET),
    *(
        Figures("densenet_cifar", record, {"depth": depth, "growth": growth, "bottleneck": bc}, milestones, fields)
        for record, depth, growth, bc, milestones, fields in (
            ("densenet_40_12_cifar", 40, 12, False, DENSE_12, {"densenet_40_12_norm": "stage[2]"}),
            ("densenet_100_12_cifar", 100, 12, False, DENSE_32, {}),
            ("densenet_100_24_cifar", 100, 24, False, DENSE_32, {}),
            ("densenet_bc_100_12_cifar", 100, 12, True, DENSE_16, {"densenet_bc_100_12_relu": "stage[2]"}),
            ("densenet_bc_250_24_cifar", 250, 24, True, {"fc": "logits"}, {}),
            ("densenet_bc_190_40_cifar", 190, 40, True, {"fc": "logits"}, {}),
        )
    ),
    Figures("deepface", "deepface", milestones={
        "1": "c1", "2": "m2", "4": "c3", "6": "l4", "8": "l5", "10": "l6", "13": "f7", "14": "logits",
    }),
    Figures("mobilenet", "keras/MobileNet"),
    Figures("mobilenet", "timm/mobilenetv1_100"),
    Figures("overfeat:fast", "overfeat_fast", milestones={
        "2": "layer[1]", "5": "layer[2]", "7": "layer[3]", "9": "layer[4]", "12": "layer[5]", "18": "logits",
    }, fields={"overfeat_fast_conv5pool": "layer[5]"}),
    Figures("overfeat:accurate", "overfeat_accurate", milestones={
        "2": "layer[1]", "5": "layer[2]", "7": "layer[3]", "9": "layer[4]", "11": "layer[5]", "14": "layer[6]", "20": "logits",
    }, fields={"overfeat_accurate_pool6": "layer[6]"}),
]  # fmt: skip

SMALL = [
    Small("perceptron", {"features": 8, "start": Init("gaussian", (1.0,))}, batch=4, feeds={"side": signs}),
    Small("logistic_regression", batch=8, feeds={"positive": bits}),
    Small("mlp", {"hidden": [32, 16]}),
    Small("maxout:maxout_dense", {"units": 16}),
    Small("maxout:maxout_conv", {"width": 4}),
    Small("lenet5"),
    Small("alexnet", {"thin": 8, "hidden": 64, "classes": 10, "H": 99, "W": 99}, rate=0.05),
    Small("googlenet", {"thin": 8, "classes": 10}),
    Small("vgg", {"width": 4, "hidden": 32, "classes": 10, "H": 64, "W": 64}),
    Small("resnet", {"depth": 18, "width": 8, "classes": 10, "H": 64, "W": 64}),
    Small("resnet", {"depth": 50, "stride_in": 1, "width": 8, "classes": 10, "H": 64, "W": 64}),
    Small("cifar_resnet", {"width": 4}),
    Small("preact_resnet", {"depth": 20, "width": 4}),
    Small("densenet", {"thin": 8, "short": 3, "classes": 10, "H": 64, "W": 64}),
    Small("densenet_cifar", {"depth": 16, "growth": 4}),
    Small("densenet_cifar", {"depth": 13, "growth": 4, "bottleneck": False}),
    Small("deepface", {"thin": 4, "features": 64, "people": 10, "H": 100, "W": 100}),
    Small("mobilenet", {"alpha": 0.25, "classes": 10, "H": 64, "W": 64}),
    Small("mobilenet_v2", {"thin": 4, "classes": 10, "H": 64, "W": 64}),
    Small("overfeat:fast", {"thin": 16, "hidden": [64, 64], "classes": 10, "H": 151, "W": 151}),
    Small("overfeat:accurate", {"thin": 16, "hidden": [64, 64], "classes": 10, "H": 137, "W": 137}),
]
