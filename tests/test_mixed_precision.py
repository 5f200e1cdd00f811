"""Mixed precision: which nodes compute in half, and that training goes as in float32 and in PyTorch's autocast.

No kernels for half types are at hand on the CPU: ONNX Runtime casts around float16, and `half_emulation` rounds for both.
"""


import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, defs, helper, numpy_helper
from op_cases import CASES
from op_running import applied, compiled, random_inputs, random_parameters, session
from test_ops_training import is_smooth
from torch.nn import functional

from benchmarks.twins import TWINS, load, names
from netdsl.autodiff import gradient
from netdsl.elaborate import load_text
from netdsl.lower import IR_VERSION, initial_parameters
from netdsl.runtime.session import Device
from netdsl.runtime.state import load_tensors
from netdsl.runtime.stepper import Stepper
from netdsl.training.mixed import HALVES, KINDS, Kind, kind_of, lower_precision, opset_for
from netdsl.training.step import TENSORS, build_step
from tests.half_emulation import emulating

SGD = "sgd(lr = 0.02, momentum = 0.9, weight_decay = 1e-4)"
RATE, BATCH, SCALE = 0.02, 8, 1024.0
HALF_DTYPES = {precision: helper.tensor_dtype_to_np_dtype(half) for precision, half in HALVES.items()}
TORCH = {"fp16": torch.float16, "bf16": torch.bfloat16}


def built(name, precision, provider="cuda", **options):
    graph = TWINS[name].graph(SGD, batch=BATCH)
    return graph, build_step(graph, batch=BATCH, provider=provider, precision=precision, **options)


def losses_of(name, precision, steps, provider="cuda"):
    """Of steps on one batch, none of which overflows at the scale that they start from; half types by emulation."""
    graph, model = built(name, precision, provider)
    images, labels = TWINS[name].batch(graph, BATCH)
    weights, state = initial_parameters(graph, 0), {}
    for vector, layout in model.state.items():
        state[f"state/{vector}"] = layout.pack(weights) if vector in TENSORS else model.initial(vector)
    state["state/totals"] = model.initial("totals")
    if precision == "fp16":
        state["state/scaling"][0] = SCALE
    running, losses = emulating(model.model), []
    names = [output.name for output in running.get_outputs()]
    for step in range(steps):
        scalars = {model.rate: np.float32(RATE), model.step: np.int64(step), model.seed: np.int64(0)}
        fed = {"image": images, "label": labels} | {k: np.array(v) for k, v in scalars.items()} | state
        found = dict(zip(names, running.run(names, {i.name: fed[i.name] for i in running.get_inputs()}), strict=True))
        state |= {f"state/{name[5:]}": found[name] for name in names if name.startswith("next/")}
        losses.append(float(found["loss"]))
    return losses


