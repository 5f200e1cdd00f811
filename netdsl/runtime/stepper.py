"""Runs a training step again and again: state on the device, two sets of buffers that swap each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort

from netdsl.runtime.blocked import block_convolutions, block_size
from netdsl.runtime.session import Device, memory_errors_told, open_session
from netdsl.runtime.work import multiply_accumulates, static_shapes
from netdsl.training.step import StepModel

#: multiply-accumulates of a step below which waking a second thread costs more than it does (LeNet-5: 16 samples)
_ONE_THREAD = 30_000_000


def _suited(model: onnx.ModelProto, device: Device) -> tuple[onnx.ModelProto, Device]:
    """The form of the step that is the fastest on the device, and the device with no more threads than are of use."""
    if device.provider != "cpu":
        return model, device
    shapes, block = static_shapes(model), block_size()
    if multiply_accumulates(model, shapes) < _ONE_THREAD:
        device = replace(device, threads=1)
    return (model if block is None else block_convolutions(model, shapes, block)), device


class Stepper:
    """A session of a training step, its state, and the arrays through which a batch is fed.

    `feeds` maps the names of the net's inputs and targets to host arrays of the batch's shape: fill them, then call
    `step`. Nothing is allocated or bound between steps, and nothing is read back until it is asked for.
    """

    def __init__(self, model: StepModel, device: Device, *, seed: int, profile: str | None = None):
        """Raises DeviceError where memory does not suffice."""
        self.model, self.device = model, device
        self.session = open_session(*_suited(model.model, device), profile=profile)
        self.feeds: dict[str, np.ndarray] = {}
        self._scalars: dict[str, np.ndarray] = {}
        self._fed: dict[str, ort.OrtValue] = {}
        self._on_device: list[tuple[ort.OrtValue, np.ndarray]] = []
        self._sizes = {name: layout.size for name, layout in model.state.items()} | {"totals": model.totals_size}
        self._turn = 0
        with memory_errors_told(model.batch):
            self._make_feeds(seed)
            written = (*model.written, "totals")
            zeros = {name: np.zeros(size, np.float32) for name, size in self._sizes.items()}
            self._state = [
                {name: self._place(zeros[name].copy()) for name in written},
                {name: self._place(zeros[name].copy()) for name in written},
            ]
            self._read_only = {name: self._place(zeros[name]) for name in zeros if name not in written}
            scalars = {name: np.zeros((), np.float32) for name in (model.loss, *model.metrics.values())}
            self._results = {name: self._place(array) for name, array in scalars.items()}
            self._bindings = [self._binding(0), self._binding(1)]

    def step(self, step: int, lr: float) -> None:
        """One step on what lies in `feeds`. `step` counts the steps before this one."""
        self._scalars[self.model.step][...], self._scalars[self.model.rate][...] = step, lr
        with memory_errors_told(self.model.batch):
            for value, array in self._on_device:
                value.update_inplace(array)
            self.session.run_with_iobinding(self._bindings[self._turn])
        self._turn = 1 - self._turn

    @property
    def seed(self) -> int:
        """What random numbers in the step depend on, besides the step's count."""
        return int(self._scalars[self.model.seed])

    @seed.setter
    def seed(self, seed: int) -> None:
        self._scalars[self.model.seed][...] = seed

    def current(self) -> dict[str, ort.OrtValue]:
        """The state's vectors where they are; the next two steps overwrite them."""
        return self._read_only | self._state[self._turn]

    def totals(self) -> np.ndarray:
        """The sums over steps of the loss and of each metric, and the count of steps whose loss was finite."""
        totals: np.ndarray = self._state[self._turn]["totals"].numpy().copy()
        return totals

    def loss(self) -> float:
        """The loss of the last batch."""
        return float(self._results[self.model.loss].numpy())

    def clear_totals(self) -> None:
        self._state[self._turn]["totals"].update_inplace(np.zeros(self.model.totals_size, np.float32))

    def vectors(self) -> dict[str, np.ndarray]:
        """A copy of the whole state on the host, by vector name."""
        return {name: value.numpy().copy() for name, value in self.current().items()}

    def load(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Replace the given vectors of the state. Raises KeyError, ValueError for one that is not of this model."""
        current = self.current()
        for name, vector in vectors.items():
            if vector.shape != (self._sizes[name],):
                raise ValueError(f"{name} has {vector.shape} elements, not {self._sizes[name]}")
            current[name].update_inplace(np.ascontiguousarray(vector, np.float32))

    def _make_feeds(self, seed: int) -> None:
        for value in self.session.get_inputs():
            if value.name.startswith("state/"):
                continue
            dtype = np.int64 if value.type == "tensor(int64)" else np.float32
            array = np.zeros(value.shape, dtype)
            if value.name in (
                self.model.rate,
                self.model.step,
                self.model.seed,
            ):  # scalars stay with the host, which plans by them
                self._scalars[value.name] = array
                self._fed[value.name] = ort.OrtValue.ortvalue_from_numpy(array)
                continue
            self.feeds[value.name] = array
            self._fed[value.name] = self._place(array)
            if self.device.provider != "cpu":
                self._on_device.append((self._fed[value.name], array))
        self.seed = seed

    def _place(self, array: np.ndarray) -> ort.OrtValue:
        """The array on the device; on the CPU its own memory, not a copy."""
        return ort.OrtValue.ortvalue_from_numpy(array, self.device.provider, 0)

    def _binding(self, turn: int) -> ort.IOBinding:
        """Reads the one set of state buffers, writes the other."""
        binding = self.session.io_binding()
        read = self._read_only | self._state[turn]
        for name, value in (self._fed | {f"state/{name}": value for name, value in read.items()}).items():
            binding.bind_ortvalue_input(name, value)
        written = {f"next/{name}": value for name, value in self._state[1 - turn].items()}
        for name, value in (written | self._results).items():
            binding.bind_ortvalue_output(name, value)
        return binding
