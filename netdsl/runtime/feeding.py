"""From samples to the arrays that a step is fed: names and shapes checked, prepared, augmented, fetched ahead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from netdsl.diagnostics import DataError, Diagnostic, Label
from netdsl.ir import Graph, Node, Size, Target, Training, Value, extents, value_at
from netdsl.ops import Loss, show
from netdsl.runtime.data.dataset import Arrays, Samples, check_labels
from netdsl.runtime.transforms import Pipeline, Prepared

_CHUNK = 256  # samples that are fetched at a time: small batches would pay more for the hand-over than for the work


class Feed:
    """The samples of one part of a data set as batches for a net: `{name: array [n, ...]}` of its inputs and targets.

    Inputs of float type go through the pipeline: they are prepared, then augmented where that is asked for, so that a
    shift counts in pixels of the net's input; what moves in is black. Label maps move with their images. Raises
    DataError where the samples do not fit the net (E0806) or a label is out of range (E0607).
    """

    def __init__(self, graph: Graph, samples: Samples, pipeline: Pipeline, *, where: str):
        assert graph.training is not None
        self._pipeline = pipeline
        if samples.targets is None:
            raise DataError(Diagnostic("E0806", f"the {where} have no targets to train with"))
        raw = by_name(samples.inputs, graph.inputs, where, "input")
        self._targets = by_name(samples.targets, tuple(t.value for t in graph.training.targets), where, "target")
        self._declared = {target.value.name: target for target in graph.training.targets}
        self._prepared = prepared_inputs(graph, raw, pipeline)
        shapes = {name: array.shape for name, array in self._prepared.items()}
        shapes |= {name: array.shape[1:] for name, array in self._targets.items()}
        self.sizes = sizes_of(graph, shapes)
        self._count = len(samples)
        if not self._count:
            raise DataError(Diagnostic("E0806", f"there are no {where}"))
        for target in graph.training.targets:
            if target.kind == "class":
                part, classes = Samples(samples.inputs, self._targets), classes_of(graph.training, target)
                check_labels(part, classes, target.ignore, target=target.value.name, where=where)
            _check_values(graph.training, target, self._targets[target.value.name], where)
            if graph.training.augment:
                self._check_movable(target)

    def __len__(self) -> int:
        return self._count

    def _check_movable(self, target: Target) -> None:
        """Maps move with their images, pixel by pixel: they must be of one size. Raises DataError (E0806)."""
        maps = _maps(target, self._targets[target.value.name])
        sizes = {prepared.shape[1:] for prepared in self._prepared.values() if len(prepared.shape) == 3}
        if maps is not None and any(maps.shape[2:] != size for size in sizes):
            shown = " and ".join(str(list(size)) for size in sorted(sizes))
            message = f"`augment` moves images of {shown}, and the maps of `{target.value.name}` are {list(maps.shape[2:])}"
            helps = ("leave out `augment`, or give maps of the images' size",)
            raise DataError(Diagnostic("E0806", message, helps=helps))

    def batch(self, indices: np.ndarray, *, augment: tuple[int, int] | None = None) -> dict[str, np.ndarray]:
        """The samples of these indices. `augment` is (seed, epoch), or None to leave them as they are."""
        targets = {name: array[indices] for name, array in self._targets.items()}
        if augment is None:
            return {name: array.batch(indices) for name, array in self._prepared.items()} | targets
        seed, epoch = augment
        inputs = {}
        for name, prepared in self._prepared.items():
            inputs[name] = prepared.batch(indices)
            if isinstance(prepared, Prepared):
                black = self._pipeline.black(prepared.shape[0])
                inputs[name] = self._pipeline.augment(inputs[name], indices, seed=seed, epoch=epoch, fill=black)
        for name, array in targets.items():
            maps = _maps(self._declared[name], array)
            if maps is not None:
                fill = self._declared[name].ignore or 0
                targets[name] = self._pipeline.augment(maps, indices, seed=seed, epoch=epoch, fill=fill).reshape(array.shape)
        return inputs | targets

    def batches(
        self, order: np.ndarray, size: int, *, augment: tuple[int, int] | None = None
    ) -> Iterator[dict[str, np.ndarray]]:
        """The samples in the given order, `size` at a time (the last batch may be smaller); a thread fetches ahead."""
        chunk = max(1, _CHUNK // size) * size
        starts = range(0, len(order), chunk)
        with ThreadPoolExecutor(1) as pool:
            pending: Future[dict[str, np.ndarray]] | None = None
            for start in starts:
                fetched = pending or pool.submit(self.batch, order[:chunk], augment=augment)
                following = order[start + chunk : start + 2 * chunk]
                arrays = fetched.result()
                pending = pool.submit(self.batch, following, augment=augment) if len(following) else None
                for first in range(0, min(chunk, len(order) - start), size):
                    yield {name: array[first : first + size] for name, array in arrays.items()}


class _Plain:
    """An input that the pipeline does not apply to: indices of an embedding, say."""

    def __init__(self, array: np.ndarray):
        self.shape, self._array = array.shape[1:], array

    def batch(self, indices: np.ndarray) -> np.ndarray:
        rows: np.ndarray = self._array[indices]
        return rows


def prepared_inputs(graph: Graph, arrays: Mapping[str, np.ndarray], pipeline: Pipeline) -> dict[str, Prepared | _Plain]:
    """The net's inputs behind the pipeline, by name."""
    return {
        value.name: Prepared(arrays[value.name], pipeline)
        if value.type.dtype == "float32"
        else _Plain(arrays[value.name])
        for value in graph.inputs
    }