def autocast_losses(name, precision, steps):
    """The same in PyTorch, by its own lists."""
    twin = TWINS[name]
    graph = twin.graph(SGD, batch=BATCH)
    module = twin.module()
    load(module, graph, initial_parameters(graph, 0))
    module.train()
    images, labels = (torch.from_numpy(array) for array in twin.batch(graph, BATCH))
    optimizer = torch.optim.SGD(module.parameters(), lr=RATE, momentum=0.9, weight_decay=1e-4)
    scaler = torch.amp.GradScaler("cpu", init_scale=SCALE, enabled=precision == "fp16")
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=TORCH[precision]):
            loss = functional.cross_entropy(module(images), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("provider", ["cpu", "cuda"])
@pytest.mark.parametrize("precision, tolerance", [("fp16", 0.01), ("bf16", 0.06)])
@pytest.mark.parametrize("name", ["lenet5", "resnet20"])
def test_losses_fall_as_in_float32(name, precision, tolerance, provider):
    steps = 25 if name == "lenet5" else 10
    found, expected = (np.array(losses_of(name, p, steps, provider)) for p in (precision, "float32"))
    assert expected[-1] < expected[0] - 0.5
    assert np.abs(found - expected).max() < tolerance
    assert (found != expected).any()


@pytest.mark.parametrize("precision, tolerance", [("fp16", 0.01), ("bf16", 0.08)])
def test_losses_are_those_of_autocast_in_pytorch(precision, tolerance):
    name, steps = ("lenet5", 12) if precision == "fp16" else ("resnet20", 4)
    found, expected = (np.array(f(name, precision, steps)) for f in (losses_of, autocast_losses))
    assert np.abs(found - expected).max() < tolerance


@pytest.mark.parametrize("precision", HALVES)
def test_gradients_are_about_as_close_to_float32_as_those_of_autocast(precision):
    """By the angle between them, over all parameters: ResNet-20, whose normalisations are decomposed for CUDA."""
    found = {}
    for name in ("float32", precision):
        graph, model = built("resnet20", name, split=True)
        weights = initial_parameters(graph, 0)
        images, labels = TWINS["resnet20"].batch(graph, BATCH)
        state = {f"state/{v}": slots.pack(weights) for v, slots in model.state.items() if v in TENSORS}
        state |= {"state/totals": model.initial("totals"), "state/scaling": np.array([SCALE, 0, 0], np.float32)}
        state |= {"state/gradient": np.zeros(model.state["parameters"].size, np.float32), str(model.share): np.array(1, np.float32)}
        running = emulating(model.model)
        fed = {"image": images, "label": labels, model.step: np.array(0), model.seed: np.array(0), **state}
        (gradient_,) = running.run(["next/gradient"], {i.name: fed[i.name] for i in running.get_inputs()})
        found[name] = gradient_ / (SCALE if name == "fp16" else 1)
    module = TWINS["resnet20"].module()
    load(module, graph, weights)
    with torch.autocast("cpu", dtype=TORCH[precision]):
        loss = functional.cross_entropy(module.train()(torch.from_numpy(images)), torch.from_numpy(labels))
    (SCALE * loss).backward()
    ours = {theirs: mine for mine, theirs in names(graph, module).items()}
    theirs = {ours[n]: p.grad.numpy() / SCALE for n, p in module.named_parameters() if p.grad is not None}
    found["autocast"] = model.state["parameters"].pack(theirs)

    def apart(a, b):
        return 1 - float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    autocast = apart(found["autocast"], found["float32"])
    assert 0 < apart(found[precision], found["float32"]) < 2 * autocast < (0.01 if precision == "fp16" else 0.05)


@pytest.mark.parametrize("provider", ["cpu", "cuda"])
def test_onnx_runtime_takes_float16_and_casts_where_the_cpu_has_no_kernels(provider):
    graph, model = built("resnet20", "fp16", provider)
    stepper = Stepper(model, Device("cpu", 1), seed=0)
    load_tensors(stepper, initial_parameters(graph, 0))
    images, labels = TWINS["resnet20"].batch(graph, BATCH)
    np.copyto(stepper.feeds["image"], images)
    np.copyto(stepper.feeds["label"], labels)
    losses = []
    for step in range(6):
        stepper.step(step, RATE)
        losses.append(stepper.loss())
    assert np.abs(np.array(losses) - losses_of("resnet20", "fp16", 6, provider)).max() < 0.005


def types_of(model):
    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.input, *graph.output)}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("name", TWINS)
def test_products_are_half_and_what_is_delicate_is_not(name, precision):
    _, model = built(name, precision)
    onnx.checker.check_model(model.model, full_check=True)
    half, types = HALVES[precision], types_of(model.model)
    for node in model.model.graph.node:
        read = {types[n] for n in node.input if n} & {TensorProto.FLOAT, half}
        if KINDS.get(node.op_type) is Kind.PRODUCT:
            assert read == {half}, node.name
        elif node.op_type.startswith("Reduce") or node.op_type in ("Exp", "Div", "Sqrt", "SoftmaxCrossEntropyLoss"):
            assert half not in read, node.name
    assert {types[v.name] for v in (*model.model.graph.input, *model.model.graph.output)} <= {TensorProto.FLOAT, TensorProto.INT64}


