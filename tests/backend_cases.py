"""The node cases of onnx's own backend test suite as a source of inputs for gradients.

Each case is a model of one operator with inputs and outputs. The gradient of Σ y·r over its float outputs, r random, with
respect to each of its float inputs is held against central differences, both in float64 by the reference evaluator; and
the gradient in float32 by ONNX Runtime against that.
"""

import warnings
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules

import numpy as np
import onnx
from autodiff_support import session
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case import node as suite

from netdsl.autodiff import GradientError, gradient, rules
from netdsl.autodiff.float64 import evaluator
from netdsl.autodiff.rule import stops

STEP, TOLERANCE = 1e-6, 1e-5
LATEST = 26  # the opset that ONNX Runtime reads


@dataclass
class Outcome:
    """What came of a case: checked (beside a kink, in float32), refused, constant, not finite, not run, WRONG; and why."""

    name: str
    operator: str
    verdict: str
    reason: str = ""
    #: the largest error of a derivative along a random direction, relative to the gradient's length
    error: float = 0.0
    #: what ONNX Runtime makes of the gradient in float32: an error relative to the gradient, or why it does not run
    float32: float | str = ""


def modules():
    """The modules of the suite, one for each operator."""
    return [module.name for module in iter_modules(suite.__path__)]


def cases(module):
    """The cases of one operator, without those of its expansion as a function. They are made when first asked for."""
    start = len(suite._NodeTestCases)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_module(f"{suite.__name__}.{module}")
    made = suite._NodeTestCases[start:]
    return [case for case in made if case.model is not None and "_expanded" not in case.name]


def outcome(case):
    """The case's gradients checked."""
    node = case.model.graph.node[-1]
    found = Outcome(case.name, node.op_type, "not run")
    given, expected = case.data_sets[0]
    if any(isinstance(x, TensorProto) for x in given):
        found.reason = "an input of a type that numpy lacks"
        return found
    if not any(onnx.defs.has(node.op_type, version) for version in range(1, LATEST + 1)):
        found.reason = "an operator of another domain, or newer than what ONNX Runtime reads"
        return found
    try:
        feeds = {v.name: _wide(np.asarray(x)) for v, x in zip(case.model.graph.input, given, strict=True)}
        wide = _in_float64(case.model)
        model, of = _with_loss(wide, expected)
    except (TypeError, ValueError, AttributeError) as error:  # sequences, optionals, strings
        found.reason = f"{type(error).__name__}: {error}"
        return found
    names = [name for name, value in feeds.items() if value.dtype == np.float64 and value.size]
    declared = rules().get(node.op_type)
    fixed = _fixed(node, declared.fixed if declared else ())
    names = [name for name in names if name not in fixed]
    if not of or not names or stops(node):
        found.verdict = "constant"
        return found
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        kinks = bool(declared and declared.kinks)
        result = _checked(found, model, feeds, names, kinks)
        if "secondary output" in result.reason:
            model, _ = _with_loss(wide, expected[:1])
            result = _checked(Outcome(case.name, node.op_type, "not run"), model, feeds, names, kinks)
        return result


def _checked(found, model, feeds, names, kinks):
    try:
        extended = gradient(_declared_constant(model, feeds, names), "of", names)
    except GradientError as error:
        found.verdict, found.reason = "refused", str(error).splitlines()[-1].strip()
        return found
    try:
        found.error = _error(model, extended, feeds, names)
        if not np.isfinite(found.error):
            found.verdict = "not finite"
        elif found.error < TOLERANCE:
            found.verdict = "checked"
        else:  # with kinks, beside the corner that the case's round numbers lie on
            rng = np.random.default_rng(1)
            noise = 5e-2 if kinks else 0.0
            feeds = feeds | {name: feeds[name] + noise * rng.standard_normal(feeds[name].shape) for name in names}
            found.error = _error(model, extended, feeds, names)
            found.verdict = "checked beside a kink" if kinks and found.error < TOLERANCE else "WRONG"
        if found.verdict == "WRONG":
            # The reference evaluator computes some operators in float32 whatever the type is.
            found.error = _error(model, extended, feeds, names, step=2e-4)
            found.verdict = "checked in float32" if found.error < 2e-2 else "WRONG"
        found.float32 = _in_float32(extended, feeds, names)
    except Exception as error:  # whatever the reference evaluator raises: it lacks much in float64
        found.reason = f"reference evaluator: {type(error).__name__}: {error}".splitlines()[0][:200]
    return found


