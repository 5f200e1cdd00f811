"""Nodes that a device does not run are named; sizes, which the host reads, are not among them."""

import onnxruntime as ort

from netdsl.elaborate import load_text
from netdsl.runtime.placement import RECORDED, elsewhere, told
from netdsl.runtime.session import Device
from netdsl.runtime.stepper import Stepper
from netdsl.runtime.trainer import Trainer
from netdsl.training.step import build_step
from tests.test_runtime_accumulate import DATA, graph_of
from tests.test_runtime_trainer import Told

TEXT = """
net small : image[2, H = 6, W = 6] -> logits {
    logits = image -> conv(4, 3) -> relu -> dropout(0.2) -> upsample(2) -> global_avg_pool -> dense(3)
}
train small {
    target    = class(label)
    loss      = cross_entropy(logits, label)
    optimizer = sgd(lr = 0.1)
    batch     = 4
    epochs    = 1
}
"""


def opened(model):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry(*RECORDED)
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def test_what_another_provider_runs_is_named_by_operator():
    """Seen from CUDA, all that the CPU provider runs is elsewhere, but for sizes and shapes."""
    model = build_step(load_text(TEXT), batch=4).model
    session = opened(model)
    assert elsewhere(session, model, "CPUExecutionProvider") == {}
    found = elsewhere(session, model, "CUDAExecutionProvider")
    names = {name for operator in found.values() for name in operator}
    assert {"Conv", "Relu", "Resize", "GlobalAveragePool", "Gemm"} <= found.keys()
    assert "logits.conv" in names
    floats = {node.name for node in model.graph.node if node.op_type in ("Conv", "Gemm", "Relu", "Concat", "Mul")}
    assert any(node.op_type == "Size" for node in model.graph.node)
    assert not {"Size", "Shape", "MemcpyToHost"} & found.keys()
    assert len(names & floats) > len(floats) / 2


def test_the_most_frequent_come_first():
    found = {"A": ["a"], "B": ["b", "c"]} | {name: [name.lower()] for name in "CDEFG"}
    text = told(found, "cuda")
    assert text.startswith("warning: 8 nodes of the step run on the CPU, with copies between: 2 B (b, ...), 1 A (a), 1 C (c)")
    assert ", and 2 more operators; ONNX Runtime" in text and text.endswith("has no CUDA kernel for them")


def test_training_warns_once_and_the_cpu_is_no_other_device(monkeypatch):
    told_of = Told()
    run = Trainer(graph_of(), DATA, directory=None, device="cpu", threads=1, progress=told_of)
    assert run._stepper.elsewhere() == {} and told_of.messages == []
    stepper = Stepper(build_step(graph_of(), batch=4, split=True), Device("cpu", 1), seed=0)
    monkeypatch.setattr(Stepper, "elsewhere", lambda self: {"MaxUnpool": ["grad/x.max_pool/MaxUnpool"]})
    assert stepper.elsewhere()
    Trainer(graph_of(), DATA, directory=None, device="cpu", threads=1, progress=told_of)
    (message,) = told_of.messages
    assert message.startswith("warning: 1 nodes of the step run on the CPU") and "MaxUnpool" in message
