"""The values that parameters start with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from math import gcd, prod, sqrt
from typing import Any

import numpy as np

from netdsl.diagnostics import Diagnostic, Label, NetError
from netdsl.elaborate import Limits
from netdsl.ir import Graph, Node, Parameter, Value, parameters_of
from netdsl.lower.builder import dense_mask
from netdsl.lower.kernels import FILLED
from netdsl.ops.weight_norm import NORM, view

Draw = Callable[[np.random.Generator, Parameter, tuple[Any, ...]], np.ndarray]

#: The last weights before a softmax loss are drawn with this fraction of their usual deviation. With features of unit
#: scale the logits then have a deviation of about 0.1, and the loss exceeds ln C by about half of its square.
LOGITS_SCALE = 0.1


def initial_parameters(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    """Every parameter of the net and of its train block, float32, by name.

    Each is drawn from a generator of its own, keyed by the seed and the parameter's name, so that a change elsewhere
    in the file leaves it as it was. What a mask leaves out is zero.

    Raises NetError (E0450) where they are more than `NETDSL_MAX_WEIGHTS`, before memory is taken.
    """
    nodes = graph.all_nodes
    _check_count(parameters_of(nodes))
    damped = _before_softmax(graph)
    values = {
        parameter.name: initial_value(parameter, seed, LOGITS_SCALE if parameter in damped else 1.0)
        for parameter in parameters_of(nodes)
        if parameter.init != NORM
    }
    return values | {
        gain.name: _norms(node, values[node.parameters["weight"].name])
        for node in nodes
        if (gain := node.parameters.get("gain")) is not None and gain.init == NORM
    }


def _check_count(parameters: Sequence[Parameter]) -> None:
    counts = [prod(parameter.shape) for parameter in parameters]
    total, most = sum(counts), Limits.from_environment().weights
    if total > most:
        largest = max(range(len(counts)), key=counts.__getitem__)
        raise NetError(Diagnostic(
            "E0450", f"the net has {total:,} weights, and {most:,} are the most that are compiled",
            (Label(parameters[largest].span, f"{counts[largest]:,} of them"),),
            helps=("fewer units or channels, or a pooling before it, make it smaller",
                   "if it is meant, set NETDSL_MAX_WEIGHTS in the environment to a larger number"),
        ))  # fmt: skip


def _norms(node: Node, weight: np.ndarray) -> np.ndarray:
    """The length of each output's weights `[outputs]`: the gain with which weight normalisation leaves them as drawn."""
    shape, over = view(node)
    squares = weight.reshape(shape).astype(np.float64) ** 2
    return np.asarray(np.sqrt(squares.sum(over)).reshape(-1), np.float32)


def initial_value(parameter: Parameter, seed: int, scale: float = 1.0) -> np.ndarray:
    """The parameter's first value times `scale`; shape `parameter.shape`, float32."""
    key = hashlib.sha256(f"{seed}/{parameter.name}".encode()).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(key[:16], "little")))
    init = parameter.init
    value = _DRAWS[init.kind](generator, parameter, init.arguments) * np.float32(init.scale * scale)
    if parameter.mask is not None:
        value = value * dense_mask(parameter)
    return np.ascontiguousarray(value, np.float32).reshape(parameter.shape)  # which one number would not have


def _before_softmax(graph: Graph) -> set[Parameter]:
    """The weights of the last layers before a softmax cross-entropy, where they have the default initialisation.

    From the logits backwards through everything without parameters (sums, pools, activations, reshapes); the first
    layer with parameters on each way ends it. Weights whose initialisation the file gives are left alone, and so are
    those behind a normalisation, which would undo the factor.
    """
    if graph.training is None:
        return set()
    producers = {value: node for node in graph.all_nodes for value in node.outputs}
    frontier: list[Value] = [n.inputs[0] for n in graph.training.nodes if n.op.name == "cross_entropy"]
    found: set[Parameter] = set()
    seen: set[Node] = set()
    while frontier:
        node = producers.get(frontier.pop())
        if node is None or node in seen:
            continue
        seen.add(node)
        if not node.parameters:
            frontier += node.inputs
        elif "weight" in node.parameters and node.parameters["weight"].init.kind == "he":
            found.add(node.parameters["weight"])
    return found


