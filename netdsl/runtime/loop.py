"""The order of samples, and a stop that waits for the end of the step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import numpy as np

from netdsl.runtime.philox import philox

#: tells the shuffle's random numbers from those of the augmentation, which counts in the same words
_SHUFFLE = 0x5348


def order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order in which an epoch sees the samples: a permutation, int64 `[count]`, a function of the arguments."""
    high, low = philox(seed, np.arange(count), epoch, 0, _SHUFFLE)[:2].astype(np.uint64)
    return np.argsort(high << np.uint64(32) | low, kind="stable")


class Interrupt:
    """Whether the user has asked to stop."""

    asked = False


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """While the block runs, the first Ctrl-C sets `asked`; a second one raises KeyboardInterrupt at once.

    Outside the main thread, where Python delivers no signals, nothing changes.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if interrupt.asked:
            raise KeyboardInterrupt
        interrupt.asked = True

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
