"""Steps that were kept on disk compute the same bit for bit, and whatever else lies there is not believed."""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass

import pytest

from benchmarks.twins import TWINS
from netdsl.lower import initial_parameters
from netdsl.runtime import kept, stepper
from netdsl.runtime.session import choose_device
from netdsl.runtime.stepper import Stepper
from netdsl.training.step import build_step

GRAPH = TWINS["mobile"].graph('sgd(lr = 0.05, momentum = 0.9, no_decay = ["bias"])', batch=2)
MODEL = build_step(GRAPH, batch=2)
CPU = choose_device("cpu", 1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NETDSL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@dataclass
class Tuned:
    """How often steps were tuned."""

    count: int = 0


@pytest.fixture
def tuned(monkeypatch):
    calls, original = Tuned(), stepper._suited

    def counting(model, device):
        calls.count += 1
        return original(model, device)

    monkeypatch.setattr(stepper, "_suited", counting)
    return calls


def _trained(model=MODEL, device=CPU):
    """The losses of three steps, and the state behind them."""
    run = Stepper(model, device, seed=3)
    weights = initial_parameters(GRAPH, 0)
    run.load({name: run.model.state[name].pack(weights) for name in ("parameters", "statistics")})
    images, labels = TWINS["mobile"].batch(GRAPH, 2)
    losses = []
    for step in range(3):
        for name, array in zip(run.feeds, (images, labels), strict=True):
            run.feeds[name][...] = array
        run.step(step, 0.05)
        losses.append(run.loss())
    return losses, run.vectors()


def _same(a, b):
    return a[0] == b[0] and all(a[1][name].tobytes() == b[1][name].tobytes() for name in a[1])


@pytest.mark.parametrize("threads", [1, 2])
def test_a_kept_step_is_the_same_bit_for_bit(folder, tuned, threads, monkeypatch):
    device = choose_device("cpu", threads)
    first = _trained(device=device)
    second = _trained(device=device)
    assert tuned.count == 1
    monkeypatch.setenv("NETDSL_CACHE", "off")
    without = _trained(device=device)
    assert tuned.count == 2
    assert _same(first, second)
    assert _same(first, without)


def test_other_steps_and_threads_have_entries_of_their_own(folder, tuned):
    _trained()
    _trained(device=choose_device("cpu", 2))
    Stepper(build_step(GRAPH, batch=3), CPU, seed=0)
    assert tuned.count == len(list(folder.iterdir())) == 3


def _flip(entry):
    content = bytearray(entry.read_bytes())
    content[len(content) // 2] ^= 1
    entry.write_bytes(content)


def _of_another_step(entry):
    Stepper(build_step(GRAPH, batch=3), CPU, seed=0)
    (other,) = [path for path in entry.parent.iterdir() if path != entry]
    entry.write_bytes(other.read_bytes())


def _linked(entry):
    elsewhere = entry.parent.parent / "elsewhere"
    entry.rename(elsewhere)
    entry.symlink_to(elsewhere)


def _sealed_nonsense(entry):
    """Whole by its digest, and no model."""
    content = bytes(4) + b"\xff" * 100
    digest = kept.hashlib.sha256(bytes.fromhex(entry.name) + content).digest()
    entry.write_bytes(kept._MAGIC + digest + content)


def _sealed_other_model(entry):
    """Whole by its digest, a model, and not this step."""
    model = build_step(TWINS["lenet5"].graph("sgd(lr = 0.1)", batch=2), batch=2).model
    content = bytes(4) + model.SerializeToString()
    digest = kept.hashlib.sha256(bytes.fromhex(entry.name) + content).digest()
    entry.write_bytes(kept._MAGIC + digest + content)


@pytest.mark.parametrize(
    "harm",
    [
        _flip, _of_another_step, _linked, _sealed_nonsense, _sealed_other_model,
        lambda entry: entry.write_bytes(entry.read_bytes()[:-1]),
        lambda entry: entry.write_bytes(entry.read_bytes()[:40]),
        lambda entry: entry.write_bytes(b""),
        lambda entry: entry.write_bytes(entry.read_bytes() + b"\0"),
    ],
)  # fmt: skip
def test_what_is_damaged_is_made_anew(folder, tuned, harm):
    expected = _trained()
    (entry,) = folder.iterdir()
    whole = entry.read_bytes()
    harm(entry)
    before = tuned.count
    assert _same(_trained(), expected)
    assert tuned.count == before + 1
    assert entry.read_bytes() == whole
    assert _same(_trained(), expected)
    assert tuned.count == before + 1


def test_a_folder_in_an_entrys_place_fails_nothing(folder, tuned):
    expected = _trained()
    (entry,) = folder.iterdir()
    entry.unlink()
    entry.mkdir()
    assert _same(_trained(), expected)
    assert tuned.count == 2


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_nothing_is_read_where_others_can_write(folder, tuned, monkeypatch):
    _trained()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    _trained()
    assert tuned.count == 2
    folder.chmod(0o700)
    _trained()
    assert tuned.count == 2
    monkeypatch.setattr(os, "geteuid", lambda: 12345)  # the folder is another user's
    _trained()
    assert tuned.count == 3


def test_without_a_place_to_write_steps_are_tuned(folder, tuned, monkeypatch, tmp_path):
    expected = _trained()
    (tmp_path / "file").touch()
    monkeypatch.setenv("NETDSL_CACHE", str(tmp_path / "file" / "cache"))
    assert _same(_trained(), expected)
    monkeypatch.setenv("NETDSL_CACHE", str(folder))
    for path in folder.iterdir():
        path.unlink()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert _same(_trained(), expected)
    assert tuned.count == 3
    assert list(folder.iterdir()) == []


def test_what_was_used_the_longest_ago_goes_first(folder, tuned, monkeypatch):
    models = [build_step(GRAPH, batch=batch) for batch in (2, 3, 4, 5)]
    for model in models[:3]:
        Stepper(model, CPU, seed=0)
    entries = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    for age, entry in enumerate(reversed(entries)):
        os.utime(entry, (1e9 - age, 1e9 - age))
    Stepper(models[0], CPU, seed=0)  # was the oldest, and is used
    size = entries[0].stat().st_size
    monkeypatch.setattr(kept, "MOST_BYTES", int(4.5 * size))  # one entry may have a quarter
    (folder / "draft").write_bytes(bytes(2 * size))
    os.utime(folder / "draft", (1e9 - 0.5, 1e9 - 0.5))
    Stepper(models[3], CPU, seed=0)
    left = set(folder.iterdir())
    assert left.isdisjoint({entries[1], folder / "draft"})
    assert left > {entries[0], entries[2]} and len(left) == 3


def test_small_steps_are_not_kept(folder):
    graph = TWINS["lenet5"].graph("sgd(lr = 0.1)", batch=2)
    Stepper(build_step(graph, batch=2), CPU, seed=0)
    assert not folder.exists()


def test_a_step_is_the_same_text_in_every_process():
    """Else nothing would ever be found again: the order of sets of strings differs between processes."""
    program = (
        "import hashlib, netdsl; from netdsl.training.step import build_step;"
        "g = netdsl.load('examples/zoo/unet.net').graph;"
        "print(hashlib.sha256(build_step(g, batch=1).model.SerializeToString()).hexdigest())"
    )
    found = {
        subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONHASHSEED": seed}, check=True,
                       capture_output=True, text=True).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(found) == 1
