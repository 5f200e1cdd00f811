"""The sweep over the graph: what it accepts and refuses, and whole networks against PyTorch."""


import numpy as np
import onnx
import pytest
import torch
from autodiff_support import IR_VERSION, OPSET, build, normal, positive, session
from onnx import helper

from netdsl.autodiff import GradientError, Target, extend_with_gradients, gradient, missing_rules, problems, rules


def test_a_tensor_without_influence_gets_zeros():
    model = build("z = Mul(b, b) of = ReduceSum<keepdims=0>(a)", {"a": normal(2), "b": normal(3)}, dtype=np.float32)
    found = session(gradient(model, "of", ["a", "b"])).run(
        ["grad/a", "grad/b"], {"a": np.ones(2, "f"), "b": np.ones(3, "f")}
    )
    np.testing.assert_array_equal(found[0], [1, 1])
    np.testing.assert_array_equal(found[1], [0, 0, 0])


def test_intermediate_tensors_and_the_scalar_itself():
    model = build("m = Mul(x, x) of = ReduceSum<keepdims=0>(m)", {"x": normal(3)}, dtype=np.float32)
    x = np.array([1, 2, 3], np.float32)
    of, m, dx = session(gradient(model, "of", ["of", "m", "x"])).run(["grad/of", "grad/m", "grad/x"], {"x": x})
    np.testing.assert_array_equal(of, 1)
    np.testing.assert_array_equal(m, [1, 1, 1])
    np.testing.assert_array_equal(dx, 2 * x)


def test_gradient_leaves_the_model_alone():
    model = build("of = ReduceSum<keepdims=0>(x)", {"x": normal(3)})
    before = model.SerializeToString()
    extended = gradient(model, "of", ["x"])
    assert model.SerializeToString() == before
    assert [value.name for value in extended.graph.output] == ["of", "grad/x"]
    onnx.checker.check_model(extended, full_check=True)


UNKNOWN = """
    a = Hardmax(x) b = Det(m) c = ReduceSum<keepdims=0>(a) u = Unique(x) d = ReduceProd<keepdims=0>(u)
    e = Mul(c, d) s = Add(e, b) of = Identity(s)
"""


def test_all_missing_rules_are_listed_in_graph_order():
    model = build(UNKNOWN, {"x": normal(2, 2), "m": normal(2, 2)})
    before = model.SerializeToString()
    assert [node.op_type for node in missing_rules(model.graph, "of", ["x"])] == ["Hardmax", "Unique"]
    assert [node.op_type for node in missing_rules(model.graph, "of", ["x", "m"])] == ["Hardmax", "Det", "Unique"]
    with pytest.raises(GradientError) as caught:
        extend_with_gradients(model.graph, "of", ["x", "m"])
    assert [problem.node.op_type for problem in caught.value.problems] == ["Hardmax", "Det", "Unique"]
    assert "Hardmax" in str(caught.value)
    assert model.SerializeToString() == before


def test_only_nodes_on_the_path_count():
    model = build("a = Det(m) b = ReduceSum<keepdims=0>(x) of = Mul(a, b)", {"x": normal(2), "m": normal(2, 2)})
    assert missing_rules(model.graph, "of", ["x"]) == []


def test_an_attribute_without_a_gradient_is_a_missing_rule():
    model = build(
        'y = ScatterND<reduction="mul">(x, i, u) of = ReduceSum<keepdims=0>(y)',
        {"x": normal(4)},
        {"i": np.array([[1]]), "u": normal(1)},
    )
    found = problems(model.graph, "of", ["x"])
    assert [problem.node.op_type for problem in found] == ["ScatterND"]
    assert "mul" in found[0].reason


@pytest.mark.parametrize(
    ("of", "names", "message"),
    [
        ("nothing", ["x"], "no tensor 'nothing'"),
        ("of", ["y"], "no tensor 'y'"),
        ("v", ["x"], "not a scalar"),
        ("of", ["i"], "not a floating-point tensor"),
    ],
)
def test_wrong_names_are_refused(of, names, message):
    model = build(
        "v = Mul(x, x) g = Gather(v, i) of = ReduceSum<keepdims=0>(g)", {"x": normal(3), "i": np.array([0, 1])}
    )
    with pytest.raises(GradientError, match=message):
        extend_with_gradients(model.graph, of, names)


