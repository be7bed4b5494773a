"""Entries with equal keys brought together, however many: in memory, or in 64 files by the first bits."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

PARTS = 64
_FIRST_BITS = 6
_MOST_BITS = 8
_LEAST_ENTRIES = 1 << 12
_REST = "rest"

Entries = npt.NDArray[np.void]


class KeyStore:
    """Entries with a field `key` of 64 evenly spread bits and a field `number`.

    At most `memory_bytes` of them are in memory at a time; the others are in files below `folder`. What comes
    back of a part is in the order in which it was added.
    """

    def __init__(self, folder: Path, dtype: np.dtype[np.void], memory_bytes: int) -> None:
        self._folder = folder
        self.dtype = dtype
        self._limit = max(_LEAST_ENTRIES, memory_bytes // dtype.itemsize)
        self._waiting: list[Entries] = []
        self._count = 0
        self._sizes = np.zeros(PARTS, np.int64)

    def add(self, entries: Entries) -> None:
        self._waiting.append(entries)
        self._count += len(entries)
        if self._count >= self._limit // 2:  # ordering takes as much again
            self._spill()

    def _spill(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for part, some in enumerate(self.ordered()):
            if len(some):
                with self._path(part).open("ab") as file:
                    file.write(some.tobytes())
                self._sizes[part] += len(some)
        self._waiting, self._count = [], 0

    def size(self, part: int) -> int:
        """Entries of a part that are in its file."""
        return int(self._sizes[part])

    def ordered(self) -> list[Entries]:
        """What waits, by part."""
        entries = np.concatenate([np.empty(0, self.dtype), *self._waiting])
        parts = (entries["key"] >> np.uint64(64 - _FIRST_BITS)).astype(np.uint8)
        ordered = entries[np.argsort(parts, kind="stable")]
        return np.split(ordered, np.cumsum(np.bincount(parts, minlength=PARTS))[:-1])

    def save(self, folder: Path) -> None:
        """Writes everything into another folder, from which `absorb` goes on."""
        folder.mkdir(parents=True, exist_ok=True)
        for part in np.flatnonzero(self._sizes).tolist():
            shutil.copyfile(self._path(part), folder / self._path(part).name)
        with (folder / _REST).open("wb") as file:
            for entries in self._waiting:
                file.write(entries.tobytes())

    def absorb(self, folder: Path, base: int) -> None:
        """Adds the entries that another store has saved in `folder`, their numbers moved up by `base`."""
        for path in sorted(folder.iterdir(), key=lambda path: (path.name == _REST, path.name)):
            for entries in self._read(path):
                entries["number"] += np.uint64(base)
                self.add(entries)

    def parts(self, *others: KeyStore, at_once: int) -> Iterator[list[Iterable[Entries]]]:
        """Part by part, or slice by slice of large ones, the entries of this store and of others.

        About `at_once` entries have their turn together; each turn has every entry of its keys.
        """
        stores = (self, *others)
        waiting = [store.ordered() for store in stores]
        for part in range(PARTS):
            pairs = [(store, some[part]) for store, some in zip(stores, waiting, strict=True)]
            count = sum(store.size(part) + len(some) for store, some in pairs)
            for slice_ in slices(count, at_once):
                yield [store.blocks(part, some, slice_) for store, some in pairs]

    def blocks(self, part: int, waiting: Entries, slice_: tuple[int, int]) -> Iterator[Entries]:
        """The entries of a part that are in its file, then those that wait; of them a slice."""
        bits, value = slice_
        written = self._read(self._path(part)) if self._sizes[part] else iter(())
        for block in chain(written, [waiting]):
            entries = block
            if bits:
                found = entries["key"] << np.uint64(_FIRST_BITS) >> np.uint64(64 - bits)
                entries = entries[found == value]
            if len(entries):
                yield entries

    def _read(self, path: Path) -> Iterator[Entries]:
        with path.open("rb") as file:
            while data := file.read(self._limit // 4 * self.dtype.itemsize):
                yield np.frombuffer(bytearray(data), self.dtype)

    def _path(self, part: int) -> Path:
        return self._folder / f"{part:02d}"


def slices(count: int, most: int) -> list[tuple[int, int]]:
    """How to read `count` entries so that about `most` come at a time: (bits, value) of keys."""
    if not count:
        return []
    bits = min(_MOST_BITS, max(0, (count - 1) // max(1, most)).bit_length())
    return [(bits, value) for value in range(1 << bits)]
