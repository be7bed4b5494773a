"""Which texts are nearly the same: word shingles, MinHash, bands, and every candidate measured exactly.

A. Broder, "On the resemblance and containment of documents" (1997); bands as in Leskovec, Rajaraman and
Ullman, "Mining of Massive Datasets", chapter 3. Two texts are compared by the share of shingles that they have
in common (Jaccard); paraphrases in other words share few and are not found.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ift_sagemaker.data.grouping import HashGroups

SHINGLE_WORDS = 3
THRESHOLD = 0.8
"""Texts at least this alike count as the same text edited."""
_BANDS = 16
_ROWS = 4
_WORD = re.compile(r"\w+")
_VOCABULARY = 1 << 18
_GROUP_PAIRS = 2_000

Shingles = npt.NDArray[np.uint32]
_Keys = npt.NDArray[np.uint64]

_generator = np.random.Generator(np.random.PCG64(20_240_501))
_FACTORS: _Keys = _generator.integers(1, 2**64, _BANDS * _ROWS, dtype=np.uint64) | np.uint64(1)
_SUMMANDS: _Keys = _generator.integers(0, 2**64, _BANDS * _ROWS, dtype=np.uint64)
_BAND_FACTORS: _Keys = _generator.integers(1, 2**64, _ROWS, dtype=np.uint64) | np.uint64(1)
_MIX = np.uint64(0x9E3779B97F4A7C15)


class Shingler:
    """Texts as sets of hashed shingles: three words in a row, in lower case; a shorter text is one."""

    def __init__(self) -> None:
        self._words: dict[str, int] = {}

    def shingles(self, text: str) -> Shingles:
        """Sorted, each once; empty for a text without words."""
        words = _WORD.findall(text.lower())
        if not words:
            return np.empty(0, np.uint32)
        hashed = np.fromiter(map(self._hash, words), np.uint64, len(words))
        width = min(SHINGLE_WORDS, len(words))
        count = len(words) - width + 1
        mixed = np.zeros(count, np.uint64)
        for place in range(width):
            mixed = (mixed ^ hashed[place : place + count]) * _MIX
            mixed ^= mixed >> np.uint64(29)
        return np.unique((mixed >> np.uint64(32)).astype(np.uint32))

    def _hash(self, word: str) -> int:
        found = self._words.get(word)
        if found is None:
            if len(self._words) >= _VOCABULARY:
                self._words.clear()
            found = self._words[word] = zlib.crc32(word.encode())
        return found


def jaccard(one: Shingles, other: Shingles) -> float:
    """The share of shingles that both have, from 0 to 1; two empty sets share nothing."""
    common = len(np.intersect1d(one, other, assume_unique=True))
    whole = len(one) + len(other) - common
    return common / whole if whole else 0.0


def band_keys(shingles: Shingles) -> _Keys:
    """One key a band: texts alike by 0.8 agree in at least one of them with a probability over 0.999."""
    mixed = shingles.astype(np.uint64)[:, None] * _FACTORS + _SUMMANDS
    lowest = (mixed ^ (mixed >> np.uint64(32))).min(axis=0).reshape(_BANDS, _ROWS)
    keys: _Keys = (lowest * _BAND_FACTORS).sum(axis=1, dtype=np.uint64)
    # the band's number is a part of its key, so that bands are not mixed up
    return (keys ^ np.arange(_BANDS, dtype=np.uint64)) * _MIX


class NearDuplicates:
    """Finds near duplicates among texts that are added one by one.

    Keys beyond `memory_bytes` and all shingles are in files below `folder`: about 450 bytes for a text of 50
    words.
    """

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        self._shingler = Shingler()
        self._groups = HashGroups(folder / "bands", memory_bytes)
        self._spool = (folder / "shingles").open("wb+")
        self._ends: list[int] = [0]

    def add(self, text: str) -> int:
        """The number of the text, from 0."""
        shingles = self._shingler.shingles(text)
        number = len(self._ends) - 1
        self._spool.write(shingles.tobytes())
        self._ends.append(self._ends[-1] + len(shingles))
        if len(shingles):
            self._groups.add(band_keys(shingles), number)
        return number

    def pairs(self, threshold: float = THRESHOLD) -> Iterator[tuple[int, int, float]]:
        """(first, second, Jaccard) of texts that are alike, each pair once.

        In a group of very many alike texts, each is compared with the first ones only: enough to name it.
        """
        self._spool.flush()
        seen: set[tuple[int, int]] = set()
        for group in self._groups.groups():
            for first, second in _candidates(group):
                if (first, second) in seen:
                    continue
                seen.add((first, second))
                alike = jaccard(self._shingles(first), self._shingles(second))
                if alike >= threshold:
                    yield first, second, alike

    def close(self) -> None:
        """Removes what was written."""
        self._spool.close()
        self._groups.close()

    def _shingles(self, number: int) -> Shingles:
        start, end = self._ends[number : number + 2]
        self._spool.seek(start * 4)
        return np.frombuffer(self._spool.read((end - start) * 4), np.uint32)


def _candidates(group: Any) -> Iterator[tuple[int, int]]:
    members = sorted(int(number) for number in group)
    pairs = 0
    for place, second in enumerate(members):
        for first in members[:place]:
            if pairs >= _GROUP_PAIRS and first != members[0]:
                break
            pairs += 1
            yield first, second
