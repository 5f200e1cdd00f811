"""Fully convolutional networks of the zoo, drawn in PyTorch after their papers and the authors' models."""

from functools import partial

import torch
import torch.nn.functional as F
from torch_weights import Twin, scored

#: convolutions in the stages of VGG-16
VGG = (2, 2, 3, 3, 3)


def convolved(w, x, count, **options):
    for _ in range(count):
        x = w.conv(x, **options).relu()
    return x


def fcn(w, image, *, stride):
    """With the paddings, crops and offsets of the authors' val.prototxt."""
    x, pool = w.conv(image, pad=100).relu(), {}
    for stage, count in enumerate(VGG, start=1):
        x = pool[stage] = F.max_pool2d(convolved(w, x, count - (stage == 1)), 2, ceil_mode=True)
    x = w.conv(w.conv(w.conv(x, pad=0).relu()).relu())
    for stage, offset in ((4, 5), (3, 9)):
        if stride <= 2**stage:
            x = w.deconv(x, bias=False, stride=2)
            x = x + w.conv(pool[stage])[:, :, offset : offset + x.shape[2], offset : offset + x.shape[3]]
    x, start = w.deconv(x, bias=False, stride=stride), {32: 19, 16: 27, 8: 31}[stride]
    return {"score": x[:, :, start : start + image.shape[2], start : start + image.shape[3]]}


def deeplab(w, image):
    x = image
    for stage, count in enumerate(VGG):
        x = convolved(w, x, count, dilation=2 if stage == 4 else 1)
        x = F.max_pool2d(x, 3, 2 if stage < 3 else 1, 1, ceil_mode=True)
    return {"scores": w.conv(w.conv(w.conv(x, dilation=12).relu()).relu())}


def context(w, features):
    x = features
    for dilation in (1, 1, 2, 4, 8, 16, 1):
        x = w.conv(x, dilation=dilation).relu()
    return {"scores": w.conv(x)}


def segnet(w, image):
    def unit(x):
        return w.bn(w.conv(x)).relu()

    x, kept = image, []
    for count in VGG:
        for _ in range(count):
            x = unit(x)
        size = x.shape
        x, places = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
        kept.append((places, size, count))
    for stage, (places, size, count) in reversed([*enumerate(kept)]):
        x = F.max_unpool2d(x, places, 2, output_size=size)
        for _ in range(count if stage else count - 1):
            x = unit(x)
    return {"scores": w.conv(x)}


def segnet_basic(w, image):
    x, kept = F.local_response_norm(image, 5), []
    for _ in range(4):
        x = w.bn(w.conv(x)).relu()
        size = x.shape
        x, places = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
        kept.append((places, size))
    for places, size in reversed(kept):
        x = w.bn(w.conv(F.max_unpool2d(x, places, 2, output_size=size)))
    return {"scores": w.conv(x)}


def deconvnet(w, image):
    x, kept = image, []
    for count in VGG:
        for _ in range(count):
            x = w.bn(w.conv(x)).relu()
        x, places = F.max_pool2d(x, 2, return_indices=True)
        kept.append((places, count))
    x = w.bn(w.conv(x, pad=0)).relu()
    x = w.bn(w.conv(x)).relu()
    x = w.bn(w.deconv(x)).relu()
    for places, count in reversed(kept):
        x = F.max_unpool2d(x, places, 2)
        for _ in range(count):
            x = w.bn(w.deconv(x, padding=1)).relu()
    return {"scores": w.conv(x)}


