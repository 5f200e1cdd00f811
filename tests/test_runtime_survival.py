"""What a run leaves behind when it ends badly, and that it can be resumed: full disks, damaged files, other versions."""

import errno
import io
import os
from contextlib import suppress
from dataclasses import replace

import onnxruntime
import pytest
from click.testing import CliRunner
from small_run import DATA, StopAt, Told, contents, graph_of, trainer

import netdsl
from netdsl import files
from netdsl.cli import main
from netdsl.diagnostics import CheckpointError
from netdsl.runtime import checkpoint
from netdsl.runtime.directory import BEST, LAST, guard_directory

EPOCHS = 3
NET = """
net small : image[1, 8, 8] -> logits { logits = image -> flatten -> dense(10) }
train small {
    target    = class(label)
    loss      = cross_entropy(logits, label)
    optimizer = sgd(0.01)
    batch     = 100
    epochs    = 2
}
"""


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """What the last checkpoint holds after each epoch of a run that nothing befalls; under -1 what the best holds."""
    folder, states = tmp_path_factory.mktemp("straight"), {}

    class Keeping(Told):
        def begin(self, epoch, *_):
            states[epoch - 1] = contents(folder / LAST)

    trainer(folder, progress=Keeping()).run()
    return states | {EPOCHS: contents(folder / LAST), -1: contents(folder / BEST)}


