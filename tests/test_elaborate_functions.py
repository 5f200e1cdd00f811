"""Functions of tensors in a file: comparisons, logic, reductions, and how they read the names of axes."""

import numpy as np
import pytest
import torch
from net_text import body, elaborated, error
from op_running import session

from netdsl.lower import compile_model, initial_parameters
from netdsl.training.step import build_step


def result(text, x):
    """The output `y` of a body whose input is `x[3, 16, 16]`."""
    graph = elaborated(body(text)).graph
    return session(compile_model(graph, initial_parameters(graph, 0))).run(["y"], {"x": x})[0]


X = np.random.default_rng(0).standard_normal((2, 3, 16, 16)).astype(np.float32)


@pytest.mark.parametrize(("expression", "truth"), [
    ("where(x > 0, x, 0)", np.maximum(X, 0)),
    ("where(0 < x < 1, 1, -1)", np.where((X > 0) & (X < 1), 1, -1)),
    ("where(not x < 0 and x != 1, x, 1 / 2)", np.where((X >= 0) & (X != 1), X, 0.5)),
    ("where(x < -1 or x > 1 or x == 0, 1, x)", np.where((X < -1) | (X > 1), 1, X)),
    ("where(1 < 2 < x, 1, 0)", X > 2),
    ("where(2 > 1 and x > 0, 1, 0)", X > 0),
    ("x ** 2 ** 1", X**2),
    ("-x ** 2", -(X**2)),
    ("2 ** x", 2.0**X),
    ("sqrt(sum(x ** 2, axis = channel))", np.sqrt((X**2).sum(1, keepdims=True))),
    ("mean(x, axis = [height, width])", X.mean((2, 3), keepdims=True)),
    ("max(x, axis = [0, width])", X.max((1, 3), keepdims=True)),
    ('min(x, axis = "height")', X.min(2, keepdims=True)),
    ("sum([x, x], axis = none)", 2 * X),
    ("sum([x], axis = height)", X.sum(2, keepdims=True)),
    ("max(0, x, -1)", np.maximum(X, 0)),
    ("min([x, 1, 2]) + sum(1, x, 2)", np.minimum(X, 1) + X + 3),
    ("gather(x, [2, 0], 1)", X[:, :, [2, 0]]),
    ('gather(x, [2, 0], "width") -> conv(1, 1, init = constant(value = 0))', np.zeros((2, 1, 16, 2))),
    ("slice(x, -2, none, 2)", X[..., -2:]),
    ("concat(split(x, [5, 11], 1), axis = height)", X),
    ("where(x > 0, x, otherwise = 0)", np.maximum(X, 0)),
    ("x * sqrt(4) + abs(-1) + log(1) + exp(0)", 2 * X + 2),
])  # fmt: skip
def test_values(expression, truth):
    np.testing.assert_allclose(result(f"y = {expression}", X), truth, rtol=1e-5, atol=1e-5)


def test_sizes_as_numbers_stay_symbolic():
    """The rows of a map as fractions of its height, at any height."""
    text = body("y = coordinates(x) / x.height + where(x > 0, x.width, 0) - max(0, x)", ": x[2, H = 8, W = 6] -> y")
    graph = elaborated(text).graph
    assert set(graph.symbols) == {"H", "W"}
    for height, width in [(8, 6), (5, 9)]:
        x = np.random.default_rng(0).standard_normal((3, 2, height, width)).astype(np.float32)
        found = session(compile_model(graph, {})).run(["y"], {"x": x})[0]
        rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
        truth = np.stack([rows, columns]) / height + np.where(x > 0, width, 0) - np.maximum(x, 0)
        np.testing.assert_allclose(found, truth, rtol=1e-6, atol=1e-6)


def test_axes_are_read_where_axis_is_given_and_nowhere_else():
    assert result("height = 1\ny = sum(x, axis = [height, width]) * height", X).shape == (2, 3, 1, 1)
    assert result("axes = [1, 2]\ny = sum(x, axis = axes)", X).shape == (2, 3, 1, 1)
    assert result("for i in range(2) { x = sum(x, axis = [i, 2]) }\ny = x", X).shape == (2, 1, 1, 1)
    found = error(body("y = sum(x, axis = [height, depht])"))
    assert (found.code, found.message) == ("E0201", "`depht` is not defined")


