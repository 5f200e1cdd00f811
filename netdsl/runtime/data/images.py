"""Image files: decoding with Pillow, and data sets that are a folder of images for each class."""

from __future__ import annotations

import math
import os
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from netdsl.runtime.data.dataset import VALIDATION_SHARE, Data, Samples, fail
from netdsl.runtime.data.limits import Budget

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"))
#: Pillow's own list has formats that run other programs
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_VALIDATION = ("validation", "val", "valid", "test")
_AHEAD = 256


def read_images(
    paths: Sequence[Path], budget: Budget, channels: int | None = None, resize: tuple[int, int] | None = None
) -> np.ndarray:
    """Decode image files to uint8 `[n, C, H, W]`, at `resize` (height, width) or the size that all of them have.

    `channels` 1, 3 or 4 is grey, RGB or RGBA, None what the first file has (grey or RGB). A photograph's EXIF
    orientation is applied; 16-bit greys are divided by 257.
    Raises DataError: unreadable (E0601), damaged (E0603), larger than the budget or than Pillow's `MAX_IMAGE_PIXELS`
    (E0604), of several sizes (E0608).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, on metadata; its bomb warning is an error in `_open`
        channels = channels if channels in _MODES else _channels_of(paths[0])
        return _stacked(paths, channels, budget, resize)


def _stacked(paths: Sequence[Path], channels: int, budget: Budget, resize: tuple[int, int] | None) -> np.ndarray:
    images: np.ndarray | None = None
    for index, image in enumerate(_decoded(paths, channels, resize)):
        if images is None:
            budget.charge(len(paths) * image.size, str(paths[0].parent), f"{len(paths):,} images")
            images = np.empty((len(paths), *image.shape), np.uint8)
        elif image.shape != images.shape[1:]:
            first, other = images.shape[2:], image.shape[1:]
            fail(
                "E0608",
                f"images of different sizes: this one is {other[0]} high and {other[1]} wide",
                str(paths[index]),
                note=f"`{paths[0]}` is {first[0]} high and {first[1]} wide",
                help="let `prepare` begin with `resize(height, width)` in the train block",
            )
        images[index] = image
    assert images is not None
    return images


def _decoded(paths: Sequence[Path], channels: int, resize: tuple[int, int] | None) -> Iterator[np.ndarray]:
    """The images in order, decoded on a few threads, no more than some hundred ahead."""
    remaining = iter(paths)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        try:
            while batch := list(islice(remaining, _AHEAD)):
                yield from pool.map(lambda path: _decode(path, channels, resize), batch)
        finally:
            pool.shutdown(cancel_futures=True)


def _channels_of(path: Path) -> int:
    with _open(path) as image:
        return 1 if image.mode in ("1", "L", "LA") or image.mode.startswith("I;16") else 3


def _open(path: Path) -> Image.Image:
    """Open a file and look at its header alone; too many pixels are refused before they are decoded."""
    try:
        image = Image.open(path, formats=_FORMATS)
    except UnidentifiedImageError:
        fail("E0603", "not an image that can be read", str(path), note=f"read are {', '.join(_FORMATS)}")
    except Image.DecompressionBombError as error:
        fail("E0604", "the image is too large", str(path), note=str(error))
    except OSError as error:
        fail("E0601", f"cannot read the file: {error.strerror or error}", str(path))
    except _DAMAGE as error:
        fail("E0603", "the image is damaged", str(path), note=str(error)[:200])
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and math.prod(image.size) > most:
        image.close()
        fail(
            "E0604",
            f"the image has {math.prod(image.size):,} pixels, the limit is {most:,}",
            str(path),
            help="shrink it, or raise PIL.Image.MAX_IMAGE_PIXELS in Python if the file is trusted",
        )
    return image


def _decode(path: Path, channels: int, resize: tuple[int, int] | None) -> np.ndarray:
    """One file as uint8 `[C, H, W]`."""
    with _open(path) as opened:
        try:
            opened.load()
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I;16"):
                image = Image.fromarray(((np.asarray(image, np.uint32) + 128) // 257).astype(np.uint8))
            elif image.mode in ("I", "F"):
                fail(
                    "E0603",
                    f"pixels of 32 bits (mode {image.mode}) are not read",
                    str(path),
                    help="save it with 8 bits",
                )
            image = image.convert(_MODES[channels])
            if resize is not None and image.size != resize[::-1]:
                image = image.resize(resize[::-1], Image.Resampling.BILINEAR)
        except _DAMAGE as error:
            fail("E0603", "the image is damaged or cut short", str(path), note=str(error)[:200])
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def image_files(folder: Path) -> list[Path]:
    """The image files right inside a folder, by name."""
    return sorted(p for p in folder.iterdir() if is_image(p) and not p.name.startswith(".") and p.is_file())


def is_image(path: Path) -> bool:
    """Whether the name is that of an image file."""
    return path.suffix.lower() in SUFFIXES


def load_image_folder(
    root: Path, budget: Budget, channels: int | None = None, resize: tuple[int, int] | None = None
) -> Data | None:
    """The data set in `root/train/CLASS/*.png` with `root/validation/CLASS/*.png` (or `val`, `valid`, `test`), or in
    `root/CLASS/*.png`; None where there are no such files. Classes are numbered in the order of their names.
    """
    held_out = None
    classes = _classes(root / "train")
    if classes:
        held_out = next((root / name for name in _VALIDATION if (root / name).is_dir()), None)
    else:
        classes = _classes(root)
    if not classes:
        return None
    names = list(classes)
    if held_out is not None:
        train, validation = _labelled(classes, names, root), _labelled(_classes(held_out), names, held_out)
        division = (
            f"by the folders: `{held_out.name}` ({len(validation):,} images) validates, `train` ({len(train):,}) trains"
        )
    else:
        train, validation = _split_classes(classes, root)
        division = (
            f"by file order within each class: the last tenth ({len(validation):,} images) validates, "
            f"the rest ({len(train):,}) trains"
        )
    images = read_images([path for path, _ in [*train, *validation]], budget, channels, resize)
    labels = np.array([label for _, label in [*train, *validation]], np.int64)
    cut = len(train)
    sides = Samples(images[:cut], labels[:cut]), Samples(images[cut:], labels[cut:])
    return Data(*sides, root.name, division, tuple(names), str(root))


def _classes(root: Path) -> dict[str, list[Path]]:
    """The folders in `root` that hold images, and these images, all by name."""
    if not root.is_dir():
        return {}
    folders = sorted(p for p in root.iterdir() if not p.name.startswith(".") and p.is_dir())
    return {folder.name: files for folder in folders if (files := image_files(folder))}


def _labelled(classes: dict[str, list[Path]], names: list[str], root: Path) -> list[tuple[Path, int]]:
    """The files with their labels, class by class."""
    if not classes:
        fail("E0606", "the folder has no class folders with images", str(root))
    labels = {name: label for label, name in enumerate(names)}
    for name in classes:
        if name not in labels:
            known = ", ".join(f"`{known}`" for known in names[:20])
            fail("E0611", f"class `{name}` is not among those to train", str(root / name), note=f"they are {known}")
    return [(path, labels[name]) for name, files in classes.items() for path in files]


def _split_classes(classes: dict[str, list[Path]], root: Path) -> tuple[list[tuple[Path, int]], list[tuple[Path, int]]]:
    """The files with their labels, the last tenth of each class (at least one file) apart."""
    train: list[tuple[Path, int]] = []
    validation: list[tuple[Path, int]] = []
    for label, (name, files) in enumerate(classes.items()):
        if len(files) < 2:
            fail("E0606", "the class has only one image: none is left for validation", str(root / name))
        cut = len(files) - max(1, len(files) // VALIDATION_SHARE)
        train += [(path, label) for path in files[:cut]]
        validation += [(path, label) for path in files[cut:]]
    return train, validation
