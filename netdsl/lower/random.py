"""Random numbers inside a training step, as a pure function of (seed, step, application, element).

ONNX Runtime's own random operators keep their generator's state in the session, so that a resumed training could not
continue bit for bit. This is a counter-based generator instead (Salmon et al., "Parallel random numbers: as easy as
1, 2, 3", SC 2011): a 32-bit multiply-shift hash of the element's index, keyed twice. Only uint32 operators are used
that both the CPU and the CUDA provider have (CUDA has neither BitShift nor BitwiseXor): `h + (h >> k)` in place of the
usual `h ^ (h >> k)`, and on CUDA a division in place of the shift, with the same result.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np
from onnx import TensorProto

from netdsl.lower.emit import Emitter

# Odd multipliers of finalizers with low bias: C. Wellons, "Prospecting for hash functions", 2018
MULTIPLIERS = (0x9E3779B1, 0x7FEB352D, 0x846CA68B)


class Uniform:
    """Emits draws from [0, 1). One draw has 24 random bits, which float32 holds exactly."""

    def __init__(self, emitter: Emitter, provider: str, seed: str, step: str):
        """`seed` and `step` name int64 scalars; they count modulo 2**32."""
        self._emitter, self._cuda = emitter, provider == "cuda"
        self._seed, self._step = seed, step
        self._base: str | None = None

    def draw(self, like: str, stream: str) -> str:
        """A float32 tensor of the shape of `like`. `stream` names the application: other names, other numbers."""
        e = self._emitter
        first = self._mix(e.op("Add", [self._run_key(), self._word(crc32(stream.encode()))]))
        second = self._mix(e.op("Add", [first, self._word(MULTIPLIERS[0])]))
        size = e.op("Size", [like])
        index = e.op("Range", [e.constant(np.int64(0)), size, e.constant(np.int64(1))])
        hashed = e.op("Mul", [e.op("Cast", [index], to=TensorProto.UINT32), self._word(MULTIPLIERS[0])])
        hashed = self._fold(e.op("Add", [hashed, first]), 16)
        hashed = e.op("Add", [e.op("Mul", [hashed, self._word(MULTIPLIERS[1])]), second])
        hashed = e.op("Mul", [self._fold(hashed, 15), self._word(MULTIPLIERS[2])])
        bits = e.op("Cast", [self._shift(hashed, 8)], to=TensorProto.FLOAT)
        return e.op("Reshape", [e.op("Mul", [bits, e.constant(np.float32(2.0**-24))]), e.op("Shape", [like])])

    def _run_key(self) -> str:
        """The hash of seed and step, computed once per graph."""
        if self._base is None:
            e = self._emitter
            seed = self._mix(e.op("Cast", [self._seed], to=TensorProto.UINT32))
            step = e.op("Mul", [e.op("Cast", [self._step], to=TensorProto.UINT32), self._word(MULTIPLIERS[0])])
            self._base = self._mix(e.op("Add", [seed, step]))
        return self._base

    def _mix(self, word: str) -> str:
        e = self._emitter
        word = e.op("Mul", [self._fold(word, 16), self._word(MULTIPLIERS[1])])
        word = e.op("Mul", [self._fold(word, 15), self._word(MULTIPLIERS[2])])
        return self._fold(word, 16)

    def _fold(self, word: str, bits: int) -> str:
        return self._emitter.op("Add", [word, self._shift(word, bits)])

    def _shift(self, word: str, bits: int) -> str:
        if self._cuda:
            return self._emitter.op("Div", [word, self._word(1 << bits)])
        return self._emitter.op("BitShift", [word, self._word(bits)], direction="RIGHT")

    def _word(self, value: int) -> str:
        return self._emitter.constant(np.uint32(value))
