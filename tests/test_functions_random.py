"""Random expressions of tensors, with and without a batch axis, against PyTorch: values, and gradients of all that is learned."""

from random import Random

import numpy as np
import onnx
import pytest
import torch
from net_text import elaborated
from onnx import TensorProto, helper
from op_running import session

from netdsl.autodiff import gradient
from netdsl.lower import compile_model, initial_parameters

C, H, W, BATCH = 4, 3, 4, 4  # the batch as large as an axis, so that a wrong one would fit
LEARNED = {"gate": [], "bias": [C], "rows": [1, H, 1], "table": [C, H, W], "mix": [C, C]}
FIXED = "".join(f"    {name} = param({shape}, init = gaussian(0.7))\n" for name, shape in LEARNED.items())
#: [C, H, W] operands, batched or not, as text and as PyTorch has them
LEAVES = {
    "x": lambda v: v["x"],
    "v": lambda v: v["v"][:, :, None, None],
    "gate": lambda v: v["gate"],
    "bias": lambda v: v["bias"][:, None, None],
    "rows": lambda v: v["rows"],
    "table": lambda v: v["table"],
    "slice(coordinates(x), 1, 2)": lambda v: torch.arange(float(W)).expand(1, H, W),
    "reshape(matmul(mix, reshape(x, [4, 12])), [4, 3, 4])": lambda v: torch.einsum("kc,bchw->bkhw", v["mix"], v["x"]),
    "reshape(matmul(mix, v), [4, 1, 1])": lambda v: (v["v"] @ v["mix"].T)[:, :, None, None],
}
UNARY = {
    "exp(-abs({}))": lambda a: torch.exp(-a.abs()),
    "sqrt(abs({}) + 1)": lambda a: torch.sqrt(a.abs() + 1),
    "log({} ** 2 + 1)": lambda a: torch.log(a**2 + 1),
    "(-{})": lambda a: -a,
    "max({}, 0.1)": lambda a: a.clamp_min(0.1),
}
# of operands [batch, C, H, W], or with axes of size 1: the sum with x has them all
ON_MAPS = {
    "mean({} + x, axis = channel)": lambda a, x: (a + x).mean(1, keepdim=True),
    "sum({} + x, axis = [height, width])": lambda a, x: (a + x).sum((2, 3), keepdim=True),
    "min({} + x, axis = 2)": lambda a, x: (a + x).amin(3, keepdim=True),
    "gather({} + x, [3, 0, 0, 1])": lambda a, x: (a + x)[:, [3, 0, 0, 1]],
    "concat(split({} + x, [1, 3]))": lambda a, x: a + x,
}
BINARY = {
    "({} + {})": lambda a, b: a + b,
    "({} - {})": lambda a, b: a - b,
    "({} * {})": lambda a, b: a * b,
    "max({}, {})": lambda a, b: torch.maximum(a, b),
    "where({0} < {1}, {0}, 2 * {1})": lambda a, b: torch.where(a < b, a, 2 * b),
    "where(not {0} > 0 or {1} >= 0.5, 1, {1})": lambda a, b: torch.where(~(a > 0) | (b >= 0.5), 1.0, b),
}


def drawn(random, values, depth):
    """An expression and its value."""
    if depth == 0:
        text = random.choice(list(LEAVES))
        return text, LEAVES[text](values)
    left, a = drawn(random, values, depth - 1)
    kind = random.random()
    if kind < 0.25:
        form = random.choice(list(UNARY))
        return form.format(left), UNARY[form](a)
    if kind < 0.45:
        form = random.choice(list(ON_MAPS))
        return form.format(left), ON_MAPS[form](a, values["x"])
    right, b = drawn(random, values, random.randrange(depth))
    form = random.choice(list(BINARY))
    return form.format(left, right), BINARY[form](a, b)


@pytest.mark.parametrize("seed", range(40))
def test_expressions(seed):
    random, generator = Random(seed), np.random.default_rng(seed)
    feed = {"x": generator.standard_normal((BATCH, C, H, W)), "v": generator.standard_normal((BATCH, C))}
    learned = {name: generator.standard_normal(shape) for name, shape in LEARNED.items()}
    tensors = {name: torch.tensor(value, dtype=torch.float32, requires_grad=True) for name, value in (feed | learned).items()}
    text, truth = drawn(random, tensors, 4)
    net = f"net f : x[{C}, {H}, {W}], v[{C}] -> y {{\n{FIXED}    y = {text} + x\n}}\n"
    graph = elaborated(net).graph
    values = {p.name: learned[p.name.partition(".")[0]].astype(np.float32) for p in graph.parameters()}
    assert values.keys() == initial_parameters(graph, 0).keys()
    model = compile_model(graph, values)
    onnx.checker.check_model(model, full_check=True)

    truth = truth + tensors["x"]
    weights = generator.standard_normal(truth.shape).astype(np.float32)
    (truth * torch.from_numpy(weights)).sum().backward()
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "weights"))
    model.graph.node.append(helper.make_node("Mul", ["y", "weights"], ["weighted"]))
    model.graph.node.append(helper.make_node("ReduceSum", ["weighted"], ["of"], keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info("of", TensorProto.FLOAT, ()))
    names = ["x", *values]
    running = session(gradient(model, "of", names))
    known = {i.name for i in running.get_inputs()}
    arrays = {name: value.astype(np.float32) for name, value in feed.items() if name in known}
    found, *gradients = running.run(["y", *(f"grad/{name}" for name in names)], arrays)
    np.testing.assert_allclose(found, truth.detach(), rtol=1e-4, atol=1e-4, err_msg=net)
    for name, computed in zip(names, gradients, strict=True):
        expected = tensors[name.partition(".")[0]].grad
        expected = torch.zeros(computed.shape) if expected is None else expected
        scale = max(1.0, float(expected.abs().max()))
        np.testing.assert_allclose(computed, expected, rtol=1e-3, atol=1e-3 * scale, err_msg=f"{name} of {net}")
