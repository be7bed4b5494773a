"""Which texts are nearly the same: word shingles, MinHash, bands, and every candidate measured exactly.

A. Broder, "On the resemblance and containment of documents" (1997); bands as in Leskovec, Rajaraman and
Ullman, "Mining of Massive Datasets", chapter 3. Two texts are compared by the share of shingles that they
have in common (Jaccard); paraphrases in other words share few and are not found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ift_sagemaker.data.likeness.words import Numbers, Places, TextBatch, mixed

SHINGLE_WORDS = 3
THRESHOLD = 0.8
"""Texts count as nearly the same where of the shingles of both at least this share is in both."""
BANDS = 16
_ROWS = 4
_HASHES = BANDS * _ROWS
_AT_ONCE = 1 << 14
LIKELY_BITS = 48
"""Of 64 bits of two sketches this many agree in nearly all pairs alike by the threshold: the mean is 58."""

Shingles = npt.NDArray[np.uint32]

_generator = np.random.Generator(np.random.PCG64(20_240_501))
_FACTORS: Shingles = _generator.integers(1, 2**32, (_HASHES, 1), dtype=np.uint32) | np.uint32(1)
_SUMMANDS: Shingles = _generator.integers(0, 2**32, (_HASHES, 1), dtype=np.uint32)
_SKETCH = np.uint32(0x9E3779B1)


@dataclass(frozen=True)
class Shingled:
    """Texts as sets of hashed shingles: `shingles[bounds[n] : bounds[n + 1]]` are those of text n, sorted."""

    shingles: Shingles
    bounds: Places

    def of(self, text: int) -> Shingles:
        return self.shingles[self.bounds[text] : self.bounds[text + 1]]


def shingled(texts: Sequence[str]) -> Shingled:
    """Three words in a row each, in lower case; a shorter text is one shingle, one without words has none."""
    batch = TextBatch(texts)
    return shingled_words(batch.words, batch.word_bounds)


def shingled_words(words: Numbers, bounds: Places) -> Shingled:
    """The same of words whose texts' bounds are given."""
    counts = np.diff(bounds)
    text_of = np.repeat(np.arange(len(counts), dtype=np.uint64), counts)
    last = SHINGLE_WORDS - 1
    whole = mixed(mixed(words[:-last] * np.uint64(3)) + words[1:-1]) + words[last:]
    keep = text_of[:-last] == text_of[last:]
    short = np.flatnonzero((counts > 0) & (counts < SHINGLE_WORDS))
    firsts, lasts = bounds[short], bounds[short + 1] - 1
    few = mixed(words[firsts] + counts[short].astype(np.uint64)) + words[lasts]
    hashes = np.concatenate([mixed(whole[keep]), mixed(few)]) >> np.uint64(32)
    owners = np.concatenate([text_of[:-last][keep], short.astype(np.uint64)])
    entries = np.sort(owners << np.uint64(32) | hashes)
    if len(entries):
        entries = entries[np.r_[True, entries[1:] != entries[:-1]]]
    ends = np.searchsorted(entries, np.arange(len(counts) + 1, dtype=np.uint64) << np.uint64(32))
    return Shingled(entries.astype(np.uint32), ends)


def _minima(sets: Shingled) -> Shingles:
    """(64, texts): the lowest value of each hash function; a text without shingles has the highest number."""
    lowest = np.full((_HASHES, len(sets.bounds) - 1), 0xFFFFFFFF, np.uint32)
    text = 0
    while text < lowest.shape[1]:
        start = sets.bounds[text]
        upto = int(np.searchsorted(sets.bounds, start + _AT_ONCE, side="right")) - 1
        end = max(upto, text + 1)
        _fill(lowest, sets, text, end)
        text = end
    return lowest


def _fill(lowest: Shingles, sets: Shingled, first: int, end: int) -> None:
    bounds = sets.bounds[first : end + 1]
    for start in range(int(bounds[0]), int(bounds[-1]), _AT_ONCE):  # more than once for one long text only
        stop = min(start + _AT_ONCE, int(bounds[-1]))
        hashed = sets.shingles[start:stop] * _FACTORS + _SUMMANDS
        filled = np.flatnonzero((bounds[:-1] < stop) & (bounds[1:] > start) & (bounds[1:] > bounds[:-1]))
        places = np.maximum(bounds[filled], start) - start
        found = np.minimum.reduceat(hashed, places, axis=1)
        columns = filled + first
        lowest[:, columns] = np.minimum(lowest[:, columns], found)


def signatures(sets: Shingled) -> tuple[Numbers, Numbers]:
    """(texts, 16) keys of bands and (texts) sketches of 64 bits.

    Texts alike by 0.8 agree in at least one band's key with a probability over 0.999.
    """
    lowest = _minima(sets)
    bits = (lowest * _SKETCH) >> np.uint32(31)
    packed = np.ascontiguousarray(np.packbits(bits.astype(np.uint8), axis=0).T)
    sketches = packed.view(np.uint64)[:, 0]
    banded = lowest.reshape(BANDS, _ROWS, -1).astype(np.uint64)
    # the band's number is a part of its key, so that bands are not mixed up
    keys = np.repeat(np.arange(1, BANDS + 1, dtype=np.uint64)[:, None], banded.shape[2], axis=1)
    for place in range(_ROWS):
        keys = mixed(keys + banded[:, place])
    return np.ascontiguousarray(keys.T), sketches


def are_likely(one: Numbers, other: Numbers) -> npt.NDArray[np.bool_]:
    """Whether sketches agree so far that their texts may be alike."""
    likely: npt.NDArray[np.bool_] = np.bitwise_count(one ^ other) <= 64 - LIKELY_BITS
    return likely


def jaccard(one: Shingles, other: Shingles) -> float:
    """The share of shingles that both have, from 0 to 1; two empty sets share nothing."""
    common = len(np.intersect1d(one, other, assume_unique=True))
    whole = len(one) + len(other) - common
    return common / whole if whole else 0.0


def jaccards(ones: Shingled, others: Shingled) -> npt.NDArray[np.float64]:
    """`jaccard` of the first of `ones` and the first of `others`, of the second ones, and so on."""
    sizes = np.diff(ones.bounds), np.diff(others.bounds)
    pairs = np.arange(len(sizes[0]), dtype=np.uint64) << np.uint64(32)
    entries = np.concatenate(
        [np.repeat(pairs, size) | side.shingles for size, side in zip(sizes, (ones, others), strict=True)]
    )
    entries.sort()
    twice = entries[1:][entries[1:] == entries[:-1]] >> np.uint64(32)
    common = np.bincount(twice.astype(np.int64), minlength=len(pairs))
    whole = sizes[0] + sizes[1] - common
    return common / np.maximum(whole, 1)
