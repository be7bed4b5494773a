"""Near duplicates are found by the share of words in a row that texts have in common."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from ift_sagemaker.data.grouping import HashGroups
from ift_sagemaker.data.similarity import NearDuplicates, Shingler, jaccard

WORDS = [f"word{number}" for number in range(4000)]


def _sentence(chance: random.Random, length: int = 60) -> list[str]:
    return chance.choices(WORDS, k=length)


def _edited(words: list[str], chance: random.Random, changes: int) -> list[str]:
    changed = list(words)
    for place in chance.sample(range(len(changed)), changes):
        changed[place] = chance.choice(WORDS)
    return changed


def _alike(one: list[str], other: list[str]) -> float:
    shingler = Shingler()
    return jaccard(shingler.shingles(" ".join(one)), shingler.shingles(" ".join(other)))


def _pairs(folder: Path, texts: list[str], memory: int = 1 << 30) -> dict[tuple[int, int], float]:
    finder = NearDuplicates(folder, memory)
    for text in texts:
        finder.add(text)
    try:
        return {(first, second): alike for first, second, alike in finder.pairs()}
    finally:
        finder.close()


def test_likeness_is_the_share_of_shingles_in_common() -> None:
    one, other = ["a", "b", "c", "d", "e"], ["a", "b", "c", "d", "x"]
    assert _alike(one, one) == 1
    assert _alike(one, other) == 2 / 4
    assert _alike(one, ["v", "w", "x", "y", "z"]) == 0
    assert _alike([], []) == 0


def test_case_and_punctuation_make_no_difference() -> None:
    shingler = Shingler()
    assert np.array_equal(shingler.shingles("Where IS it, now?"), shingler.shingles("where is it now"))


@pytest.mark.parametrize("memory", [1 << 30, 1 << 16])
def test_edited_copies_are_found_with_recall_and_precision_of_at_least_95_percent(
    tmp_path: Path, memory: int
) -> None:
    chance = random.Random(7)
    originals = [_sentence(chance) for _ in range(1500)]
    copies = [_edited(words, chance, chance.randint(0, 5)) for words in originals[:400]]
    texts = [" ".join(words) for words in originals + copies]
    planted = {
        (number, 1500 + number)
        for number, copy in enumerate(copies)
        if _alike(originals[number], copy) >= 0.8
    }
    found = set(_pairs(tmp_path, texts, memory))
    assert len(planted) > 150
    assert len(found & planted) >= 0.95 * len(planted)
    assert len(found & planted) >= 0.95 * len(found)


def test_what_is_found_is_at_least_as_alike_as_asked(tmp_path: Path) -> None:
    chance = random.Random(3)
    original = _sentence(chance)
    texts = [original, *(_edited(original, chance, changes) for changes in range(30))]
    found = _pairs(tmp_path, [" ".join(words) for words in texts])
    assert found
    assert all(alike >= 0.8 for alike in found.values())
    assert found[0, 1] == 1.0


def test_texts_without_words_are_like_none(tmp_path: Path) -> None:
    assert _pairs(tmp_path, ["", "!!!", " "]) == {}


def test_a_thousand_copies_of_one_text_cost_no_million_comparisons(tmp_path: Path) -> None:
    found = _pairs(tmp_path, ["the same text again and again"] * 1000)
    assert {second for _, second in found} == set(range(1, 1000))
    assert len(found) < 4000


def test_groups_are_the_same_in_memory_and_in_files(tmp_path: Path) -> None:
    chance = random.Random(1)
    keys = [chance.getrandbits(64) for _ in range(5000)]
    entries = [(chance.choice(keys), number) for number in range(20_000)]
    results = []
    for memory in (1 << 30, 1 << 12):
        groups = HashGroups(tmp_path / str(memory), memory)
        for key, number in entries:
            groups.add(np.array([key], np.uint64), number)
        results.append(sorted(tuple(map(int, group)) for group in groups.groups()))
        groups.close()
    assert results[0] == results[1]
    assert not list(tmp_path.iterdir())
