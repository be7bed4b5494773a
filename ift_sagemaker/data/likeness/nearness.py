"""Which of very many texts are nearly the same as an earlier one: candidates by MinHash, each measured.

Beside bounded buffers everything is in files: about 270 bytes a text, and its shingles.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ift_sagemaker.data.likeness.grouping import KeyStore
from ift_sagemaker.data.likeness.side import BAND
from ift_sagemaker.data.likeness.similarity import BANDS, THRESHOLD, Shingles, jaccard, shingled, signatures

_WHOLE_GROUP = 64
_COMPARED = 16
_PARTS = 64
_BUFFER = 1 << 16
_ARRAY_COST = 16
"""Pairs that the space of one small array would hold."""
_BATCH_TEXTS = 512
_BATCH_CHARACTERS = 1 << 18

Ranks = npt.NDArray[np.uint32]
_Pairs = npt.NDArray[np.uint64]


class Nearness:
    """Texts, numbered from 0 as they are added."""

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._memory = memory_bytes
        self._bands = KeyStore(folder / "bands", BAND, memory_bytes // 4)
        self._spool = (folder / "shingles").open("wb+", buffering=_BUFFER)
        self._ends = (folder / "ends").open("wb+", buffering=_BUFFER)
        self._pairs = _PairFile(folder / "pairs", memory_bytes // 16)
        self._count = self._end = 0
        self._batch: list[str] = []
        self._characters = 0
        self._last: tuple[int, Shingles] = (-1, np.empty(0, np.uint32))

    def add(self, text: str) -> None:
        self._batch.append(text)
        self._characters += len(text)
        if len(self._batch) >= _BATCH_TEXTS or self._characters >= _BATCH_CHARACTERS:
            self._add_batch()

    def _add_batch(self) -> None:
        if not self._batch:
            return
        sets = shingled(self._batch)
        self._spool.write(sets.shingles.tobytes())
        self._ends.write((sets.bounds[1:] + self._end).astype("<u8").tobytes())
        keys, _ = signatures(sets)
        filled = np.flatnonzero(np.diff(sets.bounds))
        bands = np.empty((len(filled), BANDS), BAND)
        bands["key"], bands["number"] = keys[filled], (filled + self._count)[:, None]
        self._bands.add(bands.ravel())
        self._count += len(self._batch)
        self._end += int(sets.bounds[-1])
        self._batch, self._characters = [], 0

    def candidates(self, ranks: Ranks) -> Iterator[tuple[int, int]]:
        """(first, second) ranks of texts that may be alike, first < second, each once, by second.

        `ranks` has one for each text; texts of one rank count as one. Among more than 64 texts that share a
        band, each is compared with the 16 of the lowest ranks only, so that much-used templates stay cheap.
        """
        self._add_batch()
        self._spool.flush()
        self._ends.flush()
        self._pairs.open(int(ranks.max()) + 1)
        at_once = max(1 << 12, self._memory // 4 // BAND.itemsize)
        for (blocks,) in self._bands.parts(at_once=at_once):
            for group in _groups_of(np.concatenate([np.empty(0, BAND), *blocks])):
                members = np.unique(ranks[group]).astype(np.uint64)
                if len(members) > 1:
                    self._note(members)
        yield from self._pairs.each()

    def _note(self, members: _Pairs) -> None:
        if len(members) <= _WHOLE_GROUP:
            firsts, seconds = np.triu_indices(len(members), 1)
            self._pairs.add(members[firsts], members[seconds])
            return
        for place in range(_COMPARED):
            seconds_of = members[place + 1 :]
            self._pairs.add(np.full(len(seconds_of), members[place]), seconds_of)

    def are_alike(self, first: int, second: int) -> bool:
        """Whether two texts, by number, are nearly the same by `similarity.THRESHOLD`."""
        if self._last[0] != second:
            self._last = second, self._shingles(second)
        return jaccard(self._shingles(first), self._last[1]) >= THRESHOLD

    def close(self) -> None:
        """Closes the files; the folder is its owner's to remove."""
        self._spool.close()
        self._ends.close()

    def _shingles(self, number: int) -> Shingles:
        ends = os.pread(self._ends.fileno(), 16, 8 * (number - 1)) if number else b""
        start = int.from_bytes(ends[:8], "little")
        end = int.from_bytes(ends[8:] if number else os.pread(self._ends.fileno(), 8, 0), "little")
        return np.frombuffer(os.pread(self._spool.fileno(), (end - start) * 4, start * 4), np.uint32)


def _groups_of(entries: npt.NDArray[np.void]) -> Iterator[npt.NDArray[np.int64]]:
    """The numbers of every key that is there more than once."""
    ordered = entries[np.argsort(entries["key"], kind="stable")]
    keys, numbers = ordered["key"], ordered["number"].astype(np.int64)
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else np.empty(0, np.int64)
    ends = np.r_[starts[1:], len(keys)]
    for place in np.flatnonzero(ends - starts > 1):
        yield numbers[starts[place] : ends[place]]


class _PairFile:
    """Pairs of ranks, sorted by the second: in files by ranges of it, of which one is sorted at a time."""

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        self._folder = folder
        self._limit = max(1 << 12, memory_bytes // 8)
        self._waiting: list[_Pairs] = []
        self._filled = 0
        self._width = 1

    def open(self, ranks: int) -> None:
        """Makes room for pairs of ranks below `ranks`."""
        self._folder.mkdir()
        self._width = -(-ranks // _PARTS)

    def add(self, firsts: _Pairs, seconds: _Pairs) -> None:
        self._waiting.append((seconds << np.uint64(32)) | firsts)
        self._filled += len(firsts) + _ARRAY_COST
        if self._filled >= self._limit:
            self._spill()

    def _spill(self) -> None:
        pairs = np.unique(np.concatenate(self._waiting)) if self._waiting else np.empty(0, np.uint64)
        self._waiting, self._filled = [], 0
        parts = (pairs >> np.uint64(32)) // np.uint64(self._width)
        bounds = np.searchsorted(parts, np.arange(_PARTS + 1))
        for part in np.flatnonzero(np.diff(bounds)):
            with (self._folder / f"{part:02d}").open("ab", buffering=0) as file:
                file.write(pairs[bounds[part] : bounds[part + 1]].tobytes())

    def each(self) -> Iterator[tuple[int, int]]:
        self._spill()
        for path in sorted(self._folder.iterdir()):
            pairs = np.unique(np.fromfile(path, np.uint64))
            path.unlink()
            for pair in array("Q", pairs.tobytes()):
                yield pair & 0xFFFFFFFF, pair >> 32
