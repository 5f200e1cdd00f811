"""Whether two forms of a training step compute the same, on numbers of the size that they will see."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx
from onnx import TensorProto

from netdsl.runtime.session import Device, reopen_session
from netdsl.runtime.work import Shapes

#: of the change of a tensor, relative: activations at a kink may fall on either side of it
_TOLERANCE = 0.1
#: of the largest change in the same vector: what is rounding where the true gradient is zero (a bias before a normalisation)
_NOISE = 1e-3


def agree(portable: onnx.ModelProto, tuned: onnx.ModelProto, shapes: Shapes, device: Device) -> bool:
    """Whether one step of both changes every tensor of the state alike, and gives the same loss and metrics."""
    feeds = _feeds(portable.graph, shapes)
    expected, found = (_run(model, feeds, device) for model in (portable, tuned))
    parts = _parts(portable.graph, shapes)
    for name, value in expected.items():
        before = feeds.get(name.replace("next/", "state/", 1), np.float32(0))
        cuts = np.cumsum(parts.get(name.removeprefix("next/"), [value.size]))[:-1]
        one, other = (np.split((result - before).ravel(), cuts) for result in (value, found[name]))
        norms = [float(np.linalg.norm(change)) for change in one]
        errors = [float(np.linalg.norm(a - b)) for a, b in zip(one, other, strict=True)]
        if not all(error <= _TOLERANCE * norm + _NOISE * max(norms) for error, norm in zip(errors, norms, strict=True)):
            return False
    return True


def _run(model: onnx.ModelProto, feeds: dict[str, np.ndarray], device: Device) -> dict[str, np.ndarray]:
    session = reopen_session(model.SerializeToString(), device)  # as it is: quickly made, and few tensors alive at once
    names = [value.name for value in model.graph.output]
    # copies: what a session returns keeps all its memory alive
    return {name: np.array(value) for name, value in zip(names, session.run(names, feeds), strict=True)}


def _feeds(graph: onnx.GraphProto, shapes: Shapes) -> dict[str, np.ndarray]:
    """Samples of unit variance, labels 0, and weights as they are initialised (He et al. 2015)."""
    generator = np.random.default_rng(0)
    feeds = {}
    for value in graph.input:
        tensor = value.type.tensor_type
        shape = [dim.dim_value for dim in tensor.shape.dim]
        if tensor.elem_type == TensorProto.INT64:
            feeds[value.name] = np.zeros(shape, np.int64)
        elif not shape:
            feeds[value.name] = np.array(0.01, np.float32)
        elif value.name in ("state/parameters", "state/fixed"):
            feeds[value.name] = np.concatenate([_weight(generator, s) for s in _tensors(graph, value.name, shapes)])
        elif value.name.startswith("state/"):
            feeds[value.name] = generator.uniform(0.5, 1.5, shape).astype(np.float32)  # variances are positive
        else:
            feeds[value.name] = generator.standard_normal(shape).astype(np.float32)
    return feeds


def _weight(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    if len(shape) < 2:
        return generator.uniform(0.5, 1.5, prod(shape)).astype(np.float32)
    return generator.normal(0, (2 / prod(shape[1:])) ** 0.5, prod(shape)).astype(np.float32)


def _tensors(graph: onnx.GraphProto, vector: str, shapes: Shapes) -> list[tuple[int, ...]]:
    """The shapes of the tensors that a state vector is split into."""
    (split,) = (node for node in graph.node if node.op_type == "Split" and node.input[0] == vector)
    reshaped = {node.input[0]: node.output[0] for node in graph.node if node.op_type == "Reshape"}
    return [shapes[reshaped.get(name, name)] for name in split.output]


def _parts(graph: onnx.GraphProto, shapes: Shapes) -> dict[str, list[int]]:
    """The sizes of the tensors of each vector; those that an optimizer keeps are as long as `parameters`."""
    sizes = [prod(shape) for shape in _tensors(graph, "state/parameters", shapes)]
    lengths = {value.name: prod(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in graph.output}
    return {
        name.removeprefix("next/"): sizes
        for name, length in lengths.items()
        if name.startswith("next/") and length == sum(sizes)
    }
