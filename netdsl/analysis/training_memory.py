"""The memory of a training step on the CPU, in float32, from the graph alone.

The step is followed in the order in which it runs: the net forward; then layer by layer back, which frees what the gradient
of a layer was the last to read; then the update of all parameters at once. What operators declare as saved is kept from one
to the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable

from netdsl.analysis.arena import Arena
from netdsl.ir import Graph, Node, Parameter, Value, needed, parameters_of
from netdsl.ops import UNSEEN, elements
from netdsl.ops.optimizers import slots_of, temporaries
from netdsl.training.block import nothing_to_train, training_of

_BYTES = {"float32": 4, "int64": 8, "bool": 1}


def training_memory(graph: Graph, batch: int) -> int:
    """Bytes that a step of `batch` samples takes at the default sizes: state, what is fed, and all that it computes.

    Raises TrainingError if the net has no `train` block (E0803) or nothing to train (E0805), ValueError for a batch below 1.
    """
    if batch < 1:
        raise ValueError(f"a batch has at least 1 sample, not {batch}")
    step = Step(graph, batch)
    step.run()
    return step.given + step.memory.used


class _Buffer:
    """Memory that several may hold, and the last gives back."""

    __slots__ = ("address", "holders")

    def __init__(self, address: int) -> None:
        self.address, self.holders = address, 1


class Step:
    """A training step; `run` follows it once."""

    def __init__(self, graph: Graph, batch: int) -> None:
        training = training_of(graph)
        self._training, self._batch, self.memory = training, batch, Arena()
        self._fed = (*graph.inputs, *(target.value for target in training.targets))
        updated = [node.output for node in graph.all_nodes if _statistics(node)]
        run = needed(graph.all_nodes, (training.loss, *training.metrics.values(), *updated))
        self._nodes = [node for node in graph.all_nodes if node in run]
        behind = needed(graph.all_nodes, [training.loss])
        self._parameters = parameters_of(tuple(self._nodes))
        self._learned = {
            p for p in parameters_of(tuple(n for n in self._nodes if n in behind)) if p.trainable and not p.buffer
        }
        if not self._learned:
            raise nothing_to_train(graph)
        self._roots = self._views()
        self._active = self._depending()
        self._path = self._differentiated()
        self._held: dict[Hashable, _Buffer] = {}
        self._gradients: dict[Value, list[_Buffer]] = defaultdict(list)
        self._weight_gradients: dict[Parameter, list[_Buffer]] = defaultdict(list)

    @property
    def given(self) -> int:
        """Bytes of the batch and of the state: two buffers of each vector that a step writes, one of what it only reads."""
        learned = _bytes(self._learned)
        running = {p for node in self._nodes for p in _statistics(node)}
        fixed = set(self._parameters) - self._learned - running
        state = 2 * learned * (1 + len(slots_of(self._training.optimizer))) + 2 * _bytes(running) + _bytes(fixed)
        return state + sum(map(self._size, self._fed))

    def _size(self, value: Value) -> int:
        return _BYTES[value.type.dtype] * elements(value.shape) * (self._batch if value.type.batched else 1)

    def run(self) -> None:
        """Take and give back memory as the step does."""
        ends = self._ends()
        for parameter in self._parameters:  # they are taken out of the state's vectors at once
            self._held[parameter] = self._take(_bytes([parameter]))
        for time, node in enumerate(self._nodes):
            for value in node.outputs:
                if value not in self._roots:
                    self._held[value] = self._take(self._size(value))
            if node in self._path and (besides := node.op.saved_besides(node)):
                self._held[node] = self._take(besides * self._batch)
            self._end(ends[time])
        for time, node in enumerate(reversed(self._nodes), start=len(self._nodes)):
            if node in self._path:
                self._backward(node)
            self._end(ends[time])
        self._update()

    def _views(self) -> dict[Value, Value]:
        """The tensors that are memory of others, with these."""
        roots: dict[Value, Value] = {}
        for node in self._nodes:
            if node.op.is_view:
                roots[node.output] = roots.get(node.inputs[0], node.inputs[0])
        return roots

    def _depending(self) -> set[Value]:
        """The tensors that depend on what is learned."""
        found: set[Value] = set()
        for node in self._nodes:
            learns = not self._learned.isdisjoint(node.parameters.values())
            if node.op.differentiable and (learns or not found.isdisjoint(node.inputs)):
                found.update(value for value in node.outputs if value.type.dtype == "float32")
        return found

    def _differentiated(self) -> set[Node]:
        """The nodes between what is learned and the loss."""
        found, read = set(), {self._training.loss}
        for node in reversed(self._nodes):
            if not (read & self._active).isdisjoint(node.outputs):
                found.add(node)
                read.update(self._differentiable_inputs(node))
        return found

    def _differentiable_inputs(self, node: Node) -> list[Value]:
        reaches = node.op.reaches(node)
        return [v for v, reach in zip(node.inputs, reaches, strict=True) if v in self._active and reach is not UNSEEN]

    def _ends(self) -> list[list[Hashable]]:
        """For each node forward, then for each back, what is read by it for the last time."""
        count, last = len(self._nodes), dict[Hashable, int]()
        for time, node in enumerate(self._nodes):
            values = [self._roots.get(value, value) for value in (*node.inputs, *node.outputs)]
            last.update((key, max(last.get(key, 0), time)) for key in (*values, *node.parameters.values()))
            if node in self._path:
                back = 2 * count - 1 - time
                saved = [self._roots.get(value, value) for value in node.op.saved(node)]
                weights = node.parameters.values() if self._differentiable_inputs(node) else ()
                last.update((key, max(last.get(key, 0), back)) for key in (*saved, *weights, node))
        ends: list[list[Hashable]] = [[] for _ in range(2 * count)]
        for key, time in last.items():
            ends[time].append(key)
        return ends

    def _backward(self, node: Node) -> None:
        given = [self._sum_of(self._gradients.pop(value), self._size(value)) for value in node.outputs if value in self._gradients]
        if node.output is self._training.loss:
            given.append(self._take(4))
        if not given:
            return
        self._release(self._take(node.op.gradient_workspace(node, self._batch)))
        for parameter in node.parameters.values():
            if parameter in self._learned:
                self._weight_gradients[parameter].append(self._take(_bytes([parameter])))
        for value in self._differentiable_inputs(node):
            if value in node.inputs[: node.op.passes_gradient] and self._size(value) == self._size(node.output):
                given[0].holders += 1
                self._gradients[value].append(given[0])
            else:
                self._gradients[value].append(self._take(self._size(value)))
        for buffer in given:
            self._release(buffer)

    def _sum_of(self, parts: list[_Buffer], size: int) -> _Buffer:
        """The gradient of a tensor that several have read."""
        if len(parts) == 1:
            return parts[0]
        total = self._take(size)
        for part in parts:
            self._release(part)
        return total

    def _update(self) -> None:
        """The gradients of all parameters are joined, and the optimizer works on vectors of all of them."""
        summed = [self._sum_of(parts, _bytes([p])) for p, parts in self._weight_gradients.items()]
        size = _bytes(self._learned)
        joined = self._take(size)
        for buffer in summed:
            self._release(buffer)
        for buffer in [self._take(size) for _ in range(temporaries(self._training.optimizer))]:
            self._release(buffer)
        self._release(joined)

    def _take(self, size: int) -> _Buffer:
        return _Buffer(self.memory.take(size))

    def _release(self, buffer: _Buffer) -> None:
        buffer.holders -= 1
        if not buffer.holders:
            self.memory.give_back(buffer.address)

    def _end(self, keys: list[Hashable]) -> None:
        for key in keys:
            if key in self._held:
                self._release(self._held.pop(key))


def _statistics(node: Node) -> list[Parameter]:
    """The buffers of a layer that learns: they follow the batches."""
    parameters = node.parameters.values()
    return [p for p in parameters if p.buffer] if any(p.trainable for p in parameters) else []


def _bytes(parameters: Iterable[Parameter]) -> int:
    """Bytes of the tensors, what a mask leaves out included."""
    return sum(4 * elements(parameter.shape) for parameter in parameters)
