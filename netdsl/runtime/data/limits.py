"""How much data may be read: a budget in bytes, asked before memory is taken."""

from __future__ import annotations

import os

from netdsl.runtime.data.dataset import fail

VARIABLE = "NETDSL_MAX_DATA_BYTES"
DEFAULT_BYTES = 16 << 30

#: deflate makes at most 1,032 bytes from one (zlib's technical notes): a header that announces more is a lie
MOST_EXPANSION = 1032


class Budget:
    """What is left of the bytes that one load may decode to."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit_from_environment() if limit is None else limit
        self.spent = 0

    def charge(self, size: int, path: str, what: str = "the data") -> None:
        """Count `size` bytes that are about to be read. Raises DataError (E0604) where that is over the limit."""
        if self.spent + size > self.limit:
            before = f" (after {self.spent:,} bytes of other files)" if self.spent else ""
            fail(
                "E0604",
                f"{what} would take {size:,} bytes of memory{before}, the limit is {self.limit:,}",
                path,
                help=f"if that is meant, set the environment variable {VARIABLE} to a larger number of bytes",
            )
        self.spent += size


def limit_from_environment() -> int:
    """The limit in bytes. Raises DataError (E0604) where the variable is not a positive whole number."""
    text = os.environ.get(VARIABLE, "")
    if not text:
        return DEFAULT_BYTES
    if not text.isascii() or not text.isdigit() or len(text) > 20 or int(text) == 0:
        fail("E0604", f"{VARIABLE} must be a whole number of bytes, such as {DEFAULT_BYTES}, not {text!r}")
    return int(text)
