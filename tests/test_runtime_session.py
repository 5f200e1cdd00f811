"""Devices, threads, errors of the runtime in the user's terms, and what is shown while training."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from netdsl.diagnostics import DeviceError
from netdsl.runtime import session
from netdsl.runtime.history import EpochRecord, History
from netdsl.runtime.progress import Bars, Lines, Silence, progress_on
from netdsl.runtime.session import Device, choose_device, memory_errors_told


def test_the_number_of_threads_comes_from_the_argument_then_the_environment(monkeypatch):
    monkeypatch.delenv("NETDSL_THREADS", raising=False)
    assert choose_device("cpu") == Device("cpu", None)
    monkeypatch.setenv("NETDSL_THREADS", "3")
    assert choose_device("cpu") == Device("cpu", 3)
    assert choose_device("cpu", 2) == Device("cpu", 2)
    for text in ("0", "-1", "many"):
        monkeypatch.setenv("NETDSL_THREADS", text)
        with pytest.raises(DeviceError, match="NETDSL_THREADS"):
            choose_device("cpu")


def test_cuda_is_refused_with_a_way_out_where_there_is_none(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr("ctypes.CDLL", missing)
    session._cuda_problem.cache_clear()
    try:
        with pytest.raises(DeviceError) as caught:
            choose_device("cuda")
        diagnostic = caught.value.diagnostics[0]
        assert diagnostic.code == "E0901" and any("--device cpu" in text for text in diagnostic.helps)
        assert choose_device("auto").provider == "cpu"
    finally:
        session._cuda_problem.cache_clear()
    with pytest.raises(DeviceError, match="no device `tpu`"):
        choose_device("tpu")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[ONNXRuntimeError] : 6 : bfc_arena.cc Failed to allocate memory for requested buffer"),
        RuntimeError("CUDA failure 2: out of memory"),
        RuntimeError("std::bad_alloc"),
    ],
)  # fmt: skip
def test_a_lack_of_memory_names_the_batch(error):
    with pytest.raises(DeviceError, match="batch of 64") as caught, memory_errors_told(64):
        raise error
    assert "32" in caught.value.diagnostics[0].helps[0]


def test_other_errors_stay_what_they_are():
    with pytest.raises(ValueError, match="else"), memory_errors_told(64):
        raise ValueError("something else")


RECORD = EpochRecord(1, 0.5, {"accuracy": 0.75}, 0.25, {"accuracy": 0.875}, 0.1, 1234.0)


def _tell(progress):
    progress.begin(1, 2, 0, 10)
    progress.due()
    progress.step(5, 0.5, {"accuracy": 0.75}, 100.0)
    progress.end(RECORD)
    progress.begin(2, 2, 0, 10)
    progress.message("a [message]")
    progress.close()


def test_lines_are_plain():
    stream = io.StringIO()
    progress = progress_on(stream)
    assert isinstance(progress, Lines)
    _tell(progress)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "epoch 1/2, step 5/10, loss 0.5000, accuracy 0.7500, 100 images/s"
    assert lines[1].startswith("epoch 1, loss 0.5000, accuracy 0.7500, validation loss 0.2500, accuracy 0.8750")
    assert lines[2:] == ["a [message]"] and "\x1b" not in stream.getvalue()


def test_bars_show_numbers_and_the_time_left(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    stream = Terminal()
    progress = progress_on(stream)
    assert isinstance(progress, Bars)
    _tell(progress)
    assert "epoch 1/2" in stream.getvalue() and "left" in stream.getvalue() and "a [message]" in stream.getvalue()


def test_history_goes_to_json_and_back():
    history = History([RECORD])
    assert History.from_dict(history.to_dict()).epochs == [RECORD]
    assert repr(history).startswith("epoch 1, ")


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("error", [OSError(28, "full"), BrokenPipeError(), ValueError("closed")])
def test_progress_falls_silent_where_it_cannot_be_written(terminal, error, monkeypatch):
    class Broken(io.StringIO):
        writes = 0

        def isatty(self):
            return terminal

        def write(self, text):
            self.writes += 1
            raise error

    monkeypatch.setenv("TERM", "xterm")
    stream = Broken()
    _tell(progress_on(stream))
    assert stream.writes == 1


def test_there_is_no_progress_without_a_stream():
    assert type(progress_on(None)) is Silence


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_training_goes_on_without_a_place_for_its_progress(tmp_path, redirection):
    (tmp_path / "a.net").write_text(
        "net a : image[1, 8, 8] -> logits {\n logits = image -> flatten -> dense(10)\n}\ntrain a {\n"
        " target = class(label)\n loss = cross_entropy(logits, label)\n optimizer = sgd(lr = 0.01)\n"
        " batch = 64\n epochs = 1\n}\n"
    )
    command = f'"{sys.executable}" -m netdsl train'
    options = "--data digits --device cpu --threads 1 --out run"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    for file, code in (("a.net", 0), ("missing.net", 1)):
        line = f"{command} {file} {options} {redirection}"
        assert subprocess.run(line, shell=True, cwd=tmp_path, env=environment).returncode == code
    assert (tmp_path / "run" / "last.safetensors").exists()
