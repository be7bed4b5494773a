"""Entries with equal keys brought together, however many: kept in 64 files by the first bits of the key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

PARTS = 64
_FIRST_BITS = 6
_MOST_BITS = 8
_LEAST_ENTRIES = 1 << 12

Entries = npt.NDArray[np.void]


class KeyStore:
    """Entries with a field `key` of 64 evenly spread bits and a field `number`, below `folder`.

    At most `memory_bytes` of them are in memory at a time; the others are in files. In a file, entries are in
    the order in which they were added.
    """

    def __init__(self, folder: Path, dtype: np.dtype[np.void], memory_bytes: int) -> None:
        self._folder = folder
        self.dtype = dtype
        self._limit = max(_LEAST_ENTRIES, memory_bytes // dtype.itemsize)
        self._waiting: list[Entries] = []
        self._count = 0

    def add(self, entries: Entries) -> None:
        self._waiting.append(entries)
        self._count += len(entries)
        if self._count >= self._limit // 2:  # writing takes as much again
            self.flush()

    def flush(self) -> None:
        """Writes what waits."""
        if not self._count:
            return
        entries = np.concatenate(self._waiting)
        self._waiting, self._count = [], 0
        self._folder.mkdir(parents=True, exist_ok=True)
        parts = (entries["key"] >> np.uint64(64 - _FIRST_BITS)).astype(np.uint8)
        order = np.argsort(parts, kind="stable")
        bounds = np.searchsorted(parts[order], np.arange(PARTS + 1))
        for part in range(PARTS):
            some = entries[order[bounds[part] : bounds[part + 1]]]
            if len(some):
                with self._path(part).open("ab") as file:
                    file.write(some.tobytes())

    def absorb(self, folder: Path, base: int) -> None:
        """Adds the entries that another store has written to `folder`, their numbers moved up by `base`."""
        other = KeyStore(folder, self.dtype, self._limit * self.dtype.itemsize)
        for part in range(PARTS):
            for entries in other.blocks(part):
                entries["number"] += np.uint64(base)
                self.add(entries)

    def size(self, part: int) -> int:
        """Entries of a part."""
        path = self._path(part)
        return path.stat().st_size // self.dtype.itemsize if path.exists() else 0

    def blocks(self, part: int, slice_: tuple[int, int] = (0, 0)) -> Iterator[Entries]:
        """The written entries of a part, piece by piece.

        `slice_` is (bits, value): only those whose next `bits` of the key have that value.
        """
        path, (bits, value) = self._path(part), slice_
        if not path.exists():
            return
        with path.open("rb") as file:
            while data := file.read(self._limit // 4 * self.dtype.itemsize):
                entries = np.frombuffer(bytearray(data), self.dtype)
                if bits:
                    found = entries["key"] << np.uint64(_FIRST_BITS) >> np.uint64(64 - bits)
                    entries = entries[found == value]
                if len(entries):
                    yield entries

    def _path(self, part: int) -> Path:
        return self._folder / f"{part:02d}"


def slices(count: int, most: int) -> list[tuple[int, int]]:
    """How to read `count` entries so that about `most` come at a time: pairs of (bits, value)."""
    bits = min(_MOST_BITS, max(0, (count - 1) // max(1, most)).bit_length())
    return [(bits, value) for value in range(1 << bits)]
