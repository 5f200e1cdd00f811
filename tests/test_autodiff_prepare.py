"""Models as others make them: local functions, old opsets, operators that ONNX defines by others, control flow."""

import numpy as np
import onnx
import pytest
import torch
from autodiff_support import IR_VERSION, build, ints, normal, session
from onnx import TensorProto, helper, numpy_helper, parser

import netdsl
from netdsl.autodiff import GradientError, gradient

FUNCTIONS = f"""
<ir_version: {IR_VERSION}, opset_import: ["": 22, "local": 1]>
g (float[2,3] x, float[3,3] w) => (float of) {{
    h = local.layer (x, w)
    y = local.layer (h, w)
    of = ReduceSum <keepdims = 0> (y)
}}
<domain: "local", opset_import: ["": 22, "local": 1]>
layer (x, w) => (y) {{ p = MatMul (x, w) y = local.squash <scale = 2.0> (p) }}
<domain: "local", opset_import: ["": 22]>
squash <scale> (x) => (y) {{ t = Tanh (x) s = Constant <value_float: float = @scale> () y = Mul (t, s) }}
"""


def test_local_functions_are_inlined():
    x, w = normal(2, 3).astype(np.float32), normal(3, 3, seed=1).astype(np.float32)
    model = parser.parse_model(FUNCTIONS)
    before = model.SerializeToString()
    found = session(gradient(model, "of", ["x", "w"])).run(["grad/x", "grad/w"], {"x": x, "w": w})
    assert model.SerializeToString() == before
    tx, tw = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
    (2 * torch.tanh(2 * torch.tanh(tx @ tw) @ tw)).sum().backward()
    np.testing.assert_allclose(found[0], tx.grad, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[1], tw.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("opset", [9, 11, 13, 17])
def test_old_models_are_converted(opset):
    """Axes as attributes, as reductions had them."""
    reduced = "ReduceMean<axes=[2],keepdims=0>(h)"
    upsampled = (
        'u = Upsample<mode="nearest">(x, s)'
        if opset == 9
        else 'u = Resize<mode="nearest",nearest_mode="floor",coordinate_transformation_mode="asymmetric">(x, r, s)'
    )
    body = f"{upsampled} h = Sigmoid(u) m = {reduced} of = ReduceSum<keepdims=0>(m)"
    scales = {"s": np.array([1.0, 1, 2, 2]), "r": np.zeros(0)}
    x = normal(1, 2, 3, 3).astype(np.float32)
    model = build(body, {"x": x}, scales, dtype=np.float32, opset=opset)
    model.ir_version = 7
    found = session(gradient(model, "of", ["x"])).run(["grad/x"], {"x": x})[0]
    t = torch.tensor(x, requires_grad=True)
    torch.nn.functional.interpolate(t, scale_factor=2).sigmoid().mean(2).sum().backward()
    np.testing.assert_allclose(found, t.grad, rtol=1e-5)


def test_a_model_that_cannot_be_converted_is_refused():
    model = build("y = Affine(x) of = ReduceSum<keepdims=0>(y)", {"x": normal(3)}, opset=6)
    with pytest.raises(GradientError, match="opset 6, and cannot be converted to opset 18"):
        gradient(model, "of", ["x"])


def test_a_model_that_the_converter_breaks_is_refused():
    """The slopes of an old PRelu belong to channels, those of a new one to the last axis; the converter leaves them."""
    body = "y = PRelu(x, a) of = ReduceSum<keepdims=0>(y)"
    model = build(body, {"x": normal(2, 3, 5)}, {"a": normal(3)}, dtype=np.float32, opset=6)
    model.ir_version = 7
    with pytest.raises(GradientError, match="PRelu 'y': the slopes do not broadcast to the input"):
        gradient(model, "of", ["x"])


def test_a_sequence_on_the_way_is_named():
    body = "s = SequenceConstruct(x, x) y = ConcatFromSequence<axis=0>(s) of = ReduceSum<keepdims=0>(y)"
    with pytest.raises(GradientError, match="SequenceConstruct"):
        gradient(build(body, {"x": normal(3)}, dtype=np.float32), "of", ["x"])


def test_operators_are_differentiated_through_their_definition():
    x = normal(2, 3, 4, 4).astype(np.float32)
    model = build("y = MeanVarianceNormalization<axes=[0,2,3]>(x) z = Mul(y, r) of = ReduceSum<keepdims=0>(z)",
                  {"x": x}, {"r": normal(2, 3, 4, 4, seed=1)}, dtype=np.float32)  # fmt: skip
    found = session(gradient(model, "of", ["x"])).run(["grad/x"], {"x": x})[0]
    t = torch.tensor(x.astype(np.float64), requires_grad=True)
    y = (t - t.mean((0, 2, 3), True)) / (t.var((0, 2, 3), correction=0, keepdim=True).sqrt() + 1e-9)
    (y * torch.tensor(normal(2, 3, 4, 4, seed=1))).sum().backward()
    np.testing.assert_allclose(found, t.grad, rtol=1e-3, atol=1e-4)


def test_swish_and_a_centred_crop():
    x = normal(2, 5, 6).astype(np.float32)
    body = "p = CenterCropPad<axes=[1,2]>(x, s) y = Swish<alpha=1.5>(p) of = ReduceSum<keepdims=0>(y)"
    model = gradient(build(body, {"x": x}, {"s": ints(3, 8)}, dtype=np.float32, opset=24), "of", ["x"])
    t = torch.tensor(x, requires_grad=True)
    cropped = t[:, 1:4]
    (cropped * torch.sigmoid(1.5 * cropped)).sum().backward()
    np.testing.assert_allclose(session(model).run(["grad/x"], {"x": x})[0], t.grad, rtol=1e-5, atol=1e-6)


def test_attention_equals_pytorch():
    feeds = {name: normal(2, 3, 4, 8, seed=i).astype(np.float32) for i, name in enumerate("qkv")}
    body = "y = Attention<is_causal=1>(q, k, v) z = Mul(y, y) of = ReduceSum<keepdims=0>(z)"
    model = gradient(build(body, feeds, dtype=np.float32, opset=23), "of", list("qkv"))
    tensors = [torch.tensor(value, requires_grad=True) for value in feeds.values()]
    torch.nn.functional.scaled_dot_product_attention(*tensors, is_causal=True).square().sum().backward()
    for value, tensor in zip(session(model).run([f"grad/{name}" for name in "qkv"], feeds), tensors, strict=True):
        np.testing.assert_allclose(value, tensor.grad, rtol=1e-4, atol=1e-5)


def test_what_a_branch_takes_from_around_it_is_no_constant():
    """The branches read x without it being an input of the If."""
    branches = {}
    for name, op_type in (("then_branch", "Exp"), ("else_branch", "Neg")):
        node = helper.make_node(op_type, ["x"], [name])
        branches[name] = helper.make_graph(
            [node], name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3])]
        )
    nodes = [
        helper.make_node("If", ["c"], ["y"], name="choice", **branches),
        helper.make_node("ReduceSum", ["y"], ["of"], keepdims=0),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [3]),
        helper.make_tensor_value_info("c", TensorProto.BOOL, []),
    ]
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("of", TensorProto.FLOAT, [])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=IR_VERSION)
    with pytest.raises(GradientError, match="If 'choice': there is no gradient through control flow"):
        gradient(model, "of", ["x"])