class FullDisk:
    """Once it has let so many files through, what a file needs of the disk fails: bytes, or the sync, or its name."""

    def __init__(self, patch, fault, after):
        self.left, self.fault = after, fault
        patch.setattr(files, "open", self._open, raising=False)
        patch.setattr(os, "fsync", self._failing("fsync", os.fsync))
        patch.setattr(os, "replace", self._failing("replace", os.replace))

    def _open(self, path, mode):
        disk = self

        class File(io.FileIO):
            def write(self, data):
                if disk.left <= 0 and disk.fault == "write":
                    super().write(bytes(data)[: len(data) // 2])
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return super().write(data)

        return io.BufferedWriter(File(path, mode))

    def _failing(self, fault, call):
        def wrapped(*arguments):
            if self.left <= 0 and self.fault == fault:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            call(*arguments)
            self.left -= fault == "replace"  # a file is through

        return wrapped


def failure(call):
    with pytest.raises(CheckpointError) as caught:
        call()
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


@pytest.mark.parametrize("after", [0, 1, 2, 4])
@pytest.mark.parametrize("fault", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_a_run_that_goes_on(tmp_path, straight, fault, after):
    with pytest.MonkeyPatch.context() as patch:
        FullDisk(patch, fault, after)
        told = failure(trainer(tmp_path).run)
    assert told.code == "E0705" and "No space left on device" in told.message and "free" in told.helps[0]
    names = sorted(path.name for path in tmp_path.iterdir())
    resumed = trainer(tmp_path, seed=99)
    if after == 0:
        assert names == [] and not told.notes
        resumed = trainer(tmp_path)
    else:
        epoch = checkpoint.load(tmp_path / LAST).progress.epoch
        assert contents(tmp_path / LAST) == straight[epoch] and set(names) <= {BEST, LAST}
        assert "--resume" in told.helps[-1]
        held = f"the state after epoch {epoch}" if epoch else "the state before the first step"
        assert told.notes == (f"{tmp_path / LAST} holds {held}",)
        resumed.resume()
    resumed.run()
    assert contents(tmp_path / LAST) == straight[EPOCHS] and contents(tmp_path / BEST) == straight[-1]


def test_a_full_disk_when_a_run_is_stopped(tmp_path, straight):
    with pytest.MonkeyPatch.context() as patch:
        FullDisk(patch, "write", 3)  # the first, and two of the first epoch
        told = failure(trainer(tmp_path, progress=StopAt(10)).run)
    assert told.code == "E0705" and contents(tmp_path / LAST) == straight[1]
    resumed = trainer(tmp_path)
    resumed.resume()
    resumed.run()
    assert contents(tmp_path / LAST) == straight[EPOCHS]


def test_the_command_says_so_and_exits_with_1(tmp_path):
    file = tmp_path / "small.net"
    file.write_text(NET)
    command = ["train", str(file), "--data", "digits", "--out", str(tmp_path / "run")]
    with pytest.MonkeyPatch.context() as patch:
        FullDisk(patch, "write", 3)
        ran = CliRunner().invoke(main, command)
    assert ran.exit_code == 1 and "error[E0705]" in ran.stderr and "--resume" in ran.stderr
    assert CliRunner().invoke(main, [*command, "--resume"]).exit_code == 0


def damaged(path, how):
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[-3] ^= 4
    path.write_bytes(content[: len(content) // 2] if how == "cut" else content)


@pytest.mark.parametrize("how", ["cut", "flipped"])
@pytest.mark.parametrize("steps", [10, 20])
def test_a_damaged_last_checkpoint_gives_way_to_the_best(tmp_path, straight, how, steps):
    trainer(tmp_path, progress=StopAt(steps)).run()
    damaged(tmp_path / LAST, how)
    told = Told()
    resumed = trainer(tmp_path, progress=told, seed=99)
    resumed.resume()
    epoch = checkpoint.load(tmp_path / BEST).progress.epoch
    assert told.messages == [f"note: {tmp_path / LAST} is damaged: going on from {tmp_path / BEST}, of epoch {epoch}"]
    resumed.run()
    assert contents(tmp_path / LAST) == straight[EPOCHS] and contents(tmp_path / BEST) == straight[-1]


def test_a_damaged_last_checkpoint_is_mended_where_nothing_is_left_to_do(tmp_path, straight):
    trainer(tmp_path).run()
    (tmp_path / BEST).write_bytes((tmp_path / LAST).read_bytes())
    damaged(tmp_path / LAST, "flipped")
    resumed = trainer(tmp_path)
    resumed.resume()
    resumed.run()
    assert contents(tmp_path / LAST) == straight[EPOCHS]


@pytest.mark.parametrize("best", ["not there", "damaged too"])
def test_no_checkpoint_that_is_whole(tmp_path, best):
    trainer(tmp_path, progress=StopAt(3 if best == "not there" else 10)).run()
    for path in tmp_path.iterdir():
        damaged(path, "cut")
    told = failure(trainer(tmp_path).resume)
    assert told.code == "E0702" and told.path == str(tmp_path / LAST)
    assert best in told.notes[-1] and "--overwrite" in told.helps[-1]


def test_a_checkpoint_of_another_net_does_not_give_way(tmp_path):
    """That is no damage: what to do about it, the user knows."""
    trainer(tmp_path, progress=StopAt(10)).run()
    assert failure(trainer(tmp_path, "adam(lr = 0.1)").resume).code == "E0706"


def test_a_run_killed_in_its_first_epoch_is_resumed_from_its_beginning(tmp_path, straight):
    class Killed(Told):
        def due(self):
            raise KeyboardInterrupt  # as after the second Ctrl-C: nothing is saved

    with suppress(KeyboardInterrupt):
        trainer(tmp_path, progress=Killed()).run()
    assert contents(tmp_path / LAST) == straight[0]
    guard_directory(tmp_path, resume=True, overwrite=False)
    guard_directory(tmp_path, resume=False, overwrite=False)  # a run without a step is no loss
    resumed = trainer(tmp_path, seed=99)
    resumed.resume()
    resumed.run()
    assert contents(tmp_path / LAST) == straight[EPOCHS] and contents(tmp_path / BEST) == straight[-1]


def test_another_onnx_runtime_is_told_of_and_goes_on(tmp_path, straight):
    trainer(tmp_path, progress=StopAt(10)).run()
    found = checkpoint.load(tmp_path / LAST)
    environment = found.progress.environment | {"onnxruntime": "1.0"}
    checkpoint.save(tmp_path / LAST, replace(found, progress=replace(found.progress, environment=environment)))
    told = Told()
    resumed = trainer(tmp_path, progress=told)
    resumed.resume()
    version = onnxruntime.__version__
    assert told.messages == [f"note: this will not continue bit for bit: onnxruntime was 1.0, is {version}"]
    resumed.run()
    assert checkpoint.load(tmp_path / LAST).progress.environment["onnxruntime"] == version


def test_missing_data_are_told_before_a_run_that_is_in_the_way(tmp_path):
    trainer(tmp_path, progress=StopAt(10)).run()
    with pytest.raises(netdsl.DataError):
        netdsl.loads(graph_of().span.source.text).trainer(tmp_path / "nowhere", out=tmp_path)
    told = failure(lambda: netdsl.loads(graph_of().span.source.text).trainer(DATA, out=tmp_path))
    assert told.code == "E0707"
