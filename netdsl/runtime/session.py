"""ONNX Runtime sessions: which provider, how many threads, and errors in the user's terms."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from tempfile import TemporaryDirectory

import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from netdsl.diagnostics import DeviceError, Diagnostic
from netdsl.lower import Provider
from netdsl.lower.write import LARGEST_IN_ONE_FILE, weight_bytes, write_model
from netdsl.runtime.placement import RECORDED

DEVICES = ("auto", "cpu", "cuda")

#: microseconds that a thread waits for its next piece of work before it sleeps, and the ONNX Runtime that was tried
_SPIN, _SPIN_SINCE = "30", (1, 31)

_OUT_OF_MEMORY = re.compile(
    r"Failed to allocate memory|bad_alloc|out of memory|OUT_OF_MEMORY|MemoryAllocation|STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Device:
    """Where sessions run. `threads`: of one session on the CPU; None: ONNX Runtime's choice, one per core."""

    provider: Provider
    threads: int | None = None


def choose_device(wanted: str = "auto", threads: int | None = None) -> Device:
    """The device for `auto`, `cpu` or `cuda`. Threads: the argument, else the environment's NETDSL_THREADS.

    `auto` is CUDA where it works, else the CPU. Raises DeviceError where `cuda` does not work or a number is wrong.
    """
    threads = _threads(threads)
    if wanted not in DEVICES:
        raise DeviceError(Diagnostic("E0905", f"there is no device `{wanted}`", helps=("use auto, cpu or cuda",)))
    if wanted == "cpu":
        return Device("cpu", threads)
    problem = _cuda_problem()
    if problem is None:
        return Device("cuda", threads)
    if wanted == "auto":
        return Device("cpu", threads)
    raise DeviceError(problem)


def provider_name(device: Device) -> str:
    """As ONNX Runtime calls it."""
    return f"{device.provider.upper()}ExecutionProvider"


def open_session(
    model: onnx.ModelProto,
    device: Device,
    *,
    constant_weights: bool = False,
    profile: str | None = None,
    optimised: str | None = None,
) -> ort.InferenceSession:
    """A session for the model on the device. `profile` is the prefix of a trace file that ONNX Runtime then writes.

    `constant_weights`: whether the weights are in the model. `optimised`: where to write the model to as ONNX Runtime
    runs it, for `reopen_session`. Raises DeviceError where memory does not suffice, NetError where a model of more than
    1.5 GB does not fit the folder for temporary files.
    """
    options = _options(device, constant_weights, profile)
    if optimised is not None:
        options.optimized_model_filepath = optimised
    disabled = []
    if not constant_weights:
        # the blocked layout takes convolutions with constant weights only: in a training step those are a few of the
        # gradients', and moving their results back costs more than it gains (a fifth of ResNet-20's portable step)
        disabled.append("NchwcTransformer")
    if device.provider == "cpu" and not constant_weights:
        # it makes one of two transpositions, which of weights takes five times as long as the two that we write
        disabled.append("TransposeOptimizer")
    with memory_errors_told(None), _loadable(model) as loadable:
        return ort.InferenceSession(loadable, options, providers=_providers(device), disabled_optimizers=disabled)


def reopen_session(optimised: bytes, device: Device, *, profile: str | None = None) -> ort.InferenceSession:
    """A session for a model without constant weights that `open_session` wrote for such a device, taken as it is; nodes
    run in the order of the model.

    Raises DeviceError where memory does not suffice.
    """
    options = _options(device, False, profile)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
    with memory_errors_told(None):
        return ort.InferenceSession(optimised, options, providers=_providers(device))


def _options(device: Device, constant_weights: bool, profile: str | None) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # threads that spin without end halve the speed wherever anything else runs on the machine; for this long they gain 4 to
    # 15 % where nothing does, and lose nothing where something does
    spins = tuple(map(int, ort.__version__.split(".")[:2])) >= _SPIN_SINCE
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spins else "0")
    options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN)
    if device.threads is not None:
        options.intra_op_num_threads = device.threads
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, profile
    if device.provider == "cpu" and not constant_weights:
        # planning which tensors share memory takes time with the square of the nodes (FC-DenseNet-56's step: 3 of 4 s),
        # and the allocator reuses memory by itself: steps take as long without, and as much memory within 1 %
        options.enable_mem_reuse = False
        # a pattern is one block for all tensors of a step, which comes on top of what the first step took: twice the memory
        options.enable_mem_pattern = False
    if device.provider != "cpu":
        options.add_session_config_entry(*RECORDED)
    return options


