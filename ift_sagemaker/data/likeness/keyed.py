"""Numbers in the order of their keys, however many."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ift_sagemaker.data.likeness.grouping import Entries, KeyStore
from ift_sagemaker.data.likeness.words import Numbers, Places

_WRITTEN = np.dtype([("key", ">u8"), ("low", ">u8"), ("number", ">u8")])
_ENTRY = _WRITTEN.newbyteorder("=")
_AT_ONCE = 1 << 12


class KeyedNumbers:
    """A `KeyStore` of numbers with keys of 16 bytes, which are added one by one and come back sorted."""

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        # sorting takes several times the space of what is sorted
        self._store = KeyStore(folder, _ENTRY, memory_bytes // 8)
        self._at_once = max(_AT_ONCE, memory_bytes // 16 // _ENTRY.itemsize)
        self._open = bytearray()

    def add(self, key: bytes, number: int) -> None:
        """Notes that `number` has the key; a number may have several."""
        self._open += key
        self._open += number.to_bytes(8, "big")
        if len(self._open) >= _AT_ONCE * _ENTRY.itemsize:
            self._keep()

    def groups(self) -> Iterator[tuple[Numbers, Places]]:
        """Batches in the order of keys: numbers by key, then by number, and where each key's begin.

        A key is never in two batches.
        """
        self._keep()
        for (blocks,) in self._store.parts(at_once=self._at_once):
            entries = list(blocks)
            if entries:
                yield _grouped(np.concatenate(entries))

    def _keep(self) -> None:
        self._store.add(np.frombuffer(bytes(self._open), _WRITTEN).astype(_ENTRY))
        self._open.clear()


def _grouped(entries: Entries) -> tuple[Numbers, Places]:
    key, low, number = (entries[name] for name in ("key", "low", "number"))
    order = np.lexsort((number, low, key))
    key, low = key[order], low[order]
    changes = (key[1:] != key[:-1]) | (low[1:] != low[:-1])
    return number[order], np.flatnonzero(np.r_[True, changes])
