"""ResNet-50 and a convolutional neural fabric of the zoo, and the same in PyTorch: for machines with a GPU.

The tiny ones are the same networks, narrower and for smaller images, to try everything without one.
"""

from functools import partial
from pathlib import Path

from torch import nn
from torch.nn import functional

from benchmarks.twins import Twin

_ZOO = Path(__file__).parent.parent / "examples" / "zoo"


class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1 to four times the width; a projection where the shape changes."""

    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.skip = nn.Identity()
        if channels != 4 * width or stride != 1:
            self.skip = nn.Sequential(nn.Conv2d(channels, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        return functional.relu(self.bn3(self.conv3(y)) + self.skip(x))


class ResNet50(nn.Module):
    """He et al. 2016, table 1."""

    def __init__(self, width=64, classes=1000):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
        blocks, channels = [], width
        for stage, count in enumerate((3, 4, 6, 3)):
            for i in range(count):
                blocks.append(Bottleneck(channels, width * 2**stage, 2 if stage > 0 and i == 0 else 1))
                channels = 4 * width * 2**stage
        self.blocks, self.dense = nn.Sequential(*blocks), nn.Linear(channels, classes)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.bn(self.conv(x))), 3, 2, 1)
        return self.dense(self.blocks(x).mean((2, 3)))


class Fabric(nn.Module):
    """Saxena and Verbeek 2016: every node sees the three nearest scales of the layer before; dense, for one label."""

    def __init__(self, L=8, S=6, C=64, colors=1, K=10):
        super().__init__()
        self.L, self.S = L, S
        self.nodes = nn.ModuleList()
        self._node([nn.Conv2d(colors, C, 3, 1, 1)])
        for _ in range(1, S):
            self._node([self._edge(C, 2)])
        for layer in range(1, L):
            for s in range(S):
                lower = [2] if s > 0 else []
                upper = [1] if s + 1 < S else []
                down = [2] if s > 0 and layer == L - 1 else []
                self._node([self._edge(C, stride) for stride in (*lower, 1, *upper, *down)])
        self.last = nn.Conv2d(C, K, 1)

    @staticmethod
    def _edge(channels, stride):
        return nn.Conv2d(channels, channels, 3, stride, 1)

    def _node(self, edges):
        node = nn.Module()
        node.edges, node.bn = nn.ModuleList(edges), nn.BatchNorm2d(edges[0].out_channels)
        self.nodes.append(node)

    def _at(self, layer, scale, inputs):
        node = self.nodes[layer * self.S + scale]
        return functional.relu(node.bn(sum(edge(x) for edge, x in zip(node.edges, inputs, strict=True))))

    def forward(self, image):
        before = []
        for s in range(self.S):
            before.append(self._at(0, s, [before[-1] if before else image]))
        for layer in range(1, self.L):
            here = []
            for s in range(self.S):
                inputs = [*before[max(s - 1, 0) : s + 1]]
                if s + 1 < self.S:
                    inputs.append(functional.interpolate(before[s + 1], scale_factor=2.0))
                if s > 0 and layer == self.L - 1:
                    inputs.append(here[-1])
                here.append(self._at(layer, s, inputs))
            before = here
        return self.last(before[-1]).flatten(1)


def _of_zoo(name):
    """The text of a file of the zoo without its recipe."""
    return (_ZOO / f"{name}.net").read_text().partition("\ntrain ")[0] + "\n"


LARGE = {
    "resnet50": Twin(_of_zoo("resnet"), ResNet50, "class(label)", 1000),
    "fabric": Twin(_of_zoo("fabric"), Fabric, "class(label)", 10),
}
TINY = {
    "resnet50": Twin(_of_zoo("resnet"), partial(ResNet50, 8, 10), "class(label)", 10, {"width": 8, "classes": 10},
                     {"H": 64, "W": 64}),
    "fabric": Twin(_of_zoo("fabric"), partial(Fabric, 3, 6, 4), "class(label)", 10, {"L": 3, "C": 4}),
}  # fmt: skip
