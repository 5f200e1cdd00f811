"""Checkpoints: what was saved comes back; a damaged or foreign file, and a full disk, are diagnostics."""

import errno
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from data_files import code
from hypothesis import given, settings
from hypothesis import strategies as st

from netdsl.diagnostics import CheckpointError
from netdsl.files import atomic_write
from netdsl.runtime.checkpoint import Checkpoint, Progress, load, load_progress, load_weights, match, save

WEIGHTS = {
    "stage1/basic.0/conv.weight": np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32),
    "optimizer/conv.bias": np.arange(4, dtype=np.float32),  # a block may be called so
    "bn.count": np.array(7, np.int64),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "empty": np.zeros((0, 3), np.float32),
}
PROGRESS = Progress(
    net="resnet",
    source_sha256="ab" * 32,
    hyperparameters={"n": 3, "unit": "bottleneck", "sizes": [1, 2.5], "last": None},
    seed=2**63,
    step=12,
    epoch=1,
    position=128,
    learning_rate=0.1 / 3,
    history=[{"loss": 1 / 3}, {"loss": float("nan")}],
    running={"loss": 0.1 + 0.2},
    prepare='[["scale", {"factor": 0.003}]]',
    dataset="digits",
    classes=["null", "één"],
    environment={"netdsl": "0.1", "threads": 2},
)
CHECKPOINT = Checkpoint(
    WEIGHTS, {"momentum": {"stage1/basic.0/conv.weight": np.ones((4, 3, 3, 3), np.float32)}}, PROGRESS
)


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype and a[name].shape == b[name].shape and np.array_equal(a[name], b[name]), (
            name
        )


def test_what_was_saved_comes_back(tmp_path):
    path = tmp_path / "last.safetensors"
    save(path, CHECKPOINT)
    save(path, CHECKPOINT)
    back = load(path)
    assert_same(back.tensors, WEIGHTS)
    assert_same(back.optimizer["momentum"], CHECKPOINT.optimizer["momentum"])
    assert repr(back.progress) == repr(PROGRESS)  # repr, since a NaN does not equal itself
    assert os.listdir(tmp_path) == ["last.safetensors"]


def test_other_programs_read_the_file_and_its_layout(tmp_path):
    path = tmp_path / "last.safetensors"
    save(path, CHECKPOINT)
    tensors = safetensors.numpy.load_file(path)
    assert set(tensors) == {*WEIGHTS, "optimizer/momentum/stage1/basic.0/conv.weight"}
    assert_same(load_weights(path), WEIGHTS)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    assert json.loads(header["__metadata__"]["netdsl"])["step"] == 12


def test_weights_of_another_program(tmp_path):
    path = tmp_path / "weights.safetensors"
    safetensors.numpy.save_file({"w": np.ones(3, np.float32)}, path)
    assert load_weights(path)["w"].tolist() == [1, 1, 1]
    with pytest.raises(CheckpointError, match="not a checkpoint of netdsl") as error:
        load(path)
    assert code(error.value) == "E0703"


