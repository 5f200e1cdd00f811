"""The other networks of the zoo, drawn in PyTorch after their papers."""

from functools import partial

import torch
import torch.nn.functional as F
from torch_weights import Twin, scored


def colorization(w, lightness):
    x = lightness
    for repeats, stride, dilation in ((2, 2, 1), (2, 2, 1), (3, 2, 1), (3, 1, 1), (3, 1, 2), (3, 1, 2), (3, 1, 1)):
        for i in range(repeats):
            x = w.conv(x, stride=stride if i == repeats - 1 else 1, dilation=dilation).relu()
        x = w.bn(x)
    x = w.deconv(x, stride=2, padding=1).relu()
    return {"scores": w.conv(w.conv(w.conv(x).relu()).relu())}


def cifar_resnet(w, image):
    x = w.conv_bn(image).relu()
    for stride in (1, 2, 2):
        skip = x if stride == 1 else F.pad(x[..., ::stride, ::stride], (0, 0, 0, 0, 0, x.shape[1]))
        x = (w.conv_bn(w.conv_bn(x, stride=stride).relu()) + skip).relu()
    return {"logits": w.dense(x.mean((2, 3)))}


def lenet5(w, image):
    def unit(x):
        return 1.7159 * torch.tanh(x * 2 / 3)

    def subsampled(x):
        scale, bias = (each.reshape(-1, 1, 1) for each in w.take(2))
        return unit(F.avg_pool2d(x, 2) * scale + bias)

    x = subsampled(unit(w.conv(image, pad=0)))
    table, bias = w.take(2)  # zeros where a map does not see another
    assert int((table != 0).sum()) == 25 * 60
    x = subsampled(unit(F.conv2d(x, table * (table != 0), bias)))
    x = unit(w.dense(unit(w.conv(x, pad=0)).flatten(1)))
    (codes,) = w.take(1)
    return {"logits": -(x[:, None] - codes).square().sum(2) / 16}


def unet3d(w, volume):
    def unit(x):
        for _ in range(2):
            x = w.bn(w.conv(x, pad=0)).relu()
        return x

    def cropped(x, like):
        for axis in (2, 3, 4):
            spare = x.shape[axis] - like.shape[axis]
            x = x.narrow(axis, spare // 2, like.shape[axis])
        return x

    x, skips = volume, []
    for _ in range(2):
        skips.append(unit(x))
        x = F.max_pool3d(skips[-1], 2)
    x = unit(x)
    for skip in reversed(skips):
        up = w.deconv(x, bias=False, stride=2)
        x = unit(torch.cat([cropped(skip, up), up], 1))
    return {"scores": w.conv(x)}


def wavenet(w, wave, *, causal):
    def seen_by(x, dilation):
        return F.pad(x, (dilation, 0)) if causal else x

    x, skips = w.conv(seen_by(wave, 1), bias=False, pad=0), []
    for dilation in (1, 2, 4, 1, 2, 4):
        y = seen_by(x, dilation)
        unit = w.conv(y, pad=0, dilation=dilation).tanh() * w.conv(y, pad=0, dilation=dilation).sigmoid()
        skips.append(w.conv(unit))
        x = w.conv(unit) + x[..., -unit.shape[-1] :]
    seen = sum(skip[..., -x.shape[-1] :] for skip in skips)
    return {"scores": w.conv(w.conv(seen.relu()).relu())}


def drlim(w, left, right):
    taken = w.take(8)

    def unit(x):
        return 1.7159 * torch.tanh(2 / 3 * x)

    def tower(x):
        first, first_bias, scale, shift, second, second_bias, last, last_bias = taken
        x = F.avg_pool2d(unit(F.conv2d(x, first, first_bias)), 3)
        x = unit(scale[:, None, None] * x + shift[:, None, None])
        return F.linear(unit(F.conv2d(x, second, second_bias)).flatten(1), last, last_bias)

    return {"a": tower(left), "b": tower(right)}


def autoencoder(w, image):
    weight, bias, back = w.take(3)
    code = F.linear(image.flatten(1), weight, bias).sigmoid()
    return {"code": code, "logits": F.linear(code, weight.T, back), "clean": image.flatten(1)}


def hypercolumns(w, box):
    def lrn(x):
        return F.local_response_norm(x, 5)

    x = F.max_pool2d(w.conv(box, stride=4, pad=0).relu(), 3, 2)
    pool2 = F.max_pool2d(w.conv(lrn(x), groups=2).relu(), 3, 2)
    conv4 = w.conv(w.conv(lrn(pool2)).relu(), groups=2).relu()
    x = F.max_pool2d(w.conv(conv4, groups=2).relu(), 3, 2)
    fc7 = w.conv(w.conv(x, pad=0).relu()).relu()

    def enlarged(x):
        return F.interpolate(x, size=(12, 12), mode="bilinear", align_corners=False)

    scores = torch.stack([enlarged(w.conv(x)) for x in (pool2, conv4, fc7)]).sum(0)
    points = torch.eye(9).reshape(1, 9, 3, 3)  # a map for each point, 1 there
    return {"mask": (scores * enlarged(points)).sum(1, keepdim=True)}


def multi_digit(w, image):
    def pooled(x, stride):
        x = F.max_pool2d(x, 2, 2, ceil_mode=True) if stride == 2 else F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 2, 1)
        return x - F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)

    x = pooled(w.conv(image).unflatten(1, (-1, 3)).amax(2), 2)
    for i in range(7):
        x = pooled(w.conv(x).relu(), 1 + i % 2)
    weight, bias = w.take(2)  # each position has weights of its own, [H, W, 5, 5, channels, outputs]
    patches = F.unfold(x, 5, padding=2).unflatten(1, (-1, 5, 5)).unflatten(4, x.shape[2:])
    x = (torch.einsum("ncijhw,hwijco->nohw", patches, weight) + bias).relu().flatten(1)
    x = w.dense(w.dense(x).relu()).relu()
    return {"length": w.dense(x)} | {f"digit_{i}": w.dense(x) for i in range(5)}


