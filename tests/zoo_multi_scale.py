"""Cases of the zoo: multi-scale networks."""

import numpy as np
from zoo import Figures, Small, records


def _frrn(record, **hyperparameters):
    milestones = {"first": "first", **{f"ru0.{i}": f"entry.ru[{i}]/y.add" for i in range(3)}, "ru0": "entry", "z0": "y.bn",
                  **{f"ru1.{i}": f"y.ru[{i}]/y.add" for i in range(3)}, "ru1": "y", "out": "logits"}  # fmt: skip
    return Figures("frrn", record, hyperparameters, milestones, {f"{record}_output": "logits"})


def _fc_densenet(record, growth, down, middle):
    milestones = {"first": "first", **{f"td.{i}": f"pooled[{i}]" for i in range(5)}, "out": "logits"}
    milestones |= {f"bot.{i}": f"new.dense_block/feature[{i + 1}].layer/y.dropout" for i in range(middle)}
    return Figures("fc_densenet", record, {"growth": growth, "down": down, "middle": middle}, milestones,
                   {f"{record}_output": "logits"})  # fmt: skip


def _gridnet(record, widths, size):
    streams = range(len(widths))
    down, along, up = "grid_down/y.conv.1", "grid_lateral/y.dropout", "grid_up/y.conv"
    names = {"bn0": "node[0,0].bn", "first": "node[0, 0]"}
    for c in range(3):
        names |= {f"v.e{c}_{s}": f"node[{c},{s}].{down}" for s in streams[1:]}
        names |= {f"h.e{c}_{s}": f"node[{c},{s}].{along}" for s in streams if c}
        names |= {f"h.d{c}_{s}": f"node[{c + 3},{s}].{along}" for s in streams}
        names |= {f"v.d{c}_{s}": f"node[{c + 3},{s}].{up}" for s in streams[:-1]}
    return Figures("gridnet", record, {"widths": widths, "H": size, "W": size}, names | {"last": "logits"},
                   {"gridnet_5s_output": "logits"})  # fmt: skip


def _fabric(record, L, C, colors=1, field=""):
    fields = {field: f"node[{L - 1}, 5]"} if field else {}
    return Figures("fabric", record, {"L": L, "C": C, "colors": colors}, {"cls": "logits.conv"}, fields)


def _msdnet(record):
    config = records()[record]["config"]
    later = [config["step"] if config["stepmode"] == "even" else config["step"] * i + 1 for i in range(1, config["nBlocks"])]
    hyperparameters = {"steps": [config["base"], *later], "classes": CLASSES[config["data"]]}
    if config["data"] == "ImageNet":
        hyperparameters |= {"width": 32, "growth": 16, "factors": [1, 2, 4, 4], "imagenet": True, "H": 224, "W": 224}
    return Figures("msdnet", record, hyperparameters)


CLASSES = {"cifar10": 10, "cifar100": 100, "ImageNet": 1000}

MSDNETS = [_msdnet(name) for name in records() if name.startswith("msdnet")]

def _supernet(record, gated, gates, out, **hyperparameters):
    nodes = [name for name in records()[record]["milestones"] if name != out]
    milestones = {name: f"node[{name[2:].replace('_', ', ')}]" for name in nodes} | {out: "logits"}
    return Figures("budgeted_supernet", record, hyperparameters, milestones,
                   apart={"params": (gated, f"a gate for each of {gates} edges")})  # fmt: skip


FIGURES = [
    _frrn("frrn_a"),
    _frrn("frrn_b", deep=True, H=512, W=1024),
    _fc_densenet("fc_densenet56", 12, [4] * 5, 4),
    _fc_densenet("fc_densenet67", 16, [5] * 5, 5),
    _fc_densenet("fc_densenet103", 16, [4, 5, 7, 10, 12], 15),
    _gridnet("gridnet_5streams_3+3cols_19cls", [16, 32, 64, 128, 256], 400),
    Figures("gridnet", "gridnet_6streams_3+3cols_19cls", {"widths": [8, 16, 32, 64, 128, 256], "H": 224, "W": 224}),
    _fabric("fabric_dense_L9_C27_S6", 9, 27),
    _fabric("fabric_dense_L8_C64_S6", 8, 64, field="fabric_L8_S6_d6node"),
    _fabric("fabric_dense_L9_C64_S6", 9, 64, field="fabric_L9_S6_d6node"),
    _fabric("fabric_dense_L8_C128_S6", 8, 128, colors=3),
    _fabric("fabric_dense_L9_C128_S6", 9, 128, colors=3),
    *MSDNETS,
    _supernet("bsn_cnf_L8_C128_cifar10", 18_041_732, 122, "Lin-7_5-out"),
    _supernet("bsn_cnf_L8_C64_partlabels", 7_080_002, 191, "Lin-7_0-out", C=64, S=9, K=3, N=256, up=True),
]


def _plain_maps(generator, shape):
    """Label maps of one class each: noise for each pixel is nothing that a small net learns in ten steps."""
    return np.broadcast_to(generator.integers(0, 4, (shape[0], 1, 1)), shape)


SMALL = [
    Small("frrn", {"width": 4, "lanes": 4, "classes": 4, "H": 32, "W": 32}, feeds={"mask": _plain_maps}),
    Small("frrn", {"deep": True, "width": 4, "lanes": 4, "classes": 4, "H": 32, "W": 64}, feeds={"mask": _plain_maps}),
    Small("fc_densenet", {"growth": 4, "down": [1, 2], "middle": 2, "width": 8, "classes": 4, "H": 22, "W": 18},
          feeds={"mask": _plain_maps}),
    Small("gridnet", {"widths": [4, 6, 8], "columns": 2, "classes": 4, "H": 16, "W": 16}),
    Small("msdnet", {"steps": [1, 3, 2], "width": 4, "growth": 2, "classes": 3, "H": 16, "W": 16}),
    Small("msdnet", {"steps": [1, 2], "width": 4, "growth": 2, "classes": 3, "imagenet": True, "H": 64, "W": 64}),
    Small("budgeted_supernet", {"L": 3, "S": 3, "C": 6, "N": 4}, rate=0.1),
    Small("budgeted_supernet", {"L": 3, "S": 3, "C": 6, "N": 4, "budget": 5000, "penalty": 1e-4}, rate=0.1),
    Small("budgeted_supernet", {"L": 3, "S": 3, "C": 6, "N": 4, "K": 4, "up": True}, rate=0.1, feeds={"label": _plain_maps}),
    Small("fabric", {"L": 3, "S": 4, "C": 6, "N": 8}),
    Small("fabric", {"L": 3, "S": 4, "C": 6, "N": 8, "sparse": True}),
    Small("fabric", {"L": 3, "S": 4, "C": 6, "N": 8, "K": 4, "colors": 3, "up": True}, rate=0.1, feeds={"label": _plain_maps}),
]  # fmt: skip