def test_an_operator_of_another_domain_is_no_stop():
    """Only ONNX's own Sign is known to have a derivative of zero."""
    model = build("y = Sign(x) of = ReduceSum<keepdims=0>(y)", {"x": normal(3)}, dtype=np.float32)
    model.graph.node[0].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(GradientError, match="Sign 'y': the operator has no gradient rule"):
        gradient(model, "of", ["x"])


def test_a_gradient_through_the_statistics_of_a_norm_is_refused():
    body = "y, m = LayerNormalization(x, s) a = ReduceSum<keepdims=0>(y) b = ReduceSum<keepdims=0>(m) of = Add(a, b)"
    model = build(body, {"x": normal(2, 3), "s": normal(3)}, dtype=np.float32)
    with pytest.raises(GradientError, match="LayerNormalization 'y': the gradient flows through a secondary output"):
        gradient(model, "of", ["x"])


def test_half_precision_is_on_the_path():
    """A cast to float16 and back is no constant."""
    model = build(
        "h = Cast<to=10>(x) e = Exp(h) y = Cast<to=1>(e) of = ReduceSum<keepdims=0>(y)",
        {"x": normal(3)},
        dtype=np.float32,
    )
    x = np.array([0, 1, -1], np.float32)
    np.testing.assert_allclose(session(gradient(model, "of", ["x"])).run(["grad/x"], {"x": x})[0], np.exp(x), rtol=1e-3)


def test_unknown_sizes_that_turn_out_to_be_one_are_summed():
    """Behind a Slice by computed bounds, inference knows the rank alone."""
    body = "e = Identity(n) a = Slice(x, z, e) y = Mul(a, b) of = ReduceSum<keepdims=0>(y)"
    x, b = normal(3, 4).astype(np.float32), normal(3, 4, seed=1).astype(np.float32)
    model = gradient(build(body, {"x": x, "b": b, "n": ints(1)}, {"z": ints(0)}, dtype=np.float32), "of", ["x", "b"])
    dx, db = session(model).run(["grad/x", "grad/b"], {"x": x, "b": b, "n": ints(1)})
    np.testing.assert_allclose(dx, np.concatenate([b.sum(0, keepdims=True), np.zeros((2, 4))]), rtol=1e-5)
    np.testing.assert_allclose(db, np.broadcast_to(x[:1], (3, 4)))


def test_a_network_that_netdsl_has_compiled(tmp_path):
    """With respect to weights that are initializers of the model, of one output."""
    net = netdsl.loads("net n : x[1, 8, 8] -> y { y = x -> conv(3, 3) -> bn -> relu -> global_avg_pool -> dense(1) }")
    model = net.compile(tmp_path / "n.onnx")
    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    batch.dim_value = 1
    weight = next(t.name for t in model.graph.initializer if len(t.dims) == 4)
    of = model.graph.output[0].name
    del model.graph.value_info[:]
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    extended = gradient(onnx.shape_inference.infer_shapes(model), of, [weight])
    x = normal(1, 1, 8, 8).astype(np.float32)
    found = session(extended).run([f"grad/{weight}"], {"x": x})[0]
    tensor = next(t for t in model.graph.initializer if t.name == weight)
    value = numpy_helper.to_array(tensor).copy()
    direction = normal(*value.shape, seed=2).astype(np.float32)
    sides = []
    for sign in (1, -1):
        tensor.CopyFrom(numpy_helper.from_array(value + sign * 1e-2 * direction, weight))
        sides.append(session(model).run([of], {"x": x})[0].item())
    assert (sides[0] - sides[1]) / 2e-2 == pytest.approx(float(np.vdot(found, direction)), rel=2e-2)
