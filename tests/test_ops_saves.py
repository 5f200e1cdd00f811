"""What operators say that their gradients read, against what the nodes of the gradients do read."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from op_cases import CASES
from op_running import applied, random_inputs, random_parameters, session

from netdsl.autodiff import extend_with_gradients
from netdsl.autodiff.dataflow import upstream
from netdsl.lower import IR_VERSION, OPSET, lower_graph
from netdsl.ops import OPERATORS

#: what they give stands for what they are given
_MOVES = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Transpose")


def has_gradient(case):
    node = applied(case.op, case.shapes, case.args, case.dtypes)[1]
    numbers = any(value.type.dtype == "float32" for value in node.inputs) or bool(node.parameters)
    return node.op.differentiable and numbers and node.output.type.dtype == "float32"


def with_frozen(cases):
    """The cases, and those of layers that can be frozen once more."""
    trainable = [case for case in cases if any(a.name == "trainable" for a in OPERATORS[case.op].arguments)]
    return cases + [replace(case, args={**case.args, "trainable": False}) for case in trainable]


def lowered(b, node, batch):
    """The training form of a net of one operator, and its first output."""
    if node.op.style == "loss":
        found = lower_graph(b.graph(training=b.training(node.output, (), 0), y=node.inputs[0]), "training", batch=batch)
        assert found.loss is not None
        return found, found.loss
    since = len(b.nodes)
    training = b.training(b.apply("batch_mean", node.output), (), since)
    found = lower_graph(b.graph(training=training, y=node.output), "training", batch=batch)
    return found, found.outputs["y"]


def read_by_gradients(case, batch):
    """Which inputs and outputs of the operator its gradient reads, what else it reads, and the largest of the former."""
    b, node = applied(case.op, case.shapes, case.args, case.dtypes)
    low, y = lowered(b, node, batch)
    graph = low.graph
    for parameter in low.parameters:
        graph.input.append(helper.make_tensor_value_info(parameter.name, TensorProto.FLOAT, parameter.shape))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    model.graph.node.add(op_type="ReduceSum", name="sum", input=[y], output=["of"]).attribute.append(
        helper.make_attribute("keepdims", 0)
    )
    model.graph.value_info.extend(onnx.shape_inference.infer_shapes(model, data_prop=True).graph.value_info)
    frozen = {parameter.name for parameter in low.parameters if not parameter.trainable}
    floats = [i.name for i in graph.input if i.type.tensor_type.elem_type == TensorProto.FLOAT and i.name not in frozen]
    gradients = extend_with_gradients(model.graph, "of", floats)
    needed, _ = upstream(model.graph.node, gradients.values())

    roots = {}
    for n in model.graph.node:
        if n.op_type in _MOVES:
            roots[n.output[0]] = roots.get(n.input[0], n.input[0])
    back = [n for n in needed if n.name.startswith("grad")]
    forward = {o for n in model.graph.node if not n.name.startswith("grad") for o in n.output} - {"of"}
    fed = {i.name for i in model.graph.input}
    read = {roots.get(i, i) for n in back if n.op_type != "Shape" for i in n.input if i in forward | fed}
    outputs = {y: 0} if node.op.style == "loss" else {roots.get(y, y): 0}
    inputs = {low.inputs[value.name]: i for i, value in enumerate(node.inputs)}
    others = read - set(inputs) - set(outputs) - {p.name for p in low.parameters}

    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in {*others, y})
    values = random_inputs(case.shapes, case.dtypes, batch=batch, below=case.below)
    feed = {f"x{i}": x for i, x in enumerate(values)} | {"seed": np.array(1), "step": np.array(1)}
    feed |= {p.name: v for p, v in zip(node.parameters.values(), random_parameters(node).values(), strict=True)}
    running = session(model)
    names = [o.name for o in running.get_outputs()]
    found = dict(zip(names, running.run(names, {i.name: feed[i.name] for i in running.get_inputs()}), strict=True))
    largest = max(found[y].size, *(x.size for x in values), 0)
    read_outputs = {0} if read & set(outputs) else set()
    return {inputs[n] for n in read & set(inputs)}, read_outputs, {name: found[name] for name in others}, largest


@pytest.mark.parametrize("case", with_frozen(list(filter(has_gradient, CASES))), ids=str)
def test_gradients_read_what_is_declared(case):
    """Of other tensors those that grow with the batch; what has one number per channel or position may be left out."""
    node = applied(case.op, case.shapes, case.args, case.dtypes)[1]
    inputs, outputs, few, _ = read_by_gradients(case, 2)
    _, _, many, largest = read_by_gradients(case, 6)
    saved = node.op.saved(node)
    assert {i for i, value in enumerate(node.inputs) if value in saved} == inputs
    if node.op.style != "loss":  # which is one number
        assert {i for i, value in enumerate(node.outputs) if value in saved} == outputs
    growth = {name: (tensor.nbytes - few[name].nbytes) / 4 for name, tensor in many.items()}
    large = sum(growth[name] for name, tensor in many.items() if tensor.size > 0.4 * largest)
    assert large <= node.op.saved_besides(node) <= sum(growth.values())
