"""Random numbers inside a training step, as a pure function of (seed, step, application, element).

ONNX Runtime's own random operators keep their generator's state in the session, so that a resumed training could not
continue bit for bit. This is a counter-based generator instead (Salmon et al., "Parallel random numbers: as easy as
1, 2, 3", SC 2011): a hash of the element's index under two keys. The CUDA provider has neither BitShift nor BitwiseXor,
and of uint32 only addition, multiplication and division; the CPU provider's BitwiseXor is slow. So the non-linear part
is RC6's permutation x (2 x + 1) of the 32-bit words (Rivest et al., "The RC6 block cipher", 1998), which carries low
bits upwards, and `x + (x >> 16)` carries the high bits back down; on CUDA the shift is a division: the same result.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np
from onnx import TensorProto

from netdsl.lower.emit import Emitter

_WEYL = 0x9E3779B1  # 2**32 / golden ratio, odd: spreads consecutive numbers over the words


class Uniform:
    """Emits draws from [0, 1). One draw has 24 random bits, which float32 holds exactly."""

    def __init__(self, emitter: Emitter, provider: str, seed: str, step: str):
        """`seed` and `step` name int64 scalars; they count modulo 2**32."""
        self._emitter, self._cuda = emitter, provider == "cuda"
        self._seed, self._step = seed, step
        self._key: str | None = None

    def draw(self, like: str, stream: str) -> str:
        """A float32 tensor of the shape of `like`. `stream` names the application: other names, other numbers."""
        e = self._emitter
        first = self._hash(e.op("Add", [self._run_key(), self._word(crc32(stream.encode()))]))
        second = self._round(e.op("Add", [first, self._word(_WEYL)]))
        index = e.op("Range", [e.constant(np.int64(0)), e.op("Size", [like]), e.constant(np.int64(1))])
        spread = e.op("Mul", [e.op("Cast", [index], to=TensorProto.UINT32), self._word(_WEYL)])
        word = self._round(e.op("Add", [spread, first]))
        word = self._permuted(self._round(e.op("Add", [word, second])))
        bits = e.op("Cast", [self._shifted(word, 8)], to=TensorProto.FLOAT)
        return e.op("Reshape", [e.op("Mul", [bits, e.constant(np.float32(2.0**-24))]), e.op("Shape", [like])])

    def _run_key(self) -> str:
        """The hash of seed and step, computed once per graph."""
        if self._key is None:
            e, weyl = self._emitter, self._word(_WEYL)
            seed = self._hash(e.op("Add", [e.op("Cast", [self._seed], to=TensorProto.UINT32), weyl]))
            step = e.op("Mul", [e.op("Cast", [self._step], to=TensorProto.UINT32), weyl])
            self._key = self._hash(e.op("Add", [seed, step]))
        return self._key

    def _hash(self, word: str) -> str:
        return self._round(self._round(word))

    def _round(self, word: str) -> str:
        word = self._permuted(word)
        return self._emitter.op("Add", [word, self._shifted(word, 16)])

    def _permuted(self, word: str) -> str:
        e = self._emitter
        return e.op("Mul", [word, e.op("Add", [e.op("Add", [word, word]), self._word(1)])])

    def _shifted(self, word: str, bits: int) -> str:
        if self._cuda:
            return self._emitter.op("Div", [word, self._word(1 << bits)])
        return self._emitter.op("BitShift", [word, self._word(bits)], direction="RIGHT")

    def _word(self, value: int) -> str:
        return self._emitter.constant(np.uint32(value))
