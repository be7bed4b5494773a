"""Entries come back whole, in memory or in files, in the order in which they were added."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from ift_sagemaker.data.likeness.grouping import KeyStore, slices

ENTRY = np.dtype([("key", "u8"), ("number", "u8")])


def _store(folder: Path, memory: int, count: int) -> tuple[KeyStore, list[tuple[int, int]]]:
    chance = random.Random(2)
    entries = [(chance.getrandbits(64), number) for number in range(count)]
    store = KeyStore(folder, ENTRY, memory)
    for start in range(0, count, 700):
        store.add(np.array(entries[start : start + 700], ENTRY))
    return store, entries


def _turns(store: KeyStore, at_once: int = 1 << 30) -> list[list[tuple[int, int]]]:
    return [
        [(int(key), int(number)) for block in blocks for key, number in block]
        for (blocks,) in store.parts(at_once=at_once)
    ]


@pytest.mark.parametrize("memory", [1 << 10, 1 << 30])
@pytest.mark.parametrize(("at_once", "bits"), [(1 << 30, 0), (50, 3)])
def test_every_entry_has_one_turn_and_they_are_in_order(
    tmp_path: Path, memory: int, at_once: int, bits: int
) -> None:
    store, entries = _store(tmp_path / "keys", memory, 20_000)
    found = _turns(store, at_once)
    assert sorted(entry for turn in found for entry in turn) == sorted(entries)
    assert all(numbers == sorted(numbers) for numbers in ([n for _, n in turn] for turn in found))
    assert all(len({key >> (58 - bits) for key, _ in turn}) <= 1 for turn in found)


@pytest.mark.parametrize("memory", [1 << 10, 1 << 30])
def test_saved_entries_are_absorbed_and_moved_up(tmp_path: Path, memory: int) -> None:
    other, others = _store(tmp_path / "one", memory, 9_000)
    other.save(tmp_path / "saved")
    store, entries = _store(tmp_path / "two", memory, 5_000)
    store.absorb(tmp_path / "saved", 5_000)
    moved = [(key, number + 5_000) for key, number in others]
    found = _turns(store)
    assert sorted(entry for turn in found for entry in turn) == sorted(entries + moved)
    assert all(numbers == sorted(numbers) for numbers in ([n for _, n in turn] for turn in found))


def test_two_stores_have_the_entries_of_a_key_in_one_turn(tmp_path: Path) -> None:
    one, _ = _store(tmp_path / "one", 1 << 10, 9_000)
    two, _ = _store(tmp_path / "two", 1 << 30, 9_000)  # the same keys
    for turn in one.parts(two, at_once=500):
        first, second = ([key for block in blocks for key, _ in block] for blocks in turn)
        assert first == second


def test_few_entries_write_nothing(tmp_path: Path) -> None:
    store, entries = _store(tmp_path / "keys", 1 << 20, 100)
    assert sorted(entry for turn in _turns(store) for entry in turn) == sorted(entries)
    assert not list(tmp_path.iterdir())


def test_a_part_is_read_in_as_many_slices_as_memory_asks_for() -> None:
    assert slices(100, 100) == [(0, 0)]
    assert slices(0, 100) == []
    assert [len(slices(count, 100)) for count in (101, 201, 401)] == [2, 4, 8]
