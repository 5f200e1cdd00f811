"""IDX files: read back what was written by the format's description, refuse everything else."""

import gzip
import os
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from data_files import code, idx_bytes, write_idx, write_mnist
from hypothesis import given, settings
from hypothesis import strategies as st

from netdsl.diagnostics import DataError
from netdsl.runtime.data import load, load_inputs
from netdsl.runtime.data.idx import read_idx
from netdsl.runtime.data.limits import Budget


@pytest.mark.parametrize("kind", ["u1", "i1", ">i2", ">i4", ">f4", ">f8"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_every_type_comes_back(tmp_path, kind, suffix):
    array = (np.arange(24).reshape(2, 3, 4) * 5).astype(kind)
    back = read_idx(write_idx(tmp_path / f"a-idx3-ubyte{suffix}", array), Budget())
    assert back.dtype.isnative and np.array_equal(back, array)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_mnist_layout(tmp_path, suffix):
    images, labels = write_mnist(tmp_path / "set", suffix=suffix)
    data = load(tmp_path / "set")
    assert data.train.inputs.dtype == np.uint8 and data.train.targets.dtype == np.int64
    assert np.array_equal(data.train.inputs[:, 0], images[:20]) and np.array_equal(data.validation.targets, labels[20:])
    assert len(data.train) == 20 and len(data.validation) == 10 and data.name == "set"
    assert "t10k-images-idx3-ubyte" in data.split


def test_without_a_test_set_the_last_tenth_validates(tmp_path):
    images, _ = write_mnist(tmp_path, train=40, test=0)
    data = load(tmp_path)
    assert np.array_equal(data.validation.inputs[:, 0], images[36:])
    assert "the first 36 samples train, the last 4 validate" in data.split


def test_names_with_dots_and_a_prefix(tmp_path):
    array = np.zeros((4, 2, 2), np.uint8)
    write_idx(tmp_path / "emnist-letters-train-images.idx3-ubyte", array)
    write_idx(tmp_path / "emnist-letters-train-labels.idx1-ubyte", np.arange(4, dtype=np.uint8))
    assert len(load(tmp_path).train) == 3
    write_idx(tmp_path / "emnist-digits-train-images.idx3-ubyte", array)
    with pytest.raises(DataError, match="several data sets") as error:
        load(tmp_path)
    assert code(error.value) == "E0602"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_truncated_anywhere(data):
    whole = idx_bytes(np.arange(60, dtype=np.uint8).reshape(3, 4, 5))
    compressed = data.draw(st.booleans())
    content = gzip.compress(whole, mtime=0) if compressed else whole
    # the last 8 bytes of gzip are a checksum and a length: without them, too, the file is not whole
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a-idx3-ubyte" + (".gz" if compressed else ""))
        path.write_bytes(cut)
        with pytest.raises(DataError) as error:
            read_idx(path, Budget())
        assert code(error.value) == "E0603"


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=64), st.booleans(), st.booleans())
def test_any_bytes_end_in_an_array_or_a_diagnostic(content, headed, compressed):
    content = b"\0\0" + content if headed else content
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a-idx3-ubyte" + (".gz" if compressed else ""))
        path.write_bytes(gzip.compress(content) if compressed and headed else content)
        try:
            array = read_idx(path, Budget())
            assert array.nbytes <= 64
        except DataError as error:
            assert code(error) == "E0603"


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_absurd_sizes_are_refused_before_memory_is_taken(tmp_path, suffix):
    content = b"\0\0\x08\x03" + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1)
    path = tmp_path / f"a-idx3-ubyte{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    with pytest.raises(DataError, match="cut short") as error:
        read_idx(path, Budget())
    assert code(error.value) == "E0603"


def test_a_gzip_bomb_meets_the_limit_and_its_name(tmp_path, monkeypatch):
    size = 20_000_000
    path = tmp_path / "a-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x01" + struct.pack(">I", size) + bytes(size)))
    assert os.stat(path).st_size < 100_000
    monkeypatch.setenv("NETDSL_MAX_DATA_BYTES", "1000000")
    with pytest.raises(DataError, match="NETDSL_MAX_DATA_BYTES") as error:
        read_idx(path, Budget())
    assert code(error.value) == "E0604"
    monkeypatch.setenv("NETDSL_MAX_DATA_BYTES", "20000000")
    assert len(read_idx(path, Budget())) == size


@pytest.mark.parametrize("text", ["0", "-5", "1e9", "many", "٣", "9" * 30])
def test_a_limit_must_be_a_number(monkeypatch, text):
    monkeypatch.setenv("NETDSL_MAX_DATA_BYTES", text)
    with pytest.raises(DataError, match="whole number of bytes"):
        Budget()


def test_what_goes_on_behind_the_last_value(tmp_path):
    path = tmp_path / "a-idx1-ubyte"
    path.write_bytes(idx_bytes(np.zeros(3, np.uint8)) + b"x")
    with pytest.raises(DataError, match="goes on"):
        read_idx(path, Budget())


def test_images_and_labels_that_do_not_fit(tmp_path):
    write_mnist(tmp_path)
    labels = tmp_path / "train-labels-idx1-ubyte.gz"
    for array, expected in ((np.zeros(19, np.uint8), "E0605"), (np.zeros((20, 2), np.uint8), "E0603")):
        write_idx(labels, array)
        with pytest.raises(DataError) as error:
            load(tmp_path)
        assert code(error.value) == expected
    labels.unlink()
    with pytest.raises(DataError, match="no file of labels") as error:
        load(tmp_path)
    assert code(error.value) == "E0602"


def test_no_images(tmp_path):
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((0, 4, 4), np.uint8))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(0, np.uint8))
    with pytest.raises(DataError) as error:
        load(tmp_path)
    assert code(error.value) == "E0606"


def test_predicting_on_an_idx_file(tmp_path):
    images, _ = write_mnist(tmp_path)
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    inputs, names = load_inputs([path])
    assert np.array_equal(inputs[:, 0], images[20:]) and names[3] == f"{path}[3]"
