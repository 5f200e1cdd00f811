"""Dynamic loss scaling: the rule is that of PyTorch's GradScaler, and a step that is left out changes nothing else."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from onnx import TensorProto, helper

import netdsl
from netdsl.cli import main
from netdsl.diagnostics import DeviceError, TrainingError
from netdsl.lower import IR_VERSION, initial_parameters
from netdsl.runtime import checkpoint, precision, trainer, training_step
from netdsl.runtime import stepper as stepper_module
from netdsl.runtime.directory import LAST
from netdsl.runtime.session import Device
from netdsl.runtime.state import load_tensors
from netdsl.runtime.stepper import Stepper
from netdsl.training import scaling
from netdsl.training.step import build_step
from netdsl.training.writer import Writer
from tests.half_emulation import emulating
from tests.onnx_running import session as running
from tests.test_runtime_accumulate import DATA, graph_of
from tests.test_runtime_trainer import StopAt, Told, contents

SGD, ADAM = "sgd(lr = 0.05, momentum = 0.9, weight_decay = 1e-3)", "adam(lr = 0.01)"
#: the largest scale overflows the gradients of the nets here, this one does not
TOO_LARGE, FINE = scaling.LARGEST, 2.0**10


@pytest.fixture(autouse=True)
def rounding(monkeypatch):
    """Half types as a device has them: the casts that ONNX Runtime puts around float32 kernels let nothing overflow."""
    monkeypatch.setattr(stepper_module, "open_step", lambda model, device, *_, **__: (emulating(model), device))


@pytest.fixture
def on_the_cpu(monkeypatch):
    """Let the CPU provider train in fp16."""
    for module in (trainer, training_step, precision):
        monkeypatch.setattr(module, "require_precision", lambda step, device: None)


def stepper_of(optimizer=SGD, scale=FINE, split=False, drop=""):
    graph = graph_of(optimizer, "bn", drop)
    stepper = Stepper(build_step(graph, batch=12, provider="cuda", precision="fp16", split=split), Device("cpu", 1), seed=0)
    load_tensors(stepper, initial_parameters(graph, 0))
    stepper.load({"scaling": np.array([scale, 0, 0], np.float32)})
    assert isinstance(DATA.train.inputs, np.ndarray) and isinstance(DATA.train.targets, np.ndarray)
    stepper.feeds["image"][...] = DATA.train.inputs[:12]
    stepper.feeds["label"][...] = DATA.train.targets[:12]
    return stepper


def test_the_scale_follows_pytorch(monkeypatch):
    """Over random sequences of finite and other gradients, the scale and the count of good steps are GradScaler's."""
    monkeypatch.setattr(scaling, "INTERVAL", 3)
    w = Writer(onnx.GraphProto(name="scaling"), "step")
    scaling.read(w).append_update(w, "finite")
    w.graph.input.append(helper.make_tensor_value_info("finite", TensorProto.BOOL, [1]))
    w.graph.output.append(helper.make_tensor_value_info("next/scaling", TensorProto.FLOAT, [3]))
    session = running(helper.make_model(w.graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=IR_VERSION))
    parameter = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([parameter], lr=0.0)
    scaler = torch.amp.GradScaler("cpu", growth_interval=3)
    assert (scaler.get_scale(), scaler.get_growth_factor(), scaler.get_backoff_factor()) == (
        scaling.START, scaling.GROWTH, scaling.BACKOFF,
    )  # fmt: skip
    assert torch.amp.GradScaler("cpu").get_growth_interval() == 2000
    scaler.scale(torch.ones(1))
    state, skipped = scaling.INITIAL.copy(), 0
    for finite in np.random.default_rng(0).random(60) < 0.7:
        (state,) = session.run(None, {"state/scaling": state, "finite": np.array([finite])})
        skipped += not finite
        parameter.grad = torch.full((1,), 1.0 if finite else float("inf"))
        scaler.step(optimizer)
        scaler.update()
        assert state.tolist() == [scaler.get_scale(), scaler._get_growth_tracker(), skipped]


