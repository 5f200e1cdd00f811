"""A training step as ONNX files that need nothing else: the state to start from, and how to use them, are inside.

Each vector of the state is an input with a default, so that the first run needs none of them; `next/<name>` is what the
next run is fed as `state/<name>`. docs/training-step.md describes the inputs, the outputs and the metadata.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from netdsl.diagnostics import Diagnostic, TrainingError
from netdsl.ir import Graph, Optimizer, Schedule
from netdsl.lower import metadata
from netdsl.training.block import training_of
from netdsl.training.layout import Layout, Slot
from netdsl.training.step import TENSORS, StepModel

#: of the metadata; a file of a later one is refused
FORMAT = 1
_LAYOUT, _TRAINING = "netdsl.layout", "netdsl.training"

_DOCUMENTED = {
    "lr": "the learning rate of this step",
    "step": "how many steps were taken before this one; of a gradients model: how many batches",
    "seed": "what random numbers depend on, besides `step`",
    "share": "what this batch's gradient counts in the sum: 1, or 1 / n for the mean of n batches",
    "loss": "the loss of this batch",
    "parameters": "all that is learned",
    "statistics": "running means and variances",
    "fixed": "frozen weights and fixed tensors; never changes",
    "scaling": "the loss scale, steps since it was changed, and steps left out because gradients were not finite",
    "totals": "sums over batches of the loss and each metric, and the count of batches with finite gradients",
    "gradient": "the sum of gradients; zeros before the first batch of a sum",
}


@dataclass(frozen=True, eq=False)
class Stored:
    """A training step that was read from a file, the vectors to start from by name, and the file's metadata."""

    step: StepModel
    vectors: Mapping[str, np.ndarray]
    seed: int
    optimizer: Optimizer
    epochs: int
    net: str
    hyperparameters: Mapping[str, Any]
    prepare: str


def portable(
    graph: Graph, step: StepModel, tensors: Mapping[str, np.ndarray], *, seed: int, provider: str
) -> list[onnx.ModelProto]:
    """The step's model, or its two models if it is split, with `tensors` (by name) as the state to start from."""
    layout = _layout(step)
    vectors = {name: np.zeros(slots.size, np.float32) for name, slots in layout.items()}
    vectors |= {
        name: slots.pack(tensors) if name in TENSORS else step.initial(name) for name, slots in step.state.items()
    }
    shown = {key: [_slot(slot) for slot in slots.slots] for key, slots in layout.items()}
    described = _description(graph, step, provider)
    whole = {"step": step.model} if step.update is None else {"gradients": step.model, "update": step.update}
    models = []
    for part, source in whole.items():
        model = onnx.ModelProto()
        model.CopyFrom(source)
        for value in model.graph.input:
            name = value.name.removeprefix("state/")
            if name != value.name:
                model.graph.initializer.append(numpy_helper.from_array(vectors[name], value.name))
            elif name == step.seed:
                model.graph.initializer.append(numpy_helper.from_array(np.array(seed, np.int64), name))
        _document(model.graph, step)
        entries = metadata(graph) | {"layout": json.dumps(shown), "training": json.dumps({"part": part, **described})}
        for key, text in entries.items():
            model.metadata_props.add(key=f"netdsl.{key}", value=text)
        models.append(model)
    return models


def paths_of(path: str | os.PathLike[str], *, split: bool) -> list[Path]:
    """The files of a step: `step.onnx`, or if it is split `step.gradients.onnx` and `step.update.onnx`."""
    whole = Path(path)
    stem = whole.stem if whole.suffix == ".onnx" else whole.name
    return [whole.with_name(f"{stem}.{part}.onnx") for part in ("gradients", "update")] if split else [whole]


def read_portable(path: str | os.PathLike[str]) -> Stored:
    """Read a step that is not split. Raises TrainingError (E0808) for a file that holds none."""
    try:
        model = onnx.load(os.fspath(path))
    except OSError as error:
        refuse(path, f"it cannot be read: {error.strerror or error}")
    except (DecodeError, ValueError, onnx.checker.ValidationError) as error:
        refuse(path, f"it is no ONNX model, or damaged: {str(error)[:200]}")
    entries = {entry.key: entry.value for entry in model.metadata_props}
    if _TRAINING not in entries:
        refuse(path, "it is an ONNX model for something else")
    try:
        described, layout = json.loads(entries[_TRAINING]), json.loads(entries[_LAYOUT])
        if described["format"] > FORMAT:
            refuse(path, f"it was written by a later version of netdsl, {entries['netdsl.version']}")
        if described["part"] != "step":
            refuse(path, f"it is the {described['part']} model of a step that is split")
        return _stored(model, entries, described, layout)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        refuse(path, f"its metadata is damaged: {type(error).__name__}: {str(error)[:200]}")


