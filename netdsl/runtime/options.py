"""Options of training as Python gives them: what is no whole number in its range, or no known word, is told."""

from __future__ import annotations

import numpy as np

from netdsl.diagnostics import Diagnostic, TrainingError
from netdsl.training.mixed import PRECISIONS, Precision


def whole(name: str, value: object, least: int, most: int | None = None) -> int:
    """The value of an option. Raises TrainingError (E0807) unless it is a whole number from `least` to `most`."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        whole = int(value)
        if least <= whole and (most is None or whole <= most):
            return whole
    span = f"from {least} on" if most is None else f"from {least} to {most}"
    raise TrainingError(Diagnostic("E0807", f"{name} is a whole number {span}, not {value!r:.100}"))


def parts_of(accumulate: object, batch: int) -> int:
    """Into how many parts a batch goes. Raises TrainingError (E0807) where these would not be equal."""
    parts = whole("accumulate", accumulate, 1)
    if batch % parts:
        fitting = [count for count in range(1, batch + 1) if batch % count == 0]
        message = f"a batch of {batch} cannot be computed in {parts} equal parts"
        help = f"accumulate = {max(count for count in fitting if count < parts)}"
        if parts < batch:
            help += f" or {min(count for count in fitting if count > parts)}"
        raise TrainingError(Diagnostic("E0807", message, helps=(f"use {help}",)))
    return parts


def more_parts(batch: int, parts: int) -> str | None:
    """What to do where memory does not suffice for a batch in so many parts; None where there are no smaller ones."""
    fitting = [count for count in range(2 * parts, batch + 1) if batch % count == 0]
    return f"`--accumulate {fitting[0]}` computes each batch in {fitting[0]} parts, one after the other" if fitting else None


def known_precision(value: object) -> Precision:
    """The value of an option. Raises TrainingError (E0807) unless it is one of `PRECISIONS`."""
    for precision in PRECISIONS:
        if value == precision:
            return precision
    message = f"precision is {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}, not {value!r:.100}"
    raise TrainingError(Diagnostic("E0807", message))