def test_the_scale_stays_between_its_bounds():
    for start, finite, end in ((scaling.LARGEST, True, scaling.LARGEST), (scaling.SMALLEST, False, scaling.SMALLEST)):
        w = Writer(onnx.GraphProto(name="scaling"), "step")
        scaling.read(w).append_update(w, "finite")
        w.graph.input.append(helper.make_tensor_value_info("finite", TensorProto.BOOL, [1]))
        w.graph.output.append(helper.make_tensor_value_info("next/scaling", TensorProto.FLOAT, [3]))
        session = running(helper.make_model(w.graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=IR_VERSION))
        fed = {"state/scaling": np.array([start, scaling.INTERVAL - 1, 0], np.float32), "finite": np.array([finite])}
        assert session.run(None, fed)[0][0] == end


@pytest.mark.parametrize("optimizer", [SGD, ADAM, "adamw(lr = 0.01)", "rmsprop(lr = 0.01)", "sgd(lr = 0.1)"])
@pytest.mark.parametrize("split", [False, True])
def test_a_step_that_overflows_changes_no_parameter_and_halves_the_scale(optimizer, split):
    stepper = stepper_of(optimizer, split=split)
    stepper.step(0, 0.05)
    stepper.load({"scaling": np.array([TOO_LARGE, 7, 1], np.float32)})
    before = stepper.vectors()
    stepper.step(1, 0.05)
    after = stepper.vectors()
    assert after["scaling"].tolist() == [TOO_LARGE / 2, 0, 2]
    assert after["totals"][-1] == 2 and np.isfinite(after["totals"]).all()
    kept = set(after) - {"scaling", "totals", "statistics"}
    assert kept >= {"parameters"}
    for name in kept:
        assert after[name].tobytes() == before[name].tobytes(), name
    for step in range(2, 30):
        stepper.step(step, 0.05)
    scale, good, skipped = stepper.vectors()["scaling"]
    assert good > 0 and 2 < skipped < 25 and scale == TOO_LARGE / 2 ** (skipped - 1)
    assert not np.array_equal(stepper.vectors()["parameters"], before["parameters"])


@pytest.mark.parametrize("optimizer", [SGD, ADAM])
def test_a_step_left_out_leaves_no_trace_in_the_next(optimizer):
    """Adam's count of steps included: the next step is what it would have been without."""
    graph, after = graph_of(optimizer), []
    for skipped in (1, 0):
        stepper = stepper_of(optimizer)
        if skipped:
            stepper.load({"scaling": np.array([TOO_LARGE, 0, 0], np.float32)})
            stepper.step(0, 0.05)
            assert stepper.vectors()["scaling"][2] == 1
        stepper.load({"scaling": np.array([FINE, 0, skipped], np.float32)})
        stepper.load({"statistics": stepper_of(optimizer).vectors()["statistics"]})
        stepper.step(skipped, 0.05)
        after.append({n: v for n, v in stepper.vectors().items() if n not in ("scaling", "totals")})
    assert graph.training is not None
    assert all(np.array_equal(after[0][name], after[1][name]) for name in after[1])


def test_the_scale_cancels_out():
    """Products by powers of two are exact: other scales give the same step up to what is subnormal in fp16."""
    found = []
    for scale in (2.0**6, 2.0**10):
        stepper = stepper_of(scale=scale)
        stepper.step(0, 0.05)
        found.append(stepper.vectors()["parameters"])
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-6)


def test_the_scale_grows_after_the_interval(monkeypatch):
    monkeypatch.setattr(scaling, "INTERVAL", 3)
    stepper = stepper_of(scale=8.0)
    states = []
    for step in range(7):
        stepper.step(step, 0.01)
        states.append(stepper.vectors()["scaling"].tolist())
    assert states == [[8, 1, 0], [8, 2, 0], [16, 0, 0], [16, 1, 0], [16, 2, 0], [32, 0, 0], [32, 1, 0]]


def test_a_split_step_is_the_step_bit_for_bit():
    whole, split = stepper_of(drop="dropout(0.3)"), stepper_of(drop="dropout(0.3)", split=True)
    for step in range(4):
        for stepper in (whole, split):
            stepper.step(step, 0.05)
    found, expected = split.vectors(), whole.vectors()
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def run_of(folder, progress=None, optimizer=SGD, **options):
    settings = {"directory": folder, "device": "cpu", "threads": 1, "seed": 3, "precision": "fp16", **options}
    return trainer.Trainer(graph_of(optimizer, "bn", "dropout(0.3)"), DATA, progress=progress, **settings)


