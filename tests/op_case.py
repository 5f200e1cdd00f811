"""What an application of an operator is held against, and what the files of such cases share; see op_cases."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """`torch(parameters, *inputs)` is the truth; shapes are without batch; `macs` and `flops` are per sample."""

    op: str
    shapes: tuple[Shape, ...]
    torch: Callable[..., Tensor | tuple[Tensor, ...]]
    args: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Shape] = field(default_factory=dict)
    buffers: frozenset[str] = frozenset()
    macs: int = 0
    flops: int | None = None  # none: one per output element
    dtypes: tuple[str, ...] = ()  # "positive": float32 of positive numbers; "unbatched": float32 without a batch axis
    below: int = 3  # whole numbers among the inputs

    def __str__(self):
        args = ",".join(f"{k}={v}" for k, v in self.args.items())
        return f"{self.op}({args})-{len(self.shapes[0]) if self.shapes else 0}d"


def same(kernel, dilation=1):
    total = dilation * (kernel - 1)
    return total // 2, total - total // 2


def pads_of(pads):
    """In F.pad's order: the last axis first."""
    return [p for pair in reversed(pads) for p in pair]


def affine(channels):
    """A scale and a bias per channel."""
    return {"scale": (channels,), "bias": (channels,)}


MAPS = (3, 9, 10)
