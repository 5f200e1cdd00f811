"""Reverse-mode differentiation of a graph: one sweep over its nodes, from last to first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from . import rules as _rules  # noqa: F401  (importing it fills the table)
from .builder import Builder
from .dataflow import read_by
from .errors import GradientError, Problem, Unsupported
from .prepare import expanded, inlined
from .rule import Backward, Gradients, rule_for, stops
from .target import Target
from .tensor_types import TensorType, infer_types, tensor_types

_CPU = Target()
_SMALL = 4096  # numbers of a constant that rules look at


def extend_with_gradients(
    graph: onnx.GraphProto, of: str, with_respect_to: Sequence[str], *, target: Target = _CPU
) -> dict[str, str]:
    """Appends the backward pass of the scalar `of` to `graph`, in place, and names the gradients.

    `graph` is topologically sorted, float32 or float64, opset 18 or later. Types come from its `value_info`, or
    from shape inference where that is incomplete; a dimension may be symbolic, static ones allow faster forms.
    Gradients have the shapes of their tensors; a tensor that `of` does not depend on gets zeros. Forward nodes
    may gain outputs (the indices of a pool). Returns {tensor: its gradient}.

    Reverse-mode accumulation: Griewank and Walther, Evaluating Derivatives, 2nd ed., section 3.2.

    Raises GradientError, and leaves the graph as it was, if a name is unknown, `of` is no scalar, or a node on a
    path between the two has no gradient; all such nodes are listed.
    """
    sweep = _Sweep(graph, of, with_respect_to, target)
    gradients = sweep.run()
    if sweep.problems:
        raise GradientError(f"'{of}' cannot be differentiated:", sweep.problems)
    sweep.builder.commit()
    return gradients


def missing_rules(graph: onnx.GraphProto, of: str, with_respect_to: Sequence[str]) -> list[onnx.NodeProto]:
    """The nodes on a path from `with_respect_to` to `of` that have no gradient, in graph order; changes nothing.

    Raises GradientError if a name is unknown or `of` is no scalar.
    """
    return [problem.node for problem in problems(graph, of, with_respect_to)]


def problems(graph: onnx.GraphProto, of: str, with_respect_to: Sequence[str]) -> list[Problem]:
    """`missing_rules` with the reason for each. Raises GradientError as it does."""
    sweep = _Sweep(graph, of, with_respect_to, Target())
    sweep.run()
    return sweep.problems


def gradient(
    model: onnx.ModelProto, of: str, with_respect_to: Sequence[str], *, target: Target = _CPU
) -> onnx.ModelProto:
    """A copy of `model` that also computes the gradients of one of its tensors.

    `of` names a tensor of one element, `with_respect_to` floating-point inputs, initializers or intermediate tensors;
    neither needs to be an output. Each gradient is an output `grad/<name>` with the shape and the element type of its
    tensor, zeros where `of` does not depend on it. The other outputs stay as they are.

    The model's local functions are inlined, and operators without a rule that ONNX defines by others (Attention, Swish ...)
    are replaced by these. A model below opset 18, or with pools that round up below 22, is converted to it. `target` is
    where it is to run. docs/gradients.md lists what has a gradient.

    Raises GradientError as `extend_with_gradients` does, and for an old model that cannot be converted.
    """
    result = inlined(model)
    while missing := missing_rules(_typed(result), of, with_respect_to):
        replaced = expanded(result, missing)
        if replaced is None:
            break
        result = replaced
    graph = _typed(result)
    types = tensor_types(graph)
    for name, found in extend_with_gradients(graph, of, with_respect_to, target=target).items():
        output = f"grad/{name}"
        graph.node.append(helper.make_node("Identity", [found], [output]))
        graph.output.append(helper.make_tensor_value_info(output, types[name].element, types[name].dims))
    return result


def _typed(model: onnx.ModelProto) -> onnx.GraphProto:
    """The model's graph, with the types that inference finds written down."""
    graph = model.graph
    declared = {value.name for value in (*graph.value_info, *graph.input, *graph.output, *graph.initializer)}
    for name, kind in infer_types(graph, model.opset_import).items():
        if name not in declared and kind.dims is not None:
            graph.value_info.append(helper.make_tensor_value_info(name, kind.element, kind.dims))
    return graph