@contextmanager
def _loadable(model: onnx.ModelProto) -> Iterator[bytes | str]:
    """The model as a session takes it: its bytes; or, where it is too large for one message, a file for the time of
    loading, with the weights in another beside it.
    """
    if weight_bytes(model) <= LARGEST_IN_ONE_FILE:
        yield model.SerializeToString()
        return
    with TemporaryDirectory(prefix="netdsl-", ignore_cleanup_errors=True) as folder:
        path = os.path.join(folder, "model.onnx")
        write_model(model, path, limit=LARGEST_IN_ONE_FILE)
        yield path


@contextmanager
def memory_errors_told(batch: int | None, way_out: str | None = None) -> Iterator[None]:
    """Turn a lack of memory inside the block into a DeviceError (E0902) that names the batch size.

    `way_out`: what helps besides a smaller batch.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, MemoryError) and not _OUT_OF_MEMORY.search(str(error)):
            raise
        at = "" if batch is None else f" at a batch of {batch}"
        helps = ["close other programs" if batch in (None, 1) else f"use a smaller batch, such as {batch // 2}"]
        if way_out is not None:
            helps.insert(0, way_out)
        first_line = (str(error).splitlines() or ["MemoryError"])[0]
        note = f"the runtime says: {first_line[:200]}"
        raise DeviceError(Diagnostic("E0902", f"out of memory{at}", notes=(note,), helps=tuple(helps))) from error


def _providers(device: Device) -> list[str | tuple[str, dict[str, str]]]:
    if device.provider == "cpu":
        return ["CPUExecutionProvider"]
    # EXHAUSTIVE cuDNN search may choose other algorithms in another run, which would break an exact resume
    return [("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC"}), "CPUExecutionProvider"]


def _threads(threads: int | None) -> int | None:
    text = os.environ.get("NETDSL_THREADS", "") if threads is None else str(threads)
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        origin = "NETDSL_THREADS" if threads is None else "the number of threads"
        raise DeviceError(Diagnostic("E0904", f"{origin} must be a whole number of at least 1, not `{text}`"))
    return int(text)


@cache
def _cuda_problem() -> Diagnostic | None:
    """Why CUDA cannot be used, or None. `get_available_providers()` lists it even without a GPU: ask a session."""
    install = "pip install 'onnxruntime-gpu[cuda,cudnn]'"
    elsewhere = "use --device cpu, or auto"
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        return Diagnostic(
            "E0901", "this ONNX Runtime was built without CUDA", notes=_wheel_notes(), helps=(install, elsewhere)
        )
    try:
        ctypes.CDLL("libcuda.so.1" if os.name == "posix" else "nvcuda.dll")
    except OSError:
        note = "the NVIDIA driver's library (libcuda.so.1) does not load"
        return Diagnostic("E0901", "there is no CUDA device here", notes=(note,), helps=(elsewhere,))
    ort.preload_dlls()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        probe = ort.InferenceSession(_probe().SerializeToString(), options, providers=["CUDAExecutionProvider"])
        reason = "" if "CUDAExecutionProvider" in probe.get_providers() else "its libraries did not load"
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
    if not reason:
        return None
    return Diagnostic(
        "E0901",
        "CUDA does not work here",
        notes=(f"ONNX Runtime: {reason}", *_wheel_notes()),
        helps=(install, elsewhere),
    )


def _wheel_notes() -> tuple[str, ...]:
    """A note where two wheels have written the one module `onnxruntime`, so that either may have won."""
    installed = []
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            installed.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    if len(installed) < 2:
        return ()
    return (
        f"{' and '.join(installed)} are both installed, and write the same files: uninstall both, then install one",
    )


def _probe() -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "probe", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