def overflowing(run):
    run._stepper.load({"scaling": np.array([TOO_LARGE, 0, 0], np.float32)})
    return run


@pytest.mark.usefixtures("on_the_cpu")
@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_resumed_run_is_the_straight_run_bit_for_bit(tmp_path, accumulate):
    """Stopped while the scale is still falling."""
    straight = overflowing(run_of(tmp_path / "straight", optimizer=ADAM, accumulate=accumulate, epochs=4))
    straight.run()
    stopped = overflowing(run_of(tmp_path / "stopped", StopAt(2), ADAM, accumulate=accumulate, epochs=4))
    assert stopped.run().stopped
    found = checkpoint.load(tmp_path / "stopped" / LAST)
    assert found.optimizer["scaling"]["skipped_steps"] == 2
    assert found.optimizer["scaling"]["loss_scale"] == TOO_LARGE / 4
    resumed = run_of(tmp_path / "stopped", optimizer=ADAM, accumulate=accumulate, epochs=4)
    resumed.resume()
    resumed.run()
    assert contents(tmp_path / "stopped" / LAST) == contents(tmp_path / "straight" / LAST)
    assert 2 < straight._stepper.vectors()["scaling"][2] < 12


@pytest.mark.usefixtures("on_the_cpu")
def test_steps_left_out_are_told(tmp_path):
    told = Told()
    overflowing(run_of(tmp_path, told, epochs=3)).run()
    (first, *_) = [text for text in told.messages if "left out" in text]
    assert first.startswith("note: 3 steps left out, where fp16 gradients overflowed; the loss scale is")


@pytest.mark.usefixtures("on_the_cpu")
def test_a_run_goes_on_in_another_precision_and_says_so(tmp_path):
    run_of(tmp_path, precision="float32", epochs=1).run()
    for precision_, before in (("fp16", "float32"), ("float32", "fp16")):
        told = Told()
        run = run_of(tmp_path, told, precision=precision_, epochs=1 + (precision_ == "fp16") + 2 * (before == "fp16"))
        run.resume()
        assert any(f"precision was {before}, is {precision_}" in text for text in told.messages)
        if precision_ == "fp16":
            assert run._stepper.vectors()["scaling"].tolist() == scaling.INITIAL.tolist()
        run.run()


@pytest.mark.usefixtures("on_the_cpu")
@pytest.mark.parametrize("every", [1, 64])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_scale_at_its_smallest_stops_the_run(tmp_path, monkeypatch, every, accumulate):
    """Gradients that no scale makes finite are told as before: after the scale has fallen all the way."""
    monkeypatch.setattr(scaling, "SMALLEST", TOO_LARGE / 4)
    run = overflowing(run_of(tmp_path, accumulate=accumulate, epochs=20))
    run._every = every
    with pytest.raises(TrainingError) as caught:
        run.run()
    (found,) = caught.value.diagnostics
    assert found.code == "E0802" and found.helps[0].startswith("use --precision float32")
    assert "is not finite, and the loss scale has fallen to 4.2e+06 at step 3 of epoch 1" in found.message


@pytest.mark.usefixtures("on_the_cpu")
def test_a_loss_that_is_not_finite_stops_the_run_at_once():
    run = run_of(None)
    vectors = run._stepper.vectors()
    vectors["parameters"][:] = np.nan
    run._stepper.load(vectors)
    with pytest.raises(TrainingError) as caught:
        run.run()
    assert "the loss is nan at step 1 of epoch 1" in caught.value.diagnostics[0].message


NET = """net small : image[1, 8, 8] -> logits {
    logits = image -> conv(4, 3) -> bn -> relu -> flatten -> dense(10)
}
train small {
    target    = class(label)
    loss      = cross_entropy(logits, label)
    optimizer = sgd(lr = 0.05, momentum = 0.9)
    batch     = 64
    epochs    = 1
}
"""


