"""Folders of image files, written by Pillow and read back."""

import io
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from data_files import code
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from netdsl.diagnostics import DataError
from netdsl.runtime.data import load, load_inputs

RANDOM = np.random.default_rng(5)


def picture(*shape):
    return RANDOM.integers(0, 256, shape).astype(np.uint8)


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def test_train_and_validation_folders(tmp_path):
    cats = [write(tmp_path / f"train/cat/{i}.png", picture(6, 4, 3)) for i in range(3)]
    write(tmp_path / "train/ant/0.bmp", picture(6, 4, 3))
    held = write(tmp_path / "val/cat/9.png", picture(6, 4, 3))
    (tmp_path / "train/cat/notes.txt").write_text("not an image")
    (tmp_path / "train/cat/.hidden.png").write_text("not an image")
    data = load(tmp_path)
    assert data.classes == ("ant", "cat") and data.train.targets.tolist() == [0, 1, 1, 1]
    assert data.train.inputs.shape == (4, 3, 6, 4)
    assert all(np.array_equal(data.train.inputs[i + 1].transpose(1, 2, 0), cats[i]) for i in range(3))
    assert np.array_equal(data.validation.inputs[0].transpose(1, 2, 0), held) and data.validation.targets.tolist() == [
        1
    ]
    assert "`val`" in data.split
    write(tmp_path / "val/dog/1.png", picture(6, 4, 3))
    with pytest.raises(DataError, match="class `dog`") as error:
        load(tmp_path)
    assert code(error.value) == "E0611"


def test_class_folders_keep_the_last_tenth_of_each_class(tmp_path):
    for name, total in (("a", 20), ("b", 3)):
        for i in range(total):
            write(tmp_path / name / f"{i:03}.png", np.full((2, 2), i, np.uint8))
    data = load(tmp_path)
    assert data.train.inputs.shape == (20, 1, 2, 2) and data.validation.targets.tolist() == [0, 0, 1]
    assert data.validation.inputs[:, 0, 0, 0].tolist() == [18, 19, 2]
    for extra in (tmp_path / "b").glob("00[12].png"):
        extra.unlink()
    with pytest.raises(DataError, match="only one image") as error:
        load(tmp_path)
    assert code(error.value) == "E0606"


def test_the_first_of_another_size_is_named_and_resize_helps(tmp_path):
    for i in range(4):
        write(tmp_path / f"a/{i}.png", picture(4 + (i == 2), 4))
    with pytest.raises(DataError, match="resize") as error:
        load(tmp_path)
    assert code(error.value) == "E0608" and error.value.diagnostics[0].path == str(tmp_path / "a/2.png")
    data = load(tmp_path, resize=(6, 8))
    assert data.train.inputs.shape == (3, 1, 6, 8)
    expected = Image.open(tmp_path / "a/2.png").resize((8, 6), Image.Resampling.BILINEAR)
    assert np.array_equal(data.train.inputs[2, 0], np.asarray(expected))


def test_modes(tmp_path):
    grey, colour = write(tmp_path / "1.png", picture(3, 3)), write(tmp_path / "2.png", picture(3, 3, 3))
    inputs, names = load_inputs([tmp_path / "1.png", tmp_path / "2.png"], inputs={"image": (3, 3, 3)})
    assert np.array_equal(inputs[0], np.stack([grey] * 3)) and np.array_equal(inputs[1], colour.transpose(2, 0, 1))
    assert names == [str(tmp_path / "1.png"), str(tmp_path / "2.png")]
    assert load_inputs([tmp_path / "2.png", tmp_path / "1.png"], inputs={"image": (1, 3, 3)})[0].shape == (2, 1, 3, 3)
    deep = np.array([[0, 257, 128, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "16.png")
    assert load_inputs([tmp_path / "16.png"])[0].tolist() == [[[[0, 1, 0, 255]]]]
    Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(DataError, match="32 bits"):
        load_inputs([tmp_path / "f.tif"])


def test_the_orientation_of_a_photograph(tmp_path):
    pixels = picture(2, 4)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(load_inputs([tmp_path / "a.png"])[0][0, 0], np.rot90(pixels, -1))


def test_order_and_mixtures(tmp_path):
    pictures = [write(tmp_path / f"many/{i}.png", picture(3, 3)) for i in range(300)]
    order = sorted(range(300), key=lambda i: f"{i}.png")
    inputs, names = load_inputs([tmp_path / "many"])
    assert all(np.array_equal(inputs[row, 0], pictures[i]) for row, i in enumerate(order))
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3, 3), np.uint8))
    inputs, names = load_inputs([tmp_path / "many" / "0.png", tmp_path / "a.npz", tmp_path / "many" / "1.png"])
    assert inputs.shape == (4, 1, 3, 3) and names[2].endswith("a.npz:x[1]") and names[3].endswith("1.png")
    write(tmp_path / "b.png", picture(4, 3))
    with pytest.raises(DataError, match="different shapes"):
        load_inputs([tmp_path / "a.npz", tmp_path / "b.png"])


def test_nothing_to_predict_on(tmp_path):
    (tmp_path / "note.txt").write_text("")
    for paths, expected in (
        ([], "E0606"),
        ([tmp_path], "E0606"),
        ([tmp_path / "gone.png"], "E0601"),
        ([tmp_path / "gone"], "E0601"),
        ([tmp_path / "note.txt"], "E0602"),
    ):
        with pytest.raises(DataError) as error:
            load_inputs(paths)
        assert code(error.value) == expected


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def png(width, height):
        header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")

    for width, height in ((60000, 60000), (10000, 10000)):
        (tmp_path / "a.png").write_bytes(png(width, height))
        with pytest.raises(DataError, match="pixels") as error:
            load_inputs([tmp_path / "a.png"])
        assert code(error.value) == "E0604"
    write(tmp_path / "b.png", picture(20, 20))
    with pytest.raises(DataError, match="NETDSL_MAX_DATA_BYTES"):
        load_inputs([tmp_path / "b.png"], limit=399)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_anywhere(data):
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"]))
    buffer = io.BytesIO()
    Image.fromarray(np.arange(12 * 9, dtype=np.uint8).reshape(12, 9)).save(buffer, kind)
    content = bytearray(buffer.getvalue())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:place]
    else:
        content[place] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.png")  # the content decides, not the name
        path.write_bytes(content)
        try:
            inputs, _ = load_inputs([path])
            assert inputs.ndim == 4 and inputs.dtype == np.uint8
        except DataError as error:
            assert code(error) in ("E0601", "E0603", "E0604")