def _he(generator: np.random.Generator, parameter: Parameter, _: tuple[Any, ...]) -> np.ndarray:
    """Normal with variance 2 / fan_in: He et al., "Delving deep into rectifiers", ICCV 2015, equation 10."""
    return _normal(generator, parameter, sqrt(2 / parameter.fan_in))


def _glorot(generator: np.random.Generator, parameter: Parameter, _: tuple[Any, ...]) -> np.ndarray:
    """Uniform with variance 2 / (fan_in + fan_out): Glorot & Bengio, AISTATS 2010, equation 16."""
    limit = sqrt(6 / (parameter.fan_in + parameter.fan_out))
    return generator.uniform(-limit, limit, parameter.shape)


def _glorot_normal(generator: np.random.Generator, parameter: Parameter, _: tuple[Any, ...]) -> np.ndarray:
    """The same variance, normally distributed."""
    return _normal(generator, parameter, sqrt(2 / (parameter.fan_in + parameter.fan_out)))


def _normal(generator: np.random.Generator, parameter: Parameter, deviation: float) -> np.ndarray:
    return generator.standard_normal(parameter.shape) * deviation


def _bilinear(_: np.random.Generator, parameter: Parameter, __: tuple[Any, ...]) -> np.ndarray:
    """Each channel upsampled by interpolation: Long, Shelhamer, Darrell, CVPR 2015, section 3.3.

    Along each axis of the kernel `[k]` the weight falls linearly from the centre. Input channel i goes to output
    channel i alone; with groups, weights of shape `[channels, 1, ...]`, each channel to itself.
    """
    kernel = np.ones(())
    for size in parameter.shape[2:]:
        factor = (size + 1) // 2
        centre = factor - 1 if size % 2 == 1 else factor - 0.5
        kernel = np.multiply.outer(kernel, 1 - np.abs(np.arange(size) - centre) / factor)
    value = np.zeros(parameter.shape)
    if parameter.shape[1] == 1:
        value[:, 0] = kernel
    else:
        diagonal = np.arange(min(parameter.shape[:2]))
        value[diagonal, diagonal] = kernel
    return value


def _identity_kernel(generator: np.random.Generator, parameter: Parameter, arguments: tuple[Any, ...]) -> np.ndarray:
    """A convolution that hands its input on, and noise elsewhere: Yu & Koltun, ICLR 2016, equations 4 and 5.

    With C the greatest common divisor of the channels in and out, C groups of input channels go to as many of output
    channels: an output channel is the sum over its group, times C / channels out. So a layer that widens and one that
    narrows again leave the input as it was.
    """
    out, channels, *kernel = parameter.shape
    groups = gcd(out, channels)
    value = _normal(generator, parameter, arguments[0])
    same = np.arange(out)[:, None] * groups // out == np.arange(channels) * groups // channels
    value[(same, *(size // 2 for size in kernel))] = groups / out
    return value


_DRAWS: dict[str, Draw] = {
    **FILLED,
    "he": _he,
    "glorot": _glorot,
    "glorot_uniform": _glorot,
    "glorot_normal": _glorot_normal,
    "gaussian": lambda generator, parameter, arguments: _normal(generator, parameter, arguments[0]),
    "uniform": lambda generator, parameter, arguments: generator.uniform(-arguments[0], arguments[0], parameter.shape),
    "zeros": lambda _, parameter, __: np.zeros(parameter.shape),
    "ones": lambda _, parameter, __: np.ones(parameter.shape),
    "constant": lambda _, parameter, arguments: np.broadcast_to(
        np.asarray(arguments[0], np.float32).reshape(_fitting(arguments[0], parameter.shape)), parameter.shape
    ),
    "bilinear": _bilinear,
    "identity_kernel": _identity_kernel,
    "signs": lambda generator, parameter, _: generator.integers(0, 2, parameter.shape) * 2.0 - 1.0,
}


def _fitting(value: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A number fills the shape; a list has one number per element."""
    return shape if np.size(value) == prod(shape) else (1,) * len(shape)