@pytest.mark.parametrize("place", ["nowhere/a", ".", "text"])
def test_no_checkpoint_there(tmp_path, place):
    (tmp_path / "text").write_text("this is no checkpoint")
    for read in (load, load_weights):
        with pytest.raises(CheckpointError) as error:
            read(tmp_path / place)
        assert code(error.value) == ("E0702" if place == "text" else "E0701")
        assert error.value.diagnostics[0].path == str(tmp_path / place)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_damaged_anywhere(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.safetensors")
        save(path, CHECKPOINT)
        content = bytearray(path.read_bytes())
        if data.draw(st.booleans()):
            content = content[: data.draw(st.integers(0, len(content) - 1))]
        else:
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        with suppress(CheckpointError):
            load_progress(path)
        for read in (lambda path: load(path).tensors, load_weights):
            try:
                tensors = read(path)  # what was changed may be padding, or the name of the checksum
            except CheckpointError as error:
                assert code(error) in ("E0702", "E0703")
            else:
                assert_same(tensors, WEIGHTS)


def test_a_bit_flipped_in_a_tensor_is_told(tmp_path):
    path = tmp_path / "a"
    save(path, CHECKPOINT)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # safetensors reads it without complaint
    path.write_bytes(content)
    assert load_progress(path).step == PROGRESS.step
    for read in (load, load_weights):
        with pytest.raises(CheckpointError, match="checksum") as error:
            read(path)
        assert code(error.value) == "E0702" and error.value.diagnostics[0].path == str(path)


def test_a_checkpoint_without_a_checksum_is_read(tmp_path):
    with_metadata(tmp_path / "a")  # as older versions wrote it
    assert_same(load(tmp_path / "a").tensors, WEIGHTS)


def with_metadata(path, **changes):
    save(path, CHECKPOINT)
    tensors = safetensors.numpy.load_file(path)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    metadata = json.loads(header["__metadata__"]["netdsl"]) | changes
    metadata = {key: value for key, value in metadata.items() if value != "absent"}
    safetensors.numpy.save_file(tensors, path, {"netdsl": json.dumps(metadata)})


@pytest.mark.parametrize(
    "changes",
    [{"step": -1}, {"step": "3"}, {"epoch": True}, {"seed": "absent"}, {"history": {}}, {"slots": 3}, {"format": None},
     {"prepare": []}, {"classes": "ab"}, {"learning_rate": "fast"}],
)  # fmt: skip
def test_damaged_metadata(tmp_path, changes):
    with_metadata(tmp_path / "a", **changes)
    with pytest.raises(CheckpointError, match="metadata is damaged") as error:
        load(tmp_path / "a")
    assert code(error.value) == "E0702"


def test_a_later_format_is_refused(tmp_path):
    with_metadata(tmp_path / "a", format=99)
    with pytest.raises(CheckpointError, match="later version") as error:
        load(tmp_path / "a")
    assert code(error.value) == "E0703"


def test_match_names_the_tensors_and_both_shapes():
    tensors = {"stem.weight": np.zeros((4, 3)), "conv.weight": np.zeros(2), "head.bias": np.zeros(10)}
    assert match(tensors, {"stem.weight": (4, 3), "conv.weight": [2], "head.bias": (10,)})
    found = match(tensors, {"stm.weight": (4, 3), "conv.weight": (2,), "head.bias": (11,)})
    assert found.missing == ("stm.weight",) and found.unexpected == ("stem.weight",)
    assert found.misshaped == (("head.bias", (10,), (11,)),)
    with pytest.raises(CheckpointError) as error:
        found.require("a.safetensors")
    text = str(error.value)
    assert code(error.value) == "E0704" and "`head.bias` is [10], the network wants [11]" in text
    assert "was `stem.weight` renamed to `stm.weight`" in text and "a.safetensors" in text
    with pytest.raises(CheckpointError, match="and 995 more") as error:
        match({}, {f"w{i}": (1,) for i in range(1000)}).require()
    assert len(str(error.value)) < 500


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "last.safetensors"
    save(path, CHECKPOINT)
    before = path.read_bytes()

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(CheckpointError, match="No space left on device") as error:
            save(path, Checkpoint({"w": np.zeros(1000)}))
    assert code(error.value) == "E0705" and "unharmed" in str(error.value)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["last.safetensors"]


def test_a_write_that_fails_midway(tmp_path):
    """The real thing, by the system's limit on the size of a file."""
    path = tmp_path / "last.safetensors"
    save(path, CHECKPOINT)
    before = path.read_bytes()
    script = (
        "import numpy as np, sys; from netdsl.runtime.checkpoint import *\n"
        "from netdsl.diagnostics import CheckpointError\n"
        "try: save(sys.argv[1], Checkpoint({'w': np.zeros(10**6, np.float32)}))\n"
        "except CheckpointError as error: print(error)"
    )
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # noqa: E731
    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, preexec_fn=limit, check=True
    )
    assert "E0705" in done.stdout and "File too large" in done.stdout
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["last.safetensors"]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match="create its folder first"):
        save(tmp_path / "nowhere" / "a", CHECKPOINT)


def test_atomic_write(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    with pytest.raises(KeyboardInterrupt), atomic_write(link) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert target.read_text() == "old" and sorted(os.listdir(tmp_path)) == ["link", "target"]
    with atomic_write(link) as file:
        file.write(b"new")
        assert target.read_text() == "old"
    assert target.read_text() == "new" and link.is_symlink()
    with atomic_write(os.devnull) as file:
        file.write(b"gone")
    assert not Path(os.devnull).is_file()
    fresh = tmp_path / ("n" * 250)
    with atomic_write(fresh):
        pass
    umask = os.umask(0)
    os.umask(umask)
    assert fresh.stat().st_mode & 0o777 == 0o666 & ~umask
