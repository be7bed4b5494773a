"""Numbers come back by their keys, whole and sorted, whether memory holds them or not."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ift_sagemaker.data.likeness.keyed import KeyedNumbers


@pytest.mark.parametrize("memory", [1 << 10, 1 << 30])
def test_numbers_come_in_the_order_of_their_keys_and_no_key_comes_twice(tmp_path: Path, memory: int) -> None:
    chance = random.Random(3)
    keys = [chance.randbytes(16) for _ in range(6_000)]
    # some differ in their second half only
    keys += [key[:8] + chance.randbytes(8) for key in keys[:500]]
    entries = [(chance.choice(keys), number) for number in range(20_000)]
    keyed = KeyedNumbers(tmp_path / "keys", memory)
    for key, number in entries:
        keyed.add(key, number)
    of_key: dict[bytes, list[int]] = {}
    for key, number in entries:
        of_key.setdefault(key, []).append(number)
    found = [
        numbers[start:end].tolist()
        for numbers, starts in keyed.groups()
        for start, end in zip(starts, [*starts[1:], len(numbers)], strict=True)
    ]
    assert found == [of_key[key] for key in sorted(of_key)]
    assert bool(list(tmp_path.iterdir())) == (memory < 1 << 20)
