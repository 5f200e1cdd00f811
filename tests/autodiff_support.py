"""Gradients against finite differences: the harness that the tests of netdsl.autodiff share."""


import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper, parser

from netdsl.autodiff import Target, gradient
from netdsl.autodiff.float64 import evaluator

OPSET, IR_VERSION = 22, 10
CPU, CUDA = Target("cpu"), Target("cuda")


def build(body, inputs, constants=None, *, dtype=np.float64, symbolic=None, outputs=("of",), opset=OPSET):
    """A model from ONNX text nodes; floats are taken as `dtype`, `symbolic` renames sizes of some inputs."""
    text = f'<ir_version: {IR_VERSION}, opset_import: ["": {opset}]> g () => () {{ {body} }}'
    graph = parser.parse_model(text).graph
    del graph.input[:], graph.output[:]
    for name, value in inputs.items():
        dims = (symbolic or {}).get(name, value.shape)
        graph.input.append(helper.make_tensor_value_info(name, _element(value, dtype), dims))
    for name, value in (constants or {}).items():
        graph.initializer.append(numpy_helper.from_array(_cast(value, dtype), name))
    for name in outputs:
        element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        graph.output.append(helper.make_tensor_value_info(name, element, () if name == "of" else None))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSION)


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def check(body, inputs, constants=None, *, symbolic=None, with_respect_to=None, run_float32=True, opset=OPSET):
    """Holds the gradients of Σ y·r, r random, against central differences; returns them (float64).

    Both the forms for the CPU and those for CUDA run in float64 in the reference evaluator; those for the CPU also
    in float32 in ONNX Runtime. With `symbolic`, that declaration of the inputs must give the same.
    """
    rng = np.random.default_rng(7)
    inputs = {name: _cast(value, np.float64) for name, value in inputs.items()}
    names = with_respect_to or [name for name, value in inputs.items() if value.dtype.kind == "f"]
    plain = build(body, inputs, constants, outputs=["y"], opset=opset)
    y = evaluator(plain).run(["y"], inputs)[0]
    body += " weighted = Mul(y, r) of = ReduceSum<keepdims = 0>(weighted)"
    constants = {**(constants or {}), "r": rng.standard_normal(np.shape(y))}

    model = build(body, inputs, constants, opset=opset)
    found = run_gradient(model, inputs, names, CPU)
    _against_differences(model, inputs, dict(zip(names, found, strict=True)), rng)
    _close(found, run_gradient(model, inputs, names, CUDA), names, 1e-9)
    if run_float32:
        _close(found, run_float32_gradient(body, inputs, constants, names, None, opset), names, 2e-5)
    if symbolic:
        constants = {**constants, "r": constants["r"]}
        model = build(body, inputs, constants, symbolic=symbolic, opset=opset)
        _close(found, run_gradient(model, inputs, names, CPU), names, 1e-9)
        if run_float32:
            _close(found, run_float32_gradient(body, inputs, constants, names, symbolic, opset), names, 2e-5)
    return dict(zip(names, found, strict=True))


def run_gradient(model, inputs, names, target):
    """Gradients by the reference evaluator."""
    extended = gradient(model, "of", names, target=target)
    onnx.checker.check_model(extended)
    return evaluator(extended).run([f"grad/{name}" for name in names], dict(inputs))


def run_float32_gradient(body, inputs, constants, names, symbolic, opset=OPSET):
    """Gradients by ONNX Runtime on the CPU."""
    model = gradient(build(body, inputs, constants, dtype=np.float32, symbolic=symbolic, opset=opset), "of", names)
    feeds = {name: _cast(value, np.float32) for name, value in inputs.items()}
    used = {name for node in model.graph.node for name in node.input}
    feeds = {name: value for name, value in feeds.items() if name in used or name in names}
    return session(model).run([f"grad/{name}" for name in names], feeds)


def _against_differences(model, inputs, found, rng):
    """Along random directions, which no wrong gradient survives: ⟨gradient, d⟩ = (f(x + εd) − f(x − εd)) / 2ε."""
    run = evaluator(model).run
    for name, value in found.items():
        assert value.shape == inputs[name].shape, f"the gradient of {name} has shape {value.shape}"
        for _ in range(2):
            direction = rng.standard_normal(value.shape)
            step = 1e-6 * direction
            above, below = (run(["of"], {**inputs, name: inputs[name] + sign * step})[0] for sign in (1, -1))
            difference = (above - below) / 2e-6
            scale = np.linalg.norm(value) + 1e-3
            assert abs(difference - np.vdot(value, direction)) < 1e-6 * scale + 1e-7, (
                f"{name}: {np.vdot(value, direction)} but finite differences {difference}"
            )


def _close(expected, found, names, tolerance):
    for a, b, name in zip(expected, found, names, strict=True):
        assert a.shape == b.shape, f"{name}: {b.shape}, not {a.shape}"
        np.testing.assert_allclose(
            b, a, rtol=tolerance, atol=tolerance * max(1.0, np.abs(a).max(initial=0)), err_msg=name
        )


def _cast(value, dtype):
    return value.astype(dtype) if value.dtype.kind == "f" else value


def _element(value, dtype):
    return helper.np_dtype_to_tensor_dtype(_cast(value, dtype).dtype)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def positive(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0.5, 2, shape)


def ints(*values):
    return np.array(values, np.int64)