def _stored(
    model: onnx.ModelProto, entries: Mapping[str, str], described: Mapping[str, Any], layout: Mapping[str, Any]
) -> Stored:
    scalars, vectors = described["scalars"], {}
    kept = []
    for tensor in model.graph.initializer:  # defaults of inputs are not wanted in a session: it would hold them twice
        if tensor.name.startswith("state/") or tensor.name == scalars["seed"]:
            vectors[tensor.name.removeprefix("state/")] = numpy_helper.to_array(tensor)
        else:
            kept.append(tensor)
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    state = {
        name: Layout(tuple(Slot(slot["name"], slot["start"], tuple(slot["shape"])) for slot in slots))
        for name, slots in layout.items() if name != "totals"
    }  # fmt: skip
    step = StepModel(
        model, None, described["batch"], state, tuple(described["written"]), described["inputs"], described["targets"],
        scalars["lr"], scalars["step"], scalars["seed"], None, described["loss"], described["metrics"],
        described.get("precision", "float32"),
    )  # fmt: skip
    seed = int(vectors.pop(step.seed))
    taken = {value.name for value in model.graph.input}
    for name, size in ({name: slots.size for name, slots in state.items()} | {"totals": step.totals_size}).items():
        gaps = name in state and any(a.end != b.start for a, b in pairwise(state[name].slots))
        if gaps or f"state/{name}" not in taken or vectors[name].shape != (size,):
            raise ValueError(f"the vector `{name}` is not as its layout says")
    for name in (*step.inputs.values(), *step.targets.values(), step.rate, step.step):
        if name not in taken:
            raise ValueError(f"the model has no input `{name}`")
    rate, optimizer = dict(described["schedule"]), dict(described["optimizer"])
    return Stored(
        step, vectors, seed,
        Optimizer(optimizer.pop("name"), Schedule(rate.pop("name"), rate), optimizer), described["epochs"],
        entries["netdsl.net"], json.loads(entries["netdsl.hyperparameters"]), entries["netdsl.prepare"],
    )  # fmt: skip


def _layout(step: StepModel) -> dict[str, Layout]:
    """Where each tensor lies in each vector, those that a step starts anew included."""
    names = ("loss", *step.metrics, "batches")
    layout = {**step.state, "totals": Layout(tuple(Slot(name, start, ()) for start, name in enumerate(names)))}
    return layout if step.update is None else {**layout, "gradient": step.state["parameters"]}


def _slot(slot: Slot) -> dict[str, Any]:
    return {"name": slot.name, "start": slot.start, "shape": list(slot.shape)}


def _description(graph: Graph, step: StepModel, provider: str) -> dict[str, Any]:
    training = training_of(graph)
    scalars = {"lr": step.rate, "step": step.step, "seed": step.seed, "share": step.share}
    return {
        "format": FORMAT, "provider": provider, "precision": step.precision, "batch": step.batch, "epochs": training.epochs,
        "inputs": step.inputs, "targets": step.targets, "scalars": {k: v for k, v in scalars.items() if v is not None},
        "loss": step.loss, "metrics": step.metrics, "written": list(step.written),
        "optimizer": {"name": training.optimizer.kind, **training.optimizer.arguments},
        "schedule": {"name": training.optimizer.rate.kind, **training.optimizer.rate.arguments},
        "augment": [[name, dict(arguments)] for name, arguments in training.augment],
    }  # fmt: skip


def _document(graph: onnx.GraphProto, step: StepModel) -> None:
    """Say on each input and output what it is."""
    texts = {tensor: f"the net's input `{name}`, prepared" for name, tensor in step.inputs.items()}
    texts |= {tensor: f"the target `{name}`" for name, tensor in step.targets.items()}
    texts |= {tensor: f"the metric `{name}` of this batch" for name, tensor in step.metrics.items()}
    scalars = {step.rate: "lr", step.step: "step", step.seed: "seed", step.share: "share", step.loss: "loss"}
    texts |= {tensor: _DOCUMENTED[name] for tensor, name in scalars.items() if tensor is not None}
    for value in (*graph.input, *graph.output):
        kind, _, vector = value.name.rpartition("/")
        if kind in ("state", "next"):
            text = _DOCUMENTED.get(vector, f"the optimizer's {vector.replace('_', ' ')} of each parameter")
            value.doc_string = f"{text}; {'after' if kind == 'next' else 'before'} this run"
        else:
            value.doc_string = texts[value.name]


def refuse(path: str | os.PathLike[str], why: str) -> NoReturn:
    """Raise TrainingError (E0808)."""
    help = "write one with `netdsl compile FILE --training -o step.onnx`"
    message = "this file holds no training step that can be loaded"
    raise TrainingError(Diagnostic("E0808", message, notes=(why,), helps=(help,), path=os.fspath(path)))
