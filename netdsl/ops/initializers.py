"""The initialisations that a file can name: `init = gaussian(0.01)`. The numbers are drawn in `netdsl/lower`."""

from __future__ import annotations

from typing import NamedTuple

from netdsl.ops.arguments import FRACTION, NUMBER, POSITIVE, Argument, Kind, is_number, optional


class Initializer(NamedTuple):
    """A name, one line of documentation, its arguments in the order of `Init.arguments`, and how it is written."""

    name: str
    doc: str
    arguments: tuple[Argument, ...] = ()
    example: str = ""  # the name alone

    @property
    def written(self) -> str:
        return self.example or self.name


_DEVIATION = Kind("a number of at least 0.1", lambda v: is_number(v) and v >= 0.1)
_WAVELENGTH = Kind("a number of at least 2, as shorter waves alias", lambda v: is_number(v) and v >= 2)
_SIGMA = Argument("sigma", _DEVIATION, doc="standard deviation in cells")
_TURNS = "output maps take turns: along width, height"
_ORIENTATION = Kind(
    "a number of degrees, or a list of them",
    lambda v: is_number(v) or (isinstance(v, list) and bool(v) and all(map(is_number, v))),
)

_ALL = (
    Initializer("he", "normal with variance 2 / fan-in (He et al. 2015)"),
    Initializer("glorot", "uniform with variance 2 / (fan-in + fan-out) (Glorot & Bengio 2010)"),
    Initializer("gaussian", "normal around 0",
                (Argument("std", POSITIVE, doc="standard deviation"),), "gaussian(0.01)"),
    Initializer("uniform", "uniform from -limit to limit",
                (Argument("limit", POSITIVE, doc="greatest magnitude"),), "uniform(0.05)"),
    Initializer("zeros", "all 0"),
    Initializer("ones", "all 1"),
    Initializer("constant", "all the same", (Argument("value", NUMBER, doc="the number"),), "constant(0.1)"),
    Initializer("bilinear", "bilinear upsampling, channel by channel (Long et al. 2015), for deconv"),
    Initializer("identity_kernel", "a convolution that hands its input on (Yu & Koltun 2016, equation 5)",
                (Argument("noise", FRACTION, doc="standard deviation of all other weights"),), "identity_kernel(0.01)"),
    Initializer("signs", "+1 or -1 at random"),
    Initializer("sobel", f"derivatives, smoothed by [1, 2, 1] across (Sobel & Feldman 1968); {_TURNS}"),
    Initializer("prewitt", f"derivatives, smoothed by [1, 1, 1] across (Prewitt 1970); {_TURNS}"),
    Initializer("roberts", "differences along both diagonals, by turns (Roberts 1963)"),
    Initializer("laplacian", "sum of the second differences along all axes"),
    Initializer("gaussian_kernel", "a Gaussian of sum 1", (_SIGMA,), "gaussian_kernel(1.5)"),
    Initializer("log_kernel", "Laplacian of a Gaussian, of sum 0 (Marr & Hildreth 1980)", (_SIGMA,), "log_kernel(1)"),
    Initializer("gabor", "a wave under a Gaussian (Jones & Palmer 1987); output maps take the orientations by turns", (
        Argument("wavelength", _WAVELENGTH, doc="cells from crest to crest"),
        Argument("orientation", _ORIENTATION, [0, 45, 90, 135],
                 "degrees by which the wave runs turned from the width towards the height, or a list of them"),
        Argument("sigma", optional(_DEVIATION), None, "deviation of the Gaussian; none: 0.56 wavelengths, one octave"),
        Argument("aspect", POSITIVE, 0.5, "deviation along the wave over that across it"),
        Argument("phase", NUMBER, 0, "degrees of the wave at the centre: 0 is even, 90 odd"),
    ), "gabor(4)"),
)  # fmt: skip

INITIALIZERS: dict[str, Initializer] = {initializer.name: initializer for initializer in _ALL}
