"""The fixed input pipeline (`prepare`) and the random changes made in training (`augment`), in numpy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NoReturn

import numpy as np

from netdsl.diagnostics import DataError, Diagnostic, counted, did_you_mean
from netdsl.ops.arguments import REQUIRED, is_int
from netdsl.ops.transforms import TRANSFORMS, Transform
from netdsl.runtime.philox import below, philox

__all__ = ["TRANSFORMS", "Pipeline", "Prepared", "Transform"]

Shape = tuple[int, ...]
Step = tuple[str, dict[str, Any]]

#: a prepared data set up to this size is computed once and kept
_KEEP_BYTES = 2 << 30
_CHUNK = 512
#: pixels that `affine` moves at a time: what it computes per pixel stays in the cache
_AFFINE_PIXELS = 1 << 15


def _fail(message: str, notes: Iterable[str] = (), helps: Iterable[str] = ()) -> NoReturn:
    raise DataError(Diagnostic("E0610", message, notes=tuple(notes), helps=tuple(helps)))


class Pipeline:
    """A sequence of transforms, each a name of `TRANSFORMS` and its arguments by name.

    `apply` runs the steps of the `prepare` stage, `augment` those of the `augment` stage. Raises DataError (E0610)
    where a name or an argument is wrong.
    """

    def __init__(self, steps: Sequence[tuple[str, Mapping[str, Any]]] = ()) -> None:
        self.steps: tuple[Step, ...] = tuple((name, _bind(name, arguments)) for name, arguments in steps)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pipeline) and self.steps == other.steps

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __repr__(self) -> str:
        shown = (f"{name}({', '.join(f'{k} = {v}' for k, v in arguments.items())})" for name, arguments in self.steps)
        return f"Pipeline[{', '.join(shown)}]"

    def apply(self, batch: np.ndarray) -> np.ndarray:
        """Run the `prepare` steps: `[n, C, H, W]` of any number type to float32 `[n, C, H', W']`.

        Each sample's result depends on that sample alone, bit for bit. `pad` and `resize` need images; the others
        take any `[n, ...]`. The input is not changed, and may be returned as it is where there is nothing to do.
        """
        for name, arguments in self._stage("prepare"):
            self._shape_after(name, arguments, batch.shape[1:])
            batch = _PREPARE[name](batch, **arguments)
        return np.ascontiguousarray(batch, dtype=np.float32)

    def augment(
        self, batch: np.ndarray, indices: np.ndarray, *, seed: int, epoch: int, fill: float | np.ndarray = 0
    ) -> np.ndarray:
        """Run the `augment` steps on `[n, C, H, W]`, keeping its type.

        What happens to a sample is a pure function of (seed, epoch, its index in the data set, the step's place),
        whatever batch it stands in; so a resumed run repeats it, and label maps `[n, 1, H, W]` given with the same
        numbers move with their images. `fill` is what moves in at the borders, a number or one per channel: for
        prepared images `black(C)`, for label maps the ignored label.
        """
        for place, (name, arguments) in enumerate(self._stage("augment")):
            self._shape_after(name, arguments, batch.shape[1:])
            draws = philox(seed, np.asarray(indices), epoch, place)
            batch = _AUGMENT[name](batch, draws, fill, **arguments)
        return batch

    def black(self, channels: int) -> np.ndarray:
        """What the `prepare` steps make of the value 0, `[C, 1, 1]`: the border of a prepared image."""
        values = [step for step in self._stage("prepare") if step[0] not in ("pad", "resize")]
        black: np.ndarray = Pipeline(values).apply(np.zeros((1, channels, 1, 1), np.float32))[0]
        return black

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of a sample after all steps. Raises DataError (E0610) where a step does not fit the sample."""
        for name, arguments in self.steps:
            shape = self._shape_after(name, arguments, shape)
        return shape

    @property
    def leading_resize(self) -> tuple[int, int] | None:
        """The size that the pipeline first resizes to, if it does so first: image files can be decoded to it."""
        return _size(**self.steps[0][1]) if self.steps and self.steps[0][0] == "resize" else None

    def to_json(self) -> str:
        """The pipeline as text, for checkpoints and ONNX metadata; numbers come back exactly."""
        return json.dumps(self.steps)

    @classmethod
    def from_json(cls, text: str) -> Pipeline:
        """The pipeline that `to_json` wrote. Raises DataError (E0610) for anything else."""
        try:
            steps = json.loads(text)
            steps = [(str(name), dict(arguments)) for name, arguments in steps]
        except (ValueError, TypeError, RecursionError) as error:
            _fail("the stored input pipeline cannot be read", [str(error)])
        return cls(steps)

    def _stage(self, stage: str) -> list[Step]:
        return [step for step in self.steps if TRANSFORMS[step[0]].stage == stage]

    @staticmethod
    def _shape_after(name: str, arguments: dict[str, Any], shape: Shape) -> Shape:
        if name in ("pad", "resize", "shift", "affine", "flip") and len(shape) != 3:
            _fail(f"`{name}` needs images [channels, height, width], but a sample has shape {list(shape)}")
        if name == "pad":
            vertical, horizontal = _both(arguments["margin"])
            return (shape[0], shape[1] + 2 * vertical, shape[2] + 2 * horizontal)
        if name == "resize":
            return (shape[0], *_size(**arguments))
        if name == "normalize":
            for what, values in arguments.items():
                if isinstance(values, list) and (not shape or len(values) != shape[0]):
                    channels = counted(shape[0] if shape else 0, "channel")
                    _fail(
                        f"`normalize` has {counted(len(values), 'value')} for `{what}`, but a sample has {channels}",
                        helps=["give one number for all channels, or a list with one per channel"],
                    )
        return shape


class Prepared:
    """The inputs `[n, ...]` of a data set behind a pipeline, computed once where they fit into 2 GiB, else by batch."""

    def __init__(self, inputs: np.ndarray, pipeline: Pipeline, keep_bytes: int = _KEEP_BYTES) -> None:
        self.shape: Shape = pipeline.output_shape(inputs.shape[1:])
        self._inputs, self._pipeline = inputs, pipeline
        self._whole: np.ndarray | None = None
        if 4 * len(inputs) * int(np.prod(self.shape)) <= keep_bytes:
            self._whole = np.empty((len(inputs), *self.shape), np.float32)
            for start in range(0, len(inputs), _CHUNK):
                self._whole[start : start + _CHUNK] = pipeline.apply(inputs[start : start + _CHUNK])

    def __len__(self) -> int:
        return len(self._inputs)

    def batch(self, indices: np.ndarray) -> np.ndarray:
        """The prepared samples of these indices, float32 `[len(indices), ...]`, a copy."""
        if self._whole is not None:
            return np.take(self._whole, indices, axis=0)
        return self._pipeline.apply(self._inputs[indices])


def _bind(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments in the order of the signature, defaults filled in, tuples as lists (as JSON has them)."""
    transform = TRANSFORMS.get(name)
    if transform is None:
        _fail(f"there is no transform `{name}`", helps=did_you_mean(name, TRANSFORMS))
    known = [argument.name for argument in transform.arguments]
    for key in given:
        if key not in known:
            _fail(f"`{name}` has no argument `{key}`", helps=did_you_mean(key, known))
    bound = {}
    for argument in transform.arguments:
        value = given.get(argument.name, argument.default)
        value = list(value) if isinstance(value, tuple) else value
        if value is REQUIRED:
            _fail(f"`{name}` needs `{argument.name}`")
        if not argument.kind.accepts(value):
            _fail(f"`{argument.name}` of `{name}` must be {argument.kind.wants}, not {value!r}")
        bound[argument.name] = value
    if name == "resize" and isinstance(bound["height"], list) and bound["width"] is not None:
        _fail("`resize` has the width twice: in its first argument, a list, and in its second")
    return bound


def _both(value: int | list[int]) -> tuple[int, int]:
    return (value, value) if is_int(value) else (value[0], value[1])  # type: ignore[index, return-value]


def _size(height: int | list[int], width: int | None) -> tuple[int, int]:
    return _both(height) if width is None or isinstance(height, list) else (height, width)


def _pad(batch: np.ndarray, margin: int | list[int]) -> np.ndarray:
    vertical, horizontal = _both(margin)
    return np.pad(batch, ((0, 0), (0, 0), (vertical, vertical), (horizontal, horizontal)))


def _resize(batch: np.ndarray, height: int | list[int], width: int | None) -> np.ndarray:
    new_height, new_width = _size(height, width)
    batch = batch.astype(np.float32, copy=False)
    if new_width != batch.shape[3]:  # one matrix product per image, so that no result depends on the batch
        batch = batch @ _bilinear(batch.shape[3], new_width).T
    if new_height != batch.shape[2]:
        batch = _bilinear(batch.shape[2], new_height) @ batch
    return batch


@lru_cache(maxsize=16)
def _bilinear(old: int, new: int) -> np.ndarray:
    """The matrix `[new, old]` of Pillow's BILINEAR along one axis: a triangle as wide as the larger pixel."""
    step = old / new
    centres = (np.arange(new) + 0.5) * step
    distance = np.abs(np.arange(old) + 0.5 - centres[:, None]) / max(step, 1.0)
    weights = np.maximum(0.0, 1.0 - distance)
    matrix: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return matrix.astype(np.float32)


def _scale(batch: np.ndarray, factor: float) -> np.ndarray:
    return batch.astype(np.float32, copy=False) * np.float32(factor)


def _normalize(batch: np.ndarray, mean: float | list[float], std: float | list[float]) -> np.ndarray:
    def per_channel(value: float | list[float]) -> np.ndarray:
        return np.asarray(value, np.float32).reshape(-1, *(1,) * (batch.ndim - 2))

    result: np.ndarray = (batch.astype(np.float32, copy=False) - per_channel(mean)) / per_channel(std)
    return result


def _shift(batch: np.ndarray, draws: np.ndarray, fill: float | np.ndarray, pixels: int | list[int]) -> np.ndarray:
    vertical, horizontal = _both(pixels)
    count, channels, height, width = batch.shape
    padded = np.empty((count, channels, height + 2 * vertical, width + 2 * horizontal), batch.dtype)
    padded[:] = fill
    padded[:, :, vertical : vertical + height, horizontal : horizontal + width] = batch
    crops = np.lib.stride_tricks.sliding_window_view(padded, batch.shape[2:], axis=(2, 3))
    top, left = below(draws[0], 2 * vertical + 1), below(draws[1], 2 * horizontal + 1)
    return crops[np.arange(len(batch)), :, top, left]


def _affine(
    batch: np.ndarray, draws: np.ndarray, fill: float | np.ndarray, rotate: float, stretch: float, shear: float
) -> np.ndarray:
    matrices = _inverses(draws, rotate, stretch, shear)
    count, _, height, width = batch.shape
    result = np.empty_like(batch)
    chunk = max(1, _AFFINE_PIXELS // (height * width))
    for start in range(0, count, chunk):
        part = slice(start, start + chunk)
        result[part] = _sample(batch[part], matrices[part], fill)
    return result


def _inverses(draws: np.ndarray, rotate: float, stretch: float, shear: float) -> np.ndarray:
    """The matrices `[n, 2, 2]`, float64, from where a pixel ends to where it was, both (y, x) from the centre.

    A pixel is stretched, then sheared, then rotated; the inverse undoes this from the end.
    """
    turn, high, wide, lean = draws / 2.0**31 - 1  # -1 .. 1
    angle = np.radians(rotate) * turn
    cos, sin = np.cos(angle), np.sin(angle)
    lean, high, wide = shear * lean, 1 + stretch * high, 1 + stretch * wide
    rows = [[cos / high, -sin / high], [(sin - lean * cos) / wide, (cos + lean * sin) / wide]]
    matrices: np.ndarray = np.moveaxis(np.array(rows), 2, 0)
    return matrices


def _sample(batch: np.ndarray, matrices: np.ndarray, fill: float | np.ndarray) -> np.ndarray:
    """Each image `[C, H, W]` as seen through its matrix: bilinear, or the nearest pixel where the type is whole."""
    count, channels, height, width = batch.shape
    y = (np.arange(height) - (height - 1) / 2)[:, None]
    x = np.arange(width) - (width - 1) / 2
    m = matrices[:, :, :, None, None]
    # where each pixel comes from, in an image with a border of `fill`: one before, two behind
    above = np.clip(m[:, 0, 0] * y + m[:, 0, 1] * x + (height + 1) / 2, 0, height + 1).astype(np.float32)
    left = np.clip(m[:, 1, 0] * y + m[:, 1, 1] * x + (width + 1) / 2, 0, width + 1).astype(np.float32)
    nearest = not np.issubdtype(batch.dtype, np.floating)
    if nearest:
        above, left = np.rint(above), np.rint(left)
    row, column = above.astype(np.intp), left.astype(np.intp)

    padded = np.empty((count, channels, height + 3, width + 3), batch.dtype)
    padded[:] = fill
    padded[:, :, 1 : height + 1, 1 : width + 1] = batch
    images = np.ascontiguousarray(padded.swapaxes(0, 1)).reshape(channels, -1)
    pitch = width + 3
    index = row * pitch + column + (np.arange(count) * ((height + 3) * pitch))[:, None, None]
    result = np.empty_like(batch)
    if nearest:
        for channel, pixels in enumerate(images):
            result[:, channel] = pixels[index]
        return result
    down, right = above - row.astype(np.float32), left - column.astype(np.float32)
    for channel, pixels in enumerate(images):
        upper, lower = pixels[index], pixels[pitch:][index]
        upper += right * (pixels[1:][index] - upper)
        lower += right * (pixels[pitch + 1 :][index] - lower)
        result[:, channel] = upper + down * (lower - upper)
    return result


def _flip(batch: np.ndarray, draws: np.ndarray, fill: float | np.ndarray) -> np.ndarray:
    mirrored = (draws[0] >> 31).astype(bool)
    batch = batch.copy()
    batch[mirrored] = batch[mirrored][..., ::-1]
    return batch


_PREPARE: dict[str, Callable[..., np.ndarray]] = {
    "pad": _pad, "resize": _resize, "scale": _scale, "normalize": _normalize,
}  # fmt: skip
_AUGMENT: dict[str, Callable[..., np.ndarray]] = {"shift": _shift, "affine": _affine, "flip": _flip}