def _error(model, extended, feeds, names, step=STEP):
    """The largest error along two random directions for each input, relative to the gradient; nan where anything is."""
    run, rng, worst = evaluator(model), np.random.default_rng(0), 0.0
    gradients = evaluator(extended).run([f"grad/{name}" for name in names], {name: feeds[name] for name in names})
    for name, value in zip(names, gradients, strict=True):
        assert value.shape == feeds[name].shape, f"the gradient of {name} has the shape {value.shape}"
        for _ in range(2):
            d = rng.standard_normal(value.shape)
            below, above = (float(run.run(["of"], {**feeds, name: feeds[name] + s * step * d})[0]) for s in (-1, 1))
            error = abs((above - below) / (2 * step) - float(np.vdot(value, d)))
            worst = float(np.maximum(worst, error / (float(np.linalg.norm(value)) + 1e-3)))
    return worst


def _in_float32(extended, feeds, names):
    outputs, fed = [f"grad/{name}" for name in names], {name: feeds[name] for name in names}
    try:
        narrow = _retyped(extended, TensorProto.DOUBLE, TensorProto.FLOAT)
        found = session(narrow).run(outputs, {name: _as(value, np.float32) for name, value in fed.items()})
    except Exception as error:  # what ONNX Runtime does not run
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]
    pairs = zip(found, evaluator(extended).run(outputs, fed), strict=True)
    return max(float(np.abs(a - b).max() / (np.abs(b).max() + 1e-3)) for a, b in pairs)


# models


def _in_float64(model):
    found = _retyped(_retyped(model, TensorProto.FLOAT, TensorProto.DOUBLE), TensorProto.FLOAT16, TensorProto.DOUBLE)
    node = model.graph.node[-1]
    for entry in found.opset_import:
        if entry.domain == "" and entry.version > LATEST and onnx.defs.has(node.op_type, LATEST):
            entry.version = LATEST  # what ONNX Runtime reads
    found.ir_version = min(found.ir_version, 13)
    return found


def _retyped(model, old, new):
    """A copy with one element type in place of another: inputs, outputs, constants and casts."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    for value in (*graph.input, *graph.output, *graph.value_info):
        if not value.type.HasField("tensor_type"):
            raise TypeError(f"{value.name} is no tensor")
        if value.type.tensor_type.elem_type == old:
            value.type.tensor_type.elem_type = new
    for tensor in graph.initializer:
        tensor.CopyFrom(_retyped_tensor(tensor, old, new))
    for node in graph.node:
        if node.op_type == "GroupNormalization" and not any(a.name == "stash_type" for a in node.attribute):
            node.attribute.append(helper.make_attribute("stash_type", new))
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                attribute.t.CopyFrom(_retyped_tensor(attribute.t, old, new))
            if attribute.name in ("to", "dtype", "stash_type") and attribute.i == old:
                attribute.i = new
    return copy


def _retyped_tensor(tensor, old, new):
    if tensor.data_type != old:
        return tensor
    array = numpy_helper.to_array(tensor)
    return numpy_helper.from_array(_as(array, helper.tensor_dtype_to_np_dtype(new)), tensor.name)


def _as(array, dtype):
    with np.errstate(over="ignore"):
        return array.astype(dtype)


def _wide(value):
    return value.astype(np.float64) if value.dtype in (np.float16, np.float32) else value


def _with_loss(model, expected):
    """A copy with Σ y·r over the float outputs given as the tensor `of`; and whether there are any."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph, rng, parts = result.graph, np.random.default_rng(3), []
    for value, y in zip(model.graph.output, expected, strict=False):
        if value.type.tensor_type.elem_type != TensorProto.DOUBLE or not np.size(y):
            continue
        weights = f"{value.name}_weights"
        graph.initializer.append(numpy_helper.from_array(rng.standard_normal(np.shape(y)), weights))
        graph.node.append(helper.make_node("Mul", [value.name, weights], [f"{value.name}_weighted"]))
        graph.node.append(helper.make_node("ReduceSum", [f"{value.name}_weighted"], [f"{value.name}_part"], keepdims=0))
        parts.append(f"{value.name}_part")
    if parts:
        graph.node.append(helper.make_node("Sum", parts, ["of"]))
        graph.output.append(helper.make_tensor_value_info("of", TensorProto.DOUBLE, []))
    return result, bool(parts)


def _declared_constant(model, feeds, names):
    """The model with all inputs but the named ones as initializers: rules may look at axes, shapes and scales."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    kept = [value for value in copy.graph.input if value.name in names]
    copy.graph.initializer.extend(
        numpy_helper.from_array(feeds[v.name], v.name) for v in model.graph.input if v.name not in names
    )
    del copy.graph.input[:]
    copy.graph.input.extend(kept)
    return copy


def _fixed(node, fixed):
    """The node's inputs that its operator's declaration calls so."""
    schema = onnx.defs.get_schema(node.op_type)
    return {name for name, formal in zip(node.input, schema.inputs, strict=False) if formal.name in fixed}
