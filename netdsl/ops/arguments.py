"""Argument kinds of operators: what a value must be, and how that is said to the user.

A kind's `check` returns the accepted (normalised) value, or raises ValueError with the expectation in words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from netdsl.ir.graph import Init
from netdsl.ir.size import Size
from netdsl.ops.kernels import KERNELS

#: the greatest float32; a number beyond it would be infinite in the network
MOST = 3.4028234e38
#: counts stay below it, so that sizes and products of a few of them fit the tools' integers
MOST_COUNT = 2**31

#: no network has tensors of more; ONNX Runtime's own operators stop at 8 or fewer
MOST_AXES = 16

REQUIRED: Any = type("Required", (), {"__repr__": lambda self: "required"})()


class Kind(NamedTuple):
    """`wants` completes the sentence "`stride` must be ..."."""

    wants: str
    accepts: Callable[[Any], bool]

    def check(self, value: Any) -> Any:
        if not self.accepts(value):
            raise ValueError(self.wants)
        return value


class Argument(NamedTuple):
    """One argument of an operator: name, kind, default (`REQUIRED`: none) and one line of documentation."""

    name: str
    kind: Kind
    default: Any = REQUIRED
    doc: str = ""


def is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -MOST_COUNT < value < MOST_COUNT


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -MOST <= value <= MOST  # false for NaN


def is_size(value: Any) -> bool:
    """Whether it is the size of an axis: at least 1, or symbolic."""
    return isinstance(value, Size) or (is_int(value) and value >= 1)


def _ints(least: int) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        if isinstance(value, list):
            return 1 <= len(value) <= 3 and all(is_int(v) and v >= least for v in value)
        return is_int(value) and value >= least

    return accepts


def _is_table(value: Any) -> bool:
    return value is None or (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(row, list) and row and all(is_int(v) and v >= 0 for v in row) for row in value)
    )


def _is_crops(value: Any) -> bool:
    """A whole number, or per axis a whole number or a pair [before, after]."""

    def is_cells(cells: Any) -> bool:
        return is_int(cells) or (isinstance(cells, list) and len(cells) == 2 and all(map(is_int, cells)))

    return is_int(value) or (isinstance(value, list) and 1 <= len(value) <= 3 and all(map(is_cells, value)))


def _is_padding(value: Any) -> bool:
    """`"same"`, cells, or per axis cells or a pair [before, after]; none negative."""
    cells = value if isinstance(value, list) else [value]
    return value == "same" or (
        1 <= len(cells) <= 3 and all(_ints(0)(c) and (not isinstance(c, list) or len(c) == 2) for c in cells)
    )


def _is_shape(value: Any) -> bool:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_AXES:
        return False
    left = [v for v in value if not is_size(v)]
    return len(left) <= 1 and all(is_int(v) and v == -1 for v in left)


def optional(kind: Kind) -> Kind:
    """The kind, or none."""
    return Kind(f"none or {kind.wants}", lambda v: v is None or kind.accepts(v))


COUNT = Kind("a whole number of at least 1", lambda v: is_int(v) and v >= 1)
ODD = Kind("an odd whole number of at least 1", lambda v: is_int(v) and v >= 1 and v % 2 == 1)
COUNTS = Kind("a whole number of at least 1, or a list of one per axis", _ints(1))
NATURAL = Kind("a whole number of at least 0, or a list of one per axis", _ints(0))
WHOLE = Kind("a whole number", is_int)
NUMBER = Kind("a number", is_number)
SCALAR = Kind("a number, or a size", lambda v: is_number(v) or isinstance(v, Size))
POSITIVE = Kind("a positive number", lambda v: is_number(v) and v > 0)
FRACTION = Kind("a number from 0 up to, but without, 1", lambda v: is_number(v) and 0 <= v < 1)
UNIT = Kind("a number from 0 to 1", lambda v: is_number(v) and 0 <= v <= 1)
FLAG = Kind("true or false", lambda v: isinstance(v, bool))
PADDING = Kind('"same", a whole number of at least 0, or a list of one, or of one pair [before, after], per axis', _is_padding)
CONV_PADDING = Kind(PADDING.wants.replace('"same"', '"same", "causal"'), lambda v: v == "causal" or _is_padding(v))
CROPS = Kind("a whole number (negative to crop), or a list of one, or of one pair [before, after], per axis", _is_crops)
SHAPE = Kind(f"a list of 1 to {MOST_AXES} sizes of at least 1, one of which may be -1", _is_shape)
INIT = Kind("an initialisation of any weights, such as he, glorot, gaussian(0.01) or zeros",
            lambda v: isinstance(v, Init) and v.kind not in KERNELS)  # fmt: skip
CONV_INIT = Kind("an initialisation such as he, gaussian(0.01), zeros or sobel", lambda v: isinstance(v, Init))
BIAS = Kind("true, false, or an initialisation without fans such as ones, constant(0.1) or gaussian(0.01)", lambda v: (
    isinstance(v, bool) or (isinstance(v, Init) and v.kind in ("zeros", "ones", "constant", "gaussian", "uniform"))
))  # fmt: skip
TABLE = Kind("none, or a list with the list of input maps for each output map", _is_table)
AXIS = Kind("channel, height, width, depth, or an axis counted from 0 without batch", lambda v: is_int(v) or v in (
    "channel", "depth", "height", "width"))  # fmt: skip
AXES = Kind(f"{AXIS.wants}; or a list of them", lambda v: AXIS.accepts(v) or (
    isinstance(v, list) and bool(v) and all(map(AXIS.accepts, v))))  # fmt: skip


def choice(*words: str) -> Kind:
    """One of several words."""
    listed = ", ".join(f'"{word}"' for word in words[:-1]) + f' or "{words[-1]}"'
    return Kind(listed, lambda v: v in words)