@pytest.mark.parametrize(("statement", "code", "words"), [
    ("y = x if x > 0 else -x", "E0212", "a condition is true or false, and this is a tensor"),
    ("y = (x > 0) + x", "E0320", "`+` computes with float32, and `(x > 0)` is bool"),
    ("y = x and x > 0", "E0320", "`and` computes with bool, and `x` is float32"),
    ("y = x > 0 and true", "E0212", "`and` cannot take a tensor [3, 16, 16] and true"),
    ("y = x < relu", "E0212", "`<` cannot take a tensor [3, 16, 16] and the layer `relu`"),
    ('y = where(x > 0, "a", 0)', "E0212", '`where` takes tensors or numbers, and `"a"` is the string "a"'),
    ("y = where(x > 0, x)", "E0309", "`where` takes a condition and two tensors or numbers"),
    ("y = where(x, x, 0)", "E0320", "`where` chooses by a condition, and `x` is float32"),
    ("y = where(1, x, 0)", "E0212", "`where` takes tensors or numbers, and `1` is the number 1"),
    ("y = sum(x, x, axis = channel)", "E0309", "`sum` over an axis takes one tensor, and receives 2"),
    ("y = sum(x, axis = depth)", "E0317", "`x` is [3, 16, 16] and has no axis `depth`"),
    ("y = where(x > 0, 1, 2, chosen = 3)", "E0203", "`chosen` is given twice"),
    ("y = slice(x, 0, 2, height)", "E0201", "`height` is not defined"),
    ("y = sum(x, 1, axis = 0)", "E0309", "`sum` over an axis takes one tensor, and receives 2"),
    ("y = mean(x, 1)", "E0212", "`mean` takes tensors, and `1` is the number 1"),
    ("y = max(x, relu)", "E0212", "`max` takes tensors or numbers, and `relu` is the layer `relu`"),
    ("y = exp(relu)", "E0212", "`exp` takes tensors, and `relu` is the layer `relu`"),
    ("y = x ~ 3", "E0212", "`~` compares numbers"),
    ("y = x[0]", "E0212", "a tensor [3, 16, 16] cannot be indexed"),
    ("y = param([3]) -> dense(2)", "E0308", "`dense` needs a tensor with a batch axis, and `param([3])` is unbatched"),
    ("y = x + param([4])", "E0311", "cannot add `x` and `param([4])`: channels 3 and 4 differ"),
    ("y = x + param([16, 16])", "E0311", "they have 3 and 2 axes"),
    ("y = x + param(3)", "E0205", "`shape` must be a list of at most 16 sizes of at least 1, and is the number 3"),
    ("y = x + constant([[1, 2], [3]])", "E0205", "`numbers` must be a list of numbers, or lists of one length within lists"),
    ("y = x + constant()", "E0204", "`constant` needs its argument `numbers`"),
    ("y = gather(x, relu)", "E0212", "`gather` takes tensors or numbers, and `relu` is the layer `relu`"),
    ("a, b = split(x, 3)\ny = a", "E0214", "3"),
])  # fmt: skip
def test_what_does_not_fit(statement, code, words):
    found = error(body(statement))
    assert found.code == code and words in found.message


@pytest.mark.parametrize(("function", "call"), [
    ("exp", "exp(a)"), ("concat", "concat(a, b)"), ("where", "where(a, b, c)"), ("slice", "slice(a, ...)"),
])  # fmt: skip
def test_a_function_behind_an_arrow(function, call):
    found = error(body(f"y = x -> {function}"))
    assert found.code == "E0207" and found.helps == (f"write `{call}`, with the tensors in parentheses",)


def test_where_may_be_bound_and_then_hides_the_function():
    assert result("a, where = x -> max_pool(2, indices = true)\ny = (a, where) -> unpool(2)", X).shape == X.shape
    found = error(body("where = x\ny = where(x > 0, x, 0)"))
    assert found.code == "E0210" and "the function `where` is hidden" in found.helps[0]


def test_a_family_entry_that_is_not_there_is_still_asked_for():
    assert result("f[0] = x\na = f[1]?\ny = x if a == none and f[0] != none else x -> relu", X) is not None


TRAIN = """
train f {{
    target    = value(flow, [2, 16, 16]), class(label, [16, 16], ignore = 7)
    loss      = {loss}
    metrics   = batch_mean(abs(y - flow)), batch_mean(where(abs(y - flow) < 1, 1, 0))
    optimizer = sgd(lr = 0.1)
    batch     = 2
    epochs    = 1
}}"""
LOSSES = {
    "batch_mean(sqrt(sum((y - flow) ** 2, axis = channel)))": lambda y, flow, _: ((y - flow) ** 2).sum(1).sqrt().mean(),
    "0.5 * batch_mean((y - flow) ** 2) + mean_absolute_error(y, flow)": lambda y, flow, _: (
        ((y - flow) ** 2).mean() / 2 + (y - flow).abs().mean()
    ),
    "batch_mean(where(reshape(label, [1, 16, 16]) == 1, exp(y), y -> relu))": lambda y, _, label: (
        torch.where(label[:, None] == 1, y.exp(), y.relu()).mean()
    ),
    "mean_squared_error(max(abs(y - flow), axis = [height, width]), zeros_like(mean(flow, axis = [1, 2])))": (
        lambda y, flow, _: ((y - flow).abs().amax((2, 3)) ** 2).mean()
    ),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_of_ones_own(loss):
    """Values and gradients equal PyTorch's."""
    graph = elaborated(body("y = x -> conv(2, 3) @c") + TRAIN.format(loss=loss)).graph
    model = build_step(graph, batch=2)
    rng = np.random.default_rng(0)
    feed = {"x": X, "flow": rng.standard_normal((2, 2, 16, 16)).astype(np.float32), "label": rng.integers(0, 3, (2, 16, 16))}
    values = initial_parameters(graph, 0)
    weights = [torch.from_numpy(values[f"c.{role}"]).requires_grad_() for role in ("weight", "bias")]
    y = torch.nn.functional.conv2d(torch.from_numpy(X), *weights, padding=1)
    expected = LOSSES[loss](y, torch.from_numpy(feed["flow"]), torch.from_numpy(feed["label"]))
    expected.backward()
    running = session(model.model)
    state = {"state/parameters": np.concatenate([values[s.name].ravel() for s in model.state["parameters"].slots])}
    feed |= state | {model.rate: np.array(1, np.float32), model.step: np.array(0), model.seed: np.array(0)}
    feed["state/totals"] = np.zeros(model.totals_size, np.float32)
    known = {i.name for i in running.get_inputs()}
    found, after = running.run([model.loss, "next/parameters"], {name: v for name, v in feed.items() if name in known})
    np.testing.assert_allclose(found, expected.detach(), rtol=1e-5)
    gradients = {"c.weight": weights[0].grad, "c.bias": weights[1].grad}
    moved = [values[s.name].ravel() - gradients[s.name].numpy().ravel() for s in model.state["parameters"].slots]
    np.testing.assert_allclose(after, np.concatenate(moved), rtol=1e-4, atol=1e-5)
