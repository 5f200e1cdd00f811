"""`.npz` archives: names, splits, layouts, and what a hostile one may try."""

import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from data_files import code
from hypothesis import given, settings
from hypothesis import strategies as st

from netdsl.diagnostics import DataError
from netdsl.runtime.data import load, load_inputs

X = np.arange(20 * 4 * 4, dtype=np.uint8).reshape(20, 4, 4)
Y = (np.arange(20) % 3).astype(np.uint8)


def save(folder, **arrays):
    path = folder / "set.npz"
    np.savez_compressed(path, **arrays)
    return path


def test_keras_names(tmp_path):
    data = load(save(tmp_path, x_train=X, y_train=Y, x_test=X[:5], y_test=Y[:5]))
    assert data.train.inputs.shape == (20, 1, 4, 4) and data.train.inputs.dtype == np.uint8
    assert np.array_equal(data.train.targets, Y) and data.train.targets.dtype == np.int64
    assert len(data.validation) == 5 and "`x_test`" in data.split


def test_medmnist_names_prefer_validation_to_test(tmp_path):
    arrays = {"train_images": X, "train_labels": Y[:, None], "val_images": X[:4], "val_labels": Y[:4, None]}
    data = load(save(tmp_path, **arrays, test_images=X[:6], test_labels=Y[:6, None]))
    assert data.train.targets.shape == (20,) and len(data.validation) == 4


def test_without_a_split_the_last_tenth_validates_and_it_is_said(tmp_path):
    data = load(save(tmp_path, x=X, y=Y))
    assert np.array_equal(data.validation.inputs[:, 0], X[18:]) and "the last 2 validate" in data.split
    data = load(save(tmp_path, x=X, y=np.sort(Y) // 2 * np.arange(20)))
    assert "occurs in validation only" in data.split


def test_the_networks_names_and_several_inputs(tmp_path):
    path = save(tmp_path, left=X, right=X + 1, same=Y, mask=np.zeros((20, 4, 4), np.uint8))
    wanted = {"left": (1, 4, 4), "right": (1, 4, 4)}
    data = load(path, inputs=wanted, targets={"same": (), "mask": (4, 4)})
    assert set(data.train.inputs) == {"left", "right"} and data.train.inputs["left"].shape == (18, 1, 4, 4)
    assert data.train.targets["mask"].shape == (18, 4, 4) and data.train.targets["mask"].dtype == np.int64
    assert len(data.train) == 18
    inputs, names = load_inputs([path], inputs=wanted)
    assert np.array_equal(inputs["right"][:, 0], X + 1) and len(names) == 20


@pytest.mark.parametrize("affixed", ["train_image", "image_train"])
def test_the_networks_names_with_a_split(tmp_path, affixed):
    other = affixed.replace("train", "validation")
    label, held = (name.replace("image", "label") for name in (affixed, other))
    data = load(
        save(tmp_path, **{affixed: X, label: Y, other: X[:3], held: Y[:3]}),
        inputs={"image": (1, 4, 4)},
        targets={"label": ()},
    )
    assert len(data.train) == 20 and len(data.validation) == 3


def test_channels_last_are_turned(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3)).astype(np.uint8)
    expected = np.stack([[image[..., c] for c in range(3)] for image in images])
    for wanted in ({"image": (3, 6, 5)}, None):
        assert np.array_equal(load(save(tmp_path, x=images, y=Y), inputs=wanted).train.inputs, expected[:18])
    assert np.array_equal(
        load(save(tmp_path, x=expected, y=Y), inputs={"image": (3, 6, 5)}).train.inputs, expected[:18]
    )
    assert load(save(tmp_path, x=expected, y=Y), inputs={"image": (9, 6, 5)}).train.inputs.shape == (18, 3, 6, 5)


def test_types(tmp_path):
    data = load(save(tmp_path, x=X.astype(np.float64), y=Y / 2), inputs={"x": (1, 4, 4)}, targets={"y": (1,)})
    assert data.train.inputs.dtype == data.train.targets.dtype == np.float32
    assert data.train.targets.shape == (18, 1)
    data = load(save(tmp_path, x=X.reshape(20, 16).astype(np.int32), y=Y), inputs={"tokens": (16,)})
    assert data.train.inputs.dtype == np.int64 and data.train.inputs.shape == (18, 16)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"image": X, "y": Y}, "E0609"),
        ({"x": X, "y": Y[:-1]}, "E0605"),
        ({"x": X[:0], "y": Y[:0]}, "E0606"),
        ({"x": X[:1], "y": Y[:1]}, "E0606"),
        ({"x": np.array(["a"] * 20), "y": Y}, "E0609"),
        ({"x": np.float32(3), "y": Y}, "E0609"),
        ({"x": X.astype(complex), "y": Y}, "E0609"),
        ({"x": np.where(X == 7, np.nan, X.astype(np.float32)), "y": Y}, "E0609"),
        ({"x": np.array([{}] * 20), "y": Y}, "E0603"),
    ],
)
def test_wrong_arrays(tmp_path, arrays, expected):
    with pytest.raises(DataError) as error:
        load(save(tmp_path, **arrays))
    assert code(error.value) == expected


def test_names_that_are_nearly_right(tmp_path):
    with pytest.raises(DataError, match="is `imagse` meant for `image`"):
        load(save(tmp_path, imagse=X, label=Y), inputs={"image": (1, 4, 4)}, targets={"label": ()})


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_damaged_anywhere(data):
    buffer = io.BytesIO()
    (np.savez_compressed if data.draw(st.booleans()) else np.savez)(buffer, x=X, y=Y)
    content = bytearray(buffer.getvalue())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:place]
    else:
        content[place] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "set.npz")
        path.write_bytes(content)
        try:  # some bytes (dates, flags) may be changed without harm
            loaded = load(path)
            assert np.array_equal(loaded.train.inputs[:, 0], X[:18])
        except DataError as error:
            assert code(error) in ("E0603", "E0609")


def member(shape, dtype="|u1", fortran=False, data=b""):
    header = f"{{'descr': '{dtype}', 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize(
    "content",
    [
        member("(10**15,)"),
        member("(1000000000000000,)"),
        member("(-4,)"),
        member("(99999999999999999999999, 99999999999999)"),
        member("(3, 0)", ">f9"),
        member("(True,)"),
        member("((" * 2000),
        member("__import__('os').system('true')"),
        b"\x93NUMPY\x09\x00",
        b"",
        b"PK",
    ],
)
def test_hostile_headers(tmp_path, content):
    path = tmp_path / "set.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", content)
        archive.writestr("y.npy", content)
    with pytest.raises(DataError) as error:
        load(path)
    assert code(error.value) == "E0603"


def test_a_bomb_meets_the_limit(tmp_path):
    path = tmp_path / "set.npz"
    np.savez_compressed(path, x=np.zeros((5000, 1000), np.uint8), y=np.zeros(5000, np.uint8))
    assert path.stat().st_size < 20_000
    with pytest.raises(DataError, match="NETDSL_MAX_DATA_BYTES") as error:
        load(path, limit=1_000_000)
    assert code(error.value) == "E0604"


def test_predicting_prefers_what_was_held_out(tmp_path):
    path = save(tmp_path, x_train=X, y_train=Y, x_test=X[:5], y_test=Y[:5])
    inputs, names = load_inputs([path])
    assert inputs.shape == (5, 1, 4, 4) and names[4] == f"{path}:x_test[4]"
    inputs, _ = load_inputs([save(tmp_path, anything=X)])
    assert len(inputs) == 20
