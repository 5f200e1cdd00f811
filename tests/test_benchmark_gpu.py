"""The script for machines with a GPU, tried without one; and that its large networks are the same ones in PyTorch."""

import json
import sys
from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from benchmarks import gpu, train_step
from benchmarks.twins import load, names
from benchmarks.twins_large import LARGE, TINY
from netdsl.diagnostics import NetError
from netdsl.lower import initial_parameters
from netdsl.runtime.session import Device
from netdsl.runtime.state import load_tensors
from netdsl.runtime.stepper import Stepper
from netdsl.training.step import build_step


@pytest.mark.parametrize("name", TINY)
def test_gradients_of_the_large_networks_are_those_of_pytorch(name):
    """In float64 there: values within rounding of a ReLU's kink make float32's differ by as much as 1 %."""
    twin = TINY[name]
    graph = twin.graph("sgd(lr = 1.0)", batch=4, metrics=False)
    weights, (images, labels) = initial_parameters(graph, 0), twin.batch(graph, 4)
    module = twin.module()
    load(module, graph, weights)
    module = module.double().train()
    functional.cross_entropy(module(torch.from_numpy(images).double()), torch.from_numpy(labels)).backward()
    ours = {theirs: mine for mine, theirs in names(graph, module).items()}
    model = build_step(graph, batch=4, sizes=twin.sizes, provider="cuda")
    stepper = Stepper(model, Device("cpu", 1), seed=0)
    load_tensors(stepper, weights)
    stepper.feeds["image"][...], stepper.feeds["label"][...] = images, labels
    before = stepper.vectors()["parameters"]
    stepper.step(0, 1.0)
    found = model.state["parameters"].unpack(before - stepper.vectors()["parameters"])
    for theirs, parameter in module.named_parameters():
        assert parameter.grad is not None
        expected = parameter.grad.numpy()
        error = np.linalg.norm(found[ours[theirs]] - expected) / np.linalg.norm(expected)
        assert error < 0.01 or np.linalg.norm(expected) < 1e-5, theirs  # a bias before a normalisation has none


@pytest.mark.parametrize("name", LARGE)
def test_the_large_networks_have_the_parameters_of_the_zoo(name):
    with torch.device("meta"):
        module = LARGE[name].module()
    count = sum(parameter.numel() for parameter in module.parameters())
    parameters = LARGE[name].graph("sgd(lr = 0.1)").parameters()
    assert count == sum(prod(parameter.shape) for parameter in parameters if not parameter.buffer)
    assert name != "resnet50" or count == 25_557_032


def in_process(arguments, environment, timeout):
    """`gpu.step` without a process of its own."""
    report = Path(sys.argv[0])
    report.unlink(missing_ok=True)
    sys.argv = [str(report), *arguments, "--json", str(report)]
    try:
        train_step.main()
    except (NetError, SystemExit) as error:
        return {"failed": str(error)}
    found = json.loads(report.read_text())
    return found


def test_all_is_measured_in_one_go_and_failures_are_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "step", in_process)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "report.json")])
    threads = torch.get_num_threads()
    results = []
    try:
        for mode in ("float32", "fp16", "bf16"):
            options = [*gpu.MODES[mode][:2], "--device", "cpu", "--quick", "--seconds", "0.01"]
            results.append({"case": "lenet5-b8", "mode": mode, **gpu.measured("lenet5-b8", options, "eager", 2, 60)})
    finally:
        torch.set_num_threads(threads)
    plain, half, failed = results
    for result in (plain, half):
        assert result["milliseconds"].keys() == {"netdsl", "pytorch eager"} and result["ratio_to_best"] > 0
        assert len(result["hottest"]) == gpu.HOTTEST and result["not_on_device"] == {}
    assert plain["losses"][0] == pytest.approx(half["losses"][0], rel=0.001)
    assert all(result["losses"][1] < result["losses"][0] for result in (plain, half))
    assert "no bf16 kernel for Conv" in failed["failed"]
    text = gpu.text(results)
    assert "cpu: fp16, TF32 None" in text and "lenet5-b8, bf16\n  failed:" in text


def test_a_process_that_fails_leaves_its_last_line(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import sys\nprint('no GPU here', file=sys.stderr)\nsys.exit(1)\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu, "STEP", script)
        assert gpu.step([], {}, 30) == {"failed": "no GPU here"}
        script.write_text("import time\ntime.sleep(30)\n")
        assert gpu.step([], {}, 0.2) == {"failed": "no end after 0 s"}


def test_the_modes_say_what_both_sides_use():
    assert list(gpu.MODES) == ["tf32", "float32", "fp16", "bf16"]
    assert ["--no-tf32" in options for options in gpu.MODES.values()] == [False, True, False, False]
    setting = train_step.Setting("cuda", 1)
    assert setting.tolerance("unet-b8") == train_step.TOLERANCES["tf32"]
    assert setting.twin("resnet50-b128") == (LARGE["resnet50"], 128)
    assert train_step.Setting("cuda", 1, tf32=False).tolerance("unet-b8") == 1e-4
    assert train_step.Setting("cuda", 1, quick=True, batch=2).twin("fabric-b64") == (TINY["fabric"], 2)