def test_between_convolutions_of_a_residual_net_all_maps_are_half():
    """What is as large as an activation and float32: what reductions read, and the images."""
    _, model = built("resnet20", "fp16")
    graph = onnx.shape_inference.infer_shapes(model.model).graph
    maps = {v.name: v.type.tensor_type.elem_type for v in graph.value_info if len(v.type.tensor_type.shape.dim) == 4
            and v.type.tensor_type.shape.dim[0].dim_value == BATCH and v.type.tensor_type.shape.dim[2].dim_value >= 8}  # fmt: skip
    reductions = {"ReduceMean", "ReduceSum", "GlobalAveragePool"}
    for node in model.model.graph.node:
        summed = node.op_type in ("Cast", "Mul", "Neg") or node.op_type in reductions
        for name in node.input if not summed and not node.name.startswith("grad/x.conv/") else ():
            assert maps.get(name) != TensorProto.FLOAT, node.name
    products = [node for node in model.model.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    casts = [n for n in model.model.graph.node if n.op_type == "Cast" and n.output[0] in maps and maps[n.output[0]] != 1]
    assert len(casts) < len(products) / 4


def test_random_numbers_stay_float32():
    """The bits of a draw are a whole number up to 2**24, which float16 does not hold."""
    text = TWINS["lenet5"].text.replace("flatten ->", "dropout(0.5) -> flatten ->")
    train = "target = class(label)\n loss = cross_entropy(logits, label)\n optimizer = sgd(0.1)\n batch = 4\n epochs = 1"
    graph = load_text(f"{text}train {{\n {train}\n}}\n")
    model = build_step(graph, batch=4, provider="cuda", precision="fp16").model
    types, makers = types_of(model), {o: n for n in model.graph.node for o in n.output}
    draws = [n for n in model.graph.node if n.op_type == "Cast" and types[n.input[0]] == TensorProto.UINT32]
    assert draws and all(types[n.output[0]] == TensorProto.FLOAT for n in draws)
    scaled = [n for n in model.graph.node if any(makers.get(i) in draws for i in n.input)]
    assert scaled and all(types[n.output[0]] == TensorProto.FLOAT for n in scaled)


def test_every_operator_of_the_table_takes_its_half_types():
    for half in HALVES.values():
        spelled = {TensorProto.FLOAT16: "tensor(float16)", TensorProto.BFLOAT16: "tensor(bfloat16)"}[half]
        for operator in KINDS:
            if kind_of(helper.make_node(operator, [], []), half) is None:
                continue
            schema = defs.get_schema(operator, opset_for(half))
            allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
            assert spelled in allowed[schema.inputs[-1 if operator == "Where" else 0].type_str], operator


def test_constants_that_half_cannot_hold_keep_their_readers_in_float32():
    def graph(constant):
        nodes = [helper.make_node("MatMul", ["x", "w"], ["a"], "a"), helper.make_node("Mul", ["a", "c"], ["b"], "b"),
                 helper.make_node("MatMul", ["b", "w"], ["y"], "y")]  # fmt: skip
        x, w, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 2]) for n in "xwy")
        return helper.make_graph(nodes, "g", [x, w], [y], [numpy_helper.from_array(np.float32(constant), "c")])

    for constant, half in ((0.1, True), (1e5, False), (1e-9, False), (np.inf, True)):
        found = graph(constant)
        lower_precision(found, TensorProto.FLOAT16, {"y"})
        model = helper.make_model(found, opset_imports=[helper.make_opsetid("", 20)], ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        assert (types_of(model)["b"] == TensorProto.FLOAT16) == half, constant
        assert types_of(model)["y"] == TensorProto.FLOAT


def behind_products(graph, names):
    """Send tensors through a product that leaves them as they are, behind which they are half."""
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name in names:
                node.input[index] = f"{name}/same"
    graph.initializer.append(numpy_helper.from_array(np.ones((1, 1), np.float32), "one"))
    graph.initializer.append(numpy_helper.from_array(np.array([-1, 1]), "column"))
    same = []
    for name in names:
        same.append(helper.make_node("Shape", [name], [f"{name}/shape"]))
        same.append(helper.make_node("Reshape", [name, "column"], [f"{name}/column"]))
        same.append(helper.make_node("MatMul", [f"{name}/column", "one"], [f"{name}/product"]))
        same.append(helper.make_node("Reshape", [f"{name}/product", f"{name}/shape"], [f"{name}/same"]))
    nodes = [*same, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("case", list(filter(is_smooth, CASES)), ids=str)
def test_every_operator_and_its_gradient_in_mixed_precision(case, precision):
    """The graphs are well typed, and their values those of float32 up to the half type's rounding."""
    b, node = applied(case.op, case.shapes, case.args, case.dtypes)
    parameters, inputs = random_parameters(node), random_inputs(case.shapes, case.dtypes, below=case.below)
    rounding = HALF_DTYPES[precision]  # so that no maximum is another one afterwards
    inputs = [x.astype(rounding).astype(np.float32) if x.dtype == np.float32 else x for x in inputs]
    names = [f"x{i}" for i, v in enumerate(node.inputs) if v.type.dtype == "float32"]
    names += [p.name for p in node.parameters.values() if not p.name.endswith(("codes", "mean", "var"))]
    model = compiled(b, node, parameters)
    model.graph.node.append(helper.make_node("Mul", ["y", "y"], ["squares"]))
    model.graph.node.append(helper.make_node("ReduceMean", ["squares"], ["of"], keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info("of", TensorProto.FLOAT, ()))
    plain = gradient(model, "of", names)
    behind_products(plain.graph, names)
    outputs = ["of", *(f"grad/{name}" for name in names)]
    mixed = onnx.ModelProto()
    mixed.CopyFrom(plain)
    lower_precision(mixed.graph, HALVES[precision], {v.name for v in mixed.graph.output})
    for entry in mixed.opset_import:
        entry.version = opset_for(HALVES[precision])
    onnx.checker.check_model(mixed, full_check=True)
    running = emulating(mixed)
    feed = {f"x{i}": x for i, x in enumerate(inputs) if f"x{i}" in {v.name for v in running.get_inputs()}}
    for name, found, expected in zip(outputs, running.run(outputs, feed), session(plain).run(outputs, feed), strict=True):
        bound = (0.02 if precision == "fp16" else 0.1) * max(1.0, float(np.abs(expected).max(initial=0)))
        assert np.abs(found - expected).max(initial=0) <= bound, name