@pytest.mark.usefixtures("on_the_cpu")
def test_the_compiled_step_holds_its_scale_and_checkpoints_fit(tmp_path):
    net = netdsl.loads(NET)
    net.compile_training(tmp_path / "step.onnx", provider="cuda", precision="fp16")
    model = onnx.load(tmp_path / "step.onnx")
    onnx.checker.check_model(model, full_check=True)
    entries = {entry.key: json.loads(entry.value) for entry in model.metadata_props if entry.value.startswith("{")}
    assert entries["netdsl.training"]["precision"] == "fp16" and entries["netdsl.training"]["format"] == 1
    assert [slot["name"] for slot in entries["netdsl.layout"]["scaling"]] == ["loss_scale", "good_steps", "skipped_steps"]
    step = netdsl.TrainingStep(tmp_path / "step.onnx", device="cpu", threads=1)
    generator = np.random.default_rng(0)
    batch = {"image": generator.standard_normal((64, 1, 8, 8)), "label": generator.integers(0, 10, 64)}
    losses = [step.step(batch, lr=0.05).loss for _ in range(8)]
    assert losses[-1] < losses[0] - 0.1
    step.save(tmp_path / "last.safetensors")
    other = netdsl.TrainingStep(tmp_path / "step.onnx", device="cpu", threads=1)
    other.load(tmp_path / "last.safetensors")
    assert other.step(batch, lr=0.05) == step.step(batch, lr=0.05)
    assert np.array_equal(other._stepper.vectors()["scaling"], step._stepper.vectors()["scaling"])
    assert checkpoint.load(tmp_path / "last.safetensors").optimizer["scaling"]["good_steps"] > 0
    run = net.trainer("digits", epochs=1, out=tmp_path, resume=True, device="cpu", threads=1, precision="fp16")
    assert run._stepper.vectors()["scaling"][1] > 0


@pytest.mark.parametrize("half, reason", [("fp16", "cast to float32"), ("bf16", "Could not find an implementation")])
def test_a_device_without_kernels_is_named(tmp_path, half, reason):
    (tmp_path / "small.net").write_text(NET)
    file, out = str(tmp_path / "small.net"), str(tmp_path / "step.onnx")
    training = ["train", file, "--data", "digits", "--device", "cpu", "--out", str(tmp_path / "run"), "--precision", half]
    for arguments in (training, ["compile", file, "--training", "-o", out, "--precision", half]):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 1 and "error[E0906]" in result.output
        assert f"the CPU provider of ONNX Runtime {precision.ort.__version__} has no {half} kernel for" in result.output
        assert "Conv" in result.output and reason in result.output and "--precision float32" in result.output
    assert not Path(out).exists() and not (tmp_path / "run").exists()
    netdsl.load(file).compile_training(out, provider="cuda", precision=half)
    with pytest.raises(DeviceError, match="E0906"):
        netdsl.TrainingStep(out, device="cpu")


def test_wrong_options_are_refused(tmp_path):
    (tmp_path / "small.net").write_text(NET)
    result = CliRunner().invoke(main, ["compile", str(tmp_path / "small.net"), "--precision", "fp16"])
    assert result.exit_code == 2 and "--precision go with --training" in result.output
    with pytest.raises(TrainingError, match="precision is float32, fp16 or bf16, not 'half'"):
        netdsl.loads(NET).train("digits", out=None, precision="half")


def test_only_what_a_device_lacks_is_reported():
    """ONNX Runtime moves float16 tensors on the CPU, but multiplies none."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT16, [2, 2]) for n in "xy")
    nodes = [helper.make_node("MatMul", ["x", "x"], ["a"], "a"), helper.make_node("Transpose", ["a"], ["b"], "b"),
             helper.make_node("Reshape", ["b", "shape"], ["y"], "c")]  # fmt: skip
    shape = onnx.numpy_helper.from_array(np.array([2, 2]), "shape")
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [y], [shape]), opset_imports=[helper.make_opsetid("", 20)])
    assert list(precision.lacking_kernels(model, TensorProto.FLOAT16, Device("cpu"))) == ["MatMul"]


def test_the_state_of_other_precisions_is_as_before():
    models = [build_step(graph_of(SGD), batch=4, precision=p) for p in ("float32", "bf16")]
    for model in models:
        assert "scaling" not in model.state and "scaling" not in model.written
        assert all("scaling" not in value.name for value in model.model.graph.input)