def mcdnn(w, versions):
    def unit(x):
        return 1.7159 * torch.tanh(2 / 3 * x)

    scores = []
    for v in range(7):
        x = F.max_pool2d(unit(w.conv(versions[:, v : v + 1], pad=0)), 2)
        x = F.max_pool2d(unit(w.conv(x, pad=0)), 3)
        scores.append(w.dense(unit(w.dense(x.flatten(1)))))
    columns = torch.stack(scores)
    return {"committee": columns.softmax(2).mean(0), "columns": columns}


def recurrent(w, image):
    one, one_bias, two, two_bias, last, last_bias = w.take(6)
    planes, view, steps = torch.zeros(len(image), 3, *image.shape[2:]), image, []
    for _ in range(2):
        x = F.max_pool2d(F.conv2d(torch.cat([planes, view], 1), one, one_bias), 2).tanh()
        planes = F.conv2d(F.conv2d(x, two, two_bias).tanh(), last, last_bias)
        steps.append(planes)
        halved, size = F.avg_pool2d(view, 2), planes.shape[-1]
        start = (halved.shape[-1] - size) // 2
        view = halved[:, :, start : start + size, start : start + size]
    return {"scores": planes, "middle": torch.stack([step[:, :, step.shape[2] // 2, step.shape[3] // 2] for step in steps])}


def vnet(w, volume):
    def prelu(x):
        return F.prelu(x, *w.take(1))

    def stage(x, repeats):
        y = x
        for i in range(repeats):
            y = w.conv(y) if i == repeats - 1 else prelu(w.conv(y))
        return prelu(x + y)

    x = prelu(volume + w.conv(volume))
    skips = []
    for repeats in (2, 3, 3, 3):
        skips.append(x)
        x = stage(prelu(w.conv(x, stride=2, pad=0)), repeats)
    for repeats in (3, 3, 2, 1):
        x = stage(torch.cat([prelu(w.deconv(x, stride=2)), skips.pop()], 1), repeats)
    return {"logits": w.conv(x)}


def dice(outputs, targets):
    found, mask = outputs["logits"].sigmoid().flatten(2), targets["mask"].flatten(2)
    overlap = 2 * (found * mask).sum(2) + 1e-5
    return (1 - overlap / (found.square().sum(2) + mask.square().sum(2) + 1e-5)).mean()


def contrastive(outputs, targets):
    distance = (outputs["a"] - outputs["b"]).square().sum(1).sqrt()
    same = targets["same"]
    return (same * distance.square() / 2 + (1 - same) * (1 - distance).relu().square() / 2).mean()


def flownet(w, first, second, *, correlated):
    def unit(x, stride=1):
        return F.leaky_relu(w.conv(x, stride=stride), 0.1)

    if correlated:
        weights = w.take(6)

        def tower(x):
            maps = [x]
            for weight, bias in zip(weights[::2], weights[1::2], strict=True):
                maps.append(F.leaky_relu(F.conv2d(maps[-1], weight, bias, 2, weight.shape[-1] // 2), 0.1))
            return maps[2:]

        (c2, a), b = tower(first), tower(second)[1]
        wide, (height, width) = F.pad(b, (4, 4, 4, 4)), b.shape[2:]
        costs = [(a * wide[:, :, i : i + height, j : j + width]).mean(1) for i in range(0, 9, 2) for j in range(0, 9, 2)]
        matched = F.leaky_relu(torch.stack(costs, 1), 0.1)
        skips = [c2, unit(torch.cat([unit(a), matched], 1))]
    else:
        c2 = unit(unit(torch.cat([first, second], 1), 2), 2)
        skips = [c2, unit(unit(c2, 2))]
    for _ in range(3):
        skips.append(unit(unit(skips[-1], 2)))
    x = skips.pop()
    flows = [w.conv(x)]
    while skips:
        up = F.leaky_relu(w.deconv(x, stride=2, padding=1), 0.1)
        x = torch.cat([skips.pop(), up, w.deconv(flows[-1], correlated, stride=2, padding=1)], 1)
        flows.append(w.conv(x))
    return {f"flow{6 - i}": flow for i, flow in enumerate(flows)}


def endpoint_errors(outputs, targets):
    total = torch.zeros(())
    for scale, weight in ((2, 0.005), (3, 0.01), (4, 0.02), (5, 0.08), (6, 0.32)):
        gap = outputs[f"flow{scale}"] - F.avg_pool2d(targets["truth"], 2**scale)
        total = total + weight * (gap.square().sum(1) + 1e-6).sqrt().mean()
    return total


def every_column(outputs, targets):
    return sum(F.cross_entropy(scores, targets["label"]) for scores in outputs["columns"])


def every_step(outputs, targets):
    return sum(F.cross_entropy(scores, targets["label"]) for scores in outputs["middle"])


FLOW = {"width": 4, "H": 64, "W": 128}
WAVE = {"blocks": 2, "dilations": 3, "width": 4, "skips": 8, "T": 40}
TWINS = [
    Twin("cifar_resnet", {"depth": 8, "width": 4, "H": 10, "W": 12}, cifar_resnet, scored("label")),
    Twin("lenet5", {}, lenet5, scored("label")),
    Twin("colorization", {"width": 8, "bins": 5, "H": 32, "W": 40}, colorization, scored("bin")),
    Twin("denoising_autoencoder", {"units": 9, "corruption": 0}, autoencoder,
         lambda outputs, _: F.binary_cross_entropy_with_logits(outputs["logits"], outputs["clean"])),
    Twin("flownet:flownet_s", FLOW, partial(flownet, correlated=False), endpoint_errors),
    Twin("flownet:flownet_c", FLOW | {"reach": 4}, partial(flownet, correlated=True), endpoint_errors),
    Twin("hypercolumns", {"width": 4, "units": 16, "K": 3, "size": 12}, hypercolumns),
    Twin("mcdnn", {"columns": 1, "width": 4}, mcdnn, every_column),
    Twin("multi_digit", {"width": 2, "units": 12}, multi_digit),
    Twin("recurrent_scene_parser", {"widths": [4, 6], "classes": 3}, recurrent, every_step),
    Twin("siamese_drlim", {"width": 4}, drlim, contrastive),
    Twin("unet3d", {"width": 3, "depth": 2, "D": 44, "H": 48, "W": 44}, unet3d, scored("label", ignore_index=3)),
    Twin("vnet", {"width": 2, "D": 16, "H": 16, "W": 32}, vnet, dice),
    Twin("wavenet", WAVE, partial(wavenet, causal=True), scored("next")),
    Twin("wavenet", WAVE | {"padding": 0}, partial(wavenet, causal=False), scored("next")),
]  # fmt: skip
