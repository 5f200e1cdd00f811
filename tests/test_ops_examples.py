"""Every operator's example is a net that elaborates and runs."""

from __future__ import annotations

import re

import pytest
from op_running import random_inputs, session

from netdsl.elaborate import load_text
from netdsl.ir import verify
from netdsl.lower import compile_model, initial_parameters
from netdsl.ops import OPERATORS

_INPUT = re.compile(r"\b([a-z]\w*)(\[[\d, ]+\])")


@pytest.mark.parametrize("op", [op for op in OPERATORS.values() if op.style != "loss"], ids=lambda op: op.name)
def test_example_runs(op) -> None:
    inputs = _INPUT.findall(op.example)
    body = _INPUT.sub(r"\1", op.example)
    text = f"net example : {', '.join(name + shape for name, shape in inputs)} -> y {{\n    y = {body}\n}}\n"
    graph = load_text(text)
    verify(graph)
    assert op in [node.op for node in graph.nodes]
    running = session(compile_model(graph, initial_parameters(graph, 0)))
    known = [i.name for i in running.get_inputs()]
    feed = {v.name: random_inputs([v.shape])[0] for v in graph.inputs if v.name in known}
    assert running.run(["y"], feed)[0].shape == (3, *graph.outputs["y"].shape)


@pytest.mark.parametrize("op", [op for op in OPERATORS.values() if op.style == "loss"], ids=lambda op: op.name)
def test_loss_example_trains(op) -> None:
    target = "class(label)" if "label" in op.example else "value(target, [10])"
    loss = op.example if op.name != "accuracy" else "cross_entropy(logits, label)"
    text = (
        "net example : image[4] -> logits {\n    logits = image -> dense(10)\n    prediction = logits\n}\n"
        f"train {{\n    target = {target}\n    loss = {loss}\n    metrics = {op.example}\n    optimizer = sgd(0.1)\n"
        "    batch = 4\n    epochs = 1\n}\n"
    )
    graph = load_text(text)
    verify(graph)
    assert graph.training is not None and op in [node.op for node in graph.training.nodes]
