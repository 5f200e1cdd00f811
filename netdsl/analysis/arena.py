"""ONNX Runtime's memory arena on the CPU: how much of it is in use once tensors have come and gone.

A tensor takes the smallest free chunk that is large enough, and all of it unless the rest is as large again: free pieces lie
idle between tensors, and memory that was used stays (onnxruntime/core/framework/bfc_arena.cc, after TensorFlow's
best-fit allocator with coalescing).
"""

from __future__ import annotations

from bisect import bisect_left, insort

#: sizes are rounded up to it
_ALIGNED = 256
#: bytes of the first region, and of the largest that is taken ahead
_FIRST, _LARGEST = 2**20, 2**30
#: a rest of a chunk of that many bytes is free in any case
_DEAD = 2**27
#: regions lie so far apart
_APART = 2**80


class Arena:
    """Regions of memory, each cut into chunks that lie side by side."""

    def __init__(self) -> None:
        self._free: list[tuple[int, int]] = []  # size and address of the free chunks, sorted
        self._sizes: dict[int, int] = {}
        self._neighbours: dict[int, tuple[int | None, int | None]] = {}  # addresses of the chunks before and behind
        self._taken: dict[int, int] = {}  # bytes that were asked for
        self._ahead = _FIRST
        self._reached: list[int] = []  # of each region, up to where it was ever used
        self.alive = self.peak = 0

    @property
    def used(self) -> int:
        """Bytes of the regions up to the last that was ever used."""
        return sum(self._reached)

    def take(self, size: int) -> int:
        """The address of a chunk for a tensor of so many bytes."""
        size = max(-(-size // _ALIGNED), 1) * _ALIGNED
        place = bisect_left(self._free, (size, -1))
        if place == len(self._free):
            self._extend(size)
            place = bisect_left(self._free, (size, -1))
        have, address = self._free.pop(place)
        if have >= 2 * size or have - size >= _DEAD:
            self._cut(address, size)
        self._taken[address] = size
        region, start = divmod(address, _APART)
        self._reached[region] = max(self._reached[region], start + size)
        self.alive += size
        self.peak = max(self.peak, self.alive)
        return address

    def give_back(self, address: int) -> None:
        """The chunk is free, and one with free neighbours."""
        self.alive -= self._taken.pop(address)
        before, behind = self._neighbours[address]
        if behind is not None and behind not in self._taken:
            self._drop(behind)
            self._join(address, behind)
        if before is not None and before not in self._taken:
            self._drop(before)
            self._join(before, address)
            address = before
        insort(self._free, (self._sizes[address], address))

    def _extend(self, size: int) -> None:
        """One more region: twice as large as the last, or as many times as it takes."""
        larger = size > self._ahead
        while size > self._ahead:
            self._ahead *= 2
        address = len(self._reached) * _APART
        self._reached.append(0)
        self._sizes[address], self._neighbours[address] = self._ahead, (None, None)
        insort(self._free, (self._ahead, address))
        if not larger and self._ahead < _LARGEST:
            self._ahead *= 2

    def _cut(self, address: int, size: int) -> None:
        rest, (before, behind) = address + size, self._neighbours[address]
        self._sizes[address], self._sizes[rest] = size, self._sizes[address] - size
        self._neighbours[address], self._neighbours[rest] = (before, rest), (address, behind)
        if behind is not None:
            self._neighbours[behind] = (rest, self._neighbours[behind][1])
        insort(self._free, (self._sizes[rest], rest))

    def _join(self, address: int, behind: int) -> None:
        _, further = self._neighbours.pop(behind)
        self._sizes[address] += self._sizes.pop(behind)
        self._neighbours[address] = (self._neighbours[address][0], further)
        if further is not None:
            self._neighbours[further] = (address, self._neighbours[further][1])

    def _drop(self, address: int) -> None:
        del self._free[bisect_left(self._free, (self._sizes[address], address))]