def test_names_that_are_taken_are_avoided():
    model = build("a = Mul(x, x) of = ReduceSum<keepdims=0>(a)", {"x": normal(3)}, {"grad/of/Expand": normal(1)})
    onnx.checker.check_model(gradient(model, "of", ["x"]), full_check=True)


def test_a_thousand_layers():
    body = (
        "h0 = Identity(x) "
        + " ".join(f"h{i + 1} = Tanh(h{i})" for i in range(1500))
        + " of = ReduceSum<keepdims=0>(h1500)"
    )
    model = gradient(build(body, {"x": normal(2)}, dtype=np.float32), "of", ["x"])
    assert len(model.graph.node) > 4500


def test_rules_are_listed():
    assert {"Conv", "ConvTranspose", "BatchNormalization", "SoftmaxCrossEntropyLoss"} <= set(rules())


class Net:
    """A forward graph and the PyTorch function of the same parameters."""

    def __init__(self, body, inputs, function):
        self.body, self.inputs, self.function = body, inputs, function


def _residual():
    """Batch normalization, a strided shortcut, a smooth activation."""
    norm = "BatchNormalization<training_mode=1,momentum=0.0>"
    body = f"""
        a = Conv<pads=[1,1,1,1]>(x, w1) b, m1, v1 = {norm}(a, s1, o1, z1, z2) c = Gelu(b)
        d = Conv<pads=[1,1,1,1],strides=[2,2]>(c, w2) e, m2, v2 = {norm}(d, s2, o2, z3, z4) f = Gelu(e)
        g = Conv<pads=[1,1,1,1]>(f, w3) h, m3, v3 = {norm}(g, s3, o3, z5, z6)
        k = Conv<strides=[2,2]>(c, w4) l = Add(h, k) n = Elu(l) p = GlobalAveragePool(n) q = Flatten(p)
        r = MatMul(q, w5) of = SoftmaxCrossEntropyLoss(r, t)
    """
    inputs = {
        "x": normal(6, 3, 9, 9),
        "w1": normal(16, 3, 3, 3) / 5,
        "w2": normal(24, 16, 3, 3) / 12,
        "w3": normal(24, 24, 3, 3) / 15,
    }
    inputs |= {"w4": normal(24, 16, 1, 1) / 4, "w5": normal(24, 4)}
    for i, channels in ((1, 16), (2, 24), (3, 24)):
        inputs |= {f"s{i}": positive(channels, seed=i), f"o{i}": normal(channels, seed=i)}
    inputs["t"] = np.array([0, 3, 2, 3, 1, 1])

    def function(x, w1, w2, w3, w4, w5, s1, o1, s2, o2, s3, o3, t):
        f = torch.nn.functional
        c = f.gelu(f.batch_norm(f.conv2d(x, w1, padding=1), None, None, s1, o1, True))
        g = f.gelu(f.batch_norm(f.conv2d(c, w2, padding=1, stride=2), None, None, s2, o2, True))
        h = f.batch_norm(f.conv2d(g, w3, padding=1), None, None, s3, o3, True)
        n = f.elu(h + f.conv2d(c, w4, stride=2))
        return f.cross_entropy(n.mean((2, 3)) @ w5, t)

    return Net(body, inputs, function)


def _unet():
    body = """
        a = Conv<pads=[1,1,1,1]>(x, w1) b = Softplus(a) c = MaxPool<kernel_shape=[2,2],strides=[2,2]>(b)
        d = Conv<pads=[1,1,1,1]>(c, w2) e = Tanh(d) up = ConvTranspose<strides=[2,2]>(e, w3, b3)
        f = Concat<axis=1>(up, b) g = Conv<pads=[1,1,1,1]>(f, w4) h = Elu(g)
        s = Constant<value_floats=[1.0, 1.0, 2.0, 2.0]>() i = Resize<mode="linear">(h, , s)
        j = Conv(i, w5) of = SoftmaxCrossEntropyLoss<ignore_index=2>(j, t)
    """
    inputs = {
        "x": normal(2, 3, 8, 8), "w1": normal(16, 3, 3, 3) / 5, "w2": normal(32, 16, 3, 3) / 12,
        "w3": normal(32, 16, 2, 2) / 5, "b3": normal(16), "w4": normal(16, 32, 3, 3) / 15, "w5": normal(3, 16, 1, 1),
        "t": np.arange(512).reshape(2, 16, 16) % 3,
    }  # fmt: skip

    def function(x, w1, w2, w3, b3, w4, w5, t):
        f = torch.nn.functional
        b = f.softplus(f.conv2d(x, w1, padding=1))
        up = f.conv_transpose2d(f.conv2d(f.max_pool2d(b, 2), w2, padding=1).tanh(), w3, b3, stride=2)
        h = f.elu(f.conv2d(torch.cat([up, b], 1), w4, padding=1))
        return f.cross_entropy(f.conv2d(f.interpolate(h, scale_factor=2, mode="bilinear"), w5), t, ignore_index=2)

    return Net(body, inputs, function)


