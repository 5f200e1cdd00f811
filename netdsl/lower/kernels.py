"""Fixed kernels of image processing, which a convolution can start with: `init = sobel`.

A bank `[filters, kernel...]` has one filter for each direction. The output maps of a group take turns with them, from the
first map of the group on, and each filters the mean of the input maps of its group. So `conv(2, 3, init = sobel)` makes
the two derivatives of the mean of all maps, and with `groups = C` two for each of C maps. They are correlated with the
image, like all kernels: a derivative is positive where the numbers grow along its axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from math import prod
from typing import Any

import numpy as np

from netdsl.ir import Parameter

Bank = Callable[..., np.ndarray]


def _separable(lines: Sequence[Sequence[float]]) -> np.ndarray:
    """The product of a line of numbers along each axis."""
    return np.asarray(reduce(np.multiply.outer, map(np.asarray, lines)), np.float64)


def _derivatives(smooth: Sequence[float]) -> Bank:
    """Along each axis the central difference, smoothed along the others: the last axis (width) first."""

    def bank(kernel: tuple[int, ...]) -> np.ndarray:
        rank = len(kernel)
        return np.stack(
            [_separable([(-1, 0, 1) if a == along else smooth for a in range(rank)]) for along in reversed(range(rank))]
        )

    return bank


def _roberts(_: tuple[int, ...]) -> np.ndarray:
    """The differences along both diagonals (Roberts 1963)."""
    return np.array([[[1, 0], [0, -1]], [[0, 1], [-1, 0]]])


def _laplacian(kernel: tuple[int, ...]) -> np.ndarray:
    """The sum of the second differences along all axes."""
    rank = len(kernel)
    along = [_separable([(1, -2, 1) if a == axis else (0, 1, 0) for a in range(rank)]) for axis in range(rank)]
    return np.asarray(np.sum(along, axis=0, keepdims=True))


def _offsets(kernel: tuple[int, ...]) -> np.ndarray:
    """How far each cell is from the centre of the kernel, `[rank, kernel...]`."""
    return np.stack(np.meshgrid(*(np.arange(size) - (size - 1) / 2 for size in kernel), indexing="ij"))


def _gaussian(kernel: tuple[int, ...], sigma: float) -> np.ndarray:
    """A Gaussian at the cells' centres, scaled to sum 1."""
    square = (_offsets(kernel) ** 2).sum(0)
    value = np.exp((square.min() - square) / (2 * sigma**2))  # the greatest is 1, however small sigma
    return np.asarray(value / value.sum())[None]


def _laplacian_of_gaussian(kernel: tuple[int, ...], sigma: float) -> np.ndarray:
    """The Laplacian of that Gaussian (Marr & Hildreth 1980), negative at the centre, shifted to sum 0."""
    square = (_offsets(kernel) ** 2).sum(0)
    value = _gaussian(kernel, sigma)[0] * (square / sigma**2 - len(kernel)) / sigma**2
    return np.asarray(value - value.mean())[None]


def _gabor(
    kernel: tuple[int, ...], wavelength: float, orientation: Any, sigma: float | None, aspect: float, phase: float
) -> np.ndarray:
    """exp(-(u^2 + aspect^2 v^2) / (2 sigma^2)) cos(2 pi u / wavelength + phase), where the wave runs along u.

    u is the width turned by the orientation towards the height, v is across it. Jones & Palmer 1987; without `sigma`
    the bandwidth is one octave, which makes it 0.56 wavelengths (Petkov & Kruizinga 1997).
    """
    down, right = _offsets(kernel)
    deviation = 0.56 * wavelength if sigma is None else sigma
    found = []
    for angle in np.deg2rad(orientation if isinstance(orientation, list) else [orientation]):
        u, v = right * np.cos(angle) + down * np.sin(angle), down * np.cos(angle) - right * np.sin(angle)
        envelope = np.exp(-(u**2 + aspect**2 * v**2) / (2 * deviation**2))
        found.append(envelope * np.cos(2 * np.pi * u / wavelength + np.deg2rad(phase)))
    return np.stack(found)


_BANKS: dict[str, Bank] = {
    "sobel": _derivatives((1, 2, 1)),
    "prewitt": _derivatives((1, 1, 1)),
    "roberts": _roberts,
    "laplacian": _laplacian,
    "gaussian_kernel": _gaussian,
    "log_kernel": _laplacian_of_gaussian,
    "gabor": _gabor,
}


def _filled(bank: Bank) -> Callable[[np.random.Generator, Parameter, tuple[Any, ...]], np.ndarray]:
    """The draw of a convolution's weights `[outputs, inputs, kernel...]` with a bank's filters."""

    def draw(_: np.random.Generator, parameter: Parameter, arguments: tuple[Any, ...]) -> np.ndarray:
        outputs, inputs, *kernel = parameter.shape
        filters = bank(tuple(kernel), *arguments)
        per_group = parameter.fan_out // prod(kernel)
        turns = np.arange(outputs) % per_group % len(filters)
        seen = [inputs] * outputs if parameter.mask is None else [len(row) for row in parameter.mask]
        share = filters[turns] / np.reshape(seen, (-1, *(1,) * len(kernel)))
        return np.repeat(share[:, None], inputs, axis=1)

    return draw


FILLED = {name: _filled(bank) for name, bank in _BANKS.items()}
