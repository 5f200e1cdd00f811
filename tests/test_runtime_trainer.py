"""The trainer: exact resumes, clean stops, divergence, validation, and what does not fit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from small_run import DATA, SGD, TEXT, StopAt, Told, contents, graph_of, samples, trainer
from torch.nn import functional

import netdsl
from netdsl.diagnostics import CheckpointError, DataError, TrainingError
from netdsl.elaborate import load_text
from netdsl.runtime import checkpoint
from netdsl.runtime.data.dataset import Data, Samples
from netdsl.runtime.directory import BEST, LAST, guard_directory
from netdsl.runtime.loop import order
from netdsl.runtime.progress import Silence
from netdsl.runtime.trainer import Trainer


@pytest.mark.parametrize("optimizer", [SGD, "adam(lr = 0.01)"])
@pytest.mark.parametrize("stops", [[3], [7], [10, 2, 1], [20]])
def test_a_stopped_and_resumed_run_is_the_straight_run_bit_for_bit(tmp_path, optimizer, stops):
    straight = trainer(tmp_path / "straight", optimizer)
    history = straight.run()
    assert [record.epoch for record in history.epochs] == [1, 2, 3]

    stopped = trainer(tmp_path / "stopped", optimizer, StopAt(stops[0]))
    assert stopped.run().stopped
    for steps in [*stops[1:], 0]:
        stopped = trainer(tmp_path / "stopped", optimizer, StopAt(steps), seed=99)  # the checkpoint's seed counts
        stopped.resume()
        assert stopped.run().stopped == (steps > 0)
    assert contents(tmp_path / "stopped" / LAST) == contents(tmp_path / "straight" / LAST)
    assert contents(tmp_path / "stopped" / BEST) == contents(tmp_path / "straight" / BEST)
    for ours, theirs in zip(stopped.history.epochs, history.epochs, strict=True):
        assert (ours.loss, ours.metrics, ours.validation_loss, ours.validation_metrics, ours.lr) == (
            theirs.loss, theirs.metrics, theirs.validation_loss, theirs.validation_metrics, theirs.lr
        )  # fmt: skip


def test_ctrl_c_finishes_the_step_saves_and_says_how_to_go_on(tmp_path):
    progress = StopAt(4)
    before = signal.getsignal(signal.SIGINT)
    assert trainer(tmp_path, progress=progress).run().stopped
    assert signal.getsignal(signal.SIGINT) is before
    found = checkpoint.load(tmp_path / LAST).progress
    assert (found.epoch, found.step, found.position) == (0, 4, 32)
    assert any("step 4 of 7" in text and "--resume" in text for text in progress.messages)


def test_a_resumed_run_can_be_given_more_epochs(tmp_path):
    first = Trainer(graph_of("sgd(lr = 0.1)"), DATA, directory=tmp_path, device="cpu", threads=1, epochs=1)
    first.run()
    more = Trainer(graph_of("sgd(lr = 0.1)"), DATA, directory=tmp_path, device="cpu", threads=1, epochs=2)
    more.resume()
    assert [record.epoch for record in more.run().epochs] == [1, 2]


def test_training_learns_and_keeps_the_best_epoch(tmp_path):
    run = Trainer(graph_of(), DATA, directory=tmp_path, device="cpu", threads=1, epochs=12)
    history = run.run()
    assert history.epochs[-1].loss < history.epochs[0].loss
    best = max(history.epochs, key=lambda record: record.validation_metrics["accuracy"])
    assert best.validation_metrics["accuracy"] > 0.8
    assert checkpoint.load(tmp_path / BEST).progress.epoch == best.epoch


def test_validation_counts_every_sample_once(tmp_path):
    run = Trainer(graph_of(), DATA, directory=None, device="cpu", threads=1, epochs=1)
    record = run.run().epochs[0]
    logits = _logits(run.tensors(), torch.from_numpy(DATA.validation.inputs / np.float32(255)))
    labels = torch.from_numpy(DATA.validation.targets)
    assert record.validation_loss == pytest.approx(functional.cross_entropy(logits, labels).item(), rel=1e-4)
    accuracy = (logits.argmax(1) == labels).float().mean().item()
    assert record.validation_metrics["accuracy"] == pytest.approx(accuracy, abs=1e-6)


def _logits(tensors, images):
    t = [torch.from_numpy(value) for value in tensors.values()]
    by = dict(zip(tensors, t, strict=True))

    def norm(x, name):
        mean, var = by[f"{name}.running_mean"], by[f"{name}.running_var"]
        return functional.relu(functional.batch_norm(x, mean, var, by[f"{name}.scale"], by[f"{name}.bias"]))

    x = functional.conv2d((images - 0.5) / 0.25, by["x.conv.weight"], by["x.conv.bias"], padding=1)
    x = functional.max_pool2d(norm(x, "x.bn"), 2)
    x = norm(functional.conv2d(x, by["x.conv.1.weight"], by["x.conv.1.bias"], stride=2, padding=1), "x.bn.1")
    return functional.linear(x.flatten(1), by["logits.dense.weight"], by["logits.dense.bias"])


def test_an_infinite_loss_names_its_step_and_keeps_the_last_good_checkpoint(tmp_path):
    run = trainer(tmp_path, "sgd(lr = step(0.01, at = [1], factor = 1e30))")
    with pytest.raises(TrainingError) as caught:
        run.run()
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E0802"
    assert "of epoch 2" in diagnostic.message and "learning rate of 1e+28" in diagnostic.message
    assert "after epoch 1" in diagnostic.notes[-1] and diagnostic.helps
    found = checkpoint.load(tmp_path / LAST)
    assert found.progress.epoch == 1
    assert all(np.isfinite(tensor).all() for tensor in found.tensors.values())


def test_a_nan_at_the_very_start_is_told_too(tmp_path):
    weights = {"logits.dense.bias": np.full(3, np.nan, np.float32)}
    run = Trainer(graph_of(), DATA, directory=tmp_path, device="cpu", threads=1, weights=weights)
    with pytest.raises(TrainingError, match="step 1 of epoch 1"):
        run.run()
    assert checkpoint.load(tmp_path / LAST).progress.step == 0


def test_labels_out_of_range_are_found_before_training():
    bad = samples(20, 2)
    assert isinstance(bad.targets, np.ndarray)
    bad.targets[13] = 3
    with pytest.raises(DataError, match="sample 13") as caught:
        Trainer(graph_of(), Data(bad, DATA.validation, "bad", ""), directory=None, device="cpu")
    assert caught.value.diagnostics[0].code == "E0607"


def test_samples_of_another_shape_are_refused_with_a_way_out():
    data = Data(samples(20, 2, size=14), DATA.validation, "bad", "")
    with pytest.raises(DataError) as caught:
        Trainer(graph_of(), data, directory=None, device="cpu")
    assert caught.value.diagnostics[0].code == "E0806"
    assert any("resize(12, 12)" in text for text in caught.value.diagnostics[0].helps)


def test_fewer_samples_than_a_batch_make_one_batch():
    run = Trainer(graph_of(), Data(samples(5, 2), DATA.validation, "few", ""), directory=None, device="cpu", threads=1)
    assert (run.plan.batch, run.plan.steps_per_epoch) == (5, 1)
    assert len(run.run().epochs) == 3


def test_a_resume_refuses_what_does_not_fit(tmp_path):
    trainer(tmp_path, progress=StopAt(2)).run()
    with pytest.raises(CheckpointError) as caught:
        trainer(tmp_path, "adam(lr = 0.1)").resume()
    assert caught.value.diagnostics[0].code == "E0706"
    other = Trainer(graph_of(), Data(DATA.train, DATA.validation, "others", ""), directory=tmp_path, device="cpu")
    with pytest.raises(CheckpointError):
        other.resume()
    changed = load_text(TEXT.replace("OPTIMIZER", SGD).replace("conv(4, 3)", "conv(5, 3)"))
    with pytest.raises(CheckpointError):
        Trainer(changed, DATA, directory=tmp_path, device="cpu").resume()


def test_runs_do_not_overwrite_each_other(tmp_path):
    with pytest.raises(CheckpointError):
        guard_directory(tmp_path, resume=True, overwrite=False)
    guard_directory(tmp_path, resume=False, overwrite=False)
    trainer(tmp_path, progress=StopAt(1)).run()
    with pytest.raises(CheckpointError):
        guard_directory(tmp_path, resume=False, overwrite=False)
    guard_directory(tmp_path, resume=True, overwrite=False)
    guard_directory(tmp_path, resume=False, overwrite=True)


def test_the_order_is_a_permutation_of_its_own_in_every_epoch():
    orders = [order(seed, epoch, 500) for seed in (0, 1) for epoch in (0, 1)]
    for found in orders:
        assert sorted(found) == list(range(500))
    assert len({found.tobytes() for found in orders}) == 4
    assert np.array_equal(order(1, 1, 500), orders[3])


SEGMENT = """
net masks : image[1, H = 8, W = 8] -> scores { scores = image -> conv(4, 3) -> relu -> conv(2, 1) }
train {
    target = class(mask, [H, W], ignore = 255)
    loss = cross_entropy(scores, mask, ignore = 255)
    optimizer = adam(lr = 0.05)
    batch = 4
    epochs = 25
    augment = [shift(1), flip]
}
"""


def test_masks_move_with_their_images_at_the_size_of_the_data():
    images = np.random.default_rng(0).random((16, 1, 10, 6), np.float32)
    masks = (images[:, 0] > 0.5).astype(np.int64)
    data = Data(Samples(images, masks), Samples(images, masks), "masks", "")
    run = Trainer(load_text(SEGMENT), data, directory=None, device="cpu", threads=1)
    assert run.run().epochs[-1].loss < 0.35  # unlearnable if images and masks moved apart


@pytest.mark.parametrize("part", ["count", "validation", "first", "last", "labels"])
def test_a_resume_refuses_other_samples_of_the_same_name(tmp_path, part):
    trainer(tmp_path, progress=StopAt(2)).run()
    images, labels, validation = DATA.train.inputs.copy(), DATA.train.targets.copy(), DATA.validation
    if part == "count":
        images, labels = images[:60], labels[:60]
    elif part == "validation":
        validation = samples(21, 9)
    elif part == "labels":
        labels[0] = (labels[0] + 1) % 3
    else:
        images[0 if part == "first" else -1] += 1
    other = Data(Samples(images, labels), validation, DATA.name, DATA.split)
    with pytest.raises(CheckpointError) as caught:
        Trainer(graph_of(), other, directory=tmp_path, device="cpu", threads=1).resume()
    assert caught.value.diagnostics[0].code == "E0706"


def test_a_resume_with_other_hyperparameters_names_them(tmp_path):
    text = TEXT.replace("OPTIMIZER", SGD).replace("net small", "net small(drop = 0.3)").replace("(0.3)", "(drop)")
    options = {"directory": tmp_path, "device": "cpu", "threads": 1}
    Trainer(load_text(text), DATA, progress=StopAt(2), **options).run()
    for drop, expected in ((0.3, []), (0.9, ["note: this will not continue bit for bit: drop was 0.3, is 0.9"])):
        told = Told()
        Trainer(netdsl.loads(text, drop=drop).graph, DATA, progress=told, **options).resume()
        assert told.messages == expected


def test_the_best_epoch_is_kept_before_the_last_says_that_it_is_over(tmp_path, monkeypatch):
    saved = []
    run = trainer(tmp_path)
    monkeypatch.setattr(run, "save", lambda path: saved.append(path.name))
    run.run()
    assert saved[:3] == [LAST, BEST, LAST] and saved[-1] == LAST


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that not even root may write in")
def test_a_folder_that_cannot_be_written_in_is_told_before_the_first_step():
    run = trainer(Path("/proc/self"))
    with pytest.raises(CheckpointError) as caught:
        run.run()
    assert caught.value.diagnostics[0].code == "E0705" and run._step == 0


def test_the_probe_of_the_folder_leaves_nothing(tmp_path):
    trainer(tmp_path).run()
    assert sorted(path.name for path in tmp_path.iterdir()) == [BEST, LAST]


@pytest.mark.parametrize(
    "options", [{"epochs": 0}, {"epochs": 1.5}, {"epochs": True}, {"seed": -1}, {"seed": 2**32}, {"seed": "1"}]
)
def test_options_are_whole_numbers_in_range(options):
    with pytest.raises(TrainingError) as caught:
        Trainer(graph_of(), DATA, directory=None, device="cpu", threads=1, **options)
    assert caught.value.diagnostics[0].code == "E0807"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks")
def test_a_run_survives_kills_at_random_moments():
    """A few of the hundred of benchmarks/survive.py: the folder stays whole, and the end is the straight run's."""
    root = Path(__file__).parent.parent
    options = ["--kills", "3", "--epochs", "6", "--seed", str(time.time_ns() % 1000)]
    command = [sys.executable, "benchmarks/survive.py", *options]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert json.loads(ran.stdout)["kills"] == 3


def test_starting_anew_takes_the_old_run_away_and_what_a_kill_left(tmp_path):
    """Until the new run has a checkpoint, the old one's would be taken for it."""
    trainer(tmp_path, progress=StopAt(20)).run()
    drafts = [tmp_path / f".{name}.0123abcd.tmp" for name in (LAST, BEST)]
    others = [tmp_path / ".last.safetensors.mine", tmp_path / "notes.txt"]
    for path in (*drafts, *others):
        path.write_bytes(b"")
    resumed = trainer(tmp_path, progress=StopAt(1))
    resumed.resume()
    resumed.run()
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / LAST, tmp_path / BEST, *others])
    seen = []

    class Looking(Silence):
        def begin(self, *_):
            seen.append(sorted(path.name for path in tmp_path.glob("*.safetensors")))

    trainer(tmp_path, progress=Looking()).run()
    assert seen == [[LAST], [BEST, LAST], [BEST, LAST]]
