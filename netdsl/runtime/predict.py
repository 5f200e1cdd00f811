"""Prediction with trained weights: batches, the stored input pipeline, class probabilities and names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from netdsl.diagnostics import DataError, Diagnostic
from netdsl.ir import Graph, Value
from netdsl.lower import compile_model, fit_weights
from netdsl.ops import Loss
from netdsl.runtime import checkpoint
from netdsl.runtime.data.dataset import Arrays, count
from netdsl.runtime.data.source import load_inputs
from netdsl.runtime.feeding import by_name, prepared_inputs, sizes_of
from netdsl.runtime.session import choose_device, memory_errors_told, open_session
from netdsl.runtime.transforms import Pipeline

_SHOWN = 3  # classes per sample, in the text


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a net says of some samples. `outputs` has an array `[n, ...]` for each of the net's outputs.

    `probabilities` `[n, classes, ...]` is there for each output that was trained with a cross-entropy: its softmax, or
    for the binary one its sigmoid. `classes` are the names of the classes, if known.
    """

    names: tuple[str, ...]
    outputs: dict[str, np.ndarray]
    probabilities: dict[str, np.ndarray]
    classes: tuple[str, ...] | None

    def __len__(self) -> int:
        return len(self.names)

    def labels(self, output: str | None = None) -> np.ndarray:
        """The most probable class, int64 `[n, ...]`, of the given output or of the only one that has classes."""
        if output is None:
            (output,) = self.probabilities
        labels: np.ndarray = self.probabilities[output].argmax(axis=1)
        return labels

    def class_name(self, label: int) -> str:
        return self.classes[label] if self.classes is not None and label < len(self.classes) else str(label)

    def to_dict(self) -> list[dict[str, Any]]:
        """One record per sample: its name, its outputs as lists, and class and probabilities where there are any."""
        records = []
        for index, name in enumerate(self.names):
            record: dict[str, Any] = {"name": name}
            for output, array in self.outputs.items():
                record[output] = array[index].tolist()
            for output, array in self.probabilities.items():
                record[f"{output}_probabilities"] = array[index].tolist()
                if array.ndim == 2:
                    record[f"{output}_class"] = self.class_name(int(array[index].argmax()))
            records.append(record)
        return records


def describe_predictions(predictions: Predictions) -> str:
    """One line per sample: the most probable classes where the net tells classes, else the numbers or their shape."""
    return "\n".join(f"{name}: {_described(predictions, index)}" for index, name in enumerate(predictions.names))


def _described(predictions: Predictions, index: int) -> str:
    parts = []
    for output, array in predictions.outputs.items():
        start = f"{output} " if len(predictions.outputs) > 1 else ""
        if output not in predictions.probabilities:
            values = array[index]
            numbers = " ".join(f"{value:.4g}" for value in values.reshape(-1)[:8])
            parts.append(f"{start}{numbers}" if values.size <= 8 else f"{start}{list(values.shape)}, {numbers} ...")
            continue
        probabilities = predictions.probabilities[output][index]
        if probabilities.ndim == 1:
            best = np.argsort(-probabilities, kind="stable")[:_SHOWN]
            shown = [f"{predictions.class_name(int(label))} {probabilities[label]:.1%}" for label in best]
        else:  # a map of classes: how much of it each has
            labels, counts = np.unique(probabilities.argmax(axis=0), return_counts=True)
            most = np.argsort(-counts, kind="stable")[:_SHOWN]
            shares = counts / counts.sum()
            shown = [f"{predictions.class_name(int(labels[i]))} on {shares[i]:.1%}" for i in most]
        parts.append(start + ", ".join(shown))
    return "; ".join(parts)


