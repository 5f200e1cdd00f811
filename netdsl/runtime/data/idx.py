"""IDX files, the format of MNIST: a big-endian header with type and sizes, then the numbers; plain or gzipped.

http://yann.lecun.com/exdb/mnist/ , "The IDX file format".
"""

from __future__ import annotations

import gzip
import math
import os
import re
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from netdsl.runtime.data.dataset import Data, Samples, fail, split_tail
from netdsl.runtime.data.limits import MOST_EXPANSION, Budget

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CHUNK = 16 << 20

#: the names of MNIST and its relatives: train-images-idx3-ubyte, t10k-labels.idx1-ubyte.gz, emnist-letters-test-...
_NAME = re.compile(r"(?:(?P<set>.+)-)?(?P<part>train|t10k|test)-(?P<kind>images|labels)[-.]idx\d-ubyte(?:\.gz)?")


def is_idx(path: Path) -> bool:
    """Whether the name is that of an IDX file."""
    return bool(re.search(r"[-.]idx\d?(-ubyte)?(\.gz)?$", path.name) or path.name.endswith(("ubyte", "ubyte.gz")))


def read_idx(path: Path, budget: Budget) -> np.ndarray:
    """The array in an IDX file, in native byte order.

    Raises DataError: not readable (E0601), damaged (E0603), larger than the budget (E0604).
    """
    compressed = path.suffix == ".gz"
    try:
        on_disk = os.stat(path).st_size
        with gzip.open(path, "rb") if compressed else open(path, "rb") as file:
            return _read(file, on_disk, compressed, str(path), budget)  # type: ignore[arg-type]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        fail("E0603", "this gzip file is damaged or cut short", str(path), note=str(error))
    except OSError as error:
        fail("E0601", f"cannot read the file: {error.strerror or error}", str(path))


def _read(file: BinaryIO, on_disk: int, compressed: bool, path: str, budget: Budget) -> np.ndarray:
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _TYPES or not 1 <= start[3] <= 4:
        found = f"the first bytes are `{start.hex(' ')}`" if start else "the file is empty"
        fail("E0603", "not an IDX file", path, note=f"{found}; an IDX file begins with 00 00, a type and a rank 1 to 4")
    dtype, rank = np.dtype(_TYPES[start[2]]), start[3]
    sizes = file.read(4 * rank)
    if len(sizes) < 4 * rank:
        fail("E0603", "the IDX file ends within its header", path)
    shape = struct.unpack(f">{rank}I", sizes)
    size = math.prod(shape) * dtype.itemsize
    said = f"its header announces {' x '.join(map(str, shape))} values, {size:,} bytes"
    held = on_disk * MOST_EXPANSION if compressed else on_disk - 4 - 4 * rank
    if size > held:
        most = "can hold at most" if compressed else "holds"
        fail("E0603", "the IDX file is cut short", path, note=f"{said}; the file {most} {max(held, 0):,}")
    budget.charge(size, path)
    data = bytearray()
    while len(data) < size and (piece := file.read(min(_CHUNK, size - len(data)))):
        data += piece
    if len(data) < size:
        fail("E0603", "the IDX file is cut short", path, note=f"{said}; the file holds {len(data):,}")
    if file.read(1):
        fail("E0603", "the IDX file goes on after its last value", path, note=said)
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def load_idx_folder(folder: Path, budget: Budget, classes: tuple[str, ...] | None = None) -> Data | None:
    """The data set in a folder of IDX files with MNIST's names; None where there are no such files."""
    files = _find(folder)
    if not files:
        return None
    if ("train", "images") not in files:
        fail("E0602", "the folder has IDX files, but no `train-images-idx3-ubyte`", str(folder))
    train = _samples(files, "train", folder, budget)
    if ("test", "images") not in files:
        train, validation, split = split_tail(train, str(folder))
    else:
        validation = _samples(files, "test", folder, budget)
        name = files["test", "images"].name
        split = f"by the files: `{name}` ({len(validation):,} samples) validates, the rest ({len(train):,}) trains"
    return Data(train, validation, folder.name, split, classes, str(folder))


def _find(folder: Path) -> dict[tuple[str, str], Path]:
    """The files by (train or test, images or labels); a plain file goes before a gzipped one."""
    files: dict[tuple[str, str], Path] = {}
    sets: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match and path.is_file():
            sets.setdefault(match["set"] or "", path)
            part = "train" if match["part"] == "train" else "test"
            files.setdefault((part, match["kind"]), path)
    if len(sets) > 1:
        names = " and ".join(f"`{path.name}`" for path in list(sets.values())[:2])
        fail(
            "E0602",
            f"the folder holds several data sets: {names}",
            str(folder),
            help="move the files of each into a folder of its own",
        )
    return files


def _samples(files: dict[tuple[str, str], Path], part: str, folder: Path, budget: Budget) -> Samples:
    images_path, labels_path = files[part, "images"], files.get((part, "labels"))
    if labels_path is None:
        fail("E0602", f"`{images_path.name}` has no file of labels beside it", str(folder))
    images, labels = as_images(read_idx(images_path, budget), images_path), read_idx(labels_path, budget)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        fail(
            "E0603", f"labels must be a row of whole numbers, not {labels.dtype} {list(labels.shape)}", str(labels_path)
        )
    if len(images) != len(labels):
        fail(
            "E0605",
            f"{len(images):,} images, but {len(labels):,} labels",
            str(folder),
            note=f"in `{images_path.name}` and `{labels_path.name}`",
        )
    if not len(images):
        fail("E0606", "the file has no images", str(images_path))
    return Samples(images, labels.astype(np.int64))


def as_images(array: np.ndarray, path: Path) -> np.ndarray:
    """`[n, H, W]` or `[n, C, H, W]` as uint8 or float32 `[n, C, H, W]`."""
    if array.ndim not in (3, 4):
        fail(
            "E0603",
            f"images must be [n, height, width] or [n, channels, height, width], not {list(array.shape)}",
            str(path),
        )
    if array.dtype != np.uint8:
        array = array.astype(np.float32)
    return array[:, None] if array.ndim == 3 else array
