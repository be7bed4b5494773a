"""Random numbers that a seed and a row's place give, so that nothing has to be kept to have them again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
CHUNK = 1 << 14
_BINS = 1 << 12
_SHIFT = np.uint64(52)


class Draws:
    """One number of 64 bits for each place, no two the same: SplitMix64 from a hash of purpose and seed.

    Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
    """

    def __init__(self, purpose: str, seed: int) -> None:
        digest = hashlib.sha256(f"{purpose}\0{seed}".encode()).digest()
        self._start = np.uint64(int.from_bytes(digest[:8], "big"))

    def keys(self, start: int, count: int) -> Keys:
        """The numbers of the places from `start` on."""
        places = np.arange(start, start + count, dtype=np.uint64)
        mixed = self._start + places * _STEP
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
        return mixed ^ (mixed >> np.uint64(31))

    def lowest(self, count: int, wanted: int) -> int:
        """The number that exactly `wanted` of the first `count` places do not exceed; 1 <= wanted <= count.

        It costs two passes over the numbers and, for the most, the space of one in 4,096 of them.
        """
        filled = np.zeros(_BINS, np.int64)
        for keys in self._chunks(count):
            filled += np.bincount((keys >> _SHIFT).astype(np.int64), minlength=_BINS)
        reached = np.cumsum(filled)
        place = int(np.searchsorted(reached, wanted))
        left = wanted - int(reached[place - 1] if place else 0)
        inside = [keys[(keys >> _SHIFT) == place] for keys in self._chunks(count)]
        return int(np.partition(np.concatenate(inside), left - 1)[left - 1])

    def _chunks(self, count: int) -> Iterator[Keys]:
        for start in range(0, count, CHUNK):
            yield self.keys(start, min(CHUNK, count - start))