def unet(w, image):
    x, skips = image, []
    for _ in range(4):
        skips.append(convolved(w, x, 2, pad=0))
        x = F.max_pool2d(skips[-1], 2)
    x = convolved(w, x, 2, pad=0)
    for skip in reversed(skips):
        up = w.deconv(x, stride=2).relu()
        top, left = ((skip.shape[axis] - up.shape[axis]) // 2 for axis in (2, 3))
        x = torch.cat([skip[:, :, top : top + up.shape[2], left : left + up.shape[3]], up], 1)
        x = convolved(w, x, 2, pad=0)
    return {"scores": w.conv(x)}


def sides(w, image, first):
    """What the stages of VGG-16 from `first` on draw, as HED does it: padded by 35, cropped where the image lies."""
    x, found = w.conv(image, pad=35).relu(), []
    for stage, count in enumerate(VGG):
        if stage:
            x = F.max_pool2d(x, 2, ceil_mode=True)
        x = convolved(w, x, count - (stage == 0))
        if stage >= first:
            side, start = w.conv(x), (34, 35, 36, 38, 42)[stage]
            if stage:
                side = w.deconv(side, stride=2**stage)
            found.append(side[:, :, start : start + image.shape[2], start : start + image.shape[3]])
    return found


def hed(w, image):
    drawn = sides(w, image, 0)
    drawn.append(w.conv(torch.cat(drawn, 1)))
    stacked = torch.stack(drawn)
    return {"edges": stacked.sigmoid().mean(0), "drawn": stacked}


def balanced_edges(outputs, targets):
    """Xie & Tu 2015, equations 2 and 3, as means."""
    edge = targets["edge"]
    beta, total = 1 - edge.mean(), torch.zeros(())
    for x in outputs["drawn"]:
        terms = beta * edge * F.logsigmoid(x) + (1 - beta) * (1 - edge) * F.logsigmoid(-x)
        total = total - terms.mean()
    return total


def deepskeleton(w, image):
    drawn = sides(w, image, 1)
    scores = [w.conv(torch.cat([side[:, k : k + 1] for side in drawn if side.shape[1] > k], 1)) for k in range(5)]
    return {"scores": torch.cat(scores, 1)} | {f"side_{side.shape[1] - 1}": side for side in drawn}


def balanced_scales(outputs, targets):
    """Shen et al. 2016: each class that occurs counts alike; a side output knows the scales that it can see."""
    total = torch.zeros(())
    for scores in outputs.values():
        label = targets["scale"] * (targets["scale"] < scores.shape[1])
        each = F.cross_entropy(scores, label, reduction="none")
        total = total + torch.stack([each[label == k].mean() for k in label.unique()]).mean()
    return total


def crf_as_rnn(w, image):
    x, pool = image, []
    for count in VGG:
        x = F.max_pool2d(convolved(w, x, count), 2)
        pool.append(x)
    x = w.conv(w.conv(w.conv(x).relu()).relu())
    for finer in (pool[3], pool[2]):
        x = w.deconv(x, bias=False, stride=2, padding=1) + w.conv(finer)
    unary, size = x.flatten(2), x.shape[2:]

    def kernel(features):
        f = features.flatten(2)
        gaussian = torch.exp(-(f[..., :, None] - f[..., None, :]).square().sum(1) / 2)
        gaussian = gaussian * (1 - torch.eye(f.shape[2]))
        return gaussian / gaussian.sum(1, keepdim=True)

    place = 8.0 * torch.stack(torch.meshgrid(*map(torch.arange, size), indexing="ij"))[None]
    colour = F.avg_pool2d(image, 8) / 3
    bilateral = kernel(torch.cat([(place / 160).expand(len(image), -1, -1, -1), colour], 1))
    smooth, taken, y = kernel(place / 3), w.take(3), unary
    for _ in range(3):
        q = y.softmax(1)
        messages = F.conv1d(q @ smooth, taken[0]) + F.conv1d(q @ bilateral, taken[1])
        y = unary + F.conv1d(messages, taken[2])
    return {"scores": w.deconv(y.unflatten(2, size), bias=False, stride=8, padding=4)}


SMALL = {"width": 4, "classes": 3}
TWINS = [
    *(Twin("fcn", SMALL | {"stride": stride, "H": 33, "W": 50}, partial(fcn, stride=stride)) for stride in (32, 16, 8)),
    Twin("deeplab", SMALL | {"units": 16, "H": 33, "W": 40}, deeplab),
    Twin("context_module", {"classes": 4, "H": 18, "W": 20}, context, scored("label")),
    Twin("context_module", {"classes": 2, "H": 18, "W": 20, "large": True}, context, scored("label")),
    Twin("segnet:segnet", SMALL | {"H": 45, "W": 58}, segnet, scored("label")),
    Twin("segnet:segnet_basic", SMALL | {"H": 45, "W": 58}, segnet_basic, scored("label")),
    Twin("deconvnet", {"width": 2, "classes": 3}, deconvnet),  # one cell at its middle: what bn makes of 2 is no gradient
    Twin("unet", {"width": 3, "H": 188, "W": 204}, unet),
    Twin("hed", {"width": 4, "H": 33, "W": 50}, hed, balanced_edges),
    Twin("deepskeleton", {"width": 4, "H": 33, "W": 50}, deepskeleton, balanced_scales),
    Twin("crf_as_rnn", SMALL | {"steps": 3, "H": 64, "W": 96}, crf_as_rnn),
]