class Predictor:
    """A net with weights, ready to predict."""

    def __init__(
        self,
        graph: Graph,
        parameters: Mapping[str, np.ndarray],
        *,
        pipeline: Pipeline | None = None,
        classes: Sequence[str] | None = None,
        device: str = "auto",
        threads: int | None = None,
        batch: int = 64,
    ):
        """`parameters` are all of the net's, by name. `pipeline`: else what the net's train block prepares with.

        Raises DeviceError where `device` does not work.
        """
        if pipeline is None:
            pipeline = Pipeline(graph.prepare)
        self.graph, self.pipeline, self.batch = graph, pipeline, batch
        self.classes = None if classes is None else tuple(classes)
        chosen = choose_device(device, threads)
        self._session = open_session(compile_model(graph, parameters), chosen, constant_weights=True)
        self._activations = _activations(graph)

    @staticmethod
    def from_checkpoint(
        graph: Graph, path: str | os.PathLike[str], *, device: str = "auto", threads: int | None = None
    ) -> Predictor:
        """The net with a checkpoint's weights, input pipeline and class names. Raises CheckpointError, DeviceError."""
        found = checkpoint.load(path)
        weights = fit_weights(graph, found.tensors, str(path))
        pipeline = Pipeline.from_json(found.progress.prepare)
        return Predictor(
            graph, weights, pipeline=pipeline, classes=found.progress.classes, device=device, threads=threads
        )

    def predict(self, inputs: Arrays, names: Sequence[str] | None = None) -> Predictions:
        """Predict on samples `[n, ...]` as they come from a file (a dict by input name where the net has several).

        The input pipeline is applied to them. Raises DataError where they do not fit the net.
        """
        given = by_name(inputs, self.graph.inputs, "inputs", "input")
        _check_arrays(given, self.graph.inputs)
        total = count(given)
        feeds = prepared_inputs(self.graph, given, self.pipeline)
        sizes = sizes_of(self.graph, {name: array.shape for name, array in feeds.items()})
        parts: list[list[np.ndarray]] = []
        for start in range(0, total, self.batch):
            rows = np.arange(start, min(start + self.batch, total))
            arrays = {
                value.name: np.ascontiguousarray(feeds[value.name].batch(rows), value.type.dtype)
                for value in self.graph.inputs
            }
            with memory_errors_told(self.batch):
                found = self._session.run(list(self.graph.outputs), arrays)
            values = zip(self.graph.outputs.values(), found, strict=True)
            parts.append([_per_sample(value, array, len(rows)) for value, array in values])
        if not parts:
            parts.append([_no_rows(value, sizes) for value in self.graph.outputs.values()])
        outputs = {
            name: np.concatenate(batches)
            for name, batches in zip(self.graph.outputs, zip(*parts, strict=True), strict=True)
        }
        probabilities = {name: _ACTIVATIONS[activation](outputs[name]) for name, activation in self._activations.items()}
        return Predictions(tuple(names or map(str, range(total))), outputs, probabilities, self.classes)

    def predict_files(self, paths: Sequence[str | os.PathLike[str]]) -> Predictions:
        """Predict on image files, folders of images, IDX and .npz files. Raises DataError."""
        wanted = {value.name: tuple(map(int, value.shape)) for value in self.graph.inputs}
        arrays, names = load_inputs(paths, inputs=wanted, resize=self.pipeline.leading_resize)
        return self.predict(arrays, names)


def _check_arrays(arrays: Mapping[str, Any], values: Sequence[Value]) -> None:
    """Raise DataError (E0806) unless these are arrays of numbers `[n, ...]` of the inputs' ranks, and as many of each."""
    for value in values:
        array, help = arrays[value.name], ""
        if not isinstance(array, np.ndarray):
            wrong, help = f"a {type(array).__name__}", "make it a NumPy array: np.array(samples)"
        elif array.dtype.kind not in "biuf":
            wrong = f"an array of {array.dtype}"
        elif array.ndim != len(value.shape) + 1:
            wrong = f"an array {list(array.shape)}"
            if array.ndim == len(value.shape):
                help = "a single sample needs an axis in front: sample[None]"
        else:
            continue
        message = (
            f"samples for `{value.name}` are an array of numbers [n, {', '.join(map(str, value.shape))}], not {wrong}"
        )
        raise DataError(Diagnostic("E0806", message, helps=(help,) if help else ()))
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{number} of `{name}`" for name, number in counts.items())
        raise DataError(Diagnostic("E0806", f"the inputs differ in their numbers of samples: {told}"))


def _per_sample(value: Value, array: np.ndarray, count: int) -> np.ndarray:
    """An output `[count, ...]`; what has no batch axis is the same for every sample."""
    return array if value.type.batched else np.broadcast_to(array, (count, *array.shape))


def _no_rows(value: Value, sizes: Mapping[str, int]) -> np.ndarray:
    """What the net gives for no samples."""
    return np.zeros((0, *(dim if isinstance(dim, int) else dim.at(sizes) for dim in value.shape)), value.type.dtype)


def _activations(graph: Graph) -> dict[str, str]:
    """The outputs that are logits of a loss, each with the activation that makes probabilities of them."""
    if graph.training is None:
        return {}
    losses = [(node.op, node.inputs[0]) for node in graph.training.nodes if isinstance(node.op, Loss)]
    compared = {logits: loss.activation for loss, logits in losses if loss.activation is not None}
    return {name: compared[value] for name, value in graph.outputs.items() if value in compared}


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return (0.5 * (1 + np.tanh(0.5 * logits))).astype(np.float32)  # exp would overflow


_ACTIVATIONS = {"softmax": _softmax, "sigmoid": _sigmoid}
