"""The finished ONNX model: the inference graph with its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, TensorProto

from netdsl.diagnostics import CheckpointError, Diagnostic, counted, did_you_mean
from netdsl.ir import Graph, Parameter, parameters_of
from netdsl.lower.builder import dense_mask
from netdsl.lower.lowering import lower_graph
from netdsl.version import __version__

#: The lowest operator set with all that is used (Gelu came with 20): ONNX Runtime's CUDA provider has kernels for it
#: in more releases than for later ones, which changed types only.
OPSET = 20
#: The first IR with metadata on nodes.
IR_VERSION = 10
#: So many parameters that do not fit are told of one by one.
MOST_PROBLEMS = 5


def compile_model(graph: Graph, parameters: Mapping[str, np.ndarray]) -> ModelProto:
    """The net for inference as an ONNX model with a dynamic batch axis.

    `parameters` has every parameter of `graph.parameters()` by name, float32 in its shape; what a mask leaves out is
    set to zero. The model's metadata holds the net's name and hyperparameters, and the input pipeline (`prepare`).
    """
    lowered = lower_graph(graph, "inference")
    model = ModelProto(ir_version=IR_VERSION, producer_name="netdsl", producer_version=__version__)
    model.opset_import.add(domain="", version=OPSET)
    model.graph.CopyFrom(lowered.graph)
    for parameter in lowered.parameters:
        value = parameters[parameter.name]
        assert value.shape == parameter.shape, f"{parameter.name}: {value.shape}, not {parameter.shape}"
        _add_weight(model.graph.initializer.add(), parameter, value)
    for key, text in metadata(graph).items():
        model.metadata_props.add(key=f"netdsl.{key}", value=text)
    return model


def _add_weight(tensor: TensorProto, parameter: Parameter, value: np.ndarray) -> None:
    if parameter.mask is not None:
        value = value * dense_mask(parameter)
    tensor.name, tensor.data_type = parameter.name, TensorProto.FLOAT
    tensor.dims.extend(parameter.shape)
    tensor.raw_data = np.ascontiguousarray(value, "<f4").tobytes()


def metadata(graph: Graph) -> dict[str, str]:
    entries = {
        "net": graph.name,
        "hyperparameters": json.dumps(dict(graph.hyperparameters), default=str),
        "version": __version__,
    }
    if graph.training is not None or graph.prepare:
        entries["prepare"] = json.dumps([[name, dict(arguments)] for name, arguments in graph.prepare])
    return entries


def fit_weights(graph: Graph, tensors: Mapping[str, np.ndarray], path: str) -> dict[str, np.ndarray]:
    """The net's parameters out of a checkpoint's tensors, by name.

    Raises CheckpointError, with a diagnostic for each parameter that is missing or has another shape or is not finite, up to
    `MOST_PROBLEMS`, or one where all are missing. Those of the train
    block alone come along where they are there and fit; other tensors are left out: they belong to the optimizer.
    """
    problems = []
    found = {}
    wanted = graph.parameters()
    if len(wanted) > 1 and not any(parameter.name in tensors for parameter in wanted):
        raise CheckpointError(_of_another_net(graph, tensors, path))
    for parameter in wanted:
        tensor = tensors.get(parameter.name)
        if tensor is None:
            spare = set(tensors) - {p.name for p in wanted}
            problems.append(Diagnostic("E1002", f"the checkpoint has no `{parameter.name}` {list(parameter.shape)}",
                                       helps=did_you_mean(parameter.name, spare), path=path))  # fmt: skip
        elif tensor.shape != parameter.shape:
            problems.append(Diagnostic("E1003", f"`{parameter.name}` is {list(parameter.shape)} in the net and "
                                       f"{list(tensor.shape)} in the checkpoint", path=path))  # fmt: skip
        elif lost := tensor.size - np.count_nonzero(np.isfinite(tensor)):
            problems.append(Diagnostic("E1004", f"{lost:,} of the {tensor.size:,} values of `{parameter.name}` in the "
                                       "checkpoint are not finite numbers",
                                       helps=("take a checkpoint of a run that did not diverge",), path=path))  # fmt: skip
        else:
            found[parameter.name] = np.asarray(tensor, np.float32)
    if problems:
        more = len(problems) - MOST_PROBLEMS
        if more > 0:
            also = f"{counted(more, 'parameter')} more {'does' if more == 1 else 'do'} not fit"
            problems[MOST_PROBLEMS - 1] = problems[MOST_PROBLEMS - 1]._replace(notes=(also,))
        raise CheckpointError(*problems[:MOST_PROBLEMS])
    for parameter in parameters_of(graph.training.nodes) if graph.training is not None else ():
        tensor = tensors.get(parameter.name)
        if tensor is not None and tensor.shape == parameter.shape:
            found.setdefault(parameter.name, np.asarray(tensor, np.float32))
    return found


def _of_another_net(graph: Graph, tensors: Mapping[str, np.ndarray], path: str) -> Diagnostic:
    """What is said where a checkpoint has none of a net's parameters."""
    wanted = graph.parameters()
    has = f"and the checkpoint `{next(iter(tensors))}`" if tensors else "and the checkpoint nothing"
    return Diagnostic("E1002", f"the checkpoint has none of the {len(wanted)} parameters of `{graph.name}`", path=path,
                      notes=(f"the net has, for instance, `{wanted[0].name}`, {has}",),
                      helps=("it is of another net: name the file that it was trained from",))  # fmt: skip
