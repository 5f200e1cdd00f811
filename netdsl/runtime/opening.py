"""From a portable training step to the session that runs it: tuned, optimised, its nodes in order, and kept for the next
start.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import onnx
import onnxruntime as ort

from netdsl.runtime.kept import entry_for
from netdsl.runtime.order import as_written
from netdsl.runtime.session import Device, open_session, reopen_session

#: nodes below which a file is not read faster than ONNX Runtime optimises, nor is there much memory to save
_WORTH = 200

#: from a portable step and the device asked for to the form that is the fastest there, and the device with its threads
Tune = Callable[[onnx.ModelProto, Device], tuple[onnx.ModelProto, Device]]


def open_step(
    model: onnx.ModelProto, device: Device, tune: Tune, *, profile: str | None = None
) -> tuple[ort.InferenceSession, Device]:
    """A session for the step, tuned for the device, from the cache where it is there; and the device as tuned.

    Only what `tune` and `open_session` raise is raised: neither a full disk nor what lies in the cache fails a run.
    """
    if device.provider != "cpu" or len(model.graph.node) < _WORTH:
        tuned, narrowed = tune(model, device)
        return open_session(tuned, narrowed, profile=profile), narrowed
    entry = entry_for(model, device)
    # ONNX Runtime's exceptions share no base class; whatever it is, what follows does the same from the start
    with suppress(Exception):
        if entry is not None:
            threads, optimised = entry.read()
            narrowed = replace(device, threads=threads)
            session = reopen_session(optimised, narrowed, profile=profile)
            if _interface(session) == [value.name for value in (*model.graph.input, *model.graph.output)]:
                return session, narrowed
    tuned, narrowed = tune(model, device)
    with suppress(Exception):
        optimised = _optimised(tuned, narrowed)
        session = reopen_session(optimised, narrowed, profile=profile)
        if entry is not None:
            with suppress(OSError):
                entry.write(narrowed.threads, optimised)
        return session, narrowed
    return open_session(tuned, narrowed, profile=profile), narrowed


def _optimised(model: onnx.ModelProto, device: Device) -> bytes:
    """The model as ONNX Runtime optimises it, its nodes in the order in which they were written."""
    with tempfile.TemporaryDirectory(prefix="netdsl-") as folder:
        path = os.path.join(folder, "step.onnx")
        open_session(model, device, optimised=path)
        found = onnx.load(path)
    nodes = as_written(found.graph, model.graph.node)
    graph = onnx.GraphProto(name=found.graph.name, node=nodes)
    del found.graph.node[:]
    found.graph.MergeFrom(graph)
    content: bytes = found.SerializeToString()
    return content


def _interface(session: ort.InferenceSession) -> list[str]:
    return [value.name for value in (*session.get_inputs(), *session.get_outputs())]