def by_name(arrays: Arrays, values: tuple[Value, ...], where: str, role: str) -> dict[str, np.ndarray]:
    """The arrays for the net's inputs (or targets); a single array is for the only one. Raises DataError (E0806)."""
    if not isinstance(arrays, Mapping):
        if len(values) == 1:
            return {values[0].name: arrays}
        names = ", ".join(f"`{value.name}`" for value in values)
        message = f"the {where} have one {role}, the net has {len(values)}: {names}"
        help = "use an .npz file that has an array under each of these names"
        raise DataError(Diagnostic("E0806", message, helps=(help,)))
    missing = [value.name for value in values if value.name not in arrays]
    if missing:
        message = f"the {where} have no {role} `{missing[0]}`"
        raise DataError(Diagnostic("E0806", message, notes=(f"they have {', '.join(sorted(arrays))}",)))
    return {value.name: arrays[value.name] for value in values}


def sizes_of(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """The net's symbolic sizes as the shapes of prepared samples (without batch axis) give them.

    `shapes` has every input and may have targets. Raises DataError (E0806) where a shape does not fit the net.
    """
    values = list(graph.inputs)
    if graph.training is not None:
        values += [target.value for target in graph.training.targets if target.value.name in shapes]
    sizes: dict[str, int] = {}
    for value in values:
        shape = shapes[value.name]
        if len(shape) != len(value.shape):
            _misfit(value, shape, graph)
        for dim, found in zip(value.shape, shape, strict=True):
            for symbol in graph.symbols:
                if isinstance(dim, Size) and dim == Size.symbol(symbol, graph.symbols[symbol]):
                    sizes.setdefault(symbol, found)
    for value in values:
        if any(value_at(dim, sizes) != found for dim, found in zip(value.shape, shapes[value.name], strict=True)):
            _misfit(value, shapes[value.name], graph)
    for constraint in (*graph.constraints, *extents(graph.nodes)):
        if not constraint.holds(sizes):
            left, right = value_at(constraint.left, sizes), value_at(constraint.right, sizes)
            given = ", ".join(f"{name} = {size}" for name, size in sizes.items()) or "the default sizes"
            relation = "is not" if constraint.relation == "==" else "is less than"
            message = f"the net does not take samples of this size ({given}): {left} {relation} {right}"
            raise DataError(Diagnostic("E0806", message, (Label(constraint.span, constraint.reason),)))
    return sizes


def _misfit(value: Value, shape: tuple[int, ...], graph: Graph) -> None:
    """Raise DataError for samples of another shape than declared, with the way out where one is known."""
    wanted, helps = value.shape, []
    if len(wanted) == len(shape) == 3 and shape[0] == int(wanted[0]):
        high, wide = (int(dim) - found for dim, found in zip(wanted[1:], shape[1:], strict=True))
        if high == wide and high > 0 and high % 2 == 0:
            helps.append(f"pad the samples: prepare = [pad({high // 2}), ...]")
        helps.append(f"resize the samples: prepare = [resize({int(wanted[1])}, {int(wanted[2])}), ...]")
    message = f"`{value.name}` is {show(wanted)} in the net, but the samples are {list(shape)}"
    raise DataError(Diagnostic("E0806", message, (Label(graph.span, "this net"),), helps=tuple(helps)))


def _maps(target: Target, array: np.ndarray) -> np.ndarray | None:
    """A target that lies on the image's pixels, as `[n, C, H, W]`: label maps, and values of three axes."""
    if target.kind == "class":
        return array[:, None] if array.ndim == 3 else None
    return array if array.ndim == 4 else None


def _check_values(training: Training, target: Target, array: np.ndarray, where: str) -> None:
    """Raise DataError (E0607) for a value that a loss does not take: one outside 0 to 1, or neither -1 nor +1."""
    for op, _ in compared(training, target):
        if op.targets is None:
            continue
        wrong = np.flatnonzero(~op.targets.accepts(array))
        if len(wrong):
            value, sample = array.reshape(-1)[wrong[0]], wrong[0] // (array.size // len(array))
            message = f"`{target.value.name}` of sample {sample} in the {where} is {value:g}: {op.name} takes {op.targets.wants}"
            raise DataError(Diagnostic("E0607", message, helps=(op.targets.help,)))


def classes_of(training: Training, target: Target) -> int | None:
    """How many classes a class target may name: the channels of the logits that it is compared with, if any."""
    counts = [op.classes(node) for op, node in compared(training, target)]
    return min((count for count in counts if count is not None), default=None)


def compared(training: Training, target: Target) -> list[tuple[Loss, Node]]:
    """The losses and metrics that the target goes into as it is."""
    losses = [(node.op, node) for node in training.nodes if isinstance(node.op, Loss)]
    return [(op, node) for op, node in losses if isinstance(op, Loss) and node.inputs[op.target] is target.value]
