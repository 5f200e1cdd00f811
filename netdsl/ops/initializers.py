"""The initialisations that a file can name: `init = gaussian(0.01)`. The numbers are drawn in `netdsl/lower`."""

from __future__ import annotations

from typing import NamedTuple

from netdsl.ops.arguments import FRACTION, NUMBER, POSITIVE, Argument


class Initializer(NamedTuple):
    """A name, one line of documentation, its arguments in the order of `Init.arguments`, and how it is written."""

    name: str
    doc: str
    arguments: tuple[Argument, ...] = ()
    example: str = ""  # the name alone

    @property
    def written(self) -> str:
        return self.example or self.name


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
)  # fmt: skip

INITIALIZERS: dict[str, Initializer] = {initializer.name: initializer for initializer in _ALL}
