"""Entries come back whole, in memory or in files, in the order in which they were added."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from ift_sagemaker.data.grouping import PARTS, KeyStore, slices

ENTRY = np.dtype([("key", "u8"), ("number", "u8")])


def _store(folder: Path, memory: int, count: int) -> tuple[KeyStore, list[tuple[int, int]]]:
    chance = random.Random(2)
    entries = [(chance.getrandbits(64), number) for number in range(count)]
    store = KeyStore(folder, ENTRY, memory)
    for start in range(0, count, 700):
        store.add(np.array(entries[start : start + 700], ENTRY))
    store.flush()
    return store, entries


def _all(store: KeyStore, bits: int = 0) -> list[list[tuple[int, int]]]:
    return [
        [(int(key), int(number)) for block in store.blocks(part, (bits, value)) for key, number in block]
        for part in range(PARTS)
        for value in range(1 << bits)
    ]


@pytest.mark.parametrize("memory", [1 << 10, 1 << 30])
@pytest.mark.parametrize("bits", [0, 3])
def test_every_entry_is_in_one_slice_in_order(tmp_path: Path, memory: int, bits: int) -> None:
    store, entries = _store(tmp_path / "keys", memory, 20_000)
    found = _all(store, bits)
    assert sorted(entry for slice_ in found for entry in slice_) == sorted(entries)
    assert all(numbers == sorted(numbers) for numbers in ([n for _, n in slice_] for slice_ in found))
    assert all(len({key >> (58 - bits) for key, _ in slice_}) <= 1 for slice_ in found)


def test_entries_of_another_store_are_moved_up(tmp_path: Path) -> None:
    _, entries = _store(tmp_path / "one", 1 << 30, 300)
    store, _ = _store(tmp_path / "two", 1 << 30, 300)
    store.absorb(tmp_path / "one", 1000)
    store.flush()
    moved = [(key, number + 1000) for key, number in entries]
    assert sorted(entry for part in _all(store) for entry in part) == sorted(entries + moved)


def test_an_empty_store_writes_nothing(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys", ENTRY, 1 << 20)
    store.flush()
    assert _all(store) == [[] for _ in range(PARTS)]
    assert not list(tmp_path.iterdir())


def test_a_part_is_read_in_as_many_slices_as_memory_asks_for() -> None:
    assert slices(100, 100) == [(0, 0)]
    assert slices(0, 100) == [(0, 0)]
    assert [len(slices(count, 100)) for count in (101, 201, 401)] == [2, 4, 8]
