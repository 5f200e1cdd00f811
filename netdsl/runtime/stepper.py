"""Runs a training step again and again: state on the device, two buffers for each vector that swap when it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import onnx
import onnxruntime as ort

from netdsl.runtime.blocked import tuned
from netdsl.runtime.opening import open_step
from netdsl.runtime.placement import elsewhere
from netdsl.runtime.session import Device, memory_errors_told, open_session, provider_name
from netdsl.runtime.work import all_shapes, multiply_accumulates
from netdsl.training.step import StepModel

#: multiply-accumulates of a step below which waking a second thread costs more than it does (LeNet-5: 16 samples)
_ONE_THREAD = 30_000_000
_ZEROS = 2  # the gradient's buffer that stays zero


def _suited(model: onnx.ModelProto, device: Device) -> tuple[onnx.ModelProto, Device]:
    """The form of the step that is the fastest on the device, and the device with no more threads than are of use."""
    if device.provider != "cpu":
        return model, device
    shapes = all_shapes(model)
    if multiply_accumulates(model, shapes) < _ONE_THREAD:
        device = replace(device, threads=1)
    return tuned(model, shapes, device), device


def _as_it_is(model: onnx.ModelProto, device: Device) -> tuple[onnx.ModelProto, Device]:
    """A step in mixed precision has no form for the CPU, whose kernels are float32 ones."""
    return model, device


@dataclass(frozen=True, slots=True)
class _Program:
    """A session, which vectors it reads and writes, and its bindings, by which buffers of them are in turn."""

    session: ort.InferenceSession
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    bindings: dict[tuple[int, ...], ort.IOBinding] = field(default_factory=dict)

    @staticmethod
    def of(session: ort.InferenceSession) -> _Program:
        inputs, outputs = ([value.name for value in values] for values in (session.get_inputs(), session.get_outputs()))
        return _Program(session, _vectors(inputs, "state/"), _vectors(outputs, "next/"))


def _vectors(names: list[str], prefix: str) -> tuple[str, ...]:
    return tuple(name.removeprefix(prefix) for name in names if name.startswith(prefix))


class Stepper:
    """The sessions of a training step, its state, and the arrays through which a batch is fed.

    `feeds` maps the names of the net's inputs and targets to host arrays of the batch's shape: fill them, then call
    `step`. Nothing is allocated or bound between steps, and nothing is read back until it is asked for.
    """

    def __init__(
        self, model: StepModel, device: Device, *, seed: int, parts: int = 1, profile: str | None = None,
        way_out: str | None = None,
    ) -> None:
        """`parts`: by the mean gradient of how many batches parameters are updated; above 1, of a split step only.

        Raises DeviceError where memory does not suffice; `way_out` is what it names besides a smaller batch.
        """
        assert parts == 1 or model.update is not None, "only a step that is split can be taken in parts"
        self.model, self.device, self.parts, self._way_out = model, device, parts, way_out
        tune = _suited if model.precision == "float32" else _as_it_is
        self.session, narrowed = open_step(model.model, device, tune, profile=profile)
        self.feeds: dict[str, np.ndarray] = {}
        self._programs = [_Program.of(self.session)]
        if model.update is not None:
            self._programs.append(_Program.of(open_session(model.update, narrowed)))
        self._scalars: dict[str, np.ndarray] = {}
        self._fed: dict[str, ort.OrtValue] = {}
        self._on_device: list[tuple[ort.OrtValue, np.ndarray]] = []
        self._sizes = {name: layout.size for name, layout in model.state.items()} | {"totals": model.totals_size}
        if model.update is not None:
            self._sizes["gradient"] = model.state["parameters"].size
        with memory_errors_told(model.batch, way_out):
            self._make_feeds(seed)
            self._buffers = {name: self._make_buffers(name) for name in self._sizes}
            scalars = {name: np.zeros((), np.float32) for name in (model.loss, *model.metrics.values())}
            self._results = {name: self._place(array) for name, array in scalars.items()}
        self._turn = dict.fromkeys(self._sizes, 0)
        self._before: dict[str, ort.OrtValue] = {}
        self._draws = 0  # what the last batch's random numbers depended on

    def step(self, step: int, lr: float, part: int = 0) -> None:
        """One step, or one of its parts, on what lies in `feeds`. `step` counts the steps before this one."""
        if self.model.update is not None and part == 0:
            self._turn["gradient"] = _ZEROS
        self._before = {name: self._buffers[name][self._turn[name]] for name in self._programs[0].reads}
        self._scalars[self.model.rate][...] = lr
        self._draws = step * self.parts + part  # random numbers are other ones in every part
        self._scalars[self.model.step][...] = self._draws
        with memory_errors_told(self.model.batch, self._way_out):
            for value, array in self._on_device:
                value.update_inplace(array)
            self._run(self._programs[0])
            if self.model.update is not None and part == self.parts - 1:
                self._scalars[self.model.step][...] = step
                self._run(self._programs[1])

    @property
    def seed(self) -> int:
        """What random numbers in the step depend on, besides the step's count."""
        return int(self._scalars[self.model.seed])

    @seed.setter
    def seed(self, seed: int) -> None:
        self._scalars[self.model.seed][...] = seed

    def elsewhere(self) -> dict[str, list[str]]:
        """The nodes that run on the CPU though the device is another, their names by operator; see `placement`."""
        if self.device.provider == "cpu":
            return {}
        found: dict[str, list[str]] = {}
        models = [self.model.model] if self.model.update is None else [self.model.model, self.model.update]
        for program, model in zip(self._programs, models, strict=True):
            for operator, names in elsewhere(program.session, model, provider_name(self.device)).items():
                found.setdefault(operator, []).extend(names)
        return found

    def current(self) -> dict[str, ort.OrtValue]:
        """The state's vectors where they are; the next two steps overwrite them."""
        return {name: buffers[self._turn[name]] for name, buffers in self._buffers.items() if name != "gradient"}

    def totals(self) -> np.ndarray:
        """The sums over batches of the loss and of each metric, and the count of those with finite gradients."""
        totals: np.ndarray = self.current()["totals"].numpy().copy()
        return totals

    def loss(self) -> float:
        """The loss of the last batch."""
        return float(self._results[self.model.loss].numpy())

    def metrics(self) -> dict[str, float]:
        """The metrics of the last batch."""
        return {name: float(self._results[tensor].numpy()) for name, tensor in self.model.metrics.items()}

    def clear_totals(self) -> None:
        self.current()["totals"].update_inplace(np.zeros(self.model.totals_size, np.float32))

    def vectors(self) -> dict[str, np.ndarray]:
        """A copy of the whole state on the host, by vector name."""
        return {name: value.numpy().copy() for name, value in self.current().items()}

    def gradient(self) -> np.ndarray:
        """The sum of gradients that a step that is split has written."""
        gradient: np.ndarray = self._buffers["gradient"][self._turn["gradient"]].numpy().copy()
        return gradient

    def last_feeds(self) -> dict[str, np.ndarray]:
        """All that `model.model` read at the last call of `step`, by the names of its inputs."""
        read = {f"state/{name}": value for name, value in self._before.items()}
        read |= {value.name: self._fed[value.name] for value in self.session.get_inputs() if value.name in self._fed}
        return {name: value.numpy().copy() for name, value in read.items()} | {self.model.step: np.array(self._draws)}

    def load(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Replace the given vectors of the state. Raises KeyError, ValueError for one that is not of this model."""
        current = self.current()
        for name, vector in vectors.items():
            if vector.shape != (self._sizes[name],):
                raise ValueError(f"{name} has {vector.shape} elements, not {self._sizes[name]}")
            current[name].update_inplace(np.ascontiguousarray(vector, np.float32))

    def _make_feeds(self, seed: int) -> None:
        scalars = {self.model.rate: 0.0, self.model.step: 0, self.model.seed: 0, self.model.share: 1 / self.parts}
        for value in (value for program in self._programs for value in program.session.get_inputs()):
            if value.name.startswith("state/") or value.name in self._fed:
                continue
            array = np.zeros(value.shape, np.int64 if value.type == "tensor(int64)" else np.float32)
            if value.name in scalars:  # they stay with the host, which plans by them
                array[...] = scalars[value.name]
                self._scalars[value.name] = array
                self._fed[value.name] = ort.OrtValue.ortvalue_from_numpy(array)
                continue
            self.feeds[value.name] = array
            self._fed[value.name] = self._place(array)
            if self.device.provider != "cpu":
                self._on_device.append((self._fed[value.name], array))
        self.seed = seed

    def _make_buffers(self, name: str) -> list[ort.OrtValue]:
        """One for what is only read, else two; the gradient has a third that stays zero, from which a sum begins."""
        written = any(name in program.writes for program in self._programs)
        count = 3 if name == "gradient" else 2 if written else 1
        initial = np.zeros(self._sizes[name], np.float32) if name == "gradient" else self.model.initial(name)
        return [self._place(initial.copy()) for _ in range(count)]

    def _place(self, array: np.ndarray) -> ort.OrtValue:
        """The array on the device; on the CPU its own memory, not a copy."""
        return ort.OrtValue.ortvalue_from_numpy(array, self.device.provider, 0)

    def _run(self, program: _Program) -> None:
        turns = tuple(self._turn[name] for name in (*program.reads, *program.writes))
        if turns not in program.bindings:
            program.bindings[turns] = self._binding(program)
        program.session.run_with_iobinding(program.bindings[turns])
        self._turn |= {name: _other(self._turn[name]) for name in program.writes}

    def _binding(self, program: _Program) -> ort.IOBinding:
        """Reads the buffers in turn, writes the others."""
        binding = program.session.io_binding()
        for name in program.reads:
            binding.bind_ortvalue_input(f"state/{name}", self._buffers[name][self._turn[name]])
        for value in program.session.get_inputs():
            if value.name in self._fed:
                binding.bind_ortvalue_input(value.name, self._fed[value.name])
        for name in program.writes:
            binding.bind_ortvalue_output(f"next/{name}", self._buffers[name][_other(self._turn[name])])
        if program is self._programs[0]:
            for name, value in self._results.items():
                binding.bind_ortvalue_output(name, value)
        return binding


def _other(turn: int) -> int:
    """The buffer to write while this one is read."""
    return 1 if turn == 0 else 0
