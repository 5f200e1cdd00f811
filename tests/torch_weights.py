"""A net's weights, given out to the same net drawn in PyTorch; and what such a twin is."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Outputs = dict[str, Tensor]


class Twin(NamedTuple):
    """`forward` makes the outputs from the weights and inputs, `loss` one number from outputs and targets.

    A net with dropout has no `loss` here: its training draws at random.
    """

    net: str
    set: Mapping[str, Any]
    forward: Callable[..., Outputs]
    loss: Callable[[Outputs, dict[str, Tensor]], Tensor] | None = None


def scored(target, **options):
    """The cross-entropy of the first output with a target."""
    return lambda outputs, targets: F.cross_entropy(next(iter(outputs.values())), targets[target], **options)


CONVOLUTIONS = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}
TRANSPOSED = {3: F.conv_transpose1d, 4: F.conv_transpose2d, 5: F.conv_transpose3d}


class Weights:
    """Weights in the order in which their layers are applied; `training`: whether `bn` uses the batch's statistics."""

    def __init__(self, parameters, values, *, training=False):
        self.tensors = {p.name: torch.from_numpy(values[p.name].copy()) for p in parameters}
        self.left = list(self.tensors.values())
        self.training = training

    def take(self, count):
        taken, self.left = self.left[:count], self.left[count:]
        assert len(taken) == count, "the net has fewer weights"
        return taken

    def conv(self, x, bias=True, pad=None, **options):
        """A convolution, padded so that it keeps the size unless it has a stride."""
        weight, *rest = self.take(1 + bias)
        padding = options.get("dilation", 1) * (weight.shape[-1] - 1) // 2 if pad is None else pad
        return CONVOLUTIONS[weight.ndim](x, weight, *rest, padding=padding, **options)

    def deconv(self, x, bias=True, **options):
        weight, *rest = self.take(1 + bias)
        return TRANSPOSED[weight.ndim](x, weight, *rest, **options)

    def dense(self, x):
        return F.linear(x, *self.take(2))

    def bn(self, x):
        scale, bias, mean, var = self.take(4)
        return F.batch_norm(x, mean, var, scale, bias, training=self.training)

    def conv_bn(self, x, **options):
        return self.bn(self.conv(x, bias=False, **options))
