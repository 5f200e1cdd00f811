"""Networks as .net texts, and the same networks in PyTorch with the same weights: for benchmarks and tests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from netdsl.elaborate import load_text

LENET = """
net lenet : image[1, 32, 32] -> logits {
    x = image -> conv(6, 5, pad = 0) -> relu -> max_pool(2) -> conv(16, 5, pad = 0) -> relu -> max_pool(2)
    logits = x -> flatten -> dense(120) -> relu -> dense(84) -> relu -> dense(10)
}
"""

RESNET = """
block basic(width, stride) : x -> y {
    main = x -> conv(width, 3, stride, bias = false) -> bn -> relu -> conv(width, 3, bias = false) -> bn
    skip = x if x.channels == width and stride == 1 else x -> conv(width, 1, stride, bias = false) -> bn
    y = main + skip -> relu
}
net resnet(n = 3) : image[3, 32, 32] -> logits {
    x = image -> conv(16, 3, bias = false) -> bn -> relu
    for width in [16, 32, 64] {
        for i in range(n) { x = x -> basic(width, 2 if width > 16 and i == 0 else 1) }
    }
    logits = x -> global_avg_pool -> dense(10)
}
"""

UNET = """
net unet(depth = 2, width = 16) : image[3, 64, 64] -> logits {
    x = image
    for d in range(depth) {
        skip[d] = x -> 2 * (conv(width * 2 ** d, 3, bias = false) -> bn -> relu)
        x = skip[d] -> max_pool(2)
    }
    x = x -> 2 * (conv(width * 2 ** depth, 3, bias = false) -> bn -> relu)
    for d in reversed(range(depth)) {
        up = x -> deconv(width * 2 ** d, 2, stride = 2)
        x = concat(skip[d], up) -> 2 * (conv(width * 2 ** d, 3, bias = false) -> bn -> relu)
    }
    logits = x -> conv(2, 1)
}
"""

DENSENET = """
net densenet(n = 12, growth = 12) : image[3, 32, 32] -> logits {
    x = image -> conv(16, 3, bias = false)
    for stage in range(3) {
        for i in range(n) { x = concat(x, x -> bn -> relu -> conv(growth, 3, bias = false)) }
        x = x if stage == 2 else x -> bn -> relu -> conv(x.channels, 1, bias = false) -> avg_pool(2)
    }
    logits = x -> bn -> relu -> global_avg_pool -> dense(10)
}
"""

MOBILE = """
block separable(width, stride) : x -> y {
    y = x -> conv(x.channels, 3, stride, groups = x.channels, bias = false) -> bn -> relu
          -> conv(width, 1, bias = false) -> bn -> relu
}
net mobile : image[3, 32, 32] -> logits {
    x = image -> conv(32, 3, bias = false) -> bn -> relu
    for width, stride in [[64, 1], [128, 2], [128, 1], [256, 2], [256, 1]] { x = x -> separable(width, stride) }
    logits = x -> global_avg_pool -> dense(10)
}
"""


class LeNet(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        )  # fmt: skip


class Basic(nn.Module):
    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.skip = nn.Identity()
        if channels != width or stride != 1:
            self.skip = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(y + self.skip(x))


class ResNet(nn.Module):
    def __init__(self, n=3):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        blocks, channels = [], 16
        for width in (16, 32, 64):
            for i in range(n):
                blocks.append(Basic(channels, width, 2 if width > 16 and i == 0 else 1))
                channels = width
        self.blocks, self.dense = nn.Sequential(*blocks), nn.Linear(64, 10)

    def forward(self, x):
        x = self.blocks(functional.relu(self.bn(self.conv(x))))
        return self.dense(x.mean((2, 3)))


class DenseLayer(nn.Module):
    def __init__(self, channels, growth):
        super().__init__()
        self.bn, self.conv = nn.BatchNorm2d(channels), nn.Conv2d(channels, growth, 3, 1, 1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.conv(functional.relu(self.bn(x)))], 1)


class DenseNet(nn.Sequential):
    """DenseNet-40 (k = 12) for CIFAR: Huang et al. 2017, without bottlenecks."""

    def __init__(self, n=12, growth=12):
        layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False)]
        channels = 16
        for stage in range(3):
            for _ in range(n):
                layers.append(DenseLayer(channels, growth))
                channels += growth
            layers += [nn.BatchNorm2d(channels), nn.ReLU()]
            if stage < 2:
                layers += [nn.Conv2d(channels, channels, 1, bias=False), nn.AvgPool2d(2)]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


class Mobile(nn.Sequential):
    """Depthwise and 1x1 convolutions, as in MobileNet, for images of 32 x 32."""

    def __init__(self):
        layers = [nn.Conv2d(3, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
        channels = 32
        for width, stride in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)):
            layers += [
                nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
                nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            ]  # fmt: skip
            channels = width
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def _double(channels, width):
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
    )  # fmt: skip


class UNet(nn.Module):
    def __init__(self, depth=2, width=16):
        super().__init__()
        widths = [width * 2**d for d in range(depth)]
        self.down = nn.ModuleList(_double(c, w) for c, w in zip([3, *widths], widths, strict=False))
        self.middle = _double(widths[-1], 2 * widths[-1])
        self.up = nn.ModuleList()
        for w in reversed(widths):
            self.up.append(nn.ModuleList([nn.ConvTranspose2d(2 * w, w, 2, 2), _double(2 * w, w)]))
        self.last = nn.Conv2d(width, 2, 1)

    def forward(self, x):
        skips = []
        for down in self.down:
            skips.append(down(x))
            x = functional.max_pool2d(skips[-1], 2)
        x = self.middle(x)
        for deconv, double in self.up:
            x = double(torch.cat([skips.pop(), deconv(x)], 1))
        return self.last(x)


@dataclass(frozen=True)
class Twin:
    """A network both ways. `target` is the label's shape, as the .net file says it; the input is [3 or 1, ...].

    `settings` are its hyperparameters, `sizes` its symbolic sizes, both where they are not the text's own.
    """

    text: str
    module: Callable[[], nn.Module]
    target: str
    classes: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)

    def graph(self, optimizer, batch=8, epochs=1, metrics=True):
        return load_text(
            self.text
            + f"train {{\n target = {self.target}\n loss = cross_entropy(logits, label)\n"
            + (" metrics = accuracy(logits, label)\n" if metrics else "")
            + f" optimizer = {optimizer}\n"
            + f" batch = {batch}\n epochs = {epochs}\n}}\n",
            **self.settings,
        )

    def batch(self, graph, count, seed=0):
        """Images of unit variance, and labels."""
        assert graph.training is not None
        generator = np.random.default_rng(seed)
        label = graph.training.targets[0].value
        shape = [dim if isinstance(dim, int) else dim.at(self.sizes) for dim in graph.inputs[0].shape]
        images = generator.standard_normal((count, *shape)).astype(np.float32)
        return images, generator.integers(0, self.classes, (count, *map(int, label.shape)))


TWINS = {
    "lenet5": Twin(LENET, LeNet, "class(label)", 10),
    "resnet20": Twin(RESNET, ResNet, "class(label)", 10),
    "densenet40": Twin(DENSENET, DenseNet, "class(label)", 10),
    "mobile": Twin(MOBILE, Mobile, "class(label)", 10),
    "unet": Twin(UNET, UNet, "class(label, [64, 64])", 2),
}


def names(graph, module):
    """Each tensor's name in PyTorch by its name in netdsl: both count layers in order of use."""
    theirs = {name: tuple(value.shape) for name, value in module.state_dict().items() if "num_batches" not in name}
    ours = {parameter.name: parameter.shape for parameter in graph.parameters()}
    assert list(ours.values()) == list(theirs.values()), "the twins differ"
    return dict(zip(ours, theirs, strict=True))


def load(module, graph, tensors):
    """Give the module the weights."""
    pairs = names(graph, module)
    module.load_state_dict(
        {theirs: torch.from_numpy(tensors[ours].copy()) for ours, theirs in pairs.items()}, strict=False
    )


def tensors_of(module, graph):
    """The module's weights under netdsl's names."""
    state = module.state_dict()
    return {ours: state[theirs].detach().cpu().numpy() for ours, theirs in names(graph, module).items()}
