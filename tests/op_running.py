"""Runs one application of an operator through the compiler and ONNX Runtime."""

import numpy as np
import onnxruntime
from graph_builder import NetBuilder

from netdsl.lower import compile_model, lower_graph


def applied(op, shapes, args, dtypes=()):
    """The operator applied to inputs `x0`, `x1`, ... of the shapes; a dimension ("H", 8) is symbolic."""
    b = NetBuilder()
    kinds = dtypes or ["float32"] * len(shapes)
    values = []
    for i, (shape, kind) in enumerate(zip(shapes, kinds, strict=True)):
        dtype = "float32" if kind in ("positive", "unbatched") else kind
        values.append(b.input(f"x{i}", *shape, dtype=dtype, batched=kind != "unbatched"))
    return b, b.node(op, *values, **args)


def compiled(b, node, parameters, provider="cpu"):
    """The net as `compile_model` makes it; with the provider "cuda" in the forms for that, which run anywhere."""
    graph = b.graph(**dict(zip(output_names(node), node.outputs, strict=True)))
    values = {p.name: parameters[role] for role, p in node.parameters.items()}
    model = compile_model(graph, values)
    if provider != "cpu":
        initializers = [i for i in model.graph.initializer if i.name in values]
        model.graph.CopyFrom(lower_graph(graph, "inference", provider=provider).graph)
        model.graph.initializer.extend(initializers)
    return model


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def output_names(node):
    """What `compiled` calls the node's outputs: `y`, `y1`, ..."""
    return ["y", *(f"y{i}" for i in range(1, len(node.outputs)))]


def run(model, inputs):
    """The output `y`; an input whose values the model does not read is left out."""
    return run_all(model, inputs)[0]


def run_all(model, inputs):
    """All outputs, `y` first."""
    running = session(model)
    known = {i.name for i in running.get_inputs()}
    feed = {f"x{i}": x for i, x in enumerate(inputs) if f"x{i}" in known}
    return running.run(None, feed)


def random_parameters(node, seed=0):
    """Numbers that tell parameters apart; variances positive; what a mask leaves out is zero."""
    generator = np.random.default_rng(seed)
    values = {}
    for role, parameter in node.parameters.items():
        value = generator.standard_normal(parameter.shape).astype(np.float32)
        values[role] = np.abs(value) + 0.5 if role == "running_var" else value
    return values


def random_inputs(shapes, dtypes=(), batch=3, seed=1, below=3):
    """Normal numbers, and whole ones from 0 to `below`, without it."""
    generator = np.random.default_rng(seed)
    kinds = dtypes or ["float32"] * len(shapes)
    draws = {
        "int64": lambda size: generator.integers(0, below, size),
        "bool": lambda size: generator.integers(0, 2, size) > 0,
        "float32": lambda size: generator.standard_normal(size).astype(np.float32),
        "unbatched": lambda size: generator.standard_normal(size[1:]).astype(np.float32),
        "positive": lambda size: generator.uniform(0.5, 2, size).astype(np.float32),
    }
    return [draws[kind]((batch, *shape)) for shape, kind in zip(shapes, kinds, strict=True)]
