"""Where each named tensor lies in a flat state vector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from netdsl.ir.graph import Parameter


@dataclass(frozen=True, slots=True)
class Slot:
    """One tensor's place: elements `start` to `start + prod(shape)` of the vector, in row-major order."""

    name: str
    start: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class Layout:
    """The tensors of one flat float32 vector, one after the other without gaps."""

    slots: tuple[Slot, ...]

    @staticmethod
    def of(parameters: Iterable[Parameter]) -> Layout:
        slots, start = [], 0
        for parameter in parameters:
            slots.append(Slot(parameter.name, start, parameter.shape))
            start = slots[-1].end
        return Layout(tuple(slots))

    @property
    def size(self) -> int:
        return self.slots[-1].end if self.slots else 0

    def pack(self, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
        """The vector `[size]` of the tensors, which are looked up by name. Raises KeyError, ValueError on a misfit."""
        vector = np.empty(self.size, np.float32)
        for slot in self.slots:
            tensor = tensors[slot.name]
            if tensor.shape != slot.shape:
                raise ValueError(f"{slot.name} has the shape {list(tensor.shape)}, not {list(slot.shape)}")
            vector[slot.start : slot.end] = tensor.reshape(-1)
        return vector

    def unpack(self, vector: np.ndarray) -> dict[str, np.ndarray]:
        """The tensors by name, copied out of the vector."""
        return {slot.name: vector[slot.start : slot.end].reshape(slot.shape).copy() for slot in self.slots}