def _transformer():
    """One attention head with a sum of squares."""
    body = """
        q = MatMul(x, wq) k = MatMul(x, wk) v = MatMul(x, wv) kt = Transpose<perm=[0,2,1]>(k) s = MatMul(q, kt)
        p = Softmax<axis=-1>(s) c = MatMul(p, v) r = Add(c, x) m = ReduceMean<keepdims=1>(r, axes) n = Sub(r, m)
        e = Gelu<approximate="tanh">(n) y = Mul(e, e) of = ReduceSum<keepdims=0>(y)
    """
    inputs = {
        "x": normal(2, 5, 8),
        "wq": normal(8, 8) / 8,
        "wk": normal(8, 8, seed=1) / 8,
        "wv": normal(8, 8, seed=2) / 3,
    }

    def function(x, wq, wk, wv):
        r = torch.softmax(x @ wq @ (x @ wk).mT, -1) @ (x @ wv) + x
        return torch.nn.functional.gelu(r - r.mean(-1, keepdim=True), approximate="tanh").square().sum()

    return Net(body, inputs, function)


@pytest.mark.parametrize("make", [_residual, _unet, _transformer])
@pytest.mark.parametrize("batch", ["static", "symbolic"])
@pytest.mark.parametrize("provider", ["cpu", "cuda"])
def test_networks_equal_pytorch(make, batch, provider):
    """Smooth networks, in float32, to 1e-5 of the largest element of each gradient."""
    net = make()
    tensors = {k: torch.tensor(v, requires_grad=v.dtype.kind == "f") for k, v in net.inputs.items()}
    loss = net.function(**tensors)
    loss.backward()
    names = [name for name, tensor in tensors.items() if tensor.requires_grad]
    feeds = {k: v.astype(np.float32) if v.dtype.kind == "f" else v for k, v in net.inputs.items()}
    symbolic = {k: ("N", *feeds[k].shape[1:]) for k in ("x", "t") if k in feeds} if batch == "symbolic" else None
    constants = {"axes": np.array([-1])} | {f"z{i}": np.full(24 if i > 2 else 16, float(i)) for i in range(1, 7)}
    model = build(net.body, feeds, constants, dtype=np.float32, symbolic=symbolic)
    extended = gradient(model, "of", names, target=Target(provider))
    found = session(extended).run(["of", *[f"grad/{name}" for name in names]], feeds)
    np.testing.assert_allclose(found[0], loss.detach(), rtol=1e-5)
    for name, value in zip(names, found[1:], strict=True):
        expected = tensors[name].grad.numpy()
        np.testing.assert_allclose(value, expected, atol=1e-5 * np.abs(expected).max() + 1e-7, rtol=1e-4, err_msg=name)


def test_a_graph_without_value_info_and_with_named_nodes():
    graph = build("y = Relu(x) of = ReduceMean<keepdims=0>(y)", {"x": normal(2, 3)}, dtype=np.float32).graph
    graph.node[0].name = "stage1/relu"
    gradients = extend_with_gradients(graph, "of", ["x"])
    assert any(node.name.startswith("grad/stage1/relu") for node in graph.node)
    graph.output.append(helper.make_tensor_value_info(gradients["x"], onnx.TensorProto.FLOAT, [2, 3]))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    found = session(model).run([gradients["x"]], {"x": np.array([[1, -1, 0], [2, 3, -4]], np.float32)})[0]
    np.testing.assert_allclose(found, np.array([[1, 0, 0], [1, 1, 0]]) / 6)
