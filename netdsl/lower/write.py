"""A model on disk: whole, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from onnx import GraphProto, ModelProto, TensorProto

from netdsl.diagnostics import Diagnostic, NetError

_LARGEST_IN_ONE_FILE = 3 << 29  # bytes of weights: protobuf messages end at 2 GB
_SMALLEST_OUTSIDE = 1024  # bytes; constants that decide shapes stay in the model
_ALIGNMENT = 4096  # so that a runtime can map the weights into memory


def write_model(model: ModelProto, path: str | os.PathLike[str], *, limit: int = _LARGEST_IN_ONE_FILE) -> None:
    """Write the model to `path`. More than `limit` bytes of weights go to a file beside it, `PATH.data`.

    Raises NetError where a file cannot be written (no such folder, no permission, no space): then nothing new is left
    behind, and a model that was there before is as it was.
    """
    target = Path(os.path.realpath(path))
    data = target.with_name(target.name + ".data")
    drafts: dict[str, Path] = {}
    try:
        if sum(len(tensor.raw_data) for tensor in model.graph.initializer) > limit:
            model, pieces = _externalised(model, data.name)
            drafts[_drafted(data, pieces)] = data
        content = model.SerializeToString()
        if target.exists() and not target.is_file():  # a device, a pipe; or a folder, which cannot be opened
            target.write_bytes(content)
        else:
            drafts[_drafted(target, [content])] = target
        for draft, final in drafts.items():
            os.replace(draft, final)
    except OSError as error:
        raise NetError(_unwritable(target, error)) from error
    finally:
        for draft in drafts:
            with contextlib.suppress(OSError):
                os.unlink(draft)


def _drafted(target: Path, pieces: Iterable[bytes]) -> str:
    """Write and sync a file beside the target; return its path. Leaves none where that fails."""
    handle, path = tempfile.mkstemp(prefix=f".{target.name[:64]}.", dir=target.parent)
    try:
        with open(handle, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0o022)
        os.umask(mask)
        os.chmod(path, 0o666 & ~mask)  # mkstemp keeps others out
    except BaseException:
        os.unlink(path)
        raise
    return path


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
        if len(tensor.raw_data) < _SMALLEST_OUTSIDE:
            graph.initializer.append(tensor)
            continue
        _add_reference(graph, tensor, location, offset)
        outside.append(tensor)
        offset += _padded(len(tensor.raw_data))
    return light, _contents(outside)


def _add_reference(graph: GraphProto, tensor: TensorProto, location: str, offset: int) -> None:
    reference = graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    reference.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", len(tensor.raw_data))):
        reference.external_data.add(key=key, value=str(value))


def _contents(tensors: Iterable[TensorProto]) -> Iterable[bytes]:
    for tensor in tensors:
        yield tensor.raw_data
        yield bytes(_padded(len(tensor.raw_data)) - len(tensor.raw_data))


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
