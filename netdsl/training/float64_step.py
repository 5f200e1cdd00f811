"""A training step in float64: its loss, its gradients, and the loss where a parameter has other values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from netdsl.autodiff import rules
from netdsl.autodiff.dataflow import upstream
from netdsl.autodiff.float64 import evaluator, in_float64
from netdsl.lower import IR_VERSION, OPSET
from netdsl.training.step import StepModel


class Kink(NamedTuple):
    """A node that has no derivative somewhere, and where."""

    operator: str
    node: str
    where: str


class Float64Step:
    """A step that is split, evaluated by numpy on one batch, with the seed and the step that it is fed.

    `gradients` are those of the step's own backward pass, by parameter, `values` the parameters.
    """

    def __init__(self, step: StepModel, feeds: Mapping[str, np.ndarray]) -> None:
        """`feeds` has every input of the step's first model."""
        self._graph = in_float64(step.model.graph)
        self._loss = step.loss
        arrays = {
            name: value.astype(np.float64) if value.dtype == np.float32 else value for name, value in feeds.items()
        }
        self._nodes, _ = upstream(self._graph.node, [step.loss])
        # all that the loss is computed from; what is downstream of a parameter is computed again
        names = [name for node in self._nodes for name in node.output if name]
        found: Any = evaluator(_model(self._graph)).run([*names, "next/gradient"], arrays)
        self._known = arrays | dict(zip(names, found, strict=False))
        self._known |= {t.name: numpy_helper.to_array(t) for t in self._graph.initializer}
        slots = step.state["parameters"]
        self.gradients = {s.name: found[-1][s.start : s.end].reshape(s.shape) for s in slots.slots}
        self.values = {s.name: self._known[s.name] for s in slots.slots}
        self.loss = float(self._known[step.loss])

    def along(self, parameter: str) -> Line:
        """The loss as a function of one parameter."""
        downstream, nodes = {parameter}, []
        for node in self._nodes:
            if any(name in downstream for name in node.input):
                downstream.update(node.output)
                nodes.append(node)
        return Line(self._loss, parameter, nodes, self._known)


class Line:
    """The nodes between one parameter and the loss."""

    def __init__(self, loss: str, parameter: str, nodes: list[onnx.NodeProto], known: Mapping[str, np.ndarray]) -> None:
        self._loss, self._parameter = loss, parameter
        made = {output for node in nodes for output in node.output}
        read = dict.fromkeys(name for node in nodes for name in node.input if name and name not in made)
        self._fed = {name: known[name] for name in read}
        graph = onnx.GraphProto(name="loss", node=nodes)
        for name, value in self._fed.items():
            element = helper.np_dtype_to_tensor_dtype(value.dtype)
            graph.input.append(helper.make_tensor_value_info(name, element, value.shape))
        graph.output.append(helper.make_tensor_value_info(loss, onnx.TensorProto.DOUBLE, []))
        self._run = evaluator(_model(graph)).run
        declared = rules()
        self.kinks = [Kink(node.op_type, node.name, declared[node.op_type].kinks) for node in nodes
                      if node.op_type in declared and declared[node.op_type].kinks]  # fmt: skip

    def loss(self, value: np.ndarray) -> float:
        """The loss where the parameter has this value."""
        found: Any = self._run([self._loss], {**self._fed, self._parameter: value})
        return float(found[0])


def _model(graph: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
