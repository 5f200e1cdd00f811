"""Whether a device has kernels for what a training step computes in half precision; found out by asking ONNX Runtime.

Where a provider has no float16 kernel, ONNX Runtime moves the node to the CPU, whose kernels are float32 ones, and casts
around it without a word: right, and slower than float32. Where it has no bfloat16 kernel, it refuses the model.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import onnxruntime as ort
from onnx import helper

from netdsl.diagnostics import DeviceError, Diagnostic
from netdsl.lower import IR_VERSION
from netdsl.runtime.session import Device, provider_name
from netdsl.training.mixed import HALVES, in_half
from netdsl.training.step import StepModel

_SHOWN = 4


def require_precision(step: StepModel, device: Device) -> None:
    """Raise DeviceError (E0906), naming the operators, where the device lacks kernels for the step's precision."""
    if step.precision not in HALVES:
        return
    lacking = lacking_kernels(step.model, HALVES[step.precision], device)
    if not lacking:
        return
    names = sorted(lacking)
    rest = [] if len(names) <= _SHOWN else [f"{len(names) - _SHOWN + 1} more operators"]
    *first, last = names[: _SHOWN - len(rest)] + rest
    shown = f"{', '.join(first)} and {last}" if first else last
    where = f"the {device.provider.upper()} provider of ONNX Runtime {ort.__version__}"
    message = f"{where} has no {step.precision} kernel for {shown}"
    notes = tuple(dict.fromkeys(lacking[name] for name in names))[:1]
    elsewhere = (
        "--device cuda, where there is a GPU"
        if device.provider == "cpu"
        else "--precision fp16, which has more kernels"
    )
    helps = (
        "use --precision float32",
        *([f"or {elsewhere}"] if device.provider == "cpu" or step.precision == "bf16" else []),
    )
    raise DeviceError(Diagnostic("E0906", message, notes=notes, helps=helps))


def lacking_kernels(model: onnx.ModelProto, half: int, device: Device) -> dict[str, str]:
    """The operators that the model computes in the half type and the device has no kernel for; to each, what was seen."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    declared = {value.name: value for value in (*inferred.value_info, *inferred.input)}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    found = {}
    for operator, node in in_half(model, half).items():
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        read = [name for name in node.input if name]
        graph = helper.make_graph(
            [node], "probe", [declared[name] for name in read if name not in constants], outputs,
            [constants[name] for name in read if name in constants],
        )  # fmt: skip
        problem = _problem(helper.make_model(graph, opset_imports=model.opset_import, ir_version=IR_VERSION), device)
        if problem is not None:
            found[operator] = problem
    return found


def _problem(model: onnx.ModelProto, device: Device) -> str | None:
    """What ONNX Runtime does, short of running the one node of the model on the device in its type."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if device.provider != "cpu":
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    with TemporaryDirectory(prefix="netdsl-", ignore_cleanup_errors=True) as folder:
        planned = Path(folder, "planned.onnx")
        options.optimized_model_filepath = str(planned)
        try:
            ort.InferenceSession(
                model.SerializeToString(), options, providers=[provider_name(device)]
            )
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            return f"ONNX Runtime: {(str(error).splitlines() or [type(error).__name__])[0][:200]}"
        if any(node.op_type == "Cast" for node in onnx.load(planned).graph.node):
            return "ONNX Runtime would cast to float32 before each of them and back behind it, which takes longer than float32"
    return None
