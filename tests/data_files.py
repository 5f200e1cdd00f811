"""Data files for the tests, built byte by byte from the formats' descriptions."""

import gzip
import struct

import numpy as np

_CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array):
    header = bytes((0, 0, _CODES[array.dtype.str[1:]], array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_idx(path, array):
    data = idx_bytes(array)
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def write_mnist(folder, train=20, test=10, suffix=".gz"):
    """A small data set in MNIST's layout; returns all images `[n, 5, 4]` and labels, training first."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    images = random.integers(0, 256, (train + test, 5, 4)).astype(np.uint8)
    labels = random.integers(0, 10, train + test).astype(np.uint8)
    write_idx(folder / f"train-images-idx3-ubyte{suffix}", images[:train])
    write_idx(folder / f"train-labels-idx1-ubyte{suffix}", labels[:train])
    if test:
        write_idx(folder / f"t10k-images-idx3-ubyte{suffix}", images[train:])
        write_idx(folder / f"t10k-labels-idx1-ubyte{suffix}", labels[train:])
    return images, labels


def code(error):
    """The code of the first diagnostic; the text must render and be short enough to read."""
    assert "Traceback" not in str(error) and len(str(error)) < 2000
    return error.diagnostics[0].code
