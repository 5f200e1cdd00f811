"""Where the differentiated graph is to run, as far as the choice of forms depends on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Target:
    """The execution provider whose kernels the backward nodes should suit; every form is standard ONNX on either."""

    provider: Literal["cpu", "cuda"] = "cpu"
