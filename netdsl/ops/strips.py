"""How images are cut for the gradient of a convolution's weight, where that is a correlation in blocks."""

from __future__ import annotations

from math import gcd

#: pieces of work that a correlation is cut into at least, so that threads get about as much each
_PIECES = 12
#: rows of a strip, at least
_ROWS = 4


def strips_of(batch: int, rows: int, kernel: int, blocks: int, block: int) -> int | None:
    """Into how many strips of rows each image is cut: so many that they fill blocks, and make enough pieces of work.

    `rows` are those of the smaller image, `kernel` those of the weight, `blocks` the blocks of channels. None: it cannot be cut so.
    """
    strips = block // gcd(block, batch)
    while batch * strips // block * blocks * kernel < _PIECES and rows % (4 * strips) == 0:
        if rows // (2 * strips) < 2 * _ROWS:
            break
        strips *= 2
    return strips if (rows % strips == 0 and rows // strips >= _ROWS) or strips == 1 else None
