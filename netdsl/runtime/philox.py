"""Random numbers as a pure function of a key and a counter, so that any of them can be had again without a state."""

from __future__ import annotations

import numpy as np

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox(key: int, *counter: np.ndarray | int) -> np.ndarray:
    """Philox-4x32-10: four uint32 per counter, as an array `[4, ...]` with the counters' broadcast shape.

    `key` has 64 bits (more are cut off), each of the up to four counter words 32.
    Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011), section 4.3.
    """
    words = [np.asarray(word).astype(np.uint64) & _LOW for word in (*counter, 0, 0, 0, 0)[:4]]
    a, b, c, d = np.broadcast_arrays(*words)
    low, high = key & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF
    for _ in range(10):
        first, second = _MULTIPLIERS[0] * a, _MULTIPLIERS[1] * c
        a, b, c, d = (
            (second >> _HALF) ^ b ^ np.uint64(low),
            second & _LOW,
            (first >> _HALF) ^ d ^ np.uint64(high),
            first & _LOW,
        )
        low, high = (low + _WEYL[0]) & 0xFFFFFFFF, (high + _WEYL[1]) & 0xFFFFFFFF
    return np.stack([a, b, c, d]).astype(np.uint32)


def below(draws: np.ndarray, bound: int) -> np.ndarray:
    """uint32 draws as int64 in `0 .. bound - 1`, by the high half of the product; `bound` at most 2**32."""
    return ((draws.astype(np.uint64) * np.uint64(bound)) >> _HALF).astype(np.int64)
