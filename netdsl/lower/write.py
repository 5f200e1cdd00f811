"""A model on disk: whole, or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from math import prod
from pathlib import Path

from onnx import GraphProto, ModelProto, TensorProto
from onnx.helper import tensor_dtype_to_np_dtype

from netdsl.diagnostics import Diagnostic, NetError
from netdsl.files import atomic_write

#: bytes of weights: protobuf messages end at 2 GB
LARGEST_IN_ONE_FILE = 3 << 29
_SMALLEST_OUTSIDE = 1024  # bytes; constants that decide shapes stay in the model
_ALIGNMENT = 4096  # so that a runtime can map the weights into memory


def write_model(model: ModelProto, path: str | os.PathLike[str], *, limit: int = LARGEST_IN_ONE_FILE) -> None:
    """Write the model to `path`. More than `limit` bytes of weights go to a file beside it, `PATH.data`.

    Raises NetError where a file cannot be written (no such folder, no permission, no space): then nothing new is left
    behind, and a model that was there before is as it was.
    """
    target = Path(os.path.realpath(path))
    try:
        if weight_bytes(model) <= limit:
            with atomic_write(target) as file:
                file.write(model.SerializeToString())
            return
        data = target.with_name(target.name + ".data")
        light, pieces = _externalised(model, data.name)
        # both drafts are whole before either takes its place
        with atomic_write(data) as weights, atomic_write(target) as file:
            weights.writelines(pieces)
            file.write(light.SerializeToString())
    except OSError as error:
        raise NetError(_unwritable(target, error)) from error


def weight_bytes(model: ModelProto) -> int:
    """Bytes of the tensors that are stored in the model."""
    return sum(map(_length, model.graph.initializer))


def _externalised(model: ModelProto, location: str) -> tuple[ModelProto, Iterable[bytes]]:
    """The model with its large tensors as references into the file `location`, and that file's contents."""
    light = ModelProto(ir_version=model.ir_version, producer_name=model.producer_name)
    light.producer_version = model.producer_version
    light.opset_import.extend(model.opset_import)
    light.metadata_props.extend(model.metadata_props)
    graph, source = light.graph, model.graph
    graph.name = source.name
    graph.node.extend(source.node)
    graph.input.extend(source.input)
    graph.output.extend(source.output)
    outside, offset = [], 0
    for tensor in source.initializer:
        if _length(tensor) < _SMALLEST_OUTSIDE:
            graph.initializer.append(tensor)
            continue
        _add_reference(graph, tensor, location, offset)
        outside.append(tensor)
        offset += _padded(_length(tensor))
    return light, _contents(outside)


def _add_reference(graph: GraphProto, tensor: TensorProto, location: str, offset: int) -> None:
    reference = graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    reference.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", _length(tensor))):
        reference.external_data.add(key=key, value=str(value))


def _contents(tensors: Iterable[TensorProto]) -> Iterable[bytes]:
    for tensor in tensors:
        yield tensor.raw_data
        yield bytes(_padded(_length(tensor)) - _length(tensor))


def _length(tensor: TensorProto) -> int:
    """Bytes of the data. Not by `raw_data`, which is copied each time that it is read."""
    size: int = prod(tensor.dims) * tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return size


def _padded(length: int) -> int:
    return -(-length // _ALIGNMENT) * _ALIGNMENT


def _unwritable(target: Path, error: OSError) -> Diagnostic:
    reason = {
        errno.ENOSPC: "there is no space left on the disk",
        errno.EDQUOT: "the disk quota is used up",
        errno.EACCES: "permission denied",
        errno.EROFS: "the file system is read-only",
        errno.ENOENT: f"there is no folder {target.parent}",
        errno.EISDIR: "it is a folder",
    }.get(error.errno or 0, error.strerror or str(error))
    return Diagnostic("E1001", f"the model cannot be written: {reason}", path=str(target))
