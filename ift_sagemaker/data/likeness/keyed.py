"""Numbers in the order of their keys, however many: in memory, or in files that are sorted one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

_ENTRY = np.dtype([("high", ">u8"), ("low", ">u8"), ("number", ">u8")])
_PARTS = 256
_LEAST = 1 << 12

Numbers = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]


class KeyedNumbers:
    """Numbers with keys of 16 bytes. Beyond a share of `memory_bytes` they go to 256 files below `folder`."""

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        self._folder = folder
        # sorting takes several times the space of what is sorted
        self._limit = max(_LEAST, memory_bytes // 16)
        self._open = bytearray()
        self._spilled = False

    def add(self, key: bytes, number: int) -> None:
        """Notes that `number` has the key; a number may have several."""
        self._open += key
        self._open += number.to_bytes(8, "big")
        if len(self._open) >= self._limit:
            self._spill()

    def groups(self) -> Iterator[tuple[Numbers, Places]]:
        """Batches in the order of keys: numbers by key, then by number, and where each key's begin.

        A key is never in two batches.
        """
        if not self._spilled:
            yield _grouped(np.frombuffer(bytes(self._open), _ENTRY))
            return
        self._spill()
        for path in sorted(self._folder.iterdir()):
            yield _grouped(np.fromfile(path, _ENTRY))

    def _spill(self) -> None:
        self._spilled = True
        self._folder.mkdir(parents=True, exist_ok=True)
        entries = np.frombuffer(self._open, _ENTRY)
        parts = entries["high"] >> np.uint64(56)
        order = np.argsort(parts, kind="stable")
        bounds = np.searchsorted(parts[order], np.arange(_PARTS + 1))
        for part in np.flatnonzero(np.diff(bounds)):
            with (self._folder / f"{part:02x}").open("ab", buffering=0) as file:
                file.write(entries[order[bounds[part] : bounds[part + 1]]].tobytes())
        self._open = bytearray()


def _grouped(entries: npt.NDArray[np.void]) -> tuple[Numbers, Places]:
    high, low, number = (entries[name].astype(np.uint64) for name in ("high", "low", "number"))
    order = np.lexsort((number, low, high))
    high, low = high[order], low[order]
    changes = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    starts = np.flatnonzero(np.concatenate(([True], changes))) if len(order) else np.empty(0, np.int64)
    return number[order], starts
