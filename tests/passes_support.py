"""What tests of passes share: inputs, running both nets, comparing."""

import numpy as np

from netdsl.ir import value_at, verify
from netdsl.lower import initial_parameters
from tests.onnx_running import randomised, run_net


def numbers_of(graph):
    """Weights that tell everything apart: biases and statistics are no zeros and ones."""
    return randomised(graph, initial_parameters(graph, 0))


def inputs_of(graph, seed=0, batch=2, **sizes):
    """Random inputs; symbolic sizes have their default, or the given one."""
    rng = np.random.default_rng(seed)
    shapes = {value.name: [batch, *(value_at(dim, sizes) for dim in value.shape)] for value in graph.inputs}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def outputs_of(conversion, inputs):
    verify(conversion.graph)
    return run_net(conversion.graph, conversion.parameters, **inputs)


def close(found, wanted):
    """Equal up to the rounding of float32 sums in another order."""
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-5 * max(1, np.abs(wanted).max(initial=0)))
