"""A step that is cut between gradients and update: joined it is the step, and batches add up to larger ones."""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from netdsl.runtime import checkpoint
from tests.test_training_portable import OPTIMIZERS, batches, net_of, plain, run, scalar


def joined(folder, net, provider="cpu"):
    """The state and the losses after six steps of the two models."""
    net.compile_training(folder / "step.onnx", split=True, provider=provider)
    gradients, update = plain(folder / "step.gradients.onnx"), plain(folder / "step.update.onnx")
    state = {}
    losses = []
    for step, batch in enumerate(batches(2)):
        fed = batch | {"step": np.array(step), "share": scalar(1)}
        losses.append(float(run(gradients, fed, state)["loss"]))
        run(update, {"lr": scalar(0.05), "step": np.array(step)}, state)
        state["state/gradient"][...] = 0
    return state, losses


@pytest.mark.parametrize("provider", ["cpu", "cuda"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_gradients_and_update_make_the_step_bit_for_bit(tmp_path, optimizer, provider):
    net = net_of(optimizer)
    net.compile_training(tmp_path / "whole.onnx", provider=provider)
    session, state = plain(tmp_path / "whole.onnx"), {}
    losses = [
        float(run(session, batch | {"lr": scalar(0.05), "step": np.array(step)}, state)["loss"])
        for step, batch in enumerate(batches(2))
    ]
    found, found_losses = joined(tmp_path, net, provider)
    del found["state/gradient"]
    assert found_losses == losses
    assert found.keys() == state.keys()
    assert all(np.array_equal(found[name], value) for name, value in state.items())
    assert state["state/totals"][-1] == 6


def test_the_models_are_standard_and_meet_in_the_gradient_alone(tmp_path):
    net_of().compile_training(tmp_path / "step.onnx", split=True)
    gradients, update = (tmp_path / f"step.{part}.onnx" for part in ("gradients", "update"))
    for path, inputs, outputs in (
        (gradients, {"image", "label", "step", "share"}, {"loss", "accuracy", "next/gradient", "next/statistics", "next/totals"}),
        (update, {"lr", "step"}, {"next/parameters", "next/momentum"}),
    ):  # fmt: skip
        onnx.checker.check_model(str(path), full_check=True)
        model = onnx.load(path)
        assert {node.domain for node in model.graph.node} == {""}
        assert all(value.doc_string for value in (*model.graph.input, *model.graph.output))
        assert {value.name for value in plain(path).get_inputs()} == inputs
        assert {value.name for value in model.graph.output} == outputs
        (text,) = [entry.value for entry in model.metadata_props if entry.key == "netdsl.training"]
        assert json.loads(text)["part"] == path.suffixes[0][1:]


def test_the_gradient_is_that_of_the_step(tmp_path):
    """Plain gradient descent moves by lr times the gradient; shares sum up."""
    net = net_of("sgd(lr = 0.5)")
    net.compile_training(tmp_path / "whole.onnx")
    net.compile_training(tmp_path / "step.onnx", split=True)
    gradients, session = plain(tmp_path / "step.gradients.onnx"), plain(tmp_path / "whole.onnx")
    first, second = batches(1)[:2]

    def stepped(batch, lr):
        return run(session, batch | {"lr": scalar(lr), "step": np.array(0)}, {})["next/parameters"]

    moved = [stepped(batch, 0) - stepped(batch, 0.5) for batch in (first, second)]
    state = {}
    for batch, share in ((first, 0.25), (second, 0.75)):
        run(gradients, batch | {"step": np.array(0), "share": scalar(share)}, state)
    expected = 2 * (0.25 * moved[0] + 0.75 * moved[1])
    np.testing.assert_allclose(state["state/gradient"], expected, atol=2e-6 * abs(expected).max())


def test_the_programs_of_the_documentation_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = net_of()
    net.compile_training("step.onnx")
    net.compile_training("step.onnx", split=True)
    text = (Path(__file__).parent.parent / "docs" / "training-step.md").read_text(encoding="utf-8")
    programs = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(programs) == 3
    first, loaded, split = ({"images": batches(1)[0]["image"], "labels": batches(1)[0]["label"]} for _ in programs)
    for program, names in zip(programs, (first, loaded, split), strict=True):
        exec(program, names)
    assert first["results"]["loss"] < 1 and set(first["weights"]) <= set(loaded["step"].parameters())
    assert loaded["step"].steps == 3 and checkpoint.load("last.safetensors").progress.step == 3
    assert split["state"]["state/totals"][-1] == 20
