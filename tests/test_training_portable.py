"""The compiled training step as a file: what it holds, and that plain ONNX Runtime trains with it."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from click.testing import CliRunner

import netdsl
from netdsl.cli import main
from netdsl.diagnostics import CheckpointError, DataError, TrainingError
from netdsl.lower import initial_parameters, write_model
from netdsl.runtime.data.dataset import Data, Samples
from netdsl.runtime.directory import LAST
from netdsl.runtime.loop import order
from netdsl.runtime.plan import Plan
from netdsl.runtime.trainer import Trainer
from netdsl.training.portable import paths_of, portable
from netdsl.training.step import build_step

ROOT = Path(__file__).parent.parent
TEXT = """
net small(widths = [4, 6]) : image[1, 8, 8] -> logits {
    x = image -> conv(widths[0], 3) -> bn -> relu -> conv(widths[1], 3, trainable = false) @kept -> dropout(0.3)
    logits = x -> flatten -> dense(3)
}
train small {
    target    = class(label)
    loss      = cross_entropy(logits, label)
    metrics   = accuracy(logits, label)
    optimizer = OPTIMIZER
    batch     = 8
    epochs    = 3
}
"""
OPTIMIZERS = [
    "sgd(lr = 0.1)",
    'sgd(lr = cosine(0.1), momentum = 0.9, weight_decay = 1e-3, nesterov = true, no_decay = ["bias"])',
    "rmsprop(lr = step(0.01, at = [1, 2]), momentum = 0.5)",
    "adam(lr = 0.01)",
    "adamw(lr = 0.01)",
]


def net_of(optimizer=OPTIMIZERS[1]):
    return netdsl.loads(TEXT.replace("OPTIMIZER", optimizer))


def samples(count=29, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    return Samples(
        generator.random((count, 1, 8, 8), np.float32) + labels[:, None, None, None].astype(np.float32), labels
    )


DATA = Data(samples(), samples(9, 1), "shades", "drawn apart")
SETTINGS = {"device": "cpu", "threads": 1}


def batches(epochs, seed=0):
    """Those that a trainer would see."""
    inputs, targets = DATA.train.inputs, DATA.train.targets
    assert isinstance(inputs, np.ndarray) and isinstance(targets, np.ndarray)
    rows = [order(seed, epoch, 29)[8 * k : 8 * k + 8] for epoch in range(epochs) for k in range(3)]
    return [{"image": inputs[part], "label": targets[part]} for part in rows]


def plain(path):
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(session, fed, state):
    """The outputs by name; `state` is replaced by what the model writes."""
    names = [value.name for value in session.get_outputs()]
    taken = {v.name for v in (*session.get_inputs(), *session.get_overridable_initializers())}
    results = dict(zip(names, session.run(names, fed | {k: v for k, v in state.items() if k in taken}), strict=True))
    state |= {"state/" + name.removeprefix("next/"): v for name, v in results.items() if name.startswith("next/")}
    return results


def scalar(value):
    return np.array(value, np.float32)


@pytest.mark.parametrize("provider", ["cpu", "cuda"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_file_is_standard_onnx_that_says_what_it_needs(tmp_path, optimizer, provider):
    path = tmp_path / "step.onnx"
    net_of(optimizer).compile_training(path, provider=provider)
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(path)
    assert {node.domain for node in model.graph.node} == {""} and {o.domain for o in model.opset_import} == {""}
    assert all(value.doc_string for value in (*model.graph.input, *model.graph.output))
    assert {v.name for v in plain(path).get_inputs()} == {"image", "label", "lr", "step"}  # all else has a default

    entries = {entry.key: entry.value for entry in model.metadata_props}
    described, layout = json.loads(entries["netdsl.training"]), json.loads(entries["netdsl.layout"])
    assert described["batch"] == 8 and described["provider"] == provider
    assert described["optimizer"]["name"] == optimizer.partition("(")[0]
    assert described["schedule"]["start"] in (0.1, 0.01)
    defaults = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    found = {}
    for vector, slots in layout.items():
        ends = [slot["start"] + int(np.prod(slot["shape"])) for slot in slots]
        assert [slot["start"] for slot in slots] == [0, *ends[:-1]] and ends[-1] == defaults[f"state/{vector}"].size
        if vector in ("parameters", "statistics", "fixed"):
            for slot, end in zip(slots, ends, strict=True):
                found[slot["name"]] = defaults[f"state/{vector}"][slot["start"] : end].reshape(slot["shape"])
        else:
            assert not defaults[f"state/{vector}"].any()
    for name, value in net_of().parameters(0).items():
        assert np.array_equal(found.pop(name), value)
    assert not found


def test_plain_onnxruntime_takes_the_steps_that_the_trainer_takes(tmp_path):
    """Every parameter bit for bit: the portable form, which the trainer runs too where no layout pass gains."""
    net = net_of("adam(lr = 0.01)")
    net.compile_training(tmp_path / "step.onnx", seed=5)
    session, state = plain(tmp_path / "step.onnx"), {}
    for step, batch in enumerate(batches(2, seed=5)):
        run(session, batch | {"lr": scalar(0.01), "step": np.array(step)}, state)
    trainer = Trainer(net.graph, DATA, directory=None, epochs=2, seed=5, **SETTINGS)
    trainer.run()
    entries = session.get_modelmeta().custom_metadata_map
    for slot in json.loads(entries["netdsl.layout"])["parameters"]:
        expected = trainer.tensors()[slot["name"]]
        found = state["state/parameters"][slot["start"] : slot["start"] + expected.size].reshape(slot["shape"])
        assert np.array_equal(found, expected), slot["name"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_loaded_step_takes_the_steps_that_the_trainer_takes(tmp_path, optimizer):
    net = net_of(optimizer)
    net.compile_training(tmp_path / "step.onnx", seed=5)
    step = netdsl.TrainingStep(tmp_path / "step.onnx", steps_per_epoch=3, **SETTINGS)
    results = [step.step(batch) for batch in batches(3, seed=5)]
    trainer = Trainer(net.graph, DATA, directory=None, seed=5, **SETTINGS)
    history = trainer.run()
    found, expected = step.parameters(), trainer.tensors()
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], value) for name, value in expected.items())
    assert history.epochs[-1].loss == pytest.approx(np.mean([result.loss for result in results[6:]]), rel=1e-6)
    accuracy = np.mean([result.metrics["accuracy"] for result in results[6:]])
    assert history.epochs[-1].metrics["accuracy"] == pytest.approx(accuracy, rel=1e-6)


@pytest.mark.parametrize("steps", [3, 4])
def test_train_resumes_what_a_step_saved_and_the_other_way_round(tmp_path, steps):
    """Step, trainer, step: the straight run, bit for bit."""
    net = net_of()
    net.compile_training(tmp_path / "step.onnx", seed=5)
    straight = Trainer(net.graph, DATA, directory=None, seed=5, **SETTINGS)
    straight.run()

    def loaded():
        return netdsl.TrainingStep(tmp_path / "step.onnx", steps_per_epoch=3, **SETTINGS)

    first = loaded()
    seen = batches(3, seed=5)
    for batch in seen[:steps]:
        first.step(batch)
    first.save(tmp_path / LAST)
    # the file says 3 epochs, over which its rate falls: the trainer is stopped behind the second
    trainer = Trainer(net.graph, DATA, directory=tmp_path, seed=9, **SETTINGS)
    trainer.resume()
    with pytest.MonkeyPatch.context() as patch:
        rate = straight.plan.rate
        patch.setattr(trainer, "plan", replace(trainer.plan, epochs=2))
        patch.setattr(Plan, "rate", lambda _, step: rate(step))
        trainer.run()
    assert trainer.history.epochs[-1].epoch == 2
    record = straight.history.epochs[1]
    assert trainer.history.epochs[-1].validation_loss == record.validation_loss
    if steps == 3:
        assert trainer.history.epochs[-1].loss == record.loss
    last = loaded()
    last.load(tmp_path / LAST)
    assert last.steps == 6
    for batch in seen[6:]:
        last.step(batch)
    assert all(np.array_equal(last.parameters()[name], value) for name, value in straight.tensors().items())

    last.save(tmp_path / LAST)
    again = Trainer(net.graph, DATA, directory=tmp_path, epochs=3, **SETTINGS)
    again.resume()
    assert again.run().epochs == trainer.history.epochs  # there is nothing left to do


def test_compile_takes_the_weights_of_a_step(tmp_path):
    net = net_of()
    net.compile_training(tmp_path / "step.onnx")
    step = netdsl.TrainingStep(tmp_path / "step.onnx", **SETTINGS)
    step.step(batches(1)[0], lr=0.1)
    step.save(tmp_path / "saved.safetensors")
    model = net.compile(weights=tmp_path / "saved.safetensors")
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for name, value in step.parameters().items():
        if name in weights:
            assert np.array_equal(weights[name], value)
    assert "logits.dense.weight" in weights
    net.compile_training(tmp_path / "again.onnx", weights=tmp_path / "saved.safetensors")
    again = netdsl.TrainingStep(tmp_path / "again.onnx", **SETTINGS)
    assert all(np.array_equal(again.parameters()[name], value) for name, value in step.parameters().items())


def test_large_states_lie_beside_the_model(tmp_path):
    graph = net_of().graph
    step = build_step(graph, batch=8)
    (model,) = portable(graph, step, initial_parameters(graph, 0), seed=0, provider="cpu")
    write_model(model, tmp_path / "inside.onnx")
    write_model(model, tmp_path / "outside.onnx", limit=1024)
    assert (tmp_path / "outside.onnx.data").stat().st_size > 4 * step.state["parameters"].size
    fed = batches(1)[0] | {"lr": scalar(0.1), "step": np.array(0)}
    results = [run(plain(tmp_path / f"{name}.onnx"), fed, {}) for name in ("inside", "outside")]
    assert all(np.array_equal(results[0][name], value) for name, value in results[1].items())
    inside, outside = (
        netdsl.TrainingStep(tmp_path / f"{name}.onnx", **SETTINGS) for name in ("inside", "outside")
    )  # fmt: skip
    assert inside.step(batches(1)[0], lr=0.1) == outside.step(batches(1)[0], lr=0.1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": None}, "no `label`"), ({"lable": np.zeros(8)}, "no input or target `lable`"),
        ({"image": np.zeros((8, 1, 9, 8), np.float32)}, r"\[8, 1, 9, 8\]"), ({"label": np.zeros(8)}, "int64"),
    ],
)  # fmt: skip
def test_a_batch_that_does_not_fit_is_told(tmp_path, change, said):
    net_of().compile_training(tmp_path / "step.onnx")
    step = netdsl.TrainingStep(tmp_path / "step.onnx", **SETTINGS)
    batch = {name: array for name, array in (batches(1)[0] | change).items() if array is not None}
    with pytest.raises(DataError, match=said) as caught:
        step.step(batch, lr=0.1)
    assert caught.value.diagnostics[0].code == "E0806" and step.steps == 0


def _replaced(key, old, new):
    def change(model, entries):
        assert old in entries[f"netdsl.{key}"].value
        entries[f"netdsl.{key}"].value = entries[f"netdsl.{key}"].value.replace(old, new, 1)

    return change


DAMAGES = {
    "later": _replaced("training", '"format": 1', '"format": 2'),
    "no JSON": _replaced("training", "{", ""),
    "no batch": _replaced("training", '"batch"', '"bunch"'),
    "no input": _replaced("training", '"image": "image"', '"image": "picture"'),
    "no layout": _replaced("layout", '"statistics"', '"statistic"'),
    "wrong layout": _replaced("layout", "[4, 1, 3, 3]", "[4, 1, 3, 2]"),
    "wrong start": _replaced("layout", '"start": 40', '"start": 41'),
    "no such operator": lambda model, _: setattr(model.graph.node[0], "op_type", "Splat"),
    "no such tensor": lambda model, _: model.graph.node[3].input.__setitem__(0, "nowhere"),
}


def test_files_that_hold_no_step_are_told(tmp_path):
    net = net_of()
    net.compile(tmp_path / "net.onnx")
    net.compile_training(tmp_path / "step.onnx", split=True)
    (tmp_path / "text.onnx").write_text("no model")
    for name, change in DAMAGES.items():
        model = net.compile_training()[0]
        change(model, {entry.key: entry for entry in model.metadata_props})
        onnx.save(model, tmp_path / f"{name}.onnx")
    names = ["net", "text", "none", "step.gradients", "step.update", *DAMAGES]
    for name in (*(f"{name}.onnx" for name in names), "."):
        with pytest.raises(TrainingError) as caught:
            netdsl.TrainingStep(tmp_path / name)
        assert caught.value.diagnostics[0].code == "E0808", name


def test_a_checkpoint_of_another_net_changes_nothing(tmp_path):
    net_of().compile_training(tmp_path / "step.onnx")
    step = netdsl.TrainingStep(tmp_path / "step.onnx", **SETTINGS)
    step.step(batches(1)[0], lr=0.1)
    before = step.parameters()
    others = {
        "net": netdsl.loads(TEXT.replace("OPTIMIZER", OPTIMIZERS[1]), widths=[5, 6]),
        "optimizer": net_of("adam(0.1)"),
    }
    for name, other in others.items():
        other.compile_training(tmp_path / f"{name}.onnx")
        netdsl.TrainingStep(tmp_path / f"{name}.onnx", **SETTINGS).save(tmp_path / name)
        with pytest.raises(CheckpointError):
            step.load(tmp_path / name)
        assert all(np.array_equal(value, before[k]) for k, value in step.parameters().items()) and step.steps == 1


def test_the_command_says_what_it_wrote(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("small.net").write_text(TEXT.replace("OPTIMIZER", OPTIMIZERS[0]))
    assert CliRunner().invoke(main, ["compile", "small.net", "--training"]).exit_code == 0
    result = CliRunner().invoke(main, ["compile", "small.net", "--training", "--split", "-o", "a.onnx"])
    assert result.exit_code == 0 and re.findall(r"wrote (\S+):", result.stderr) == ["a.gradients.onnx", "a.update.onnx"]
    assert sorted(p.name for p in tmp_path.glob("*.onnx")) == ["a.gradients.onnx", "a.update.onnx", "small.step.onnx"]
    for options in (["--split"], ["--provider", "cuda"], ["--training", "--fold-bn"]):
        assert CliRunner().invoke(main, ["compile", "small.net", *options]).exit_code == 2
    Path("bare.net").write_text("net bare : x[3] -> y { y = x -> dense(2) }")
    result = CliRunner().invoke(main, ["compile", "bare.net", "--training"])
    assert result.exit_code == 1 and "error[E0803]" in result.stderr
    assert [p.name for p in paths_of("folder.d/step", split=True)] == ["step.gradients.onnx", "step.update.onnx"]


def test_the_plain_example_trains_without_netdsl(tmp_path):
    """In an interpreter that cannot import netdsl, and finds the data as a path alone."""
    netdsl.load(ROOT / "examples" / "zoo" / "lenet5.net", few=True).compile_training(tmp_path / "step.onnx")
    script = (ROOT / "examples" / "train_step_plain.py").read_text(encoding="utf-8")
    assert re.findall(r"^(?:import|from) (\w+)", script, re.MULTILINE) == ["json", "sys", "numpy", "onnxruntime"]
    code = "import sys; sys.modules['netdsl'] = None\n" + script.replace("range(5)", "range(2)")
    digits = ROOT / "netdsl" / "runtime" / "data" / "digits" / "digits.npz"
    ran = subprocess.run(
        [sys.executable, "-c", code, "step.onnx", str(digits)], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert not ran.stderr
    losses = [float(text) for text in re.findall(r"loss (\S+)", ran.stdout)]
    assert len(losses) == 2 and losses[1] < losses[0] / 2
