"""Equal keys brought together, however many: in memory, or in files that are sorted one at a time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

_PARTS = 64
_ENTRY = np.dtype([("key", np.uint64), ("number", np.uint64)])
_CHUNK = 1 << 13


class HashGroups:
    """Numbers by key. Beyond `memory_bytes` they go to 64 files below `folder`, by the first bits."""

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        self._folder = folder
        self._limit = max(_CHUNK, memory_bytes // _ENTRY.itemsize // 2)
        self._open: npt.NDArray[np.void] = np.empty(_CHUNK, _ENTRY)
        self._filled = 0
        self._full: list[npt.NDArray[np.void]] = []
        self._spilled = False

    def add(self, keys: npt.NDArray[np.uint64], number: int) -> None:
        """Notes that `number` has each of the keys."""
        for start in range(0, len(keys), _CHUNK):
            self._add(keys[start : start + _CHUNK], number)

    def _add(self, keys: npt.NDArray[np.uint64], number: int) -> None:
        if self._filled + len(keys) > _CHUNK:
            self._close_chunk()
        new = self._open[self._filled : self._filled + len(keys)]
        new["key"], new["number"] = keys, number
        self._filled += len(keys)

    def _close_chunk(self) -> None:
        self._full.append(self._open[: self._filled])
        self._open, self._filled = np.empty(_CHUNK, _ENTRY), 0
        if len(self._full) * _CHUNK >= self._limit:
            self._spill()

    def _spill(self) -> None:
        entries = np.concatenate(self._full)
        self._full = []
        self._spilled = True
        self._folder.mkdir(parents=True, exist_ok=True)
        parts = entries["key"] >> np.uint64(58)
        order = np.argsort(parts, kind="stable")
        bounds = np.searchsorted(parts[order], np.arange(_PARTS + 1))
        for part in range(_PARTS):
            some = entries[order[bounds[part] : bounds[part + 1]]]
            if len(some):
                with (self._folder / f"{part:02d}").open("ab") as file:
                    file.write(some.tobytes())

    def groups(self) -> Iterator[npt.NDArray[np.uint64]]:
        """The numbers of every key that more than one number has, each number once."""
        self._close_chunk()
        if not self._spilled:
            yield from _groups_of(np.concatenate(self._full))
            return
        if self._full:
            self._spill()
        for path in sorted(self._folder.iterdir()):
            yield from _groups_of(np.fromfile(path, _ENTRY))

    def close(self) -> None:
        """Removes the files."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _groups_of(entries: npt.NDArray[np.void]) -> Iterator[npt.NDArray[np.uint64]]:
    ordered = entries[np.lexsort((entries["number"], entries["key"]))]
    keys = ordered["key"]
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else np.empty(0, np.int64)
    ends = np.r_[starts[1:], len(keys)]
    for place in np.flatnonzero(ends - starts > 1):
        numbers = np.unique(ordered["number"][starts[place] : ends[place]])
        if len(numbers) > 1:
            yield numbers
