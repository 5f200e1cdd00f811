"""Multi-scale networks of the zoo, drawn in PyTorch after their papers."""


import torch
import torch.nn.functional as F
from torch_weights import Twin, scored


def frrn(w, image):
    def ru(x):
        main = w.conv_bn(w.conv_bn(x).relu())
        return main + (x if x.shape[1] == main.shape[1] else w.conv(x, bias=False))

    def frru(y, z, scale):
        y = torch.cat([y, F.max_pool2d(z, scale)], 1)
        y = w.conv_bn(w.conv_bn(y).relu()).relu()
        return y, z + F.interpolate(w.conv(y), scale_factor=scale)

    def larger(y):
        return F.interpolate(y, scale_factor=2, mode="bilinear")

    y = ru(ru(ru(w.conv_bn(image).relu())))
    z = w.conv_bn(y)
    for scale, units in ((2, 3), (4, 4), (8, 2), (16, 2)):
        y = F.max_pool2d(y, 2)
        for _ in range(units):
            y, z = frru(y, z, scale)
    for scale in (8, 4, 2):
        y = larger(y)
        for _ in range(2):
            y, z = frru(y, z, scale)
    return {"logits": w.conv(ru(ru(ru(torch.cat([larger(y), z], 1)))))}


def fc_densenet(w, image):
    def layer(x):
        return w.conv(w.bn(x).relu())

    def grown(x, count):
        """The input, and what each layer has made new."""
        stack = [x]
        for _ in range(count):
            stack.append(layer(torch.cat(stack, 1)))
        return stack

    down, skips, x = (1, 2), [], w.conv(image)
    for count in down:
        skips.append(torch.cat(grown(x, count), 1))
        x = F.max_pool2d(layer(skips[-1]), 2)
    stack = grown(x, 2)
    for count in reversed(down):
        skip, up = skips.pop(), w.deconv(torch.cat(stack[1:], 1), stride=2)
        stack = grown(torch.cat([up[..., : skip.shape[2], : skip.shape[3]], skip], 1), count)
    return {"logits": w.conv(torch.cat(stack, 1))}


def gridnet(w, image):
    def along(x):
        return x + w.conv(w.bn(w.conv(w.bn(x).relu())).relu())

    def down(x):
        return w.conv(w.bn(w.conv(w.bn(x).relu(), stride=2)).relu())

    def up(x):
        return w.conv(w.bn(w.deconv(w.bn(x).relu(), stride=2, padding=1, output_padding=1)).relu())

    x = w.bn(image)
    for _ in range(2):
        x = w.bn(w.conv(x)).relu()
    streams = [x]
    for _ in range(2):
        streams.append(down(streams[-1]))
    for s in range(3):
        streams[s] = along(streams[s]) + (down(streams[s - 1]) if s else 0)
    for _ in range(2):
        for s in (2, 1, 0):
            streams[s] = along(streams[s]) + (up(streams[s + 1]) if s < 2 else 0)
    x = w.bn(w.deconv(streams[0], padding=1)).relu()
    return {"logits": w.bn(w.deconv(x, padding=1))}


def fabric(w, image):
    layers, scales = 3, 3
    nodes = {(0, 0): w.bn(w.conv(image)).relu()}
    for s in range(1, scales):
        nodes[0, s] = w.bn(w.conv(nodes[0, s - 1], stride=2)).relu()
    for layer in range(1, layers):
        for s in range(scales):
            terms = [w.conv(nodes[layer - 1, s - 1], stride=2)] if s else []
            terms.append(w.conv(nodes[layer - 1, s]))
            if s + 1 < scales:
                terms.append(w.conv(F.interpolate(nodes[layer - 1, s + 1], scale_factor=2)))
            if s and layer == layers - 1:
                terms.append(w.conv(nodes[layer, s - 1], stride=2))
            nodes[layer, s] = w.bn(torch.stack(terms).sum(0)).relu()
    return {"logits": w.conv(nodes[layers - 1, scales - 1]).flatten(1)}


def msdnet(w, image):
    """Steps [1, 3, 2] on three scales: two layers of each, until the finest is given up."""

    def h(x, stride=1):
        return w.conv_bn(w.conv_bn(x).relu(), stride=stride).relu()

    maps = [w.conv_bn(image).relu()]
    for _ in range(2):
        maps.append(w.conv_bn(maps[-1], stride=2).relu())
    outputs, layer = {}, 0
    for exit_, step in enumerate((1, 3, 2)):
        for _ in range(step):
            finest, before = layer // 2, list(maps)
            for s in range(finest, 3):
                new = [h(before[s - 1], 2)] if s > max(0, (layer - 1) // 2) else []
                maps[s] = torch.cat([before[s], *new, h(before[s])], 1)
                if layer and layer % 2 == 0:
                    maps[s] = w.conv_bn(maps[s]).relu()
            layer += 1
        x = w.conv_bn(w.conv_bn(maps[2], stride=2).relu(), stride=2).relu()
        outputs[f"logits_{exit_}"] = w.dense(x.mean((2, 3)))
    return outputs


def all_exits(outputs, targets):
    return torch.stack([F.cross_entropy(logits, targets["label"]) for logits in outputs.values()]).sum()


def supernet(layers, scales, budget, penalty):  # fmt: skip
    costs = []

    def edge(w, x, stride=1):
        (gate,) = w.take(1)
        made = w.bn(w.conv(x, stride=stride))
        costs.append(gate.sigmoid() * 9 * x.shape[1] * made[0].numel())
        return made * gate.sigmoid()

    def forward(w, image):
        costs.clear()
        nodes = {(0, 0): w.bn(w.conv(image)).relu()}
        for layer in range(layers):
            for s in range(layer == 0, scales):
                terms = []
                if layer and s:
                    terms.append(edge(w, nodes[layer - 1, s - 1], 2))
                if layer:
                    terms.append(edge(w, nodes[layer - 1, s]))
                if layer and s + 1 < scales:
                    terms.append(edge(w, F.interpolate(nodes[layer - 1, s + 1], scale_factor=2)))
                if s and layer in (0, layers - 1):
                    terms.append(edge(w, nodes[layer, s - 1], 2))
                nodes[layer, s] = torch.stack(terms).sum(0).relu()
        return {"logits": w.conv(nodes[layers - 1, scales - 1]).flatten(1)}

    def loss(outputs, targets):
        over = (torch.stack(costs).sum() - budget).relu()
        return F.cross_entropy(outputs["logits"], targets["label"]) + penalty * over

    return forward, loss


TWINS = [
    Twin("frrn", {"width": 4, "lanes": 4, "classes": 3, "H": 16, "W": 32}, frrn, scored("mask")),
    Twin("fc_densenet", {"growth": 4, "down": [1, 2], "middle": 2, "width": 8, "classes": 4, "rate": 0, "H": 22, "W": 18},
         fc_densenet, scored("mask")),
    Twin("gridnet", {"widths": [4, 6, 8], "columns": 2, "classes": 4, "rate": 0, "H": 16, "W": 12}, gridnet, scored("mask")),
    Twin("fabric", {"L": 3, "S": 3, "C": 5, "N": 8}, fabric, scored("label")),
    Twin("msdnet", {"steps": [1, 3, 2], "width": 4, "growth": 2, "classes": 3, "H": 32, "W": 32}, msdnet, all_exits),
    Twin("budgeted_supernet", {"L": 3, "S": 3, "C": 5, "N": 8, "budget": 20000, "penalty": 1e-4},
         *supernet(3, 3, 20000, 1e-4)),
]  # fmt: skip
