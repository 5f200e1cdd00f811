"""A report as JSON values. The keys are stable: add some, never change these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netdsl.report.record import Layer, ReceptiveField, Report, Tensor

if TYPE_CHECKING:
    from fractions import Fraction


def to_dict(report: Report) -> dict[str, Any]:
    """The report as dicts, lists, strings and numbers, in the order of the documented format."""
    several = len(report.inputs) > 1
    result: dict[str, Any] = {
        "net": report.net,
        "file": report.file,
        "hyperparameters": {name: _plain(value) for name, value in report.hyperparameters.items()},
        "inputs": [_tensor(tensor) for tensor in report.inputs],
        "outputs": [_tensor(tensor) for tensor in report.outputs],
        "totals": report.totals._asdict(),
        "layers": [_layer(layer, several) for layer in report.layers],
        "constraints": list(report.constraints),
    }
    if report.training_only is not None:
        result["training_only"] = report.training_only._asdict()
    if report.training_memory is not None:
        result["batch"] = report.training_memory.batch
        result["totals"]["training_memory_bytes"] = report.training_memory.bytes
    return result


def _plain(value: Any) -> Any:
    """A hyperparameter as JSON: a layer, block or operator that was passed is shown by its text."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _tensor(tensor: Tensor) -> dict[str, Any]:
    result: dict[str, Any] = {"name": tensor.name, "shape": list(tensor.shape), "dtype": tensor.dtype}
    if tensor.symbolic_shape is not None:
        result["symbolic_shape"] = list(tensor.symbolic_shape)
    return result


def _layer(layer: Layer, several_inputs: bool) -> dict[str, Any]:
    fields = {name: _field(field) for name, field in layer.fields.items()}
    result: dict[str, Any] = {
        "name": layer.name, "op": layer.op, "block": layer.block, "shape": list(layer.output.shape),
        "params": layer.params, "macs": layer.macs, "flops": layer.flops, "line": layer.line,
        "receptive_field": fields if several_inputs else next(iter(fields.values()), None),
    }  # fmt: skip
    if layer.output.symbolic_shape is not None:
        result["symbolic_shape"] = list(layer.output.symbolic_shape)
    if layer.file is not None:
        result["file"] = layer.file
    if layer.shared is not None:
        result["shared"] = layer.shared
    if layer.inputs:
        result["inputs"] = [_tensor(tensor) for tensor in layer.inputs]
    if layer.outputs:
        result["outputs"] = [_tensor(tensor) for tensor in layer.outputs]
    return result


def _field(field: ReceptiveField | None) -> dict[str, Any] | None:
    if field is None:
        return None
    result: dict[str, Any] = {
        "size": list(field.size), "stride": [_number(stride) for stride in field.stride],
        "start": list(field.start), "aligned": field.aligned,
    }  # fmt: skip
    if field.paths:
        result["paths"] = list(field.paths)
    return result


def _number(value: Fraction) -> int | float:
    return value.numerator if value.denominator == 1 else float(value)