class _Sweep:
    """One differentiation: what depends on what, then the backward nodes."""

    def __init__(self, graph: onnx.GraphProto, of: str, with_respect_to: Sequence[str], target: Target) -> None:
        self.graph = graph
        self.of = of
        self.with_respect_to = list(dict.fromkeys(with_respect_to))
        self.target = target
        self.types = tensor_types(graph)
        self.builder = Builder(graph)
        self.problems: list[Problem] = []
        self._constants = _small_constants(graph)
        self._check_names()

    def run(self) -> dict[str, str]:
        """Writes the backward nodes into the builder; returns the gradients, or {} if there are problems."""
        active = self._active()
        path = self._path(active)
        pending: dict[str, list[str]] = {self.of: [self._seed()]}
        gradients: dict[str, str] = {}
        for node in reversed(path):
            self.builder.scope = f"grad/{node.name or node.output[0]}"
            for output in node.output:
                if output in pending:
                    gradients[output] = self._accumulate(pending.pop(output))
            if any(output in gradients for output in node.output):
                self._backward(node, active, gradients, pending)
        self.problems.reverse()
        if self.problems:
            return {}
        self.builder.scope = "grad"
        gradients |= {name: self._accumulate(parts) for name, parts in pending.items()}
        return {name: gradients.get(name) or self._zeros(name) for name in self.with_respect_to}

    def _backward(
        self, node: onnx.NodeProto, active: set[str], gradients: Mapping[str, str], pending: dict[str, list[str]]
    ) -> None:
        needs = [name in active for name in node.input]
        output_gradients = [gradients.get(output) for output in node.output]
        context = Backward(node, output_gradients, needs, self.builder, self.types, self._constants, self.target)
        try:
            found = _applied(context)
        except Unsupported as reason:
            self.problems.append(Problem(node, str(reason)))
            # Stand-ins let the sweep go on, to find every such node at once.
            found = [self._zeros(name) if need else None for name, need in zip(node.input, needs, strict=True)]
        for name, value in zip(node.input, found, strict=False):
            if value is not None and name in active:
                pending.setdefault(name, []).append(value)

    def _accumulate(self, parts: Sequence[str]) -> str:
        if len(parts) == 1:
            return parts[0]
        return self.builder.op("Add" if len(parts) == 2 else "Sum", *parts)

    def _active(self) -> set[str]:
        """Floating-point tensors that depend differentiably on one of `with_respect_to`."""
        active = set(self.with_respect_to)
        for node in self.graph.node:
            if not stops(node) and any(name in active for name in read_by(node)):
                active |= {output for output in node.output if output and self._is_float(output)}
        return active

    def _path(self, active: set[str]) -> list[onnx.NodeProto]:
        """The nodes between `with_respect_to` and `of`, in graph order."""
        needed = {self.of}
        path: list[onnx.NodeProto] = []
        for node in reversed(self.graph.node):
            if any(output in needed and output in active for output in node.output):
                inputs = [name for name in read_by(node) if name in active]
                if inputs and not stops(node):
                    needed.update(inputs)
                    path.append(node)
        path.reverse()
        return path

    def _is_float(self, name: str) -> bool:
        known = self.types.get(name)
        # A node whose output type inference does not know may lie on the path: its missing rule must be reported.
        return known is None or known.is_float or known.element == TensorProto.UNDEFINED

    def _check_names(self) -> None:
        for name in (self.of, *self.with_respect_to):
            if name not in self.types:
                raise GradientError(f"the graph has no tensor '{name}'")
            if not self.types[name].is_float:
                raise GradientError(f"'{name}' is not a floating-point tensor")
        static = self.types[self.of].static
        if static is None or prod(static) != 1:
            raise GradientError(f"'{self.of}' is not a scalar, so it has no gradient")

    def _seed(self) -> str:
        kind = self.types[self.of]
        dtype = helper.tensor_dtype_to_np_dtype(kind.element)
        return self.builder.constant(np.ones(kind.static or (), dtype))

    def _zeros(self, name: str) -> str:
        kind = self.types.get(name, TensorType(TensorProto.FLOAT, None))
        if kind.element == TensorProto.UNDEFINED:  # no tensor: a problem that is found stands in the way anyhow
            kind = TensorType(TensorProto.FLOAT, kind.dims)
        shape = self.builder.op("Shape", name) if kind.static is None else self.builder.ints(kind.static)
        return self.builder.op("ConstantOfShape", shape, value=helper.make_tensor("value", kind.element, [1], [0]))


def _applied(context: Backward) -> Gradients:
    """The gradients of a node's inputs by its rule; raises Unsupported."""
    declared = rule_for(context.node)
    if any(attribute.HasField("g") or attribute.graphs for attribute in context.node.attribute):
        raise Unsupported("there is no gradient through control flow")
    if declared is None:
        raise Unsupported("the operator has no gradient rule")
    if any(context.output_gradients[1:]) and not declared.every_output:
        raise Unsupported("the gradient flows through a secondary output")
    return declared.function(context)


def _small_constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Values of the constants a rule may look at: axes, shapes, scalars, small tables; never weights kept elsewhere."""
    constants = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in graph.initializer
        if prod(tensor.dims) <= _SMALL and tensor.data_location != TensorProto.EXTERNAL
    }
    fed = {value.name for value in graph.input}
    constants = {name: value for name, value in constants.items() if name not in fed}
    for node in graph.node:
        if node.op_type == "Constant":
            values = [value for a in node.attribute if (value := _constant(a)) is not None]
            constants |= dict(zip(node.output, values, strict=False))
    return constants


def _constant(attribute: onnx.AttributeProto) -> np.ndarray | None:
    value = helper.get_attribute_value(attribute)
    if attribute.name == "value":
        return numpy_helper.to_array(value)
    if attribute.name in ("value_int", "value_ints"):
        return np.array(value, np.int64)
    if attribute.name in ("value_float", "value_floats"):
        return np.array(value, np.float32)
    return None
